"""The agent: from files to decisions, as a LangChain `Runnable`.

read → recall → extract → check → confide (→ consult) → route → propose. Each step takes a batch of drafts, so that models see
many documents at once; a file that cannot be read is refused and the others go on.
`invoke` is a batch of one, `stream` shows a draft after each step.
Not covered: whether a proposed action may happen (`control`), and remembering what was decided (`pipeline.live`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.runnables import Runnable, RunnableConfig

from proveout import documents
from proveout.agent import checks, wording
from proveout.errors import UnreadableDocument
from proveout.mission import Mission
from proveout.models import Extraction, Extractor
from proveout.models.values import cents_of
from proveout.records import Action, Check, Decision, Document, FieldValue, Route, SimilarCase, Source, Value

if TYPE_CHECKING:
    from proveout.calibration import Calibration
    from proveout.models.language_model import LanguageModelTier
    from proveout.retrieval import Memory

ALONE, RIVAL = "no other value on its pages comes near", "another value is nearly as likely"
UNTESTED = "its word was never calibrated"
NOTHING = Extraction(document="", document_class="", class_confidence=0.0, fields={})
WITH_CENTS = re.compile(r"[($-]*\d[\d,.]*[.,]\d\d\)?")
CaseInput: TypeAlias = Path | str | Document
SIMILAR = 5  # notebooks/invoices/retrieval.py: recall of layout and advertiser is flat beyond five


@dataclass
class Draft:
    """A decision in the making, of a document that could be read. Each step fills its part."""

    document: Document
    memory_position: int = 0
    similar: tuple[SimilarCase, ...] = ()
    extraction: Extraction = NOTHING
    checks: tuple[Check, ...] = ()
    fields: dict[str, FieldValue] = field(default_factory=dict)
    automated: frozenset[str] = frozenset()
    route: Route = Route.REVIEW
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A file that is no document: which one, and why."""

    sha256: str
    because: str


