"""Run recorded decisions again and say what differs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

from proveout.cli.erasing import erased_too
from proveout.cli.output import counted, say
from proveout.errors import BadInput, BadModel, NoRelease, OtherCode
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.records import Decided

LISTED = 20  # decisions that differ


def replay(space: Workspace, case: str, since: date | None, everything: bool, read_again: bool, release: str = "") -> bool:
    """Replay one case, all, or those decided since a day, and return whether every decision is the same.

    `release`: only the decisions of this one, in this process; otherwise each release whose code is not the running one gets a
    process of its own. Raises BadInput if nothing is chosen or no such case is decided.
    """
    from proveout.journal import Journal

    if not (case or since or everything):
        raise BadInput("name a case, or choose more: --since 2026-11-01, or --all")
    with Journal(space.home / "journal.db") as journal:
        chosen = list(journal.decisions(case=case, since=since))
        if not chosen and any(id.startswith(case) for id in journal.erased() if case):
            raise BadInput(f"case {case[:12]} was erased, so it cannot be run again; `proveout show {case[:12]}` says by whom")
        if erased := erased_too(journal):
            say(erased.removeprefix("; "))
    if case and len({decided.case.id for decided in chosen}) != 1:
        raise BadInput(f"{'no decided case has' if not chosen else 'several cases have'} an id that starts with {case[:64]!r}")
    by_release = Counter(decided.decision.release for decided in chosen if release in ("", decided.decision.release))
    if not by_release:
        say("no case was decided since then" if since else "no case was decided yet")
    same = [_replayed(space, id, chosen, read_again, own_process=not release) for id in by_release]
    return all(same)


def _replayed(space: Workspace, id: str, chosen: list[Decided], read_again: bool, own_process: bool) -> bool:
    """Replay the decisions of one release, and say what came of it."""
    from proveout.cli.own_code import command, own_environment
    from proveout.live.replay import replay
    from proveout.progress import bar
    from proveout.release import Releases

    keys = {decided.case.key for decided in chosen if decided.decision.release == id}
    try:
        opened = Releases(space.releases).open(id)
    except (BadModel, NoRelease, OtherCode) as error:
        say(f"{counted(len(keys), 'decision')} of release {id[:12]} cannot be run again: {error}")
        return False
    if opened.other_code and own_process:
        if not (opened.path("code") / "proveout" / "cli" / "replaying.py").exists():
            say(f"{counted(len(keys), 'decision')} of release {id[:12]} cannot be run again: its code had no `replay` yet")
            return False
        say(f"release {id[:12]} runs its own frozen code, in a process of its own")
        sys.stdout.flush()
        options = sys.argv[sys.argv.index("replay") :]
        return not subprocess.run([*command(), *options, "--release", id], env=own_environment(opened)).returncode
    opened.require_own_code()
    began, other = time.perf_counter(), []
    with bar("Replaying", len(keys)) as step:
        for replayed in replay(space.home, keys, None if read_again else space.cache, {id}):
            other += [] if replayed.same else [replayed]
            step()
    for replayed in other[:LISTED]:
        say(f"  {replayed.decided.case.id[:12]}  {replayed.because or replayed.difference}")
    if len(other) > LISTED:
        say(f"  and {len(other) - LISTED} more")
    what = f"{counted(len(keys), 'decision')} of release {id[:12]} run again in {time.perf_counter() - began:.0f} s"
    say(f"{what}: {f'{len(other)} differ or could not be run' if other else 'every one the same, bit for bit'}")
    return not other
