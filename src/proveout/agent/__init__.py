"""The agent: from files to decisions, as a LangChain `Runnable`.

read → recall → extract → check → confide → route → propose. Each step takes a batch of drafts, so that models see
many documents at once; a draft that was refused passes through the later steps untouched.
`invoke` is a batch of one, `stream` shows a draft after each step.
Not covered: whether a proposed action may happen (`control`), and remembering what was decided (`pipeline.live`).
"""

from __future__ import annotations

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
from proveout.models.values import cents_of
from proveout.records import Action, Check, Decision, Document, FieldValue, Route, SimilarCase, Source

if TYPE_CHECKING:
    from proveout.calibration import Calibration
    from proveout.models import Extraction, Extractor
    from proveout.retrieval import Memory

WITH_CENTS = re.compile(r"[($-]*\d[\d,.]*[.,]\d\d\)?")
CaseInput: TypeAlias = Path | str | Document
SIMILAR = 5  # notebooks/invoices/retrieval.py: recall of layout and advertiser is flat beyond five


@dataclass
class Draft:
    """A decision in the making. Each step fills its part."""

    path: Path | None = None
    document: Document | None = None
    refused: str = ""
    memory_position: int = 0
    similar: tuple[SimilarCase, ...] = ()
    extraction: Extraction | None = None
    checks: tuple[Check, ...] = ()
    fields: dict[str, FieldValue] = field(default_factory=dict)
    automated: frozenset[str] = frozenset()
    route: Route = Route.REFUSE
    actions: tuple[Action, ...] = ()


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
    ) -> None:
        self.mission, self.extractor, self.calibration = mission, extractor, calibration
        self.memory, self.release, self.cache = memory, release, cache
        self.steps: dict[str, Callable[[list[Draft]], None]] = {
            "read": self._read,
            "recall": self._recall,
            "extract": self._extract,
            "check": self._check,
            "confide": self._confide,
            "route": self._route,
            "propose": self._propose,
        }

    def invoke(self, input: CaseInput, config: RunnableConfig | None = None, **kwargs: Any) -> Decision:
        return self.batch([input], config)[0]

    def batch(  # type: ignore[override]  # one vectorised pass; LangChain's own starts a thread a case
        self, inputs: Sequence[CaseInput], config: Any = None, **kwargs: Any
    ) -> list[Decision]:
        drafts = [_draft(item) for item in inputs]
        for step in self.steps.values():
            step(drafts)
        return [self._decision(draft) for draft in drafts]

    def stream(  # type: ignore[override]  # yields the steps, not only the decision
        self, input: CaseInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[tuple[str, Draft | Decision]]:
        """After each step its name and the draft so far; at the end ("decision", the decision)."""
        draft = _draft(input)
        for name, step in self.steps.items():
            step([draft])
            yield name, replace(draft)
        yield "decision", self._decision(draft)

    def _read(self, drafts: list[Draft]) -> None:
        unread = [draft for draft in drafts if draft.document is None]
        paths = [draft.path for draft in unread if draft.path is not None]
        for draft, found in zip(unread, documents.read_many(paths, cache=self.cache), strict=True):
            if isinstance(found, UnreadableDocument):
                draft.refused = str(found)
            else:
                draft.document = found
        for draft in drafts:
            if draft.document is not None and not draft.document.words:
                draft.refused = "no word can be read in it"

    def _recall(self, drafts: list[Draft]) -> None:
        position = self.memory.position
        live = _live(drafts)
        found = self.memory.search_many([draft.document for draft in live], k=SIMILAR, position=position)
        for draft, similar in zip(live, found, strict=True):
            draft.memory_position, draft.similar = position, tuple(similar)

    def _extract(self, drafts: list[Draft]) -> None:
        live = _live(drafts)
        extractions = self.extractor.extract([draft.document for draft in live if draft.document])
        for draft, extraction in zip(live, extractions, strict=True):
            draft.extraction = extraction

    def _check(self, drafts: list[Draft]) -> None:
        named = self.mission.checks
        for draft in _live(drafts):
            values = {name: proposal.value for name, proposal in draft.extraction.fields.items()}
            draft.checks = (
                *(checks.date_order(values, first, last) for first, last in named.date_order),
                *(checks.adds_up(values, total, amounts(draft.document)) for total in named.adds_up),
                *([checks.same_party(values, *named.same_party_on, draft.similar)] if named.same_party_on else []),
                checks.no_duplicate(self.memory.duplicate(draft.document, values, named.duplicate_on, draft.memory_position)),
            )

    def _confide(self, drafts: list[Draft]) -> None:
        for draft in _live(drafts):
            for name, proposal in draft.extraction.fields.items():
                draft.fields[name] = FieldValue(
                    text=proposal.text,
                    value=proposal.value,
                    confidence=self.calibration.confidence(name, proposal.score),
                    page=proposal.page,
                    box=proposal.box,
                    speaks_for=proposal.speaks_for,
                    speaks_against=proposal.speaks_against,
                )
                if self.calibration.automates(name, proposal.score):
                    draft.automated |= {name}

    def _route(self, drafts: list[Draft]) -> None:
        required = {name for name, spec in self.mission.fields.items() if spec.required}
        for draft in _live(drafts):
            sure = required <= draft.automated and all(check.passed for check in draft.checks)
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

    def _decision(self, draft: Draft) -> Decision:
        if draft.document is None or draft.extraction is None:
            sha256 = draft.document.sha256 if draft.document else documents.sha256_of(draft.path)
            return Decision(
                case=sha256, release=self.release, document_class="", class_confidence=0.0, fields={}, automated=frozenset(),
                checks=(), similar=(), route=Route.REFUSE, because=wording.refusal(draft.refused),
            )  # fmt: skip
        found = draft.extraction
        return Decision(
            case=found.document,
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
            descriptors=descriptors(draft.document),
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


def _draft(item: CaseInput) -> Draft:
    return Draft(document=item) if isinstance(item, Document) else Draft(path=Path(item))


def _live(drafts: list[Draft]) -> list[Draft]:
    return [draft for draft in drafts if not draft.refused]
