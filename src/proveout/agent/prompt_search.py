"""Search better phrases for the prompts: propose changes, score each by cross-validation, keep every score. A person chooses.

Entry point: `search`. Proposed are texts printed beside right values that no label resembles, texts printed beside wrong values
that the model took, and the removal of a phrase; the changes that helped are tried together at the end. Each is scored on
documents whose layouts were left out of training: micro-F1, and the share of values that could be automated as the mission
promises. The best of many scores is too good by chance, so a trial says how many values it turned right and wrong.
Covered: a trial that was made before, on the same documents with the same prompts, is read from the file.
Not covered: descriptions and examples, which a language model reads (`description_search`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from proveout.agent.cascade import scored_pair
from proveout.calibration.thresholds import Pair, certify, risk_coverage
from proveout.corpus.folds import by_chance
from proveout.mission import Mission
from proveout.models import Extractor, Settings
from proveout.models.label_phrases import LabelPhrases, compact
from proveout.models.ranker import NEAREST
from proveout.models.tiers import Extraction
from proveout.prompts import Prompts
from proveout.records import Document
from proveout.values import conventions, has_value, same

FOLDS = 3
FEWEST = 3  # documents in which a proposed phrase is printed
RESEMBLES = 0.8  # similarity of a text to a phrase that stands for it already
LONGEST = 40  # characters of a phrase

Key = Literal["labels", "not_labels"]
Right = dict[tuple[str, str], bool]  # (document, field): whether its value was right


@dataclass(frozen=True)
class Change:
    """One phrase more or less."""

    field: str
    key: Key
    phrase: str
    remove: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {'−' if self.remove else '+'} {self.key} “{self.phrase}”"

    def of(self, prompts: Prompts) -> Prompts:
        """The prompts with this change."""
        field = prompts.fields[self.field]
        listed: tuple[str, ...] = getattr(field, self.key)
        changed = tuple(phrase for phrase in listed if phrase != self.phrase) if self.remove else (*listed, self.phrase)
        field = replace(field, labels=changed) if self.key == "labels" else replace(field, not_labels=changed)
        return replace(prompts, fields={**prompts.fields, self.field: field})


@dataclass(frozen=True)
class Trial:
    """The score of some changes. F1 and shares are of documents with layouts that were left out of training."""

    changes: Sequence[str]
    version: str  # of the prompts with them
    f1: float
    certified: Mapping[str, float]  # by field, the share of its values that could be automated at the promise
    precise: Mapping[str, float]  # the same above the best threshold, which only these documents know
    turned_right: int  # values, against the prompts as they are
    turned_wrong: int
    seconds: float
    tokens: int = 0  # of a language model


@dataclass
class Answers:
    """What was read of documents with labels, gathered until it is a trial."""

    mission: Mission
    labels: Mapping[str, Mapping[str, str]]
    right: Right = field(default_factory=dict)
    pairs: dict[str, list[Pair]] = field(default_factory=dict)  # by field

    def add(self, document: Document, read: Extraction) -> list[str]:
        """Judge what was read; the fields with a wrong value."""
        printed, wrong = conventions(document, self.mission.dates), []
        for name, kind in self.mission.kinds.items():
            if has_value(kind, label := self.labels[document.id].get(name, "")):
                score, is_right = pair = scored_pair(read, name, label, self.mission, printed)
                self.right[document.id, name] = is_right
                self.pairs.setdefault(name, []).append(pair)
                wrong += [name] if score is not None and not is_right else []
        return wrong

    def trial(self, changes: Iterable[object], version: str, before: Right | None, seconds: float, tokens: int = 0) -> Trial:
        """`before`: what was right with the prompts as they are; None for those themselves."""
        slo = self.mission.slo
        answered = sum(score is not None for its in self.pairs.values() for score, _ in its)
        precise = {
            name: [one.coverage for one in risk_coverage(its) if one.precision >= slo.precision]
            for name, its in self.pairs.items()
        }
        turned = [right - (before or self.right)[key] for key, right in self.right.items()]
        return Trial(
            [str(change) for change in changes],
            version,
            2 * sum(self.right.values()) / max(1, answered + len(self.right)),
            {name: certify(name, its, slo.precision, slo.confidence).coverage for name, its in self.pairs.items()},
            {name: max(coverages, default=0.0) for name, coverages in precise.items()},
            turned.count(1),
            turned.count(-1),
            seconds,
            tokens,
        )


class KeptTrials:
    """A file with a JSON object for each trial that was ever made.

    `depends_on`: what trials have in common that may be compared, such as documents, labels and the prompts they began with.
    """

    def __init__(self, file: Path, depends_on: object) -> None:
        self.file, self._about = file, by_chance(json.dumps(depends_on)).hex()[:16]
        self.trials: dict[str, Trial] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with suppress(ValueError):  # a line that a kill tore
                kept = json.loads(line)
                if kept.pop("about") == self._about:
                    self.trials[kept["version"]] = Trial(**kept)

    def keep(self, trial: Trial) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        torn = self.file.exists() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps({"about": self._about, **asdict(trial)}, ensure_ascii=False) + "\n")


def search(
    documents: Sequence[Document],
    labels: Mapping[str, Mapping[str, str]],
    layout_of: Mapping[str, str],
    mission: Mission,
    prompts: Prompts,
    trials: int,
    file: Path,
    settings: Settings | None = None,
    advance: Callable[[], object] = lambda: None,
) -> list[Trial]:
    """The score of the prompts as they are, then of at most so many changes, the most promising first.

    `layout_of`: id to layout. `file`: keeps every trial, a JSON object in each line. `advance` is called after each.
    """
    run = _CrossValidation(documents, labels, layout_of, mission, prompts, settings or Settings(rounds=60), file)
    base, right = run.trial(prompts, [], None)
    results = [base]
    advance()
    helped: list[Change] = []
    for change in _proposals(run, prompts)[: trials - 1]:
        trial, _ = run.trial(change.of(prompts), [change], right)
        results.append(trial)
        if trial.turned_right > trial.turned_wrong:
            helped.append(change)
        advance()
    if len(helped) > 1:
        together = prompts
        for change in helped:
            together = change.of(together)
        results.append(run.trial(together, helped, right)[0])
        advance()
    return results


class _CrossValidation:
    """Trains and reads with given prompts, each document by a model that learned from no document of its layout."""

    def __init__(
        self,
        documents: Sequence[Document],
        labels: Mapping[str, Mapping[str, str]],
        layout_of: Mapping[str, str],
        mission: Mission,
        prompts: Prompts,
        settings: Settings,
        file: Path,
    ) -> None:
        self.documents = [document for document in documents if labels.get(document.id)]
        self.labels, self.settings = labels, settings
        self.mission = mission.model_copy(update={"tiers": ("ranker", "person")})
        groups = sorted({layout_of.get(one.id) or one.id for one in self.documents}, key=by_chance)
        fold = {group: at % FOLDS for at, group in enumerate(groups)}
        self.fold_of = {one.id: fold[layout_of.get(one.id) or one.id] for one in self.documents}
        answers = [(one.id, self.fold_of[one.id], sorted(labels[one.id].items())) for one in self.documents]
        depends_on = [prompts.version, answers, asdict(settings), mission.slo.precision, mission.slo.confidence]
        self.kept = KeptTrials(file, depends_on)
        self.wrong: Counter[tuple[str, str]] = Counter()  # (field, text beside a value that was taken wrongly)
        self.model: Extractor | None = None

    def trial(self, prompts: Prompts, changes: Sequence[Change], before: Right | None) -> tuple[Trial, Right]:
        if changes and prompts.version in self.kept.trials:
            return self.kept.trials[prompts.version], {}
        began, answers = time.perf_counter(), Answers(self.mission, self.labels)
        for fold in range(FOLDS):
            learned = [one for one in self.documents if self.fold_of[one.id] != fold]
            held = [one for one in self.documents if self.fold_of[one.id] == fold]
            if not (learned and held):
                continue
            model = Extractor.train(learned, self.labels, self.mission, prompts, self.settings)
            for document, read in zip(held, model.extract(held), strict=True):
                for name in answers.add(document, read):
                    if not changes:
                        self._note(model, document, name, read.fields[name].text)
            self.model = model
        trial = answers.trial(changes, prompts.version, before, time.perf_counter() - began)
        self.kept.keep(trial)
        return trial, answers.right

    def _note(self, model: Extractor, document: Document, name: str, text: str) -> None:
        for printed, beside in _neighbours(model, document, name):
            if printed == text:
                self.wrong.update((name, phrase) for phrase in beside)


def _neighbours(model: Extractor, document: Document, name: str) -> Iterator[tuple[str, set[str]]]:
    """Each possible value of a field on a document, with the texts to its left and above it that may be its labels."""
    features = model.reader.read(document).kinds[model.kinds[name]]
    for candidate, texts in zip(features.candidates, features.neighbours, strict=True):
        short = (text for text in texts[:NEAREST] if len(compact(text)) > 1 and len(text) <= LONGEST)
        yield candidate.text, {text.strip(" :") for text in short if not any(map(str.isdigit, text))}


def _proposals(run: _CrossValidation, prompts: Prompts) -> list[Change]:
    """Changes in the order in which they promise most: by the number of documents that they concern."""
    if run.model is None:
        return []
    weighed: list[tuple[float, Change]] = []
    for name, kind in run.mission.kinds.items():
        if kind == "flag":
            continue
        right, wrong = _beside(run, run.model, name)
        own = prompts.fields[name]
        listed = LabelPhrases({phrase: [phrase] for phrase in (*own.labels, *own.not_labels)})
        for phrase in {*right, *(text for other, text in run.wrong if other == name)}:
            if max(listed.similarity(phrase), default=0.0) > RESEMBLES:
                continue
            if right[phrase] >= FEWEST and right[phrase] > wrong[phrase]:
                weighed.append((right[phrase] - wrong[phrase], Change(name, "labels", phrase)))
            elif run.wrong[name, phrase] >= FEWEST and not right[phrase]:
                weighed.append((run.wrong[name, phrase], Change(name, "not_labels", phrase)))
        for phrase in own.labels:
            if wrong[phrase] >= FEWEST and not right[phrase]:
                weighed.append((wrong[phrase], Change(name, "labels", phrase, remove=True)))
    weighed.sort(key=lambda one: (-one[0], str(one[1])))
    return [change for _, change in weighed]


def _beside(run: _CrossValidation, model: Extractor, name: str) -> tuple[Counter[str], Counter[str]]:
    """In how many documents each text is beside the right value, and beside another one of the same kind."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for document in run.documents:
        label = run.labels[document.id].get(name, "")
        if not has_value(model.kinds[name], label):
            continue
        printed = conventions(document, run.mission.dates)
        of_right, of_wrong = set[str](), set[str]()
        for text, beside in _neighbours(model, document, name):
            (of_right if same(model.kinds[name], label, text, printed) else of_wrong).update(beside)
        right.update(of_right)
        wrong.update(of_wrong - of_right)
    return right, wrong
