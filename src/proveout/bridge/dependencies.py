"""What code a step depends on, read from the source and never imported. One door: `Code`.

Project modules count whole, by their syntax tree: a comment or a format edit is no change. They are followed through
their own imports, also those inside functions. Installed packages count by their version, and are not followed.
A package that answers names dynamically (`__getattr__` in its `__init__`) counts with all its modules.
Covered: relative imports, namespace packages, `import_module("a constant")`, imports for type checkers (they do not count).
Not covered: a module's name put together at run time; what an installed package does with another one's version.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from proveout.bridge.contents import remembered
from proveout.bridge.notebook import Notebook, imports
from proveout.files import write_whole

READER = 2  # raise it when the same text is read differently
MEMORY = 4000  # readings that are kept
_MACHINERY = "here spec contents reach notebook record execute builds staleness worker ploomber"
_BRIDGE = {"proveout.bridge", *(f"proveout.bridge.{name}" for name in _MACHINERY.split())}  # runs steps, is no part of them


@dataclass(frozen=True)
class Module:
    name: str
    digest: str  # of its syntax tree
    definitions: Mapping[str, str]  # top-level name -> digest, to say what changed
    imports: tuple[str, ...]
    dynamic: bool  # a package that answers names in `__getattr__`


@dataclass
class CodeDependencies:
    modules: dict[str, str] = field(default_factory=dict)  # project module -> digest
    packages: dict[str, str] = field(default_factory=dict)  # distribution -> version
    files: dict[str, Path] = field(default_factory=dict)  # of the modules


_met: dict[str, str] = {}  # module -> digest when it was first seen loaded


class Code:
    def __init__(self, memory: Path) -> None:
        invalidate_caches()
        self._memory = memory
        self._known: dict[str, Any] = remembered(memory)
        self._used: dict[str, Any] = {}
        self._modules: dict[Path, Module] = {}
        self._places: dict[tuple[str, str], ModuleSpec | None] = {}
        self._reached: dict[tuple[str, str], CodeDependencies] = {}
        self._versions: dict[str, str] | None = None
        self._path = [entry or str(Path.cwd()) for entry in sys.path]

    def notebook(self, file: Path) -> Notebook:
        """The cells of a notebook; marimo is imported only if this text of it was never read before."""
        raw = file.read_bytes()
        key = f"notebook {READER} {self.version_of('marimo')} {hashlib.sha256(raw).hexdigest()[:32]}"
        if key in self._known:
            self._used[key] = self._known[key]
            return Notebook.of_data(self._known[key])
        from proveout.bridge.notebook import read

        notebook = read(file)
        self._known[key] = self._used[key] = notebook.as_data()
        return notebook

    def script(self, file: Path) -> Module:
        """A script or an .ipynb as a module: code cells only."""
        return self._module(file.stem, file)

    def exists(self, dotted: str, folders: Sequence[Path]) -> bool:
        """Whether a function can be found by its dotted path, without importing its module."""
        module, _, function = dotted.rpartition(".")
        place = self._find(module, tuple(map(str, folders))) if module else None
        if place is None:
            return module.partition(".")[0] in sys.stdlib_module_names
        if _installed(place) or not place.origin or not place.origin.endswith(".py"):
            return True
        reading = self._module(module, Path(place.origin))
        brought = {one.replace(":", ".").rpartition(".")[2] for one in reading.imports}
        return reading.dynamic or function in reading.definitions or function in brought

    def reached(self, wanted: Iterable[str], folders: Sequence[Path]) -> CodeDependencies:
        """Project modules and packages behind these imports; `folders` are searched before Python's path."""
        total = CodeDependencies()
        for one in wanted:
            found = self._reach(one, tuple(map(str, folders)))
            total.modules |= found.modules
            total.packages |= found.packages
            total.files |= found.files
        return total

    def packages_of(self, folder: Path) -> dict[str, str]:
        """The distributions that any module under a folder imports, and their versions."""
        modules = (self._module(file.stem, file) for file in sorted(folder.rglob("*.py")))
        tops = {name.partition(".")[0].partition(":")[0] for module in modules for name in module.imports}
        places = {top: self._find(top, ()) for top in sorted(tops) if top}
        used = [name for top, place in places.items() if place and _installed(place) for name in self._distributions(top)]
        return {name: self.version_of(name) for name in used}

    def settle(self, reached: CodeDependencies) -> None:
        """Forget loaded project modules whose source has changed, so that a step of a long-lived process runs what counts.

        A module counts as loaded from what it was when a build of this process first met it.
        """
        loaded = {name: file for name, file in reached.files.items() if name in sys.modules}
        old = [
            name
            for name, file in loaded.items()
            if getattr(sys.modules[name], "__file__", None) != str(file)
            or _met.setdefault(name, reached.modules[name]) != reached.modules[name]
        ]
        for name, file in loaded.items() if old else ():
            del sys.modules[name]
            Path(cache_from_source(str(file))).unlink(missing_ok=True)  # it is checked to the second only
        _met.update({name: digest for name, digest in reached.modules.items() if name not in sys.modules})
        invalidate_caches()

    def changed_definitions(self, module: str, then: str, now: str) -> list[str]:
        """The top-level names of a module that differ between two of its digests; empty if that is no longer known."""
        old, new = (self._known.get(f"definitions {digest}") for digest in (then, now))
        if old is None or new is None:
            return []
        for digest in (then, now):
            self._used[f"definitions {digest}"] = self._known[f"definitions {digest}"]
        return [name for name in {**old, **new} if old.get(name) != new.get(name)]

    def save(self) -> None:
        fresh = {**{key: value for key, value in self._known.items() if key not in self._used}, **self._used}
        kept = dict(list(fresh.items())[-MEMORY:])
        if kept.keys() != remembered(self._memory).keys():
            write_whole(self._memory, json.dumps(kept, separators=(",", ":")))

    def version_of(self, distribution: str) -> str:
        """Of an installed distribution, by the name of its metadata folder; "?" if there is none."""
        if self._versions is None:
            self._versions = {}
            for folder in reversed(self._path):
                for entry in os.listdir(folder) if os.path.isdir(folder) else ():  # noqa: PTH208, PTH112
                    if match := re.fullmatch(r"(.+?)-([^-]+)\.(?:dist|egg)-info", entry):
                        self._versions[_canonical(match[1])] = match[2]
        return self._versions.get(_canonical(distribution), "?")

    def _reach(self, wanted: str, folders: tuple[str, ...]) -> CodeDependencies:
        """Everything behind one import, modules that import each other included."""
        key = (wanted, "|".join(folders))
        if key in self._reached:
            return self._reached[key]
        total, left, seen = CodeDependencies(), [wanted], {wanted}
        while left:
            for name in _with_parents(left.pop()):
                if name in _BRIDGE or name in total.modules:
                    continue
                top = name.partition(".")[0]
                place = self._find(name, folders)
                if place is None:
                    continue  # a name inside a module, a part of Python, or an optional package that is not there
                if _installed(place):
                    for distribution in self._distributions(top):
                        total.packages[distribution] = self.version_of(distribution)
                    break
                if not place.origin or not place.origin.endswith(".py"):
                    continue
                module = self._module(name, Path(place.origin))
                total.modules[name] = module.digest
                total.files[name] = Path(place.origin)
                package = name if place.submodule_search_locations else name.rpartition(".")[0]
                more = {_absolute(one, package) for one in module.imports}
                if module.dynamic and place.submodule_search_locations:
                    more |= {f"{name}.{one}" for one in _submodules(place.submodule_search_locations)}
                left += more - seen
                seen |= more
        self._reached[key] = total
        return total

    def _find(self, name: str, folders: tuple[str, ...]) -> ModuleSpec | None:
        """Where a module lies, without importing its package."""
        top, _, _ = name.partition(".")
        if top in sys.stdlib_module_names:
            return None
        key = (name, "|".join(folders))
        if key not in self._places:
            parent, _, _ = name.rpartition(".")
            path: Sequence[str] | None = [*folders, *self._path]
            if parent:
                above = self._find(parent, folders)
                path = list(above.submodule_search_locations or ()) if above else None
            self._places[key] = PathFinder.find_spec(name, path) if path else None
        return self._places[key]

    def _module(self, name: str, file: Path) -> Module:
        if file not in self._modules:
            raw = file.read_bytes()
            key = f"module {READER} {hashlib.sha256(raw).hexdigest()[:32]}"
            if key not in self._known:
                self._known[key] = _reading(file, raw.decode("utf-8", errors="replace"))
            reading = self._used[key] = self._known[key]
            self._used[f"definitions {reading['digest']}"] = self._known[f"definitions {reading['digest']}"] = reading[
                "definitions"
            ]
            fields = {key: value for key, value in reading.items() if key != "imports"}
            self._modules[file] = Module(name=name, imports=tuple(reading["imports"]), **fields)
        return self._modules[file]

    def _installs(self, top: str) -> bool:
        """Whether the distribution that is called like the import is the one that installs it."""
        for folder in self._path:
            for name in ("RECORD", "top_level.txt"):
                file = Path(folder, f"{top}-{self.version_of(top)}.dist-info", name)
                if file.is_file() and re.search(rf"^{top}(/|\.py|$)", file.read_text(encoding="utf-8", errors="replace"), re.M):
                    return True
        return False

    def _distributions(self, top: str) -> list[str]:
        """The distributions that install this top-level name. Finding out can take a second; it is remembered."""
        key = f"distributions {top}"
        found = self._known.get(key)
        if found is None or any(self.version_of(name) == "?" for name in found if name != top):
            found = [_canonical(top)] if self._installs(top) else _installers(top)
            self._known[key] = found
        self._used[key] = found
        return list(found)


