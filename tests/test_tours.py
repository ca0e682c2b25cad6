"""The tours run in JupyterLab's kernel on a small workspace; what is kept of them tells of no machine and no time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOURS = sorted((Path(__file__).parent.parent / "notebooks" / "tours").glob("*.ipynb"))


@pytest.mark.long
@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_every_claim_of_a_tour_holds(small_home, tour):
    """Outputs are not compared: another workspace has other documents. The cells assert what they claim."""
    before = {path: path.read_bytes() for path in (small_home / "journal.db", small_home / "memory" / "records.jsonl", tour)}
    nbval = ["-p", "nbval.plugin", "--nbval-lax", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *nbval, str(tour)]
    knows = os.environ | {"PROVEOUT_HOME": str(small_home)}
    run = subprocess.run(command, cwd=tour.parent, env=knows, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert all(path.read_bytes() == content for path, content in before.items()), "a tour only looks"


@pytest.mark.parametrize("tour", TOURS, ids=lambda tour: tour.stem)
def test_what_is_kept_of_a_tour_tells_of_no_machine_and_no_time(tour):
    kept = json.loads(tour.read_text())
    cells = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] or "def drawn" in "".join(cell["source"]) or cell is cells[0] for cell in cells)
    said = json.dumps([[{**output, "image": ""} for output in cell["outputs"]] for cell in cells])
    said = re.sub(r'"image/png": "[^"]*"', "", said)
    assert not re.search(r"/(home|root|tmp|work|Users|var)/|\d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT", said)
    assert all(set(cell["metadata"]) == set() for cell in cells) and kept["metadata"]["language_info"] == {"name": "python"}
