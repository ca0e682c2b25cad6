"""Release: list, open, promote and roll back releases."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from proveout.cli.output import minute, person, say, short
from proveout.errors import BadInput, BadModel, NoRelease
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.evaluation.comparison import Change
    from proveout.journal import Journal
    from proveout.release import Releases


def releases(space: Workspace) -> None:
    """List the releases; under the promoted one, warn if something else is installed than it pins."""
    from proveout.release import Releases

    store = Releases(space.releases)
    for listed in store.list():
        say(str(listed))
        if listed.promoted and listed.parts:
            warn_of_differences(store)


def release(space: Workspace, wanted: str) -> None:
    """Print a release's parts, promotions and weights, and how what is installed differs from what it pins."""
    from proveout.cli.inventory import inventory
    from proveout.release import SHORT, Releases

    store = Releases(space.releases)
    opened = store.open(wanted)
    content, frozen = opened.manifest["content"], opened.manifest["frozen"]
    rows = [("mission", content["mission"]), ("frozen", minute(frozen)), ("scores", opened.manifest["headline"] or "none")]
    rows += [(f"part {name}", id[:SHORT]) for name, id in content["parts"].items()]
    titles = {"promote": "promoted", "rollback": "rolled back to"}
    rows += [
        (titles[entry["what"]], f"{minute(entry['at'])} by {entry['by']}")
        for entry in store.history()
        if entry["release"] == opened.id
    ]
    say(f"release {opened.id} in {short(opened.folder)}")
    for name, text in [*rows, ("pins", "; ".join(opened.differences()) or "exactly what is installed here")]:
        say(f"  {name:16} {text}")
    say("  weights")
    for weights in inventory(opened):
        say(f"    {weights}")


def warn_of_differences(store: Releases) -> None:
    """Warn if the promoted release cannot decide, or if the installed code or libraries differ from those that it pins."""
    from proveout.release import ANEW, few

    try:
        promoted = store.promoted()
    except BadModel as error:
        say(f"  it cannot decide: {error}")
        return
    if promoted.other_versions:
        say(f"  it cannot decide here: it pins {few(promoted.other_versions)}; install those versions, or {ANEW}")
    if promoted.other_code:
        say(f"  it runs its own frozen code; the installed code differs in {few(promoted.other_code)}. To use that, {ANEW}")


def promote(space: Workspace, release: str, yes: bool = False) -> bool:
    """Promote a release, and return whether it decides from now on.

    If it is worse than the promoted one or its evaluation names a fault, or a report asks for one that is better on the cases
    that changed and no trial says that of it, show that and ask, unless `yes`. Raises BadInput for a release of another
    mission, or if there is no terminal to ask on.
    """
    from proveout.evaluation.comparison import compare, faults, require_mission
    from proveout.live.trial import promote as promote_and_note
    from proveout.live.trial import refusal
    from proveout.release import Releases

    store = Releases(space.releases)
    candidate = store.open(release)
    require_mission(candidate, space.mission.mission)
    changes: list[Change] | None = []
    reason = ""
    try:
        changes = compare(store.promoted(), candidate)
        with _journal(space) as journal:
            reason = refusal(journal, candidate.id, store.current()) if journal else ""
    except NoRelease:
        pass  # it is the first
    except BadModel as error:
        say(f"no comparison with the promoted release: {error}")
    if changes is None:
        say(f"no comparison: the promoted release {store.current()[:12]} was not evaluated on the same test splits")
    elif any(change.is_loss for change in changes):
        say(f"release {candidate.id[:12]} is worse than the promoted release {store.current()[:12]}:")
        say(f"{'':46}{'promoted':>10}{'this':>9}")
        for change in changes:
            say(str(change))
    if reason:
        say(f"{reason[:1].upper()}{reason[1:]}.")
    for line in (wrong := faults(candidate)):
        say(f"release {candidate.id[:12]} {line}")
    worse = reason or wrong or any(change.is_loss for change in changes or ())
    if worse and not yes and not _agreed("promote it anyway?"):
        say("nothing was promoted")
        return False
    with _journal(space) as journal:
        promote_and_note(store, journal, candidate.id, person())
    say(f"release {candidate.id[:12]} is promoted; to go back: proveout release rollback")
    warn_of_differences(store)
    return True


@contextmanager
def _journal(space: Workspace) -> Iterator[Journal | None]:
    """The journal, if the workspace has one: the first release is promoted before anything happened."""
    from proveout.journal import Journal

    if not (space.home / "journal.db").exists():
        yield None
        return
    with Journal(space.home / "journal.db") as journal:
        yield journal


def trial(space: Workspace, release: str, since: date | None) -> bool:
    """Try a release on the cases that changed, and return whether it is better on them than the promoted one."""
    from proveout.cli.proving import decided_journal
    from proveout.live.trial import BETTER, hold
    from proveout.monitoring.signing import Reports

    with decided_journal(space) as journal:
        reports = Reports(space.reports, journal)
        held = hold(space.home, journal, reports, release, person(), since, space.cache)
    say(f"{'':30} {'promoted':>8} {'this':>8}  difference (intervals that hold together at 95 %)")
    for measure in held.measures:
        say(str(measure))
    say(held.sentence)
    if held.left_out:
        say(f"{held.left_out} labelled cases left out: a release learned from them or from a copy, or their file is not kept")
    if held.verdict == BETTER:
        say(f"to let it decide: proveout release promote {held.release[:12]}")
    return held.verdict == BETTER


def _agreed(question: str) -> bool:
    """Ask at the terminal. Raises BadInput if there is none."""
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask on, so nothing was done; to do it anyway, add --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def rollback(space: Workspace) -> None:
    """Promote the previously promoted release again. Raises NoRelease if there is none."""
    from proveout.live.trial import roll_back
    from proveout.release import Releases

    store = Releases(space.releases)
    with _journal(space) as journal:
        say(f"back to release {roll_back(store, journal, person())[:12]}")
    warn_of_differences(store)