def _reading(file: Path, text: str) -> dict[str, Any]:
    if file.suffix == ".ipynb":
        text = _code_of_notebook(text)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # it will fail when it runs; until then its text counts
        return {"digest": _short(text), "definitions": {}, "imports": [], "dynamic": False}
    definitions: dict[str, str] = {}
    for statement in tree.body:
        for name in _names(statement):
            definitions[name] = _short(definitions.get(name, "") + ast.dump(statement))
    return {
        "digest": _short(ast.dump(tree)),
        "definitions": definitions,
        "imports": sorted(set(imports(tree))),
        "dynamic": "__getattr__" in definitions,
    }


def _code_of_notebook(text: str) -> str:
    """The code cells of an .ipynb, one text; magics and shell lines become comments that count."""
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError, TypeError):
        return text
    codes = ["".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"]
    lines = [line for code in codes for line in code.splitlines()]
    return "\n".join(f"{line!r}" if line.startswith(("%", "!")) else line for line in lines)


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    stored = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return stored or ["its imports" if isinstance(statement, ast.Import | ast.ImportFrom) else "its top level"]


def _with_parents(wanted: str) -> list[str]:
    """Every module that an import runs, packages first.

    >>> _with_parents("a.b:c")
    ['a', 'a.b', 'a.b.c']
    """
    parts = wanted.replace(":", ".").split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1) if parts[end - 1] != "*"]


def _absolute(wanted: str, package: str) -> str:
    """
    >>> _absolute("..c:d", "a.b")
    'a.c:d'
    """
    dots = len(wanted) - len(wanted.lstrip("."))
    if not dots:
        return wanted
    base = package.split(".")[: len(package.split(".")) - dots + 1]
    rest = wanted[dots:]
    return ".".join(base) + (rest if rest.startswith(":") else f".{rest}" if rest else "")


def _submodules(folders: Iterable[str]) -> list[str]:
    found = (entry for folder in folders for entry in Path(folder).iterdir())
    return [entry.stem for entry in found if entry.suffix == ".py" or (entry / "__init__.py").exists()]


def _installed(place: ModuleSpec) -> bool:
    where = place.origin or next(iter(place.submodule_search_locations or ()), "")
    return "site-packages" in where or "dist-packages" in where or place.origin in ("built-in", "frozen")


def _installers(top: str) -> list[str]:
    return sorted({_canonical(name) for name in _distributions_of_all().get(top, [top])})


@cache
def _distributions_of_all() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:24]
