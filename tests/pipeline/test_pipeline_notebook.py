"""Which cells of a notebook write its products, found without running it."""

from pathlib import Path

import pytest
from toy import CONTEXT, notebook

from proveout.bridge.notebook import Notebook, read

MENTION = 'context.product["n"]'


@pytest.mark.parametrize(
    ("cells", "used"),
    [
        ([("a", f"{MENTION}.write_text('x')"), ("b", "1 + 1")], "a"),
        ([("a", f"path = {MENTION}"), ("b", "path.write_text('x')"), ("c", "print(context.task)")], "a b"),
        ([("a", f"folder = {MENTION} / 'x'"), ("b", "def save(x):\n    folder.write_text(x)"), ("c", "save('1')")], "a b c"),
        ([("a", f"with {MENTION}.open('w') as out:\n    out.write('x')"), ("b", "3")], "a"),
        ([("a", f"model = fit({MENTION})"), ("b", "fit = str"), ("c", "print(model)")], "a b"),
        ([("a", "x = 1"), ("b", "y = x"), ("c", f"{MENTION}.write_text(str(y))"), ("d", "print(y)")], "a b c"),
        ([("a", "products = context.product"), ("b", "products['n'].write_text('x')")], "a b"),
        ([("a", "def save():\n    helper(context)"), ("b", "def helper(c):\n    pass"), ("c", "save()")], "a b c"),
        ([("a", "x = context.params['k']"), ("b", "print(x)"), ("c", f"{MENTION}.write_text('1')")], "c"),
    ],
)
def test_the_cells_that_write_a_product_are_identified(tmp_path: Path, cells: list[str | tuple[str, str]], used: str) -> None:
    file = tmp_path / "nb.py"
    file.write_text(notebook(("begin", CONTEXT), *cells))
    parsed = read(file)
    assert [cell.name for cell in parsed.used({})][1:] == used.split()
    assert Notebook.of_data(parsed.as_data()) == parsed


def test_a_cell_knows_its_line_and_its_imports(tmp_path: Path) -> None:
    file = tmp_path / "nb.py"
    file.write_text(notebook(("one", "import numpy as np\nfrom a.b import c"), ("two", "\n# why\nx = np.array(1)")))
    one, two = read(file).cells
    assert (one.line, one.imports) == (9, ("a.b:c", "numpy"))
    assert file.read_text().splitlines()[two.line - 1].strip() in ("# why", "x = np.array(1)")
    assert two.parents == (one.id,)


def test_a_setup_cell_and_top_level_functions_are_cells(tmp_path: Path) -> None:
    file = tmp_path / "nb.py"
    file.write_text(
        "import marimo\n\napp = marimo.App()\n\nwith app.setup:\n    from proveout.bridge import open_context\n\n"
        "    context = open_context(__file__)\n\n\n@app.function\ndef double(x):\n    return 2 * x\n\n\n"
        "@app.cell\ndef save():\n    context.product['n'].write_text(str(double(1)))\n    return\n"
    )
    assert [cell.name for cell in read(file).used({})] == ["setup", "double", "save"]
