"""The extractor: proposes field values and a class for each document. It can be trained, applied, saved and loaded.

A saved extractor is a folder of JSON and text files, so loading one runs no code. `manifest.json` lists the hash of every file.
Covered: the same documents, labels, prompts and settings give the same bytes on the same machine.
Not covered: whether a proposal can be trusted. `calibration` and `control` decide that.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from proveout.errors import BadModel, NoDocuments
from proveout.mission import Mission
from proveout.models import flags, layout_encoder, ranker, wording
from proveout.models.classes import Classes
from proveout.models.features import DocumentFeatures, Printing, document_features
from proveout.models.label_phrases import LabelPhrases
from proveout.models.layout_encoder import Field, LayoutEncoder, LayoutSettings
from proveout.models.layout_statistics import (
    Floats,
    LabelledCandidates,
    LayoutStatistics,
    Signature,
    TrainingStatistics,
    signatures_of,
)
from proveout.models.ranker import Choice, Groups, Ranker, Settings
from proveout.models.text_segments import TextSegments
from proveout.models.tiers import Correction, Extraction, Parts, ScoredValue
from proveout.prompts import Prompts
from proveout.records import Box, Document, Kind, Place
from proveout.values import has_value, same, value_of

FORMAT, VERSION = "proveout-extractor", 6
LAYOUT_ENCODER = "layout_encoder"  # the tier for which a layout encoder is trained
# Each training document is used three times, with its layout known, with a new layout, and with new neighbour texts as well;
# and the first two times again as if its right value were not printed.
AS_IF_NEW = ((False, 0.0), (True, 0.0), (True, 0.6))
AS_IF_MISSING = AS_IF_NEW[:2]
CACHED = 512  # documents whose features are kept, 0.3 MB each, for a notebook's next setting or the next step
CLEAR = 0.5  # a larger lead over the runner-up means that a value has no rival
ALONE, RIVAL = "no other value on its pages comes close", "another value is nearly as likely"
CONTRADICTED = 0.5  # of its score is left to a value where the layout encoder reads another
_UNLIKELY = 0.002  # a value with a lower score is not offered to a person
_SURE = 0.98  # a value with a higher score stays first, wherever corrections were
_NONE_BELOW = 0.02  # a field whose best score is lower is left empty


class Extractor:
    """Extracts field values and the class of documents. Made by `train` or `load`; never changed afterwards."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        ranges: Sequence[tuple[str, str]],
        prompts: Mapping[str, Any],
        classes: Classes,
        statistics: LayoutStatistics,
        rankers: Mapping[str, Ranker],
        settings: Settings,
        trained_on: Mapping[str, Any],
        flags: Mapping[str, Classes] | None = None,
        printing: Printing = Printing(),  # noqa: B008 (frozen)
        encoder: LayoutEncoder | None = None,
    ) -> None:
        self.encoder = encoder
        self.kinds, self.ranges, self.prompts, self.classes = dict(kinds), tuple(ranges), prompts, classes
        self.printing = printing
        self.statistics, self.rankers, self.settings, self.trained_on = statistics, dict(rankers), settings, trained_on
        self.flags = dict(flags or {})
        self.reader = _Reader.of(kinds, prompts, printing)

    @classmethod
    def train(
        cls,
        documents: Sequence[Document],
        labels: Mapping[str, Mapping[str, str]],
        mission: Mission,
        prompts: Prompts,
        settings: Settings | None = None,
        classes: Mapping[str, str] | None = None,
        dataset: str = "",
        checkpoints: Path | None = None,
    ) -> "Extractor":
        """Learn from documents and their labels (SHA-256 to field to text; a field may be missing).

        `classes` maps SHA-256 to the class if it is known; `dataset` is the version recorded in the manifest.
        A layout encoder is trained as well if the mission has the tier `layout_encoder`, or distils from it; that takes
        minutes without a GPU. With a folder of `checkpoints`, a training that was killed goes on after its last epoch.
        Raises NoDocuments if no document has a label.
        """
        settings = settings or Settings()
        labelled = sorted((document for document in documents if labels.get(document.sha256)), key=lambda d: d.sha256)
        if not labelled:
            raise NoDocuments(f"none of {len(documents)} documents has a label to learn from; label some in labels.csv")
        kinds, ranges = mission.kinds, mission.date_ranges
        plain = _plain(prompts)
        reader = _Reader.of(kinds, plain, printing := Printing.of(mission))
        features = [reader.read(document) for document in labelled]
        rows = [labels[document.sha256] for document in labelled]
        statistics = _statistics(features, rows, _printed_kinds(kinds))
        rankers = _train_rankers(features, rows, statistics, reader, settings)
        class_labels = [(classes or {}).get(document.sha256, "") for document in labelled]
        return cls(
            kinds,
            ranges,
            plain,
            Classes.of(plain["classes"]).learn([document.segments for document in features], class_labels),
            LayoutStatistics.from_plain(statistics.as_plain()),
            rankers,
            settings,
            {"dataset": dataset, "documents": len(labelled), "prompts": prompts.version},
            _train_flags(features, rows, kinds, plain),
            printing,
            _train_encoder(features, rows, statistics, reader, rankers, prompts, settings.seed, checkpoints)
            if LAYOUT_ENCODER in (*mission.tiers, mission.distil and mission.distil.teacher)
            else None,
        )

    def extract(self, documents: Sequence[Document]) -> list[Extraction]:
        """Field values and a class for each document, in order. No result depends on the other documents."""
        return [self._extraction(self.reader.read(document)) for document in documents]

    def suggest(self, document: Document, at_most: int) -> dict[str, list[ScoredValue]]:
        """The likeliest different values of each printed field, the likeliest first, for a person to choose from."""
        features = self.reader.read(document)
        ranked, _, _ = self._ranked(features)
        likely = {name: [one for one in choices if one.score >= _UNLIKELY] for name, choices in ranked.items()}
        return {name: [self._value(name, features, choice) for choice in c[:at_most]] for name, c in likely.items()}

    def _extraction(self, document: DocumentFeatures) -> Extraction:
        choices, contradicted, familiar = self._ranked(document)
        values = {
            name: self._scored_value(name, document, ranked, contradicted.get(name), familiar)
            for name, ranked in choices.items()
            if ranked
        }
        values |= {name: value for name, flag in self.flags.items() if (value := _flag_value(flag, document.segments))}
        document_class, confidence = self.classes.classify(document.segments)
        in_order = {name: values[name] for name in self.kinds if name in values}
        return Extraction(document.sha256, document_class, confidence, in_order, {"familiar": familiar})

    def _ranked(self, document: DocumentFeatures) -> tuple[dict[str, list[Choice]], dict[str, str], float]:
        """The values of each printed field, the likeliest first; what a layout encoder reads, where that is another value or ""
        for none; and the share of wording that training documents have, too.
        """
        signatures = {kind: signatures_of(features) for kind, features in document.kinds.items()}
        nearest = self.statistics.nearest(document.marks)
        choices = self._chosen(document, signatures, self._probabilities(document, signatures, nearest))
        contradicted: dict[str, str] = {}
        if self.encoder:
            for name, others in self._chosen(document, signatures, self.encoder.probabilities(document)).items():
                candidates = document.kinds[self.kinds[name]].candidates
                first, other = ([candidates[choice.candidate] for choice in its[:1]] for its in (choices[name], others))
                if first and (not other or first[0].key != other[0].key):
                    contradicted[name] = other[0].text if other else ""
                    choices[name] = [replace(choice, score=choice.score * CONTRADICTED) for choice in choices[name]]
        return choices, contradicted, float(nearest[1].max(initial=0.0))

    def _probabilities(
        self, document: DocumentFeatures, signatures: Mapping[Kind, Sequence[Signature]], nearest: tuple[list[int], Floats]
    ) -> dict[str, Floats]:
        """The ranker's, of every candidate of each field."""
        probabilities = {}
        for name, its in self.rankers.items():
            kind = self.kinds[name]
            learned = self.statistics.columns(name, signatures[kind], nearest)
            probabilities[name] = its.probabilities(ranker.columns(document.kinds[kind], self.reader.groups[name], learned))
        return probabilities

    def _chosen(
        self,
        document: DocumentFeatures,
        signatures: Mapping[Kind, Sequence[Signature]],
        probabilities: Mapping[str, Floats],
    ) -> dict[str, list[Choice]]:
        """The values of each printed field by the probabilities of its candidates, the likeliest first."""
        kinds = _printed_kinds(self.kinds)
        choices = {
            name: ranker.choose(document.kinds[kind], probabilities[name]) if name in probabilities else []
            for name, kind in kinds.items()
        }
        for first, last in self.ranges:
            features = document.kinds[self.kinds[first]]
            choices[first], choices[last] = ranker.choose_range(features, choices[first], choices[last])
        return {name: self._corrected_first(name, signatures[kinds[name]], document, its) for name, its in choices.items()}

    def _corrected_first(
        self, name: str, signatures: Sequence[Signature], document: DocumentFeatures, choices: Sequence[Choice]
    ) -> list[Choice]:
        """Put first the values in the place where a person corrected this field on this layout; without one, drop all if the
        best is too unlikely.

        A best value that is nearly certain stays: what was corrected may have been an exception. Scores do not change, so a
        value with a low score still goes to a person.
        """
        if choices and choices[0].score > _SURE:
            return list(choices)
        candidates = document.kinds[self.kinds[name]].candidates
        texts = {candidates[at].text for at in self.statistics.corrected_candidates(name, signatures, document.marks)}
        ranked = sorted(choices, key=lambda choice: candidates[choice.candidate].text not in texts)
        likely = ranked and (ranked[0].score >= _NONE_BELOW or candidates[ranked[0].candidate].text in texts)
        return ranked if likely else []

    def _scored_value(
        self, name: str, document: DocumentFeatures, choices: Sequence[Choice], contradicted: str | None, familiar: float
    ) -> ScoredValue:
        """`contradicted`: what the layout encoder reads instead, "" for nothing."""
        kind = self.kinds[name]
        groups = self.reader.groups[name]
        pros, cons = wording.reasons(document.segments, document.kinds[kind], choices, groups, kind, familiar)
        clear = choices[0].score - (choices[1].score if len(choices) > 1 else 0.0) > CLEAR
        if contradicted is not None:
            cons = (f"the layout encoder reads {contradicted or 'no value'}", *cons)
        elif self.encoder:
            pros = (*pros, "the layout encoder reads it, too")
        return replace(
            self._value(name, document, choices[0]),
            speaks_for=pros or ((ALONE,) if clear else ()),
            speaks_against=cons or (() if clear else (RIVAL,)),
        )

    def _value(self, name: str, document: DocumentFeatures, choice: Choice) -> ScoredValue:
        kind = self.kinds[name]
        candidate = document.kinds[kind].candidates[choice.candidate]
        value = value_of(kind, candidate.text, document.conventions)
        return ScoredValue(candidate.text, value, round(choice.score, 6), Place(candidate.page, candidate.box))

    def with_corrections(self, corrections: Sequence[Correction]) -> "Extractor":
        """The same extractor with corrections added to its layout statistics, so they help the next document of that layout.

        Rankers, classes, flags and thresholds do not change until the next build.
        """
        if not corrections:
            return self
        ordered = sorted(corrections, key=lambda correction: correction.content.id)
        features = [self.reader.read(cast(Document, correction.content)) for correction in ordered]
        more = _statistics(features, [correction.labels for correction in ordered], _printed_kinds(self.kinds))
        return self._copy(statistics=self.statistics.with_more(more, [correction.wrong for correction in ordered]))

    def reading(self, prompts: Prompts) -> "Extractor":
        """The same extractor, looking for the phrases of other prompts; what a phrase beside a value means stays as learned.

        A new heading of a class counts as much as the prompts alone say. Flags and a layout encoder keep their phrases.
        """
        plain = _plain(prompts)
        if plain == self.prompts or not prompts.fields:
            return self
        return self._copy(prompts=plain, classes=Classes.of(plain["classes"]).as_learned_by(self.classes))

    def with_parts_of(self, other: "Extractor", trained_on: Mapping[str, Any]) -> "Extractor":
        """The same rankers, with the class and the layout encoder of another extractor."""
        return self._copy(encoder=other.encoder, classes=other.classes, trained_on=trained_on)

    def without_encoder(self) -> "Extractor":
        """The same extractor, whose scores are those of the rankers alone."""
        return self._copy(encoder=None)

    def _copy(self, **changes: Any) -> "Extractor":
        changed = copy(self)
        vars(changed).update(changes)
        changed.reader = _Reader.of(changed.kinds, changed.prompts, changed.printing)
        return changed

    @property
    def id(self) -> str:
        """Content id: the same for the same bytes in the folder."""
        return hashlib.sha256(self._manifest(self._files())).hexdigest()[:16]

    def save(self, folder: Path | str) -> None:
        """Write the folder. The manifest is written last, so an incomplete folder does not load."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        files = self._files()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "manifest.json").write_bytes(self._manifest(files))

    @classmethod
    def load(cls, folder: Path | str) -> "Extractor":
        """Raises BadModel if the folder holds something else, is damaged, or was written by another format version."""
        manifest, files = _open(Path(folder))
        try:
            prompts = json.loads(files["prompts.json"])
            classes = Classes.of(prompts["classes"]).with_plain(json.loads(files["classes.json"]))
            kinds = dict(manifest["kinds"])
            rankers = {n: Ranker.from_text(files[f"ranker.{n}.txt"].decode()) for n in kinds if f"ranker.{n}.txt" in files}
            settings = Settings(**manifest["settings"])
            ranges = [(first, last) for first, last in manifest["ranges"]]
            encoder = LayoutEncoder.from_files(files) if layout_encoder.WEIGHTS in files else None
            stated = manifest["printing"]
            printing = Printing(tuple(map(float, stated["deductions"])), stated["dates"], int(stated["lines"]))
            statistics = LayoutStatistics.from_plain(json.loads(files["statistics.json"]))
            states = {name: json.loads(files[f"flag.{name}.json"]) for name in kinds if f"flag.{name}.json" in files}
            flags = {name: _untrained_flag(prompts["fields"][name]).with_plain(state) for name, state in states.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise BadModel(f"{folder}: its files are inconsistent ({error}); build the model again") from error
        trained_on = manifest["trained_on"]
        learned = statistics, rankers, settings, trained_on, flags
        return cls(kinds, ranges, prompts, classes, *learned, printing, encoder)

    def _files(self) -> dict[str, bytes]:
        return {
            "prompts.json": _json(self.prompts),
            "classes.json": _json(self.classes.as_plain()),
            "statistics.json": _json(self.statistics.as_plain()),
            **{f"ranker.{name}.txt": ranker.as_text().encode() for name, ranker in self.rankers.items()},
            **{f"flag.{name}.json": _json(flag.as_plain()) for name, flag in self.flags.items()},
            **(self.encoder.files() if self.encoder else {}),
        }

    def _manifest(self, files: Mapping[str, bytes]) -> bytes:
        return _json(
            {
                "format": FORMAT,
                "version": VERSION,
                "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
                "kinds": [[name, kind] for name, kind in self.kinds.items()],
                "ranges": self.ranges,
                "printing": asdict(self.printing),
                "settings": asdict(self.settings),
                "trained_on": self.trained_on,
            },
            indent=1,
        )


@dataclass(frozen=True)
class RankerTier:
    """The extractor as a tier of the cascade."""

    extractor: Extractor
    prompts: Prompts | None = None  # what it looks for

    @classmethod
    def load(cls, parts: Parts) -> Self:
        extractor = Extractor.load(parts.model).reading(parts.prompts).with_corrections(parts.corrections)
        return cls(extractor.without_encoder(), parts.prompts)

    def extract(self, contents: Sequence[Document], configs: Any = None) -> list[Extraction]:
        return self.extractor.extract(contents)

    def suggest(self, content: Document, at_most: int) -> dict[str, list[ScoredValue]]:
        return self.extractor.suggest(content, at_most)


class LayoutEncoderTier(RankerTier):
    """The extractor with its layout encoder: a value that this reads, too, keeps its score, another loses half."""

    @classmethod
    def load(cls, parts: Parts) -> Self:
        extractor = Extractor.load(parts.model).reading(parts.prompts).with_corrections(parts.corrections)
        if extractor.encoder is None:
            raise BadModel(f"{parts.model}: it has no layout encoder, which the tier `{LAYOUT_ENCODER}` needs; proveout build")
        return cls(extractor, parts.prompts)


class _Reader:
    """Computes the features of documents for some field kinds and prompts."""

    def __init__(self, kinds: Mapping[str, Kind], prompts: Mapping[str, Any], printing: Printing) -> None:
        kinds, self.printing = _printed_kinds(kinds), printing
        fields = prompts["fields"]
        phrases: dict[str, list[str]] = {}
        for name in kinds:
            phrases[name], phrases[f"not {name}"] = fields[name]["labels"], fields[name]["not_labels"]
        self.label_phrases = LabelPhrases(phrases)
        order = list(phrases)
        self.groups = {
            name: Groups(
                order.index(name),
                order.index(f"not {name}"),
                tuple(order.index(other) for other, k in kinds.items() if k != kind),
            )
            for name, kind in kinds.items()
        }
        headings = prompts["classes"].values()
        self.phrases = sorted({phrase for group in (*phrases.values(), *headings) for phrase in group})
        self.name_labels = sorted({p for name, kind in kinds.items() if kind == "name" for p in fields[name]["labels"]})
        self.of_field, self.kinds = kinds, tuple(dict.fromkeys(kinds.values()))
        self.read = lru_cache(CACHED)(self._read)

    @classmethod
    def of(cls, kinds: Mapping[str, Kind], prompts: Mapping[str, Any], printing: Printing) -> "_Reader":
        """The reader for these kinds and prompts, shared with its cache."""
        return _reader(_json(dict(kinds)), _json(prompts), printing)

    def _read(self, document: Document) -> DocumentFeatures:
        return document_features(document, self.kinds, self.label_phrases, self.phrases, self.name_labels, self.printing)


@lru_cache(2)
def _reader(kinds: bytes, prompts: bytes, printing: Printing) -> _Reader:
    return _Reader(json.loads(kinds), json.loads(prompts), printing)


def _printed_kinds(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The fields whose values are printed in a document: all but flags, which are answered from the whole text."""
    return {name: kind for name, kind in kinds.items() if kind != "flag"}


