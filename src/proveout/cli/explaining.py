"""Explain a decision to the person concerned, a reviewer or an auditor, and say where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.output import say
from proveout.cli.proving import decided_journal
from proveout.errors import BadInput
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.journal import Journal
    from proveout.records import Decided

READERS = ("person", "reviewer", "auditor")


def explain(space: Workspace, case: str, reader: str) -> None:
    """Print why a case was decided so. Raises BadInput if it is not exactly one decided case, or for an unknown reader."""
    from proveout.live import explanations
    from proveout.release import Releases

    if reader not in READERS:
        raise BadInput(f"--for {reader}: expected one of {', '.join(READERS)}")
    with decided_journal(space) as journal:
        decided = one_decided(space, journal, case)
        events = list(journal.events(decided.case.id))
    release = Releases(space.releases).open(decided.decision.release)
    decided = decided.in_order(release.mission.fields)
    if reader == "person":
        lines = list(explanations.for_person(decided, events, release))
    elif reader == "reviewer":
        lines = explanations.for_reviewer(decided, release)
    else:
        lines = explanations.for_auditor(decided, events, release)
    for line in lines:
        say(line)


def lineage(space: Workspace, what: str, field: str) -> None:
    """Print where a decision comes from, and where a document went. `what`: a file, or the start of a case's id.

    Raises BadInput for what is neither a file, nor a decided case, nor a document that a release learned from.
    """
    from dataclasses import replace

    from proveout.live.lineage import Lineage, calibrated

    wanted = _id(space, what)
    with decided_journal(space) as journal:
        tracing = Lineage(space, journal)
        decided = list(journal.decisions(case=wanted)) if wanted else []
        releases = tracing.releases[0].values()
        used = {case for release in releases for case in (*release.learned, *calibrated(release)) if case.startswith(wanted)}
        cases = {one.case.id for one in decided} | used
        if len(cases) != 1 or not wanted:
            raise BadInput(
                f"{what[:64]}: {len(cases) if wanted else 'no'} documents and cases start with it; expected a file, or the "
                "start of the id of one that was decided or learned from"
            )
        if decided:
            back = tracing.backward(decided[-1])
            if field:
                if field not in decided[-1].decision.fields:
                    names = ", ".join(decided[-1].decision.fields)
                    raise BadInput(f"the decision has no field {field!r}; it has {names or 'none'}")
                back = replace(back, origins=[one for one in back.origins if one.field == field])
            say(f"decision on {decided[-1].case.path}")
            for line in back.lines():
                say(line)
            say()
        for line in tracing.forward(cases.pop()).lines():
            say(line)


def one_decided(space: Workspace, journal: Journal, name: str) -> Decided:
    """The last decision on a case. `name`: its file, or the start of its id. Raises BadInput if it is not exactly one."""
    decided = list(journal.decisions(case=wanted)) if (wanted := _id(space, name)) else []
    if len(cases := {one.case.id for one in decided}) != 1:
        raise BadInput(f"{name[:64]}: {len(cases) or 'no'} decided cases have an id that starts so, and it is no decided file")
    return decided[-1]


def _id(space: Workspace, name: str) -> str:
    """The id of the case in a file, or the start of one."""
    from proveout.cases import kind_of

    return kind_of(space.mission).identify(Path(name))[0] if Path(name).is_file() else name.lower()
