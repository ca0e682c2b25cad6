"""Kinds of case, such as documents or conversations. Protocols: `CaseKind`, for decisions, and `Design`, for builds.

A mission names its kind (`case: document`). The rest of Proveout sees a case only through this protocol: how it is read,
which numbers monitoring compares, and how it is displayed. The tiers of a mission expect content of its kind.
To add one, write a class with these members and list it in `plugins`, or in your own package by an entry point
(docs/extending.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, Protocol

from proveout import plugins
from proveout.errors import UnreadableDocument
from proveout.mission import Mission, case_of
from proveout.records import Case, Check, Content, Decision, Output


@dataclass(frozen=True, slots=True)
class Part:
    """A case out of a file that holds several."""

    name: str  # within its file, for people
    content: bytes  # of the file that holds this case alone
    day: date | None = None  # None: that of the file
    segment: str = ""


class CaseKind(Protocol):
    """What Proveout needs to know of a kind of case.

    A kind whose cases come several to a file also has `parts(path)`, the `Part`s of a file of the inbox; one whose cases are
    texts has `case_file(text, request)`, the content of the file for a text that a program sends, with the id of its request.
    `plural` is what reports call its cases, such as documents.
    `own_checks` names those of the checks that every mission has that make sense for it, and `sentences`, with the arguments of
    `agent.wording.sentences`, words its decisions.
    """

    descriptors: ClassVar[Mapping[str, type[int] | type[float]]]  # numbers of the input that monitoring compares

    def identify(self, path: Path) -> tuple[str, int]:
        """The case (64 hexadecimal digits) and the turn (from 0) that a file of the inbox holds."""

    def read(self, paths: Sequence[Path], cache: Path | None = None) -> list[Content | UnreadableDocument]:
        """The content of each file, in order; UnreadableDocument with the reason for one that cannot be read."""

    def describe(self, content: Content) -> dict[str, float]:
        """The descriptors that follow from the content alone; tiers may add others."""

    def check(self, content: Content) -> Iterator[Check]:
        """Whether what was read can be believed; the mission's checks follow. A failed one sends the case to a person."""

    def confirm(self, cases: Sequence[tuple[Content, Path, Sequence[Output]]], cache: Path | None = None) -> list[Content]:
        """The content of each case, after a second look at its file for the values that would be acted on."""

    def show(self, decision: Decision, path: Path, cache: Path | None = None) -> str:
        """The case for a person, with the decision's values marked: self-contained HTML."""


class Labelled(Protocol):
    """A case and its labels by field."""

    @property
    def case(self) -> Case: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


class LabelledCases(Protocol):
    """The labelled cases of a build, each with its file."""

    def entry(self, case: str) -> Labelled:
        """Raises KeyError for an unknown id."""

    def path_of(self, case: str) -> Path: ...


class Design(Protocol):
    """What a build needs to know of a kind of case before its notebooks run, and where its labelled cases are afterwards.

    One whose cases are no documents also has `export(space)`, which writes people's answers on live cases into `space.answers`
    for the next build, and returns how many are exported, and how many are not because a build tests with those cases;
    `labels(path)`, which reads late labels from a file or folder, as a function from the text of a case to its labels by field;
    and, for the demo, `hand_in(data, space)`, which puts live cases into the inbox and returns where their labels are.
    """

    def draw(self, folder: Path) -> None:
        """Write synthetic data into a new folder, for a build without data.

        Raises BadInput with what to do instead where that takes a command of its own.
        """

    def check(self, mission: Path, data: Path, answers: Path) -> None:
        """Raises BadInput if nothing can be built from a mission file, a folder of data and people's answers on live cases."""

    def labelled(self, curated: Mapping[str, Path]) -> LabelledCases:
        """The labelled cases among the products of the step `curate`. Raises BadInput if they were not built."""


def design_of(mission: Path) -> Design:
    """The design of the kind of case that a mission file names; that of documents for a kind without its own."""
    case = case_of(mission)
    design: Design = plugins.find("designs", case if case in plugins.names("designs") else "document")()
    return design


def kind_of(mission: Mission) -> CaseKind:
    """The mission's kind of case. Raises BadInput for an unknown one."""
    kind: CaseKind = plugins.find("cases", mission.case)()
    return kind
