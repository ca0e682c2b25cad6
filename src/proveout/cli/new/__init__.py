"""Create a mission: `pipelines/<name>/` with everything that a build needs, and examples to build from. Entry point: `new`.

A mission extracts fields from documents, each of a kind: a name, amount, date or number that is printed there (template
`questions`), or a flag, yes or no (template `flags`); a mission may have both. Or it searches products (template `search`).
Its texts are in files of its own; its steps are the notebooks that ship with Proveout, which take the mission as a parameter,
so none is copied.
Covered: an invalid name, a mission that exists, a kill during the work (the folder appears whole or not at all).
Not covered: how good the mission will be. The examples are easy; real documents are not.
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
STEPS = "invoices"  # the mission whose notebooks and pipelines a new mission uses
SEARCH = "catalog"  # the same for a search, which begins as a copy of that mission
CATEGORIES = 12  # of the example shop
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Examples:
    """How the examples of a template are generated; the same seed gives the same examples."""

    draw: Callable[[random.Random, int], Iterator[tuple[str, Mapping[str, str]]]]  # yields text and row of labels.csv
    columns: Sequence[str]  # of labels.csv, after file_id
    documents: int
    seed: int


EXAMPLES = {
    "questions": Examples(bills.bills, bills.COLUMNS, bills.DOCUMENTS, bills.SEED),
    "flags": Examples(letters.letters, letters.COLUMNS, letters.DOCUMENTS, letters.SEED),
}


def new(root: Path, name: str, template: str = "questions") -> Path:
    """Write the mission `name` into the project at `root` and return its folder. Raises BadInput and then writes nothing."""
    steps = SEARCH if template == "search" else STEPS
    folder, source = root / "pipelines" / name, root / "pipelines" / steps
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot name a mission; expected lowercase letters, digits and _, such as {_nearest(name)!r}")
    if folder.exists():
        content = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
        raise BadInput(f"{folder} already exists and contains {content}; nothing was written; choose another name or remove it")
    for needed in (root / "notebooks" / steps, root / "monitoring", source):
        if not needed.is_dir():
            raise BadInput(f"{needed}: no such folder; a mission uses the notebooks of Proveout: work in a copy of the project")
    partial = folder.with_name(f".{name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write_search(partial, source, name) if template == "search" else _write(partial, source, name, template)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write(folder: Path, source: Path, name: str, template: str) -> None:
    """Write the template, the files that it shares with the mission `source`, and the examples."""
    shutil.copytree(TEMPLATES / template, folder)
    shutil.copy(TEMPLATES / "env.build.yaml", folder)
    shared = [*source.glob("pipeline.*.yaml"), *source.glob("env.*.yaml"), source / "prompts" / "extract.md"]
    for path in shared:
        if not (target := folder / path.relative_to(source)).exists():
            text = path.read_text(encoding="utf-8").replace(f"work/{STEPS}", "work/NEW")
            target.write_text(text.replace(" of the political advertising trade", ""), encoding="utf-8")
    for path in folder.glob("*.yaml"):
        path.write_text(re.sub(r"\bNEW\b", name, path.read_text(encoding="utf-8")), encoding="utf-8")
    write_examples(folder / "examples", EXAMPLES[template])


def _write_search(folder: Path, source: Path, name: str) -> None:
    """Write the search mission `source` under another name, with a drawn shop as the example."""
    from proveout.search.synthetic import draw

    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace(f"../../work/{SEARCH}/synthetic", "./examples")
            text = text.replace(f"work/{SEARCH}", f"work/{name}")
            text = text.replace(f"mission: {SEARCH}", f"mission: {name}").replace(f"--mission {SEARCH}", f"--mission {name}")
            (folder / path.name).write_text(text, encoding="utf-8")
    shop = draw(categories=CATEGORIES)
    shop.save(folder / "examples" / "products.jsonl", folder / "examples" / "judgements.csv")


def _nearest(name: str) -> str:
    """
    >>> _nearest("My Bills!"), _nearest("2nd"), _nearest("?")
    ('my_bills', 'm_2nd', 'my_mission')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return plain if NAME.fullmatch(plain) else f"m_{plain}" if plain else "my_mission"


def write_examples(folder: Path, examples: Examples, documents: int | None = None) -> None:
    """Write invented documents as text files with a labels.csv, the same bytes every time."""
    folder.mkdir(parents=True)
    rows = []
    for number, (text, row) in enumerate(examples.draw(random.Random(examples.seed), documents or examples.documents)):
        name = f"example-{number:03}"
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        rows.append({"file_id": name, **row})
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["file_id", *examples.columns], restval="")
        table.writeheader()
        table.writerows(rows)
