"""What the tests of the bridge build: a folder with marimo notebooks and their pipeline."""

import textwrap
from pathlib import Path

from proveout.bridge import Built, build, why

HEADER = 'import marimo\n\n__generated_with = "0.10.0"\napp = marimo.App()\n'
CONTEXT = "from proveout.bridge import open_context\ncontext = open_context(__file__)"


def notebook(*cells: str | tuple[str, str]) -> str:
    """The text of a marimo notebook; each cell is its code, or its name and its code.

    >>> print(notebook(("one", "x = 1"))[-31:])
    @app.cell
    def one():
        x = 1
    """
    named = [("_", cell) if isinstance(cell, str) else cell for cell in cells]
    body = [f"@app.cell\ndef {name}():\n{textwrap.indent(textwrap.dedent(code).strip(), '    ')}\n" for name, code in named]
    return "\n\n".join([HEADER, *body])


class Project:
    """Two notebooks: `rows` writes a table from data, `total` sums it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = folder / "pipelines" / "toy" / "pipeline.build.yaml"

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return file

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def build(self, **options: object) -> Built:
        return build(self.spec, **options)  # type: ignore[arg-type]

    def why(self, task: str) -> str | None:
        return why(self.spec, task)

    def product(self, name: str) -> Path:
        return self.folder / "out" / name

    def text(self, name: str) -> str:
        return self.product(name).read_text(encoding="utf-8")
