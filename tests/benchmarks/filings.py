"""Real filings of political advertising: what the ranker and the layout encoder read, and what may be automated.

`filings_unseen`: micro-F1 on the 79 documents of layouts that no training document has, of the ranker, over the seeds;
values compared as in VRDU (vrdu.py). Learned from train and calibration, cross-fitted; the tests are only reported. Intervals:
95 % of 2,000 bootstrap samples of the test documents, each document with all of its fields and seeds. The peer's number is the
one published for UDOP on DeepForm (arXiv:2212.02623), similar documents with other splits.

PROVEOUT_AUDIT names an audit.csv of the labels (`proveout audit`); without one nothing is certified, because some labels are
wrong. build/filings.json keeps every answer. `python -m tests.benchmarks.filings curve` prints the learning curve of the
rankers, `… memory` what one correction is worth, `… synthetic` what synthetic documents add to training, `… auxiliary` what
they add to the share automated, `… distil` what unlabelled documents add as the layout encoder reads them. A seed takes a
quarter of an hour of one core, the memory a minute, the others half an hour each.
"""

import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from tests.benchmarks import commit, vrdu

from proveout import mission as missions
from proveout.agent import label_audit
from proveout.agent.cascade import calibrate, field_state
from proveout.calibration import Calibrations
from proveout.calibration.thresholds import enough_held_out
from proveout.corpus import Dataset, build_dataset
from proveout.corpus.dataset import LEARN_FROM
from proveout.corpus.folds import by_chance
from proveout.mission import Mission
from proveout.models import Extractor, Settings
from proveout.models.distillation import readings
from proveout.models.extractor import RankerTier
from proveout.models.tiers import Correction, Extraction, OutOfFold, Tier
from proveout.prompts import Prompts
from proveout.records import Document

ROOT = Path(__file__).parents[2]
MISSION = ROOT / "pipelines" / "invoices"
DATA = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data")) / "adbuy"
OUT = Path("build/filings.json")
TESTS = ("test-seen", "test-unseen")
SEEDS = (1, 2, 3)
SAMPLES = 2000
PEER = 0.855
NOTHING_AUTOMATED = Calibrations({})
ADDED = (0, 100, 300)  # synthetic documents
LABELLED, LEAST_SCORES = 60, (0.5, 0.9, 0.98)  # documents; scores of a teacher's readings
SIZES, SUBSETS = (25, 50, 100, 183, 235), 10

Row = dict[str, Any]  # one labelled field of one test document: split, document, field, reader, right, answered, automated


class EncoderAlone(Extractor):
    """The extractor whose scores are those of its layout encoder alone, which contradicts itself nowhere."""

    def _probabilities(self, document: Any, signatures: Any, nearest: Any) -> Any:
        return self.encoder and self.encoder.probabilities(document)


def readers(model: Extractor) -> dict[str, Tier]:
    """A trained extractor as the three readers that are compared."""
    if model.encoder is None:
        return {"ranker": cast(Tier, RankerTier(model))}
    alone = EncoderAlone.__new__(EncoderAlone)
    vars(alone).update(vars(model))
    of_each = {"ranker": model.without_encoder(), "layout encoder": alone, "ranker, checked by the encoder": model}
    return {name: RankerTier(extractor) for name, extractor in of_each.items()}


def parts(tier: str = "layout_encoder") -> tuple[Mission, Prompts]:
    mission = missions.load(MISSION / "mission.yaml")
    return mission.model_copy(update={"tiers": (tier, "person")}), Prompts.load(MISSION / "prompts", mission)


def data_set(folder: Path, mission: Mission) -> Dataset:
    """The filings with the labels as the audit corrected them, if there is one."""
    source = folder / "adbuy"
    source.mkdir(parents=True)
    for name in ("pdf", "labels.csv"):
        (source / name).symlink_to(DATA / name)
    if audit := os.environ.get("PROVEOUT_AUDIT"):
        (source / "audit.csv").symlink_to(Path(audit).resolve())
    return build_dataset(source, mission, folder / "dataset", cache=Path("build/filings_cache"))


