"""Real filings: what a small language model reads, alone and behind the ranker.

`python -m tests.benchmarks.filings_language_model`, in an hour or two on two cores: SmolLM2 with no examples, with the most
similar past case, and as the second tier of a cascade; `… MODEL`, in half an hour, a fine-tuned folder, alone and as the second
tier. Answers are kept in build/filings_answers, so a stopped run goes on. The rankers learn and are calibrated as in filings.py
(one seed); a language model is calibrated on the 52 calibration documents alone, and remembers the documents to learn from.
`… tune MODEL` writes such a folder, from 100 of the train documents, once each, in half an hour.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from tests.benchmarks import commit, filings, vrdu
from tests.benchmarks.filings import SEEDS, TESTS, Row

from proveout.agent import label_audit
from proveout.agent.cascade import FieldState, calibrate, consult, field_state, merge
from proveout.calibration.thresholds import enough_held_out
from proveout.corpus import Dataset
from proveout.corpus.dataset import LEARN_FROM
from proveout.corpus.folds import by_chance
from proveout.mission import Mission
from proveout.models import Extractor, Settings, fine_tuning
from proveout.models.extractor import RankerTier
from proveout.models.fine_tuning import TuningSettings
from proveout.models.language_model import LanguageModelTier, chat_model
from proveout.models.local_chat import learned_from
from proveout.models.tiers import OutOfFold, PastCases, Tier
from proveout.prompts import ModelSettings, Prompts
from proveout.records import Content, Document
from proveout.retrieval import Memory, MemoryRecord
from proveout.values import remembered

ANSWERS = Path("build/filings_answers")
OUT = Path("build/filings_language_model.json")
CHARACTERS = 6000
TUNED_ON = (100, 3500)  # documents, characters of each


def language_model(source: str, past_cases: int, mission: Mission, prompts: Prompts, dataset: Dataset) -> LanguageModelTier:
    """A tier that is calibrated on the calibration split alone. Without past cases it has no examples at all."""
    settings = ModelSettings(local=source, characters=CHARACTERS, past_cases=past_cases)
    train = frozenset(document.id for document in dataset.documents("train"))
    learned = train | learned_from(source)
    return LanguageModelTier(
        chat_model(settings, ANSWERS), replace(prompts, examples=()), mission, settings, learned_from=learned
    )


def tune(folder: str) -> None:
    """Fine-tune SmolLM2 on train documents, and write the merged model to a folder."""
    mission, prompts = filings.parts("ranker")
    settings = TuningSettings(epochs=1, examples_a_step=4, learning_rate=1e-3)
    asked = replace(prompts, examples=(), model=ModelSettings(local="smollm2", characters=TUNED_ON[1]))
    with tempfile.TemporaryDirectory() as temporary:
        dataset = filings.data_set(Path(temporary), mission)
        documents = sorted(dataset.documents("train"), key=lambda one: by_chance(one.id))[: TUNED_ON[0]]
        examples = fine_tuning.examples_of(documents, dataset.labels("train"), dataset.classes("train"), mission, asked)
        print(fine_tuning.tune("smollm2", examples, Path(temporary) / "adapter", settings))
        fine_tuning.merge(Path(temporary) / "adapter", Path(folder))


def remember(folder: Path, dataset: Dataset, mission: Mission) -> Memory:
    memory, labels, classes = Memory.open(folder, store=""), dataset.labels(*LEARN_FROM), dataset.classes(*LEARN_FROM)
    memory.add(
        MemoryRecord(
            case=document.sha256,
            text=document.text,
            fields={name: remembered(mission.kinds[name], text) for name, text in labels[document.id].items() if text},
            document_class=classes.get(document.id, ""),
            origin="label",
            document=document.sha256,
        )
        for document in dataset.documents(*LEARN_FROM)
    )
    return memory


def rows_of(
    cascade: Mapping[str, Tier], reader: str, splits: Sequence[str], dataset: Dataset, mission: Mission, memory: Memory
) -> Iterator[Row]:
    """Calibrate a cascade and read the splits with it."""
    folds = dataset.folds(enough_held_out(mission.slo))
    copies = {id: group for fold in folds for group in fold for id in group}

    def past(contents: Sequence[Content], k: int) -> PastCases:
        return memory.answered(contents, k, without=copies)

    trusted, blind = label_audit.evidence(dataset, mission.slo)
    calibrations = calibrate(cascade, dataset.evidence(folds), trusted, mission, blind, past)
    for split in splits:
        documents = dataset.documents(split)
        states: dict[str, dict[str, FieldState]] = {document.id: {} for document in documents}
        for name, tier in cascade.items():
            waiting = [one for one in documents if not all(_automated(states[one.id], field) for field in mission.required)]
            for read in consult(tier, waiting, past):
                its = states[read.document]
                for field, value in read.fields.items():
                    its[field] = merge(its.get(field), field_state(name, field, value, calibrations))
        for document in documents:
            for field, label in dataset.entry(document.id).labels.items():
                if label:
                    state = states[document.id].get(field)
                    yield {
                        "split": split,
                        "document": document.id,
                        "field": field,
                        "reader": reader,
                        "seed": SEEDS[0],
                        "answered": state is not None,
                        "right": state is not None and vrdu.same(mission.kinds[field], label, state.output.text),
                        "automated": state is not None and state.automated,
                    }


def _automated(states: Mapping[str, FieldState], field: str) -> bool:
    return field in states and states[field].automated


def run(fine_tuned: str = "") -> dict[str, dict[str, object]]:
    """Reads, judges, writes build/filings_language_model.json, prints the table."""
    mission, prompts = filings.parts("ranker")
    with tempfile.TemporaryDirectory() as folder:
        dataset = filings.data_set(Path(folder), mission)
        memory = remember(Path(folder) / "memory", dataset, mission)

        def reader(source: str, past_cases: int) -> LanguageModelTier:
            return language_model(source, past_cases, mission, prompts, dataset)

        def second(model: LanguageModelTier) -> dict[str, Tier]:
            return {"ranker": ranker(dataset, mission, prompts), "language_model": model}

        readers: dict[str, Callable[[], dict[str, Tier]]] = {
            "one past case": lambda: {"language_model": reader("smollm2", 1)},
            "ranker, then language model": lambda: second(reader("smollm2", 1)),
            "no examples": lambda: {"language_model": reader("smollm2", 0)},
        }
        if fine_tuned:
            readers = {
                "fine-tuned": lambda: {"language_model": reader(fine_tuned, 0)},
                "ranker, then fine-tuned": lambda: second(reader(fine_tuned, 0)),
            }
        rows: list[Row] = []
        for name, cascade in readers.items():
            rows += rows_of(cascade(), name, TESTS, dataset, mission, memory)
            OUT.write_text(json.dumps({"commit": commit(), "rows": rows}) + "\n")
    print("\n".join(filings.table(rows)))
    alone = [row for row in rows if (row["split"], row["reader"]) == ("test-unseen", next(iter(readers)))]
    ours, peer = filings.interval(alone, filings.f1)[0], filings.PEER
    about = {"unit": "F1", "ratio": peer / ours, "peer_name": "UDOP on DeepForm, published"}
    return {"filings_language_model": {"ours": ours, "peer": peer, **about}}


def ranker(dataset: Dataset, mission: Mission, prompts: Prompts) -> Tier:
    """The ranker of all documents to learn from; for each of those, the one that did not learn from it.

    A document of no fold is read by the first tier of an OutOfFold.
    """
    documents, labels = dataset.documents(*LEARN_FROM), dataset.labels(*LEARN_FROM)
    folds = dataset.folds(enough_held_out(mission.slo))

    def train(kept: Sequence[Document]) -> Tier:
        return cast(Tier, RankerTier(Extractor.train(kept, labels, mission, prompts, Settings(seed=SEEDS[0]))))

    left_out = [{id for group in fold for id in group} for fold in folds]
    of_fold = [train([one for one in documents if one.id not in ids]) for ids in left_out]
    fold_of = {id: at for at, ids in enumerate(left_out, 1) for id in ids}
    return cast(Tier, OutOfFold(fold_of, [train(documents), *of_fold]))


if __name__ == "__main__":
    tune(sys.argv[2]) if sys.argv[1:2] == ["tune"] else run(*sys.argv[1:])