def _untrained_flag(prompt: Mapping[str, Sequence[str]]) -> Classes:
    return flags.flag_of(prompt["labels"], prompt["not_labels"])


def _train_flags(
    features: Sequence[DocumentFeatures],
    rows: Sequence[Mapping[str, str]],
    kinds: Mapping[str, Kind],
    prompts: Mapping[str, Any],
) -> dict[str, Classes]:
    """Each flag with at least one label, trained on the documents that are labelled for it."""
    trained = {}
    for name in (name for name, kind in kinds.items() if kind == "flag"):
        answers = [str(value_of("flag", row[name])) if has_value("flag", row.get(name, "")) else "" for row in rows]
        if any(answers):
            flag = _untrained_flag(prompts["fields"][name])
            pages = [document.segments for document, answer in zip(features, answers, strict=True) if answer]
            trained[name] = flag.learn(pages, list(filter(None, answers)), guessed=False)
    return trained


def _flag_value(flag: Classes, segments: TextSegments) -> ScoredValue | None:
    answer = flags.answer(flag, segments)
    if answer is None:
        return None
    boxes = segments.boxes[list(answer.segments)]
    return ScoredValue(
        text=answer.text,
        value=answer.text,
        score=round(answer.score, 6),
        place=Place(
            int(segments.page[answer.segments[0]]),
            Box(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()),
        ),
        speaks_for=answer.speaks_for,
        speaks_against=answer.speaks_against,
    )


