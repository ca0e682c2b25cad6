"""A small pipeline of marimo notebooks in a temporary folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import CONTEXT, Project, notebook


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty project; the modules that its notebooks import are unloaded afterwards."""
    for name in ("PROVEOUT_SPEC", "PROVEOUT_TASK", "PROVEOUT_ENV"):
        monkeypatch.delenv(name, raising=False)
    before = dict(sys.modules)
    yield Project(tmp_path)
    for name in set(sys.modules) - set(before):
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    own = {name: module for name, module in before.items() if name.partition(".")[0] == "proveout"}
    if any(sys.modules.get(name) is not module for name, module in own.items()):  # a step has imported them again
        for name in [name for name in sys.modules if name.partition(".")[0] == "proveout"]:
            del sys.modules[name]
        sys.modules.update(own)


@pytest.fixture
def project(empty: Project) -> Project:
    rows = notebook(
        ("begin", CONTEXT),
        "import marimo as mo",
        ("prose", 'mo.md("# Rows of **text**")'),
        ("shown_widget", 'zoom = mo.ui.slider(1, 9, value=2, label="zoom")\nzoom'),
        ("factor_widget", 'factor_slider = mo.ui.slider(1, 9, value=2, label="factor")\nfactor_slider'),
        ("take_factor", "factor = factor_slider.value"),
        ("limit_widget", 'limit_slider = mo.ui.slider(1, 9, value=5, label="limit")\nlimit_slider'),
        ("take_limit", "limit = limit_slider.value"),
        (
            "read",
            """
            import helper

            numbers = [int(line) for line in context.params["data"].read_text().split()]
            words = context.params["words"].read_text().strip()
            """,
        ),
        (
            "work",
            """
            # a comment
            rows = [helper.scaled(number, factor) + context.params["add"] for number in numbers][:limit]
            print("made", len(rows), "rows")
            """,
        ),
        ("save", 'context.product["rows"].write_text(f"{words}: " + " ".join(map(str, rows)))'),
        ("chart", "import only_shown\n\nonly_shown.bars(rows)"),
    )
    total = notebook(
        ("begin", CONTEXT),
        ("read", 'words, _, numbers = context.upstream["rows"]["rows"].read_text().partition(": ")'),
        ("place", 'target = context.product["total"]'),
        ("save", "target.mkdir()\n(target / 'total.txt').write_text(str(sum(map(int, numbers.split()))))"),
    )
    empty.write("notebooks/rows.py", rows)
    empty.write("notebooks/total.py", total)
    empty.write(
        "notebooks/helper.py", "import deeper\n\n\ndef scaled(number, factor):\n    return deeper.times(number, factor)\n"
    )
    empty.write("notebooks/deeper.py", "def times(one, other):\n    return one * other\n")
    empty.write("notebooks/only_shown.py", "def bars(rows):\n    return ['#' * (row % 50) for row in rows]\n")
    empty.write("notebooks/unused.py", "X = 1\n")
    empty.write("data.txt", "1 2 3\n")
    empty.write("pipelines/toy/words.md", "hello\n")
    empty.write("pipelines/toy/env.build.yaml", "out: ../../out\ndata: ../../data.txt\n")
    empty.write(
        "pipelines/toy/pipeline.build.yaml",
        """
        tasks:
          - source: ../../notebooks/total.py
            upstream: [rows]
            product: {total: "{{out}}/total"}
          - source: ../../notebooks/rows.py
            product: {rows: "{{out}}/rows.txt"}
            data: ["{{data}}"]
            files: [words.md]
            params: {data: "{{data}}", words: words.md, add: 10, factor: 3}
        """,
    )
    return empty
