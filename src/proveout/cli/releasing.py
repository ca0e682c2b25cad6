"""Release: list, open, promote and roll back releases."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proveout.cli.output import minute, person, say, short
from proveout.errors import BadInput, BadModel, NoRelease
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.cli.promotion import Change
    from proveout.release import Releases


def releases(space: Workspace) -> None:
    from proveout.release import Releases

    known = Releases(space.releases)
    for one in known.list():
        say(str(one))
        if one.promoted and one.parts:
            warn_of_differences(known)


def release(space: Workspace, wanted: str) -> None:
    """Say what a release is made of, who promoted it, and how what is installed here differs from what it pins."""
    from proveout.release import SHORT, Releases

    known = Releases(space.releases)
    opened = known.open(wanted)
    content, frozen = opened.manifest["content"], opened.manifest["frozen"]
    rows = [("mission", content["mission"]), ("frozen", minute(frozen)), ("scores", opened.manifest["headline"] or "none")]
    rows += [(f"part {name}", id[:SHORT]) for name, id in content["parts"].items()]
    done = {"promote": "promoted", "rollback": "returned to"}
    rows += [
        (done[entry["what"]], f"{minute(entry['at'])} by {entry['by']}")
        for entry in known.history()
        if entry["release"] == opened.id
    ]
    say(f"release {opened.id} in {short(opened.folder)}")
    for name, text in [*rows, ("pins", "; ".join(opened.differences()) or "exactly what is installed here")]:
        say(f"  {name:16} {text}")


def warn_of_differences(known: Releases) -> None:
    """Say what a person has to know of the promoted release where something else is installed than it pins."""
    from proveout.release import ANEW, few

    try:
        promoted = known.promoted()
    except BadModel as error:
        say(f"  it decides nothing: {error}")
        return
    if promoted.other_versions:
        say(f"  it decides nothing here, it pins {few(promoted.other_versions)}: install those, or {ANEW}")
    if promoted.other_code:
        say(f"  it runs its own frozen code; what is installed differs in {few(promoted.other_code)}. To use that, {ANEW}")


def promote(space: Workspace, release: str, yes: bool = False) -> bool:
    """Whether the release decides from now on. Where it loses against the promoted one, a person is asked."""
    from proveout.cli.promotion import compare
    from proveout.release import Releases

    known = Releases(space.releases)
    candidate = known.open(release)
    frozen_for, mission = candidate.manifest["content"]["mission"], space.mission.mission
    if frozen_for != mission:
        raise BadInput(
            f"release {candidate.id[:12]} decides the cases of mission `{frozen_for}`, not of `{mission}`; "
            f"choose one of `{mission}`: proveout release list"
        )
    changes: list[Change] | None = []
    try:
        changes = compare(known.promoted(), candidate)
    except NoRelease:
        pass  # it is the first
    except BadModel as error:
        say(f"nothing is compared: {error}")
    if changes is None:
        say(f"nothing is compared: {known.current()[:12]}, which decides now, was not evaluated on the same test splits")
    elif any(change.is_loss for change in changes):
        say(f"release {candidate.id[:12]} is not as good as {known.current()[:12]}, which decides now:")
        say(f"{'':46}{'promoted':>10}{'this':>9}")
        for change in changes:
            say(str(change))
        if not yes and not _agreed("promote it all the same?"):
            say("nothing was promoted")
            return False
    known.promote(candidate.id, by=person())
    say(f"release {candidate.id[:12]} decides from now on; back with: proveout release rollback")
    warn_of_differences(known)
    return True


def _agreed(question: str) -> bool:
    """What a person at the terminal says. Raises BadInput where nobody can be asked."""
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask on, so nothing was done; to do it all the same, add --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def rollback(space: Workspace) -> None:
    from proveout.release import Releases

    known = Releases(space.releases)
    say(f"back to release {known.rollback(by=person())[:12]}")
    warn_of_differences(known)