def judged(seed: int, folder: Path, tier: str = "layout_encoder", drawn: Path | None = None) -> list[Row]:
    """Train with one seed on all documents to learn from and on each fold of them, and read the tests.

    `drawn`: a data set whose training documents are learned from, too. Rows of the split `out of fold` are those of the
    documents to learn from, each read by the model that did not.
    """
    mission, prompts = parts(tier)
    dataset = Dataset(folder)
    learn_from, labels = dataset.documents(*LEARN_FROM), dataset.labels(*LEARN_FROM)
    more = sorted(Dataset(drawn).documents("train"), key=lambda one: by_chance(one.id))[: ADDED[-1]] if drawn else []
    labels |= Dataset(drawn).labels("train") if drawn else {}
    folds = dataset.folds(enough_held_out(mission.slo))

    def train(documents: Sequence[Document]) -> dict[str, Tier]:
        return readers(Extractor.train([*documents, *more], labels, mission, prompts, Settings(seed=seed)))

    left_out = [{id for group in fold for id in group} for fold in folds]
    of_fold = [train([one for one in learn_from if one.id not in ids]) for ids in left_out]
    evidence, (trusted, blind) = dataset.evidence(folds), label_audit.evidence(dataset, mission.slo)
    rows = []
    for name, reader in train(learn_from).items():
        out_of_fold = cast(Tier, OutOfFold.of(folds, [fold[name] for fold in of_fold]))
        calibrations = calibrate({name: out_of_fold}, evidence, trusted, mission, blind)
        results = {"out of fold": out_of_fold.extract(evidence)}
        results |= {split: reader.extract(dataset.documents(split)) for split in TESTS}
        for split, reads in results.items():
            about = {"seed": seed, "reader": name, "split": split}
            rows += [row | about for read in reads for row in _rows(read, dataset, mission, name, calibrations)]
    return rows


def _rows(
    read: Extraction, dataset: Dataset, mission: Mission, tier: str = "", calibrations: Calibrations = NOTHING_AUTOMATED
) -> Iterator[Row]:
    for field, label in dataset.entry(read.document).labels.items():
        if label:
            value = read.fields.get(field)
            yield {
                "document": read.document,
                "field": field,
                "answered": value is not None,
                "right": value is not None and vrdu.same(mission.kinds[field], label, value.text),
                "automated": value is not None and field_state(tier, field, value, calibrations).automated,
            }


def interval(rows: Sequence[Row], of: Any) -> tuple[float, float, float]:
    """A statistic of rows, and the 2.5 % and 97.5 % points of its distribution over samples of documents."""
    by_document: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_document[row["document"]].append(row)
    counts = np.array([of(its) for its in by_document.values()], dtype=np.float64)  # (documents, numerator and denominator)
    drawn = np.random.default_rng(0).integers(len(counts), size=(SAMPLES, len(counts)))
    numerators, denominators = counts[drawn].sum(axis=1).T
    low, high = np.nanquantile(numerators / np.maximum(denominators, 1e-9), (0.025, 0.975))
    numerator, denominator = counts.sum(axis=0)
    return numerator / max(denominator, 1e-9), float(low), float(high)


def f1(rows: Sequence[Row]) -> tuple[int, int]:
    return 2 * sum(row["right"] for row in rows), len(rows) + sum(row["answered"] for row in rows)


def coverage(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row["automated"] for row in rows), len(rows)


def precision(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row["automated"] and row["right"] for row in rows), sum(row["automated"] for row in rows)


def untouched(rows: Sequence[Row]) -> tuple[int, int]:
    """Documents, of one seed each, with every labelled field automated."""
    seeds = {row["seed"] for row in rows}
    return sum(all(row["automated"] for row in rows if row["seed"] == seed) for seed in seeds), len(seeds)


