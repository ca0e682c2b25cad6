"""Kinds of case: what a unit of live work is, where the core does not need to know. One protocol: `CaseKind`.

A mission names its kind (`case: document`). The rest of Proveout sees a case through this protocol alone: what is read of it,
which numbers monitoring compares, and how it is shown to a person. Tiers of a mission expect content of its kind.
To add one: a class with these methods, and its name in the table of `plugins`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from proveout import plugins
from proveout.errors import UnreadableDocument
from proveout.mission import Mission
from proveout.records import Content, Decision


class CaseKind(Protocol):
    descriptors: ClassVar[Mapping[str, type[int] | type[float]]]  # numbers of the input that monitoring compares

    def identify(self, path: Path) -> tuple[str, int]:
        """The case and the turn that a file of the inbox holds: 64 hexadecimal digits, and from 0."""

    def read(self, paths: Sequence[Path], cache: Path | None = None) -> list[Content | UnreadableDocument]:
        """What each file says, in their order. One that cannot be read says why and never stops the others."""

    def describe(self, content: Content) -> dict[str, float]:
        """The descriptors of one case, as far as its content tells them; tiers may add others."""

    def show(self, decision: Decision, path: Path, cache: Path | None = None) -> str:
        """The case as a person sees it, with what was found marked in it: HTML that needs nothing from elsewhere."""


def kind_of(mission: Mission) -> CaseKind:
    kind: CaseKind = plugins.find("cases", mission.case)()
    return kind
