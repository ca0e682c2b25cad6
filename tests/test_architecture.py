"""What a reader relies on: no import circle, one word per idea, private parts of libraries behind one file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proveout.cli import app

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
FILES = {".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): file for file in SRC.rglob("*.py")}
CODE = [*FILES.values(), *(ROOT / "notebooks").rglob("*.py"), *(ROOT / "monitoring").glob("*.py")]
ADAPTERS = {  # whose underscore names may be imported, and the one file that may
    "marimo": SRC / "proveout/bridge/marimo_internals.py",
    "ploomber": SRC / "proveout/bridge/ploomber.py",
    "evidently": SRC / "proveout/monitoring/evidently_reports.py",
}
OLD_WORDS = {  # what a reader had to look up, and what it is called now
    r"\bconfides?\b": "calibrate",
    r"\btwins?\b": "near-duplicates",
    r"\blighter\b": "lazy imports",
    r"\bdesks?\b": "worker",
    r"\bboards?\b": "drawing",
    r"\bexperience\b": "layout statistics",
    r"\bfamil(y|ies) of (documents|forms|layouts)\b": "layout cluster",
    r"\bSlips?\b": "invalid part of a request",
    r"\bSigns\b": "auth backend",
    r"\bTold\b": "case history",
    r"\bis green\b": "builds successfully",
    r"\bworthless\b": "revoked",
    r"not surely\b": "it may be chance",
}
VAGUE = {"found", "said", "known", "told", "shown"}  # how a value came, not what it holds


def imported(name: str, file: Path) -> Iterator[str]:
    """Modules of the project that a file imports, inside functions and for type checkers, too."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: 1 - node.level or None]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            yield from (f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in FILES else origin for alias in node.names)


def test_no_two_files_import_each_other_in_a_circle() -> None:
    graph = {name: {other for other in imported(name, file) if other in FILES} - {name} for name, file in FILES.items()}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    circle = {name: sorted(others & graph.keys()) for name, others in graph.items()}
    assert not circle, f"these import each other, or what does: {circle}"


@pytest.mark.parametrize("library", ADAPTERS)
def test_private_parts_of_a_library_are_imported_in_one_file(library: str) -> None:
    private = re.compile(rf"\b{library}(\.\w+)*\._[a-z]|from {library}[\w.]* import [^\n]*\b_[a-z]")
    users = [file for file in FILES.values() if private.search(file.read_text(encoding="utf-8"))]
    assert set(users) <= {ADAPTERS[library]}


def places(text: str, file: Path) -> list[str]:
    """Where a text says an old word."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {word[0]!r}, say {plain}"
        for number, line in enumerate(text.splitlines(), 1)
        for old, plain in OLD_WORDS.items()
        if (word := re.search(old, line))
    ]


def test_no_text_says_an_old_word() -> None:
    texts = [*CODE, ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *SRC.rglob("*.j2")]
    assert not [place for file in texts for place in places(file.read_text(encoding="utf-8"), file)]


def test_no_help_says_an_old_word() -> None:
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    for words in ([], *([name] for name in commands)):
        assert not places(CliRunner().invoke(app, [*words, "--help"]).output, ROOT / "proveout")


def bound(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a file gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def test_names_say_what_they_hold() -> None:
    vague = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in CODE
        for line, name in bound(ast.parse(file.read_text(encoding="utf-8")))
        if name.strip("_") in VAGUE
    ]
    assert not vague, "\n".join(vague)


def test_tests_patch_module_objects() -> None:
    """A module named as text is looked up anew, and a build in the same process may have unloaded it by then."""
    named = re.compile(r"setattr\(\s*[\"']proveout")
    assert not [file for file in (ROOT / "tests").rglob("*.py") if named.search(file.read_text(encoding="utf-8"))]
