"""Fixtures that every test may use."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from program import PROVEOUT

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that PROVEOUT_DATA names."""
    folder = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adbuy" / "labels.csv").exists():
        pytest.skip(f"real data are not at {folder}; put them there or set PROVEOUT_DATA=<folder>")
    return folder


def project(folder: Path) -> Path:
    """What a copy of Proveout holds, without what its commands made."""
    for part in ("notebooks", "pipelines", "monitoring"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "__marimo__"))
    return folder


@pytest.fixture(scope="session")
def bills_built(tmp_path_factory) -> Path:
    """A project with the mission `bills` just begun, built and promoted; made once for all workers, so never write to it.

    What the commands said lies beside it: new.txt, build.txt.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with FileLock(root / "bills.lock"):
        made = root / "bills"
        if not (made / "whole").exists():
            shutil.rmtree(made, ignore_errors=True)
            project(made)
            environment = {name: value for name, value in os.environ.items() if name != "PROVEOUT_HOME"}
            for words in (("new", "bills"), ("build", "--mission", "bills"), ("release", "promote", "--mission", "bills")):
                run = subprocess.run([*PROVEOUT, *words], cwd=made, env=environment, capture_output=True, text=True)
                assert run.returncode == 0, run.stderr
                (made / f"{words[0]}.txt").write_text(run.stdout)
            (made / "whole").touch()
    return made


@pytest.fixture(scope="module")
def bills(bills_built, tmp_path_factory) -> Path:
    """A copy of that project to work in."""
    return shutil.copytree(bills_built, tmp_path_factory.mktemp("project") / "own", symlinks=True)
