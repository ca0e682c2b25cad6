"""The extractor: from documents to proposed values and a class. Train it, ask it, keep it in a folder.

A folder holds JSON and text, no code: loading one cannot run anything. `manifest.json` names every file with its hash.
Covered: the same documents, labels, prompts and settings give the same bytes on the same machine.
Not covered: whether a proposal may be trusted. `calibration` and `control` decide that.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from proveout.errors import BadModel, NoDocuments
from proveout.mission import Mission
from proveout.models import flags, ranker, wording
from proveout.models.classes import Classes
from proveout.models.features import CandidateFeatures, DocumentFeatures, document_features
from proveout.models.label_phrases import LabelPhrases
from proveout.models.layout_statistics import Floats, Known, LayoutStatistics, Learning, Signature, signatures_of
from proveout.models.ranker import Choice, Groups, Ranker, Settings
from proveout.models.text_segments import TextSegments
from proveout.models.tiers import Correction, Extraction, Parts, ScoredValue
from proveout.prompts import Prompts
from proveout.records import Box, Document, Kind, Place
from proveout.values import has_value, same, value_of

FORMAT, VERSION = "proveout-extractor", 2
AS_IF_NEW = ((False, 0.0), (True, 0.0), (True, 0.6))  # how a training document is shown: form known, form new, words new too
READINGS = 512  # documents kept read, 0.3 MB each: a notebook's next setting, or the next step, reads none of them again
CLEAR = 0.5  # a lead over the runner-up from which a value stands alone
ALONE, RIVAL = "no other value on its pages comes near", "another value is nearly as likely"
_NONE_BELOW = 0.02  # a field whose best value is less likely than that is left empty


class Extractor:
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
        deductions: Sequence[float] = (),
    ) -> None:
        self.kinds, self.ranges, self.prompts, self.classes = dict(kinds), tuple(ranges), prompts, classes
        self.deductions = tuple(deductions)
        self.statistics, self.rankers, self.settings, self.trained_on = statistics, dict(rankers), settings, trained_on
        self.flags = dict(flags or {})
        self.reader = _Reader.of(kinds, prompts, self.deductions)

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
    ) -> "Extractor":
        """Learn from documents and their labels (SHA-256 to field to text; a field may be missing).

        `classes` gives the class where it is known, `dataset` the version that is noted in the manifest.
        Raises NoDocuments where no document has a label.
        """
        settings = settings or Settings()
        ordered = sorted((document for document in documents if labels.get(document.sha256)), key=lambda d: d.sha256)
        if not ordered:
            raise NoDocuments(f"none of {len(documents)} documents has a label to learn from; label some in labels.csv")
        kinds, ranges = mission.kinds, mission.date_ranges
        plain = _plain(prompts)
        deductions = sorted({share for spec in mission.fields.values() for share in spec.deductions})
        reader = _Reader.of(kinds, plain, deductions)
        readings = [reader.read(document) for document in ordered]
        told = [labels[document.sha256] for document in ordered]
        learning = _learn(readings, told, _printed(kinds))
        rankers = {}
        for name, kind in _printed(kinds).items():
            groups, inputs, right = reader.groups[name], [], []
            for at, reading in enumerate(readings):
                if not has_value(kind, told[at].get(name, "")):
                    continue
                for new_form, forgetting in AS_IF_NEW:
                    learned = learning.columns_without(name, at, new_form, forgetting)
                    inputs.append(ranker.columns(reading.kinds[kind], groups, learned))
                    right.append(learning.known[name][at].right)
            if any(each.any() for each in right):
                rankers[name] = Ranker.train(inputs, right, settings)
        headings = Classes.of(plain["classes"])
        guessed = [(classes or {}).get(document.sha256, "") for document in ordered]
        trained_on = {"dataset": dataset, "documents": len(ordered), "prompts": prompts.version}
        made = cls(
            kinds,
            ranges,
            plain,
            headings.learn([reading.segments for reading in readings], guessed),
            LayoutStatistics.from_plain(learning.as_plain()),
            rankers,
            settings,
            trained_on,
            _learn_flags(readings, told, kinds, plain),
            deductions,
        )
        return made

    def extract(self, documents: Sequence[Document]) -> list[Extraction]:
        """What each document says, in their order. One document's answer never depends on another's."""
        return [self._extraction(self.reader.read(document)) for document in documents]

    def _extraction(self, reading: DocumentFeatures) -> Extraction:
        signatures = {kind: signatures_of(evidence) for kind, evidence in reading.kinds.items()}
        nearest = self.statistics.nearest(reading.marks)
        printed = _printed(self.kinds)
        choices = {name: self._choices(name, reading, signatures[kind], nearest) for name, kind in printed.items()}
        for first, last in self.ranges:
            evidence = reading.kinds[self.kinds[first]]
            choices[first], choices[last] = ranker.choose_range(evidence, choices[first], choices[last])
        choices = {name: self._as_shown(name, signatures[printed[name]], reading, each) for name, each in choices.items()}
        familiar = float(nearest[1].max(initial=0.0))
        found = {
            name: self._proposal(name, reading, each, familiar)
            for name, each in choices.items()
            if each and each[0].score >= _NONE_BELOW
        }
        found |= {name: said for name, flag in self.flags.items() if (said := _answered(flag, reading.segments))}
        document_class, confidence = self.classes.tell(reading.segments)
        answered = {name: found[name] for name in self.kinds if name in found}
        return Extraction(reading.sha256, document_class, confidence, answered, {"familiar": familiar})

    def _choices(
        self, name: str, reading: DocumentFeatures, signatures: Sequence[Signature], nearest: tuple[list[int], Floats]
    ) -> list[Choice]:
        if name not in self.rankers:
            return []
        evidence = reading.kinds[self.kinds[name]]
        learned = self.statistics.columns(name, signatures, nearest)
        inputs = ranker.columns(evidence, self.reader.groups[name], learned)
        return ranker.choose(evidence, self.rankers[name].probabilities(inputs))

    def _as_shown(
        self, name: str, signatures: Sequence[Signature], reading: DocumentFeatures, choices: Sequence[Choice]
    ) -> list[Choice]:
        """First what stands where a person put this field right on this form. Its score stays: a low one asks again."""
        candidates = reading.kinds[self.kinds[name]].candidates
        texts = {candidates[at].text for at in self.statistics.shown(name, signatures, reading.marks)}
        return sorted(choices, key=lambda choice: candidates[choice.candidate].text not in texts)

    def _proposal(self, name: str, reading: DocumentFeatures, choices: Sequence[Choice], familiar: float) -> ScoredValue:
        kind = self.kinds[name]
        evidence, best = reading.kinds[kind], choices[0]
        candidate = evidence.candidates[best.candidate]
        second = choices[1].score if len(choices) > 1 else 0.0
        groups = self.reader.groups[name]
        pros, cons = wording.reasons(reading.segments, evidence, choices, groups, kind, familiar)
        alone = best.score - second > CLEAR
        return ScoredValue(
            text=candidate.text,
            value=value_of(kind, candidate.text),
            score=round(best.score, 6),
            place=Place(candidate.page, candidate.box),
            speaks_for=pros or ((ALONE,) if alone else ()),
            speaks_against=cons or (() if alone else (RIVAL,)),
        )

    def with_prompts(self, prompts: Prompts) -> "Extractor":
        """The same extractor, told other phrases for its printed fields; nothing is learned anew.

        Classes and flags, whose phrases were weighed in training, stay as they were.
        """
        asked = {**_plain(prompts)["fields"], **{name: self.prompts["fields"][name] for name in self.flags}}
        told = {"fields": asked, "classes": self.prompts["classes"]}
        return self._but(prompts=told, trained_on={**self.trained_on, "prompts": prompts.version})

    def taught(self, corrected: Sequence[Correction]) -> "Extractor":
        """The same extractor with more statistics: what a person corrected helps the next document of that form at once.

        Rankers, classes, flags and thresholds stay; a build makes of it what they can learn.
        """
        if not corrected:
            return self
        ordered = sorted(corrected, key=lambda one: one.content.id)
        readings = [self.reader.read(cast(Document, one.content)) for one in ordered]
        more = _learn(readings, [one.labels for one in ordered], _printed(self.kinds))
        return self._but(statistics=self.statistics.with_more(more, [one.wrong for one in ordered]))

    def _but(self, **changed: Any) -> "Extractor":
        made = copy(self)
        vars(made).update(changed)
        made.reader = _Reader.of(made.kinds, made.prompts, made.deductions)
        return made

    @property
    def id(self) -> str:
        """Content id: the same for the same bytes in the folder."""
        return hashlib.sha256(self._manifest(self._files())).hexdigest()[:16]

    def save(self, folder: Path | str) -> None:
        """Write the folder; the manifest comes last, so that half a folder is never taken for a whole one."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        files = self._files()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "manifest.json").write_bytes(self._manifest(files))

    @classmethod
    def load(cls, folder: Path | str) -> "Extractor":
        """Raises BadModel for a folder that is foreign, damaged, or written by a newer version."""
        manifest, files = _open(Path(folder))
        try:
            prompts, state = json.loads(files["prompts.json"]), json.loads(files["statistics.json"])
            classes = Classes.of(prompts["classes"]).with_plain(json.loads(files["classes.json"]))
            kinds = dict(manifest["kinds"])
            rankers = {n: Ranker.from_text(files[f"ranker.{n}.txt"].decode()) for n in kinds if f"ranker.{n}.txt" in files}
            settings = Settings(**manifest["settings"])
            ranges = [(first, last) for first, last in manifest["ranges"]]
            deductions = [float(share) for share in manifest["deductions"]]
            statistics = LayoutStatistics.from_plain(state)
            told = {name: prompts["fields"][name] for name in kinds if f"flag.{name}.json" in files}
            learned = {name: _flag(each).with_plain(json.loads(files[f"flag.{name}.json"])) for name, each in told.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise BadModel(f"{folder}: its files do not fit together ({error}); build the model again") from error
        return cls(kinds, ranges, prompts, classes, statistics, rankers, settings, manifest["trained_on"], learned, deductions)

    def _files(self) -> dict[str, bytes]:
        return {
            "prompts.json": _json(self.prompts),
            "classes.json": _json(self.classes.as_plain()),
            "statistics.json": _json(self.statistics.as_plain()),
            **{f"ranker.{name}.txt": each.as_text().encode() for name, each in self.rankers.items()},
            **{f"flag.{name}.json": _json(each.as_plain()) for name, each in self.flags.items()},
        }

    def _manifest(self, files: Mapping[str, bytes]) -> bytes:
        return _json(
            {
                "format": FORMAT,
                "version": VERSION,
                "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
                "kinds": [[name, kind] for name, kind in self.kinds.items()],
                "ranges": self.ranges,
                "deductions": self.deductions,
                "settings": asdict(self.settings),
                "trained_on": self.trained_on,
            },
            indent=1,
        )


@dataclass(frozen=True)
class RankerTier:
    """The extractor as a tier: trees that rank the values printed on a document."""

    extractor: Extractor

    @classmethod
    def load(cls, parts: Parts) -> "RankerTier":
        return cls(Extractor.load(parts.model).taught(parts.corrections))

    def extract(self, contents: Sequence[Document], configs: Any = None) -> list[Extraction]:
        return self.extractor.extract(contents)


class _Reader:
    """Reads documents as the prompts say."""

    def __init__(self, kinds: Mapping[str, Kind], prompts: Mapping[str, Any], deductions: Sequence[float]) -> None:
        kinds, self.deductions = _printed(kinds), tuple(deductions)
        described = prompts["fields"]
        groups: dict[str, list[str]] = {}
        for name in kinds:
            groups[name], groups[f"not {name}"] = described[name]["labels"], described[name]["not_labels"]
        self.labels = LabelPhrases(groups)
        order = list(groups)
        self.groups = {
            name: Groups(
                order.index(name),
                order.index(f"not {name}"),
                tuple(order.index(other) for other, k in kinds.items() if k != kind),
            )
            for name, kind in kinds.items()
        }
        headings = [phrase for each in prompts["classes"].values() for phrase in each]
        self.phrases = sorted({*(phrase for each in groups.values() for phrase in each), *headings})
        self.name_labels = sorted({p for name, kind in kinds.items() if kind == "name" for p in described[name]["labels"]})
        self.kinds = tuple(dict.fromkeys(kinds.values()))
        self.read = lru_cache(READINGS)(self._read)

    @classmethod
    def of(cls, kinds: Mapping[str, Kind], prompts: Mapping[str, Any], deductions: Sequence[float]) -> "_Reader":
        """The one reader of these kinds and prompts, with what it has read."""
        return _reader(_json(dict(kinds)), _json(prompts), tuple(deductions))

    def _read(self, document: Document) -> DocumentFeatures:
        return document_features(document, self.kinds, self.labels, self.phrases, self.name_labels, self.deductions)


@lru_cache(2)
def _reader(kinds: bytes, prompts: bytes, deductions: tuple[float, ...]) -> _Reader:
    return _Reader(json.loads(kinds), json.loads(prompts), deductions)


def _printed(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The fields whose values stand in a document; a flag is answered from all of it."""
    return {name: kind for name, kind in kinds.items() if kind != "flag"}


def _flag(told: Mapping[str, Sequence[str]]) -> Classes:
    return flags.flag_of(told["labels"], told["not_labels"])


def _learn_flags(
    readings: Sequence[DocumentFeatures],
    told: Sequence[Mapping[str, str]],
    kinds: Mapping[str, Kind],
    prompts: Mapping[str, Any],
) -> dict[str, Classes]:
    """Each flag that somebody answered, from the documents for which it was."""
    learned = {}
    for name in (name for name, kind in kinds.items() if kind == "flag"):
        answers = [str(value_of("flag", row[name])) if has_value("flag", row.get(name, "")) else "" for row in told]
        if any(answers):
            known = [(reading.segments, said) for reading, said in zip(readings, answers, strict=True) if said]
            flag = _flag(prompts["fields"][name])
            learned[name] = flag.learn([segments for segments, _ in known], [said for _, said in known], guessed=False)
    return learned


def _answered(flag: Classes, segments: TextSegments) -> ScoredValue | None:
    said = flags.answer(flag, segments)
    if said is None:
        return None
    x0, y0, _, _ = segments.boxes[list(said.segments)].min(axis=0).tolist()
    _, _, x1, y1 = segments.boxes[list(said.segments)].max(axis=0).tolist()
    return ScoredValue(
        text=said.text,
        value=said.text,
        score=round(said.score, 6),
        place=Place(int(segments.page[said.segments[0]]), Box(x0, y0, x1, y1)),
        speaks_for=said.speaks_for or ((ALONE,) if 2 * said.score - 1 > CLEAR else ()),
        speaks_against=said.speaks_against or (() if 2 * said.score - 1 > CLEAR else (RIVAL,)),
    )


def _learn(readings: Sequence[DocumentFeatures], told: Sequence[Mapping[str, str]], kinds: Mapping[str, Kind]) -> Learning:
    signatures = [{kind: signatures_of(evidence) for kind, evidence in reading.kinds.items()} for reading in readings]
    known = {
        name: [
            Known(signatures[at][kind], _right(kind, reading.kinds[kind], told[at].get(name, "")))
            for at, reading in enumerate(readings)
        ]
        for name, kind in kinds.items()
    }
    return Learning([reading.marks for reading in readings], known)


def _right(kind: Kind, evidence: CandidateFeatures, gold: str) -> npt.NDArray[np.bool_]:
    if not has_value(kind, gold):
        return np.zeros(len(evidence.candidates), dtype=bool)
    texts = {candidate.text for candidate in evidence.candidates}
    right = {text for text in texts if same(kind, gold, text)}
    return np.array([candidate.text in right for candidate in evidence.candidates], dtype=bool)


def _plain(prompts: Prompts) -> dict[str, Any]:
    """The part of the prompts that conditions extraction; a model keeps it, so that it reads as it was trained."""
    return {
        "fields": {
            name: {"labels": list(each.labels), "not_labels": list(each.not_labels)} for name, each in prompts.fields.items()
        },
        "classes": {name: list(each.headings) for name, each in prompts.classes.items()},
    }


def _json(data: Any, indent: int | None = None) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=indent, sort_keys=False).encode()


def _open(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the files that it names, each with the hash that it says."""
    expected = "expected a folder that `proveout build` wrote"
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except OSError as error:
        raise BadModel(f"{folder}: no manifest.json ({error.strerror}); {expected}") from error
    except ValueError as error:
        raise BadModel(f"{folder}/manifest.json: not JSON ({error}); {expected}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BadModel(f"{folder}: its format is {found!r}, not {FORMAT!r}; {expected}")
    if manifest.get("version") != VERSION:
        now = f"written by format version {manifest.get('version')}, this Proveout reads {VERSION}"
        raise BadModel(f"{folder}: {now}; build the model again, or use the Proveout that wrote it")
    files = {}
    for name, expected_hash in manifest["files"].items():
        try:
            content = (folder / Path(name).name).read_bytes()
        except OSError as error:
            raise BadModel(f"{folder}/{name}: missing ({error.strerror}); build the model again") from error
        if (found := hashlib.sha256(content).hexdigest()) != expected_hash:
            hashes = f"its SHA-256 is {found[:12]}…, the manifest says {str(expected_hash)[:12]}…"
            raise BadModel(f"{folder}/{name}: damaged or changed, {hashes}; build the model again")
        files[name] = content
    return manifest, files
