"""Decide recorded cases with one thing changed, and say what becomes of them."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.erasing import erased_too
from proveout.cli.output import counted, say
from proveout.cli.proving import decided_journal
from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.live.what_if import Change, Compared, Summary

LISTED = 20  # cases that change
COLUMNS = (
    "case",
    "day",
    "segment",
    "class",
    "changes",
    "dollars before",
    "dollars after",
    "why before",
    "why after",
    "labelled",
)
WRONG = ("wrong before", "wrong after")


def what_if(space: Workspace, case: str, since: date | None, everything: bool, change: Change, file: Path | None) -> None:
    """Print what a change makes of the chosen cases, and write the cases that change to a CSV file.

    Raises BadInput if nothing is changed or chosen, and for what cannot be changed so.
    """
    from proveout.journal.log import csv_of
    from proveout.live.what_if import Change, Compared, Summary, what_if
    from proveout.progress import bar
    from proveout.release import Releases

    if change == Change():
        raise BadInput("nothing is changed; choose --precision, --confidence, --policy or --release")
    if not (case or since or everything):
        raise BadInput("name a case, or choose more: --since 2026-11-01, or --all")
    if change.release:
        change = replace(change, release=Releases(space.releases).find(change.release))
    if file and file.suffix != ".csv":
        raise BadInput(f"{file}: expected a name that ends with .csv")
    with decided_journal(space) as journal:
        keys = {decided.case.key for decided in journal.decisions(case=case, since=since)}
        if not keys and any(id.startswith(case) for id in journal.erased() if case):
            raise BadInput(f"case {case[:12]} was erased, so it cannot be decided again")
        erased = erased_too(journal)
    if not keys:
        raise BadInput(f"no decided case has an id that starts with {case[:64]!r}" if case else "no case was decided then")
    began, compared = time.perf_counter(), list[Compared]()
    with bar("Deciding again", len(keys)) as step:
        for one in what_if(space.home, keys, change, space.cache):
            compared.append(one)
            step()
    changed = [one for one in compared if one.changes]
    for one in changed[:LISTED]:
        say(f"  {one.decided.case.id[:12]}  {'; '.join(one.changes)}")
    if len(changed) > LISTED:
        say(f"  and {len(changed) - LISTED} more" + ("" if file else "; all of them: --csv FILE"))
    for line in in_words(Summary.of(compared)):
        say(line)
    if because := next((one.because for one in compared if one.because), ""):
        say(f"the first that could not be decided again: {because}")
    say(f"nothing was recorded, nothing happened{erased}; {time.perf_counter() - began:.0f} s")
    if file:
        write_whole(file, csv_of([[*COLUMNS, *WRONG], *map(_row, changed)]))
        say(f"wrote {counted(len(changed), 'case')} to {file}")


def in_words(summary: Summary) -> list[str]:
    """The lines of the summary."""

    def share(count: int) -> str:
        return f"{count} ({count / max(1, summary.cases):.0%})".replace("%", " %")

    gone = f"; {counted(summary.not_decided, 'case')} could not be decided again" if summary.not_decided else ""
    labelled = f"of {counted(summary.labelled, 'labelled case')}" if summary.labelled else "no case has a label"
    return [
        f"{counted(summary.cases, 'case')}, {summary.changed} of them with another outcome{gone}",
        f"  no person needed        {share(summary.acts[0])} → {share(summary.acts[1])}",
        f"  spent by allowed actions  ${summary.cents[0] / 100:,.2f} → ${summary.cents[1] / 100:,.2f}",
        f"  wrong automated values  {summary.wrong[0]} → {summary.wrong[1]}"
        f" ({summary.gained} gained, {summary.lost} lost; {labelled})",
    ]


def _row(one: Compared) -> list[str]:
    assert one.after
    decided = one.decided
    dollars = [f"{fate.cents / 100:.2f}" for fate in (one.before, one.after)]
    about = [decided.case.id, decided.case.day.isoformat() if decided.case.day else "", decided.case.segment]
    wrong = [" ".join(sorted(names)) for names in (one.wrong_before, one.wrong_after)]
    reasons = [one.before.why, one.after.why]
    label = "yes" if one.labelled else "no"
    return [*about, one.after.decision.document_class, "; ".join(one.changes), *dollars, *reasons, label, *wrong]
