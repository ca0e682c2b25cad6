"""The code that a step depends on, found by reading the source without importing it. Entry point: `Code`.

A project module counts as a whole, by its syntax tree: a comment or formatting is no change. Its imports are followed, also
those inside functions. An installed package counts by its version, and its imports are not followed.
A package with a module-level `__getattr__` counts with all its modules.
Covered: relative imports, namespace packages, `import_module("a constant")`, imports for type checkers (they do not count).
Not covered: a module name that is computed at run time; how the version of one installed package affects another.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from proveout.bridge.notebook import Notebook, imports
from proveout.files import read_object, write_whole
from proveout.imports import installers

READER = 3  # raise it when the same source is read differently
CACHE_SIZE = 4000  # entries


@dataclass(frozen=True)
class Module:
    digest: str  # of its syntax tree
    definitions: Mapping[str, str]  # top-level name -> digest, to name what changed
    imports: tuple[str, ...]
    dynamic: bool  # defines `__getattr__`


@dataclass
class CodeDependencies:
    modules: dict[str, str] = field(default_factory=dict)  # project module -> digest
    packages: dict[str, str] = field(default_factory=dict)  # distribution -> version
    files: dict[str, Path] = field(default_factory=dict)  # project module -> file


_loaded: dict[str, str] = {}  # module -> digest when a build of this process first saw it loaded


class Code:
    def __init__(self, cache: Path) -> None:
        """`cache` is a JSON file of what was read, by the digest of its text."""
        invalidate_caches()
        self._file = cache
        self._cache: dict[str, Any] = read_object(cache)
        self._used: dict[str, Any] = {}
        self._modules: dict[Path, Module] = {}
        self._specs: dict[tuple[str, str], ModuleSpec | None] = {}
        self._dependencies: dict[tuple[str, str], CodeDependencies] = {}
        self._versions: dict[str, str] | None = None
        self._path = [entry or str(Path.cwd()) for entry in sys.path]

    def notebook(self, file: Path) -> Notebook:
        """The cells of a notebook. marimo is imported only if the cache does not have this text."""
        raw = file.read_bytes()
        key = f"notebook {READER} {self.version_of('marimo')} {hashlib.sha256(raw).hexdigest()[:32]}"
        if key in self._cache:
            self._used[key] = self._cache[key]
            return Notebook.of_data(self._cache[key])
        from proveout.bridge.notebook import read

        notebook = read(file)
        self._cache[key] = self._used[key] = notebook.as_data()
        return notebook

    def script(self, file: Path) -> Module:
        """A script or an .ipynb as a module; of an .ipynb, the code cells."""
        return self._module(file)

    def exists(self, dotted: str, folders: Sequence[Path]) -> bool:
        """Whether the function at a dotted path exists; its module is not imported."""
        name, _, function = dotted.rpartition(".")
        spec = self._find(name, tuple(map(str, folders))) if name else None
        if spec is None:
            return name.partition(".")[0] in sys.stdlib_module_names
        if _installed(spec) or not spec.origin or not spec.origin.endswith(".py"):
            return True
        module = self._module(Path(spec.origin))
        imported = {wanted.replace(":", ".").rpartition(".")[2] for wanted in module.imports}
        return module.dynamic or function in module.definitions or function in imported

    def dependencies(self, imports: Iterable[str], folders: Sequence[Path]) -> CodeDependencies:
        """Project modules and packages behind these imports; `folders` are searched before Python's path."""
        total = CodeDependencies()
        for wanted in imports:
            code = self._dependencies_of(wanted, tuple(map(str, folders)))
            total.modules |= code.modules
            total.packages |= code.packages
            total.files |= code.files
        return total

    def packages_of(self, folder: Path) -> dict[str, str]:
        """Distribution to version, for all that the modules under a folder import."""
        modules = (self._module(file) for file in sorted(folder.rglob("*.py")))
        tops = {name.partition(".")[0].partition(":")[0] for module in modules for name in module.imports}
        specs = {top: self._find(top, ()) for top in sorted(tops) if top}
        used = [name for top, spec in specs.items() if spec and _installed(spec) for name in self._distributions(top)]
        return {name: self.version_of(name) for name in used}

    def unload_changed(self, code: CodeDependencies) -> None:
        """If a loaded project module has changed, unload all of them, so that a step in a long-lived process imports anew.

        A module counts as loaded from the source that it had when a build of this process first saw it.
        """
        loaded = {name: file for name, file in code.files.items() if name in sys.modules}
        changed = [
            name
            for name, file in loaded.items()
            if getattr(sys.modules[name], "__file__", None) != str(file)
            or _loaded.setdefault(name, code.modules[name]) != code.modules[name]
        ]
        for name, file in loaded.items() if changed else ():
            del sys.modules[name]
            Path(cache_from_source(str(file))).unlink(missing_ok=True)  # a .pyc has its source's time to the second only
        _loaded.update({name: digest for name, digest in code.modules.items() if name not in sys.modules})
        invalidate_caches()

    def changed_definitions(self, module: str, then: str, now: str) -> list[str]:
        """The top-level names of a module that differ between two of its digests; empty if the cache lacks one of them."""
        old, new = (self._cache.get(f"definitions {digest}") for digest in (then, now))
        if old is None or new is None:
            return []
        self._used |= {f"definitions {then}": old, f"definitions {now}": new}
        return [name for name in {**old, **new} if old.get(name) != new.get(name)]

    def save(self) -> None:
        """Write the cache if its keys changed, with the most recently used entries."""
        unused = {key: value for key, value in self._cache.items() if key not in self._used}
        kept = dict(list((unused | self._used).items())[-CACHE_SIZE:])
        if kept.keys() != read_object(self._file).keys():
            write_whole(self._file, json.dumps(kept, separators=(",", ":")))

    def version_of(self, distribution: str) -> str:
        """The version of an installed distribution, from the name of its metadata folder; "?" if it is not installed."""
        if self._versions is None:
            self._versions = {}
            for folder in reversed(self._path):
                for entry in os.listdir(folder) if os.path.isdir(folder) else ():  # noqa: PTH208, PTH112
                    if match := re.fullmatch(r"(.+?)-([^-]+)\.(?:dist|egg)-info", entry):
                        self._versions[_canonical(match[1])] = match[2]
        return self._versions.get(_canonical(distribution), "?")

    def _dependencies_of(self, wanted: str, folders: tuple[str, ...]) -> CodeDependencies:
        """Everything behind one import; modules may import each other."""
        key = (wanted, "|".join(folders))
        if key in self._dependencies:
            return self._dependencies[key]
        total, queue, seen = CodeDependencies(), [wanted], {wanted}
        while queue:
            for name in _with_parents(queue.pop()):
                if f"{name}.".startswith("proveout.bridge.") or name in total.modules:
                    continue  # the bridge runs steps and is no part of them
                spec = self._find(name, folders)
                if spec is None:
                    continue  # a name inside a module, a part of Python, or an optional package that is not installed
                if _installed(spec):
                    for distribution in self._distributions(name.partition(".")[0]):
                        total.packages[distribution] = self.version_of(distribution)
                    break
                if not spec.origin or not spec.origin.endswith(".py"):
                    continue
                module = self._module(Path(spec.origin))
                total.modules[name] = module.digest
                total.files[name] = Path(spec.origin)
                package = name if spec.submodule_search_locations else name.rpartition(".")[0]
                imported = {_absolute(other, package) for other in module.imports}
                if module.dynamic and spec.submodule_search_locations:
                    imported |= {f"{name}.{submodule}" for submodule in _submodules(spec.submodule_search_locations)}
                queue += imported - seen
                seen |= imported
        self._dependencies[key] = total
        return total

    def _find(self, name: str, folders: tuple[str, ...]) -> ModuleSpec | None:
        """The spec of a module, without importing its package. None for Python's own modules."""
        top, _, _ = name.partition(".")
        if top in sys.stdlib_module_names:
            return None
        key = (name, "|".join(folders))
        if key not in self._specs:
            parent, _, _ = name.rpartition(".")
            path: Sequence[str] | None = [*folders, *self._path]
            if parent:
                package = self._find(parent, folders)
                path = list(package.submodule_search_locations or ()) if package else None
            self._specs[key] = PathFinder.find_spec(name, path) if path else None
        return self._specs[key]

    def _module(self, file: Path) -> Module:
        if file not in self._modules:
            raw = file.read_bytes()
            key = f"module {READER} {hashlib.sha256(raw).hexdigest()[:32]}"
            if key not in self._cache:
                self._cache[key] = _parsed(file, raw.decode("utf-8", errors="replace"))
            parsed = self._used[key] = self._cache[key]
            definitions = f"definitions {parsed['digest']}"
            self._used[definitions] = self._cache[definitions] = parsed["definitions"]
            self._modules[file] = Module(**{**parsed, "imports": tuple(parsed["imports"])})
        return self._modules[file]

    def _installs(self, top: str) -> bool:
        """Whether the distribution with the same name as the import installs it."""
        for folder in self._path:
            for name in ("RECORD", "top_level.txt"):
                file = Path(folder, f"{top}-{self.version_of(top)}.dist-info", name)
                if file.is_file() and re.search(rf"^{top}(/|\.py|$)", file.read_text(encoding="utf-8", errors="replace"), re.M):
                    return True
        return False

    def _distributions(self, top: str) -> list[str]:
        """The distributions that install this top-level name. The search can take a second, so the cache keeps the answer."""
        key = f"distributions {top}"
        names: list[str] | None = self._cache.get(key)
        if names is None or any(self.version_of(name) == "?" for name in names if name != top):
            names = (
                [_canonical(top)]
                if self._installs(top)
                else sorted({_canonical(name) for name in installers().get(top, [top])})
            )
            self._cache[key] = names
        self._used[key] = names
        return list(names)


