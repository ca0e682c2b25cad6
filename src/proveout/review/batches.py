"""Labelling batches: cases that people are asked to label because of a finding. Entry points: `ask` and `batches`.

A batch has two parts. One teaches: its answers join the training documents of the next build. The other judges: drawn by chance
from the same cases and kept out of training until a release is promoted, it shows whether that release is better on them.
Covered: a case that several batches ask for; cases that the agent handled alone, which wait for a person as well.
Not covered: which cases to ask for. `monitoring.labelling` chooses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proveout.errors import BadInput
from proveout.journal import BATCH, PROMOTION, Event, Journal
from proveout.records import Person


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases by `Case.key`."""

    report: str  # id
    findings: tuple[str, ...]  # keys
    teach: tuple[str, ...]
    judge: tuple[str, ...]
    by: str
    at: str  # ISO 8601, UTC
    position: int

    @property
    def cases(self) -> tuple[str, ...]:
        return (*self.teach, *self.judge)

    def answered(self, answers: Mapping[str, object]) -> int:
        """How many of its cases have an answer. `answers`: by `Case.key`."""
        return sum(case in answers for case in self.cases)


def ask(
    journal: Journal, report: str, findings: Sequence[str], teach: Sequence[str], judge: Sequence[str], person: Person
) -> None:
    """Ask people to label these cases. Raises BadInput without any."""
    if not (teach or judge):
        raise BadInput("every case that this finding is about has a label; a rebuild can learn from them now")
    payload = {"report": report, "findings": [*findings], "teach": [*teach], "judge": [*judge], "by": person.name}
    journal.append([Event("", BATCH, payload | {"role": person.role.value})])


def batches(events: Iterable[Event]) -> list[Batch]:
    """The batches among these events, oldest first."""
    return [
        Batch(
            event.payload["report"],
            tuple(event.payload["findings"]),
            tuple(event.payload["teach"]),
            tuple(event.payload["judge"]),
            event.payload["by"],
            event.at,
            event.position,
        )
        for event in events
        if event.kind == BATCH
    ]


def kept_for_judging(journal: Journal) -> frozenset[str]:
    """The cases, by `Case.key`, whose answers no build may learn from yet, so that the next release can be judged by them."""
    kept: set[str] = set()
    for event in journal.of_kind(BATCH, PROMOTION):
        if event.kind == PROMOTION:
            kept.clear()
        else:
            kept.update(event.payload["judge"])
    return frozenset(kept)
