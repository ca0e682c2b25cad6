"""Decide recorded cases with one thing changed, and say what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.erasing import erased_too
from proveout.cli.output import counted, say
from proveout.cli.proving import decided_journal
from proveout.errors import BadInput, hint
from proveout.files import write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent.steps import Steps
    from proveout.live.what_if import Change, Compared

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


def with_words(change: Change, words: Sequence[str]) -> Change:
    """The change with what words such as `precision=0.99` or `prompt=drafts` say. Raises BadInput for any other word."""
    for word in words:
        name, _, value = word.partition("=")
        if name not in KINDS or not value:
            raise BadInput(f"--with {word}: {hint(name, KINDS)}; expected a name, =, and a value, such as precision=0.99")
        try:
            change = replace(change, **{KINDS[name][0]: KINDS[name][1](value)})
        except ValueError as error:
            raise BadInput(f"--with {word}: expected a number such as 0.99") from error
    return change


def _steps(value: str) -> Steps:
    """The functions of a notebook such as notebooks/invoices/decide.py."""
    from tempfile import TemporaryDirectory

    from proveout.agent.steps import Steps

    with TemporaryDirectory() as folder:
        Steps.save(_existing(value), file := Path(folder, "steps.py"))
        return Steps.load(file)


def _existing(value: str) -> Path:
    if not (path := Path(value)).exists():
        raise BadInput(f"{value}: no such file or folder")
    return path


KINDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {  # a word to the part of `Change` and how it is read
    "release": ("release", str),
    "precision": ("precision", float),
    "confidence": ("confidence", float),
    "policy": ("policy", _existing),
    "prompt": ("prompts", _existing),
    "tier": ("cascade", lambda value: tuple(value.split(","))),
    "steps": ("steps", _steps),
}


def what_if(space: Workspace, case: str, since: date | None, everything: bool, change: Change, file: Path | None) -> None:
    """Print what a change makes of the chosen cases, and write the cases that change to a CSV file.

    Raises BadInput if nothing is changed or chosen, and for what cannot be changed so.
    """
    from proveout.journal.log import csv_of
    from proveout.live.what_if import Change, Compared, Summary, what_if
    from proveout.progress import bar
    from proveout.release import Releases

    if change == Change():
        raise BadInput(f"nothing is changed; say what, such as --precision 0.99 or --with prompt=drafts ({', '.join(KINDS)})")
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
    for line in Summary.of(compared).lines():
        say(line)
    if because := next((one.because for one in compared if one.because), ""):
        say(f"the first that could not be decided again: {because}")
    if change.prompts:
        say("the thresholds are those of the release's own prompts; a build with these says what they certify")
    say(f"nothing was recorded, nothing happened{erased}; {time.perf_counter() - began:.0f} s")
    if file:
        write_whole(file, csv_of([[*COLUMNS, *WRONG], *map(_row, changed)]))
        say(f"wrote {counted(len(changed), 'case')} to {file}")


def _row(one: Compared) -> list[str]:
    assert one.after
    decided = one.decided
    dollars = [f"{fate.cents / 100:.2f}" for fate in (one.before, one.after)]
    about = [decided.case.id, decided.case.day.isoformat() if decided.case.day else "", decided.case.segment]
    wrong = [" ".join(sorted(names)) for names in (one.wrong_before, one.wrong_after)]
    reasons = [one.before.why, one.after.why]
    label = "yes" if one.labelled else "no"
    return [*about, one.after.decision.document_class, "; ".join(one.changes), *dollars, *reasons, label, *wrong]
