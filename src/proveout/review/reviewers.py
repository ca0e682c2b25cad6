"""How people review: answers, corrections, time, and how far second readers agree with them. Entry point: `reviewers`.

Covered: several answers to one case, each of which counts; a case that was opened by one person and answered by another, whose
time is not known.
Not covered: who may see the numbers of another person; the page of reviewers shows them to operators alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from proveout.journal import APPROVAL, ASSIGNMENT, SECOND_READING, Journal


@dataclass(frozen=True)
class Reviewer:
    """What one person did, or several did together."""

    name: str
    answers: int = 0
    changed: int = 0  # corrected or rejected
    minutes: tuple[float, ...] = ()  # from opening a case to answering it, where both are known
    agreeing: int = 0  # values that a blind second reader read alike
    read_again: int = 0  # values that a blind second reader read

    @property
    def usual_minutes(self) -> float:
        """The median; `nan` where no time is known."""
        return median(self.minutes) if self.minutes else float("nan")

    def __add__(self, other: "Reviewer") -> "Reviewer":
        return Reviewer(
            self.name,
            self.answers + other.answers,
            self.changed + other.changed,
            self.minutes + other.minutes,
            self.agreeing + other.agreeing,
            self.read_again + other.read_again,
        )


def reviewers(journal: Journal) -> list[Reviewer]:
    """Everybody who answered a case, who answered most first."""
    people: dict[str, Reviewer] = {}
    opened: dict[tuple[str, str], str] = {}  # case and person to time

    def add(more: Reviewer) -> None:
        people[more.name] = people.get(more.name, Reviewer(more.name)) + more

    for event in journal.of_kind(ASSIGNMENT, APPROVAL, SECOND_READING):
        payload, by = event.payload, event.payload["by"]
        if event.kind == ASSIGNMENT and payload["to"] == by:
            opened.setdefault((event.case, by), event.at)
        elif event.kind == APPROVAL:
            began = opened.pop((event.case, by), "")
            add(Reviewer(by, 1, payload["what"] != "approved", (_minutes(began, event.at),) if began else ()))
        elif event.kind == SECOND_READING:
            add(Reviewer(payload["first"], agreeing=sum(payload["agrees"].values()), read_again=len(payload["agrees"])))
    return sorted(people.values(), key=lambda one: (-one.answers, one.name))


def together(people: Iterable[Reviewer]) -> Reviewer:
    """All of them."""
    return sum(people, Reviewer("everybody"))


def _minutes(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds() / 60
