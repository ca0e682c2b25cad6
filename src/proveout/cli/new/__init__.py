"""Begin a mission: `pipelines/<name>/` with everything that a build needs, and examples to build from. One door: `new`.

A mission asks documents for its fields, each of a kind: a name, amount, date or number that is printed there (`questions`), or
a flag, yes or no (`flags`); one mission may have both. What it says stands in files of its own; its steps are the notebooks
that ship, which take the mission as a parameter, so none is copied.
Covered: a name that cannot be one, a mission that is there already, a kill on the way (the folder appears whole).
Not covered: how good it will be. The examples are easy, your documents are not.
"""

import csv
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.cli.new import bills, letters
from proveout.errors import BadInput

TEMPLATES = Path(__file__).parent / "template"
STEPS = "invoices"  # the mission whose notebooks and pipelines a new one uses
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Examples:
    """How the examples of a template are drawn, the same from the same chance."""

    draw: Callable[[random.Random, int], Iterator[tuple[str, Mapping[str, str]]]]  # text and row of labels.csv
    columns: Sequence[str]  # of labels.csv, beside file_id
    documents: int


EXAMPLES = {
    "questions": Examples(bills.bills, bills.COLUMNS, bills.DOCUMENTS),
    "flags": Examples(letters.letters, letters.COLUMNS, letters.DOCUMENTS),
}


def new(root: Path, name: str, template: str = "questions") -> Path:
    """Write the mission `name` into a project, and give its folder. Raises BadInput and writes nothing where it cannot."""
    folder, model = root / "pipelines" / name, root / "pipelines" / STEPS
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot name a mission; expected lowercase letters, digits and _, such as {_nearest(name)!r}")
    if folder.exists():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
        raise BadInput(f"{folder} exists already and holds {there}; nothing was written: choose another name, or remove it")
    for needed in (root / "notebooks" / STEPS, root / "monitoring", model):
        if not needed.is_dir():
            raise BadInput(f"{needed}: no such folder; a mission's steps are notebooks that ship: work in a copy of Proveout")
    aside = folder.with_name(f".{name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(aside, model, name, template)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _write(folder: Path, model: Path, name: str, template: str) -> None:
    """The template, what it shares with the mission whose steps it uses, and the examples."""
    shutil.copytree(TEMPLATES / template, folder)
    shutil.copy(TEMPLATES / "env.build.yaml", folder)
    shared = [*model.glob("pipeline.*.yaml"), *model.glob("env.*.yaml"), model / "prompts" / "extract.md"]
    for path in shared:
        if not (mine := folder / path.relative_to(model)).exists():
            text = path.read_text(encoding="utf-8").replace(f"work/{STEPS}", "work/NEW")
            mine.write_text(text.replace(" of the political advertising trade", ""), encoding="utf-8")
    for path in folder.glob("*.yaml"):
        path.write_text(re.sub(r"\bNEW\b", name, path.read_text(encoding="utf-8")), encoding="utf-8")
    write_examples(folder / "examples", EXAMPLES[template])


def _nearest(name: str) -> str:
    """
    >>> _nearest("My Bills!"), _nearest("2nd"), _nearest("?")
    ('my_bills', 'm_2nd', 'my_mission')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return plain if NAME.fullmatch(plain) else f"m_{plain}" if plain else "my_mission"


def write_examples(folder: Path, examples: Examples, documents: int | None = None, seed: int = 7) -> None:
    """Invented documents as plain texts with a labels.csv. The same seed gives the same bytes."""
    folder.mkdir(parents=True)
    rows = []
    for number, (text, row) in enumerate(examples.draw(random.Random(seed), documents or examples.documents)):
        name = f"example-{number:03}"
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        rows.append({"file_id": name, **row})
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["file_id", *examples.columns], restval="")
        table.writeheader()
        table.writerows(rows)