def _statistics(
    features: Sequence[DocumentFeatures], rows: Sequence[Mapping[str, str]], kinds: Mapping[str, Kind]
) -> TrainingStatistics:
    signatures = [{kind: signatures_of(of_kind) for kind, of_kind in document.kinds.items()} for document in features]
    labelled = {
        name: [
            LabelledCandidates(signatures[at][kind], _right(kind, document, rows[at].get(name, "")))
            for at, document in enumerate(features)
        ]
        for name, kind in kinds.items()
    }
    return TrainingStatistics([document.marks for document in features], labelled)


def _train_rankers(
    features: Sequence[DocumentFeatures],
    rows: Sequence[Mapping[str, str]],
    statistics: TrainingStatistics,
    reader: "_Reader",
    settings: Settings,
) -> dict[str, Ranker]:
    """A ranker for each field that is right somewhere, one core for each."""
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        training = {}
        for name, kind in reader.of_field.items():
            inputs, right = [], []
            for at, document in enumerate(features):
                if not has_value(kind, rows[at].get(name, "")):
                    continue
                is_right = statistics.labelled[name][at].right
                for new_layout, forgetting in AS_IF_NEW:
                    learned = statistics.columns_without(name, at, new_layout, forgetting)
                    inputs.append(ranker.columns(document.kinds[kind], reader.groups[name], learned))
                    right.append(is_right)
                    if is_right.any() and (new_layout, forgetting) in AS_IF_MISSING:
                        inputs.append(ranker.columns(document.kinds[kind], reader.groups[name], learned, without=is_right))
                        right.append(np.zeros(len(inputs[-1]), dtype=bool))
            if any(is_right.any() for is_right in right):
                training[name] = cores.submit(Ranker.train, inputs, right, settings)
        return {name: ranker.result() for name, ranker in training.items()}


