"""A release decides by the code that it was frozen with, whatever is installed. One door: `continue_by_own_code`.

A command that decides is started again where the promoted release's code differs from the running one: the same interpreter
and arguments, with the release's `code/` first on Python's path. So an upgrade, or a rollback to an older release, changes
no decision before another release is promoted.
Covered: a release that was changed on disk (nothing of it is executed), a path on which other code stays first (an error, no
loop), children of the process (they inherit the path; none writes bytecode into the release).
Not covered: library versions. The release itself refuses other ones than it pins.
"""

from __future__ import annotations

import os
import sys

import proveout
from proveout.errors import NoRelease, OtherCode
from proveout.release import ANEW, SHORT, Releases, few
from proveout.workspace import Workspace

STARTED = "PROVEOUT_OWN_CODE"  # the id of the release by whose code this process was started
PROGRAM = "import sys; sys.argv[0] = 'proveout'; from proveout.cli import main; main()"


def continue_by_own_code(space: Workspace) -> None:
    """Replace this process by one that runs the promoted release's own code; return where it does, or nothing is promoted.

    Raises BadModel where the release is damaged, and OtherCode where its code cannot come first on Python's path.
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
        f"proveout: release {name} runs its own frozen code; what is installed differs in {few(release.other_code)}",
        file=sys.stderr,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    path = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {STARTED: release.id, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    os.execve(sys.executable, [sys.executable, "-P", "-c", PROGRAM, *sys.argv[1:]], os.environ | environment)
