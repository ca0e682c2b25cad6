"""A search of one's own: begun, built and asked by the command, on its own shop."""

from pathlib import Path

import pytest

from program import project, proveout


@pytest.mark.long
def test_a_new_search_builds_as_generated_and_answers(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    printed = proveout(folder, "new", "shop", "--search")
    assert "proveout show headset --mission shop" in printed
    design = folder / "pipelines" / "shop"
    texts = "".join(path.read_text() for path in design.iterdir() if path.is_file())
    assert "catalog" not in texts.replace("notebooks/catalog", "").replace("a catalogue", "")
    assert "7 of 7 steps ran" in proveout(folder, "build", "--mission", "shop")
    proveout(folder, "release", "promote", "--mission", "shop")
    answer = proveout(folder, "show", "wireless headset", "--mission", "shop")
    assert "answered → ACT" in answer and "a ranking of 10:" in answer
    assert not (folder / "work" / "catalog").exists()