def _train_encoder(
    features: Sequence[DocumentFeatures],
    rows: Sequence[Mapping[str, str]],
    statistics: TrainingStatistics,
    reader: "_Reader",
    names: Iterable[str],
    prompts: Prompts,
    seed: int,
    checkpoints: Path | None,
) -> LayoutEncoder | None:
    """`names`: the fields that the encoder scores, those with a ranker."""
    fields = {}
    for name in names:
        prompt = prompts.fields[name]
        labels, not_labels = tuple(prompt.labels), tuple(prompt.not_labels)
        fields[name] = Field(reader.of_field[name], reader.groups[name], prompt.description, labels, not_labels)
    right = [
        {n: statistics.labelled[n][at].right for n, field in fields.items() if has_value(field.kind, rows[at].get(n, ""))}
        for at in range(len(features))
    ]
    settings = LayoutSettings(seed=seed)
    return LayoutEncoder.train(features, right, fields, settings, checkpoints=checkpoints) if fields else None


def _right(kind: Kind, document: DocumentFeatures, label: str) -> npt.NDArray[np.bool_]:
    candidates, printed = document.kinds[kind].candidates, document.conventions
    texts = {candidate.text for candidate in candidates} if has_value(kind, label) else set()
    right = {text for text in texts if same(kind, label, text, printed)}
    return np.array([candidate.text in right for candidate in candidates], dtype=bool)


