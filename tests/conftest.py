"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that PROVEOUT_DATA names."""
    folder = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adbuy" / "labels.csv").exists():
        pytest.skip(f"real data are not at {folder}; put them there or set PROVEOUT_DATA=<folder>")
    return folder
