"""Fixtures that every test may use."""

import os
import subprocess
from pathlib import Path

import pytest

from program import PROVEOUT

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that PROVEOUT_DATA names."""
    folder = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adbuy" / "labels.csv").exists():
        pytest.skip(f"real data are not at {folder}; put them there or set PROVEOUT_DATA=<folder>")
    return folder


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a pipeline that was built and run once on a small stream. Tests only look at it, or at its products."""
    home = tmp_path_factory.mktemp("small") / "home"
    command = [*PROVEOUT, "demo", "--documents", "160"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | {"PROVEOUT_HOME": str(home)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return home
