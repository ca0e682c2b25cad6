"""Run a release with the code that it was frozen with, whatever is installed. Entry point: `continue_by_own_code`.

If the promoted release's code differs from the running code, a command that decides is restarted with the same interpreter and
arguments, and with the release's `code/` first on Python's path. So an upgrade, or a rollback to an older release, changes no
decision until another release is promoted.
Covered: a release that was changed on disk (none of it is executed), a path on which other code stays first (an error, no
loop), child processes (they inherit the path; none writes bytecode into the release).
Not covered: library versions. The release itself refuses versions other than those that it pins.
"""

from __future__ import annotations

import os
import sys

import proveout
from proveout.errors import NoRelease, OtherCode
from proveout.release import ANEW, SHORT, Release, Releases, few
from proveout.workspace import Workspace

STARTED = "PROVEOUT_OWN_CODE"  # id of the release that this process was restarted for
PROGRAM = "import sys; sys.argv[0] = 'proveout'; from proveout.cli import main; main()"


def continue_by_own_code(space: Workspace) -> None:
    """Restart with the promoted release's code. Returns if that code already runs, or if no release is promoted.

    Raises BadModel if the release is damaged, OtherCode if its code cannot come first on Python's path.
    """
    try:
        release = Releases(space.releases).promoted()
    except NoRelease:
        return
    if not release.other_code:
        return
    code, name = release.path("code"), release.id[:SHORT]
    if os.environ.get(STARTED) == release.id:
        raise OtherCode(f"release {name} cannot run its own code in {code}: Python finds {proveout.__file__} first; {ANEW}")
    print(
        f"proveout: release {name} runs its own frozen code; the installed code differs in {few(release.other_code)}",
        file=sys.stderr,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [*command(), *sys.argv[1:]], own_environment(release))


def command() -> list[str]:
    """`proveout` in a new process whose environment names the code."""
    return [sys.executable, "-P", "-c", PROGRAM]


def own_environment(release: Release) -> dict[str, str]:
    """This process's environment, in which Python finds the release's code first."""
    path = [str(release.path("code")), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {STARTED: release.id, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