def table(rows: Sequence[Row], splits: Sequence[str] = TESTS) -> Iterator[str]:
    """One line of Markdown for each reader and split."""
    fields = list(dict.fromkeys(row["field"] for row in rows))
    heads = ["split", "reader", "micro-F1", *fields, "values automated", "right of them", "documents automated"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for split in splits:
        for reader in dict.fromkeys(row["reader"] for row in rows):
            these = [row for row in rows if (row["split"], row["reader"]) == (split, reader)]
            each = [interval([row for row in these if row["field"] == field], f1)[0] for field in fields]
            shares = [interval(these, of) for of in (coverage, precision, untouched)]
            cells = [_cell(interval(these, f1)), *(f"{one:.3f}" for one in each), *map(_cell, shares)]
            yield f"| {split} | {reader} | {' | '.join(cells)} |"


def _cell(numbers: tuple[float, float, float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*numbers)


def at_once(work: Any, tasks: Sequence[Any]) -> Iterator[Any]:
    """The results of independent tasks in processes of their own, one for each core."""
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, tasks)


def run(seeds: Sequence[int] = SEEDS) -> dict[str, dict[str, object]]:
    """Reads, judges, writes build/filings.json, prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        data_set(Path(folder), parts()[0])
        rows = [row for of_seed in at_once(partial(judged, folder=Path(folder) / "dataset"), seeds) for row in of_seed]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"commit": commit(), "audit": bool(os.environ.get("PROVEOUT_AUDIT")), "rows": rows}) + "\n")
    print("\n".join(table(rows)))
    ours, *_ = interval([row for row in rows if (row["split"], row["reader"]) == ("test-unseen", "ranker")], f1)
    return {
        "filings_unseen": {
            "ours": ours,
            "peer": PEER,
            "unit": "F1",
            "ratio": PEER / ours,
            "peer_name": "UDOP on DeepForm, published",
        }
    }


def point(task: tuple[int, int], folder: Path) -> tuple[int, float, float]:
    """Size, and F1 on seen and unseen layouts, of the rankers from a random subset of the documents to learn from.

    235 documents are all of them, and 183 those without the calibration split: there only the seed of the training differs.
    """
    size, subset = task
    mission, prompts = parts("ranker")
    dataset = Dataset(folder)
    documents = dataset.documents(*(LEARN_FROM if size != 183 else ("train",)))
    labels = dataset.labels(*LEARN_FROM)
    drawn = np.random.default_rng(subset).permutation(len(documents))[:size]
    model = Extractor.train([documents[at] for at in drawn], labels, mission, prompts, Settings(seed=subset))
    scores = []
    for split in TESTS:
        rows = [row for read in model.extract(dataset.documents(split)) for row in _rows(read, dataset, mission)]
        right, all_ = f1(rows)
        scores.append(right / all_)
    return size, scores[0], scores[1]


def curve() -> None:
    """Print the learning curve: mean, least and greatest F1 over the subsets."""
    tasks = [(size, subset) for size in SIZES for subset in range(SUBSETS)]
    with tempfile.TemporaryDirectory() as folder:
        data_set(Path(folder), parts()[0])
        points = np.array(list(at_once(partial(point, folder=Path(folder) / "dataset"), tasks)))
    for size in SIZES:
        seen, unseen = points[points[:, 0] == size, 1:].T
        print(f"| {size} | {' | '.join(_cell((one.mean(), one.min(), one.max())) for one in (seen, unseen))} |")


def memory() -> None:
    """Print what one correction is worth: F1 of the rankers on another document of a layout that no training document had.

    Each document of an unseen layout is corrected in turn, and each other one of its layout is read before and after.
    """
    mission, prompts = parts("ranker")
    before, after = [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset = data_set(Path(folder), mission)
        labels = dataset.labels()
        model = Extractor.train(dataset.documents(*LEARN_FROM), labels, mission, prompts, Settings(seed=SEEDS[0]))
        unseen = dataset.documents("test-unseen")
        rows = {read.document: list(_rows(read, dataset, mission)) for read in model.extract(unseen)}
        for first in unseen:
            others = [one for one in unseen if one != first and dataset.entry(one.id).layout == dataset.entry(first.id).layout]
            wrong = frozenset(row["field"] for row in rows[first.id] if not row["right"])
            corrected = model.with_corrections([Correction(first, labels[first.id], wrong)]) if wrong and others else model
            for read in corrected.extract(others):
                before += rows[read.document]
                after += _rows(read, dataset, mission)
    print(f"before {_cell(interval(before, f1))}, after one correction {_cell(interval(after, f1))}, {len(before):,} values")


def layout_folds(dataset: Dataset, documents: Sequence[Document]) -> dict[str, int]:
    """Document id to one of 3 folds, the same for all documents of a layout."""
    layouts = {document.id: dataset.entry(document.id).layout or document.id for document in documents}
    fold_of = {layout: at % 3 for at, layout in enumerate(sorted(set(layouts.values()), key=by_chance))}
    return {id: fold_of[layout] for id, layout in layouts.items()}


def synthetic() -> None:
    """Print F1 of the rankers on layouts that were left out, in 3 folds, with so many synthetic documents added to training.

    Of the documents to learn from alone; the tests are not read.
    """
    from proveout.corpus.synthetic import generate

    mission, prompts = parts("ranker")
    with tempfile.TemporaryDirectory() as folder:
        real = data_set(Path(folder), mission)
        generate(Path(folder) / "drawn")
        drawn = build_dataset(Path(folder) / "drawn", mission, Path(folder) / "synthetic", cache=Path("build/filings_cache"))
        documents, added = real.documents(*LEARN_FROM), sorted(drawn.documents("train"), key=lambda one: by_chance(one.id))
        labels = {**real.labels(*LEARN_FROM), **drawn.labels("train")}
        fold_of = layout_folds(real, documents)
        for size in ADDED:
            rows = []
            for seed, fold in itertools.product(SEEDS, range(3)):
                held = [one for one in documents if fold_of[one.id] == fold]
                learned = [*(one for one in documents if one not in held), *added[:size]]
                model = Extractor.train(learned, labels, mission, prompts, Settings(seed=seed))
                rows += [row | {"seed": seed} for read in model.extract(held) for row in _rows(read, real, mission)]
            of_seeds = " ".join(f"{interval([row for row in rows if row['seed'] == seed], f1)[0]:.4f}" for seed in SEEDS)
            print(f"| {size} | {_cell(interval(rows, f1))} | {of_seeds} |", flush=True)


def auxiliary() -> None:
    """Print the table of the rankers with and without 300 synthetic documents in training: out of fold, and the tests."""
    from proveout.corpus.synthetic import generate

    mission, _ = parts("ranker")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data_set(folder, mission)
        generate(folder / "drawn")
        build_dataset(folder / "drawn", mission, folder / "synthetic", cache=Path("build/filings_cache"))
        rows = []
        for reader, drawn in (("ranker", None), ("ranker, synthetic documents", folder / "synthetic")):
            its = at_once(partial(judged, folder=folder / "dataset", tier="ranker", drawn=drawn), SEEDS)
            rows += [row | {"reader": reader} for of_seed in its for row in of_seed if row["reader"] == "ranker"]
    print("\n".join(table(rows, ("out of fold", *TESTS))))


def distil() -> None:
    """Print F1 on layouts that were left out, in 3 folds, of the ranker with few labels, its teacher, and what it taught it.

    Of the documents to learn from alone; the tests are not read. Labels of all but LABELLED documents are hidden.
    """
    mission, prompts = parts()
    with tempfile.TemporaryDirectory() as folder:
        dataset = data_set(Path(folder), mission)
        documents, labels = dataset.documents(*LEARN_FROM), dataset.labels(*LEARN_FROM)
        rows, seconds = [], defaultdict(float)
        fold_of = layout_folds(dataset, documents)
        for seed, fold in itertools.product(SEEDS, range(3)):
            held = [one for one in documents if fold_of[one.id] == fold]
            others = sorted((one for one in documents if fold_of[one.id] != fold), key=lambda one: by_chance(f"{seed}{one.id}"))
            labelled, unlabelled = others[:LABELLED], others[LABELLED:]
            teacher = Extractor.train(labelled, labels, mission, prompts, Settings(seed=seed))
            its = {one.id: labels[one.id] for one in labelled}
            compared = {"ranker": teacher.without_encoder(), "teacher": teacher}
            for least in LEAST_SCORES:
                read = readings(cast(Tier, RankerTier(teacher)), unlabelled, least)
                student = Extractor.train(
                    [*labelled, *unlabelled], read | its, parts("ranker")[0], prompts, Settings(seed=seed)
                )
                compared[f"distilled, scores from {least}"] = student
            compared["all labels"] = Extractor.train(others, labels, parts("ranker")[0], prompts, Settings(seed=seed))
            for name, model in compared.items():
                start = time.perf_counter()
                results = model.extract(held)
                seconds[name] += (time.perf_counter() - start) / len(documents) / len(SEEDS)
                rows += [row | {"seed": seed, "reader": name} for read in results for row in _rows(read, dataset, mission)]
        for name in compared:
            these = [row for row in rows if row["reader"] == name]
            of_seeds = " ".join(f"{interval([row for row in these if row['seed'] == seed], f1)[0]:.4f}" for seed in SEEDS)
            print(f"| {name} | {_cell(interval(these, f1))} | {of_seeds} | {seconds[name]:.4f} s |", flush=True)


if __name__ == "__main__":
    {"curve": curve, "memory": memory, "synthetic": synthetic, "auxiliary": auxiliary, "distil": distil}.get(
        "".join(sys.argv[1:]), run
    )()