def _parsed(file: Path, text: str) -> dict[str, Any]:
    if file.suffix == ".ipynb":
        text = _code_of_notebook(text)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # it fails when it runs; until then its text counts
        return {"digest": _short(text), "definitions": {}, "imports": [], "dynamic": False}
    definitions: dict[str, str] = {}
    statements = [(statement, ast.dump(statement)) for statement in tree.body]
    for statement, content in statements:
        for name in _names(statement):
            definitions[name] = _short(definitions.get(name, "") + content)
    return {
        "digest": _short("\n".join(content for _, content in statements)),
        "definitions": definitions,
        "imports": sorted(set(imports(tree))),
        "dynamic": "__getattr__" in definitions,
    }


def _code_of_notebook(text: str) -> str:
    """The code cells of an .ipynb as one text; magics and shell lines become strings, so that they count."""
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
    """Every module that an import executes, packages first.

    >>> _with_parents("a.b:c")
    ['a', 'a.b', 'a.b.c']
    """
    parts = wanted.replace(":", ".").split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1) if parts[end - 1] != "*"]


def _absolute(wanted: str, package: str) -> str:
    """A relative import of a module in `package` as an absolute one.

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
    entries = (entry for folder in folders for entry in Path(folder).iterdir())
    return [entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()]


def _installed(spec: ModuleSpec) -> bool:
    where = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
    return "site-packages" in where or "dist-packages" in where or spec.origin in ("built-in", "frozen")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:24]