class Agent(Runnable[CaseInput, Decision]):
    """One release at work. It proposes; it never acts."""

    def __init__(
        self,
        mission: Mission,
        extractor: Extractor,
        calibration: Calibration,
        memory: Memory,
        release: str = "unreleased",
        cache: Path | None = None,
        language_model: LanguageModelTier | None = None,
    ) -> None:
        self.mission, self.extractor, self.calibration = mission, extractor, calibration
        self.memory, self.release, self.cache = memory, release, cache
        self.language_model = language_model
        self.steps: dict[str, Callable[[list[Draft]], None]] = {
            "recall": self._recall,
            "extract": self._extract,
            "check": self._check,
            "confide": self._confide,
            **({"consult": self._consult} if language_model else {}),
            "route": self._route,
            "propose": self._propose,
        }

    def invoke(self, input: CaseInput, config: RunnableConfig | None = None, **kwargs: Any) -> Decision:
        return self.batch([input], config)[0]

    def batch(  # one vectorised pass; LangChain's own starts a thread a case
        self, inputs: Sequence[CaseInput], config: Any = None, **kwargs: Any
    ) -> list[Decision]:
        """A decision for every input, in their order. Files that cannot be read are refused; the others go on."""
        read = self._read(inputs)
        drafts = [draft for draft in read if isinstance(draft, Draft)]
        if drafts:
            for step in self.steps.values():
                step(drafts)
        return [self._decision(draft) for draft in read]

    def stream(  # type: ignore[override]  # yields the steps, not only the decision
        self, input: CaseInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[tuple[str, Draft | Refused | Decision]]:
        """After each step its name and the draft so far; at the end ("decision", the decision)."""
        (draft,) = self._read([input])
        yield "read", draft
        if isinstance(draft, Draft):
            for name, step in self.steps.items():
                step([draft])
                yield name, replace(draft, fields=dict(draft.fields))
        yield "decision", self._decision(draft)

    def _read(self, inputs: Sequence[CaseInput]) -> list[Draft | Refused]:
        paths = [Path(item) for item in inputs if not isinstance(item, Document)]
        found = zip(paths, documents.read_many(paths, cache=self.cache), strict=True)
        return [_draft(item) if isinstance(item, Document) else _read_draft(*next(found)) for item in inputs]

    def _recall(self, drafts: list[Draft]) -> None:
        position = self.memory.position
        found = self.memory.search_many([draft.document for draft in drafts], k=SIMILAR, position=position)
        for draft, similar in zip(drafts, found, strict=True):
            draft.memory_position, draft.similar = position, similar

    def _extract(self, drafts: list[Draft]) -> None:
        extractions = self.extractor.extract([draft.document for draft in drafts])
        for draft, extraction in zip(drafts, extractions, strict=True):
            draft.extraction = extraction

    def _check(self, drafts: list[Draft]) -> None:
        named = self.mission.checks
        batch: dict[tuple[Value, ...], str] = {}  # the memory does not hold this batch yet
        for draft in drafts:
            values = {name: proposal.value for name, proposal in draft.extraction.fields.items()}
            duplicate = self.memory.duplicate(draft.document, values, named.duplicate_on, draft.memory_position)
            if named.duplicate_on and all(name in values for name in named.duplicate_on):
                first = batch.setdefault(tuple(values[name] for name in named.duplicate_on), draft.document.sha256)
                if first != draft.document.sha256:
                    duplicate = duplicate or f"case {first[:12]}, handed in with it, has the same values"
            draft.checks = (
                *(checks.date_order(values, first, last) for first, last in named.date_order),
                *(checks.adds_up(values, total, amounts(draft.document)) for total in named.adds_up),
                *([checks.same_party(values, *named.same_party_on, draft.similar)] if named.same_party_on else []),
                checks.no_duplicate(duplicate),
            )

    def _confide(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            for name, proposal in draft.extraction.fields.items():
                draft.fields[name] = FieldValue(
                    text=proposal.text,
                    value=proposal.value,
                    confidence=self.calibration.confidence(name, proposal.score),
                    page=proposal.page,
                    box=proposal.box,
                    speaks_for=proposal.speaks_for or ((ALONE,) if proposal.margin > 0.5 else ()),
                    speaks_against=proposal.speaks_against or (() if proposal.margin > 0.5 else (RIVAL,)),
                )
                if self.calibration.automates(name, proposal.score):
                    draft.automated |= {name}

    def _consult(self, drafts: list[Draft]) -> None:
        """Ask the language model about cases that would go to a person. It is a witness: what it says is evidence for the
        person, and fills what nothing else found, but no answer of it is calibrated, so none is automated."""
        assert self.language_model is not None
        unsure = [draft for draft in drafts if not self._required() <= draft.automated]
        for draft, heard in zip(unsure, self.language_model.extract([draft.document for draft in unsure]), strict=True):
            for name, said in heard.fields.items():
                known = draft.fields.get(name)
                if known is None:
                    confidence = self.calibration.confidence(name, 0.0)
                    draft.fields[name] = FieldValue(
                        said.text,
                        said.value,
                        confidence,
                        said.page,
                        said.box,
                        ("the language model reads it here",),
                        (UNTESTED,),
                    )
                elif known.value == said.value:
                    draft.fields[name] = replace(known, speaks_for=(*known.speaks_for, "the language model reads the same"))
                else:
                    rival = f"the language model reads {said.text!r}"
                    draft.fields[name] = replace(known, speaks_against=(rival, *known.speaks_against))

    def _required(self) -> set[str]:
        return {name for name, spec in self.mission.fields.items() if spec.required}

    def _route(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            sure = self._required() <= draft.automated and all(check.passed for check in draft.checks)
            acted_on = draft.extraction.document_class != self.mission.classes[-1]
            draft.route = Route.ACT if sure and acted_on else Route.REVIEW

    def _propose(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            if draft.route is Route.ACT:
                draft.actions = self._actions(draft)

    def _actions(self, draft: Draft) -> tuple[Action, ...]:
        """Every action of the mission whose `for_classes` holds this class; arguments are the fields' values."""
        arguments = {name: str(value.value) for name, value in draft.fields.items()}
        arguments["document_class"] = draft.extraction.document_class
        return tuple(
            Action(name, arguments, key=f"{self.mission.mission}:{name}:{draft.document.sha256}", compensation=spec.undone_by)
            for name, spec in self.mission.actions.items()
            if not spec.for_classes or draft.extraction.document_class in spec.for_classes
        )

    def _decision(self, draft: Draft | Refused) -> Decision:
        if isinstance(draft, Refused):
            return Decision(
                case=draft.sha256,
                release=self.release,
                document_class="",
                class_confidence=0.0,
                fields={},
                automated=frozenset(),
                checks=(),
                similar=(),
                route=Route.REFUSE,
                because=wording.refusal(draft.because),
            )
        found = draft.extraction
        return Decision(
            case=draft.document.sha256,
            release=self.release,
            document_class=found.document_class,
            class_confidence=found.class_confidence,
            fields=draft.fields,
            automated=draft.automated,
            checks=draft.checks,
            similar=draft.similar,
            route=draft.route,
            because=wording.sentences(
                draft.route, found.document_class, draft.fields, draft.automated, draft.checks, self.mission, self.calibration
            ),
            actions=draft.actions,
            memory_position=draft.memory_position,
            descriptors=descriptors(draft.document) | {"familiar": found.familiar},
        )


def descriptors(document: Document) -> dict[str, float]:
    """What monitoring compares of the input: pages, words, and the share of words that were read by OCR."""
    words = document.words
    ocr = sum(word.source is Source.OCR for word in words)
    return {"pages": len(document.pages), "words": len(words), "ocr_share": ocr / len(words) if words else 0.0}


def amounts(document: Document) -> list[Decimal]:
    """Every printed amount with cents, in reading order."""
    return [
        Decimal(cents) / 100 for word in document.words if WITH_CENTS.fullmatch(word.text) and (cents := cents_of(word.text))
    ]


def _read_draft(path: Path, found: Document | UnreadableDocument) -> Draft | Refused:
    if isinstance(found, Document):
        return _draft(found)
    sha256 = documents.sha256_of(path) if path.is_file() else hashlib.sha256(str(path).encode()).hexdigest()
    return Refused(sha256, str(found))


def _draft(document: Document) -> Draft | Refused:
    return Draft(document) if document.words else Refused(document.sha256, "no word can be read in it")