def _plain(prompts: Prompts) -> dict[str, Any]:
    """The part of the prompts that affects extraction. A model stores it, so it reads documents as in training."""
    return {
        "fields": {
            name: {"labels": list(field.labels), "not_labels": list(field.not_labels)} for name, field in prompts.fields.items()
        },
        "classes": {name: list(prompt.headings) for name, prompt in prompts.classes.items()},
    }


def _json(data: Any, indent: int | None = None) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=indent, sort_keys=False).encode()


def _open(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the content of each file it lists after checking its hash."""
    expected = "expected a folder that `proveout build` wrote"
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except OSError as error:
        raise BadModel(f"{folder}: no manifest.json ({error.strerror}); {expected}") from error
    except ValueError as error:
        raise BadModel(f"{folder}/manifest.json: not JSON ({error}); {expected}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        actual = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BadModel(f"{folder}: its format is {actual!r}, not {FORMAT!r}; {expected}")
    if manifest.get("version") != VERSION:
        versions = f"written in format version {manifest.get('version')}, this Proveout reads {VERSION}"
        raise BadModel(f"{folder}: {versions}; build the model again, or use the Proveout that wrote it")
    files = {}
    for name, expected_hash in manifest["files"].items():
        try:
            content = (folder / Path(name).name).read_bytes()
        except OSError as error:
            raise BadModel(f"{folder}/{name}: missing ({error.strerror}); build the model again") from error
        if (actual_hash := hashlib.sha256(content).hexdigest()) != expected_hash:
            hashes = f"its SHA-256 is {actual_hash[:12]}…, the manifest says {str(expected_hash)[:12]}…"
            raise BadModel(f"{folder}/{name}: damaged or changed, {hashes}; build the model again")
        files[name] = content
    return manifest, files
