"""Releases: everything that decides, frozen under one content id; promoted, rolled back, opened again years later.

`freeze` puts code, prompts, model, index, policy, mission, calibration and the environment's versions under one SHA-256 and
copies them to `<root>/<id>/`. The same parts give the same release, whenever and wherever they are frozen.
`Releases(root)` lists, promotes, rolls back and opens; `history.jsonl`, append-only, records who promoted what and when.
`<root>/<id>/code` is an import root. A release decides only in a process that runs exactly this code with exactly the pinned
versions; anywhere else it raises OtherCode, so that an id never stands for other code than was frozen under it.
Covered: a full disk or a kill while freezing (written aside, renamed at the end), a file that changed since (`open` names it).
Not covered: who may promote; the memory, which is outside the release (it holds only the initial records); a package that is
replaced on disk under a running process, which has read most of it, but not all.
"""

import ast
import hashlib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import proveout
from proveout.errors import BadModel, BadSpec, NoRelease, OtherCode, ProveoutError
from proveout.files import lock, replacing
from proveout.imports import installers
from proveout.journal.codec import canonical
from proveout.mission import Mission, load
from proveout.plugins import distributions

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.calibration import Calibrations
    from proveout.control import ControlPlane
    from proveout.journal import Journal
    from proveout.models import Correction
    from proveout.policy import Policy
    from proveout.retrieval import Encoder, Memory

FORMAT = 2  # 2: the code is an import root
MANIFEST = "release.json"
PACKAGE = Path(proveout.__file__).parent
DERIVED = {"index": frozenset({"vectors.npy", "chroma"})}  # rebuilt from the rest of the part, so not part of its id
SHORT = 12  # hex digits shown to people
NAMED = 3  # files or versions that a message names; the rest are counted
ANEW = "make a new release: proveout build, then proveout release promote"


@dataclass(frozen=True, slots=True)
class Summary:
    """One release as a line in a list."""

    id: str
    mission: str
    frozen: str  # ISO 8601, UTC
    parts: Mapping[str, str]  # name to content id
    promoted: bool
    headline: str  # its evaluation in one line; for a release that cannot be opened, the reason

    def __str__(self) -> str:
        mark = "*" if self.promoted else " "
        return f"{mark} {self.id[:SHORT]}  {self.frozen[:16].replace('T', ' ')}  {self.mission}  {self.headline}".rstrip()


@dataclass(frozen=True)
class Release:
    """An open release, every file as it was frozen."""

    id: str
    folder: Path
    manifest: Mapping[str, Any]

    def path(self, part: str) -> Path:
        """The path of `code`, `prompts`, `model`, `index`, `mission`, `policy`, `calibration`, `steps`, or `evidence/<name>`.

        Raises BadModel if the release has no such part.
        """
        path = self.folder / part
        if not path.exists():
            path = next(iter(sorted(self.folder.glob(f"{part}.*"))), path)
        if not path.exists():
            raise BadModel(
                f"release {self.id[:SHORT]} has no part {part!r}; it has {', '.join(self.manifest['content']['parts'])}"
            )
        return path

    def has(self, part: str) -> bool:
        """Whether a part was frozen; `prompts` and `index` are left out where a mission needs none."""
        return part in self.manifest["content"]["parts"]

    @cached_property
    def mission(self) -> Mission:
        return load(self.path("mission"))

    @cached_property
    def policy(self) -> "Policy":
        from proveout.policy import Policy

        return Policy.load(self.path("policy"), self.mission)

    @cached_property
    def calibrations(self) -> "Calibrations":
        from proveout.calibration import Calibrations

        return Calibrations.load(self.path("calibration"))

    def memory(self, folder: Path | str | None = None, encoder: "Encoder | None" = None) -> "Memory":
        """The live memory in `folder`, which also gets the release's own records; without a folder, only those records.

        A release without the part `index` remembers no case.
        """
        from proveout.retrieval import Memory, NoMemory

        if not self.has("index"):
            return NoMemory()
        if folder is None:
            return Memory.open(self.path("index"), encoder, store="")
        folder = Path(folder)
        if not (folder / "records.jsonl").exists():
            _seed(self.path("index"), folder)
            return Memory.open(folder, encoder)
        memory = Memory.open(folder, encoder)
        own = Memory.open(self.path("index"), encoder, store="").records()
        memory.add(record for record in own if not memory.holds(record))
        return memory

    @cached_property
    def learned(self) -> frozenset[str]:
        """The cases whose labels the release learned from, as far as its memory holds them."""
        if not self.has("index"):
            return frozenset()
        with (self.path("index") / "records.jsonl").open(encoding="utf-8") as file:
            return frozenset(json.loads(line)["case"] for line in file)

    def agent(
        self,
        memory: "Memory",
        cache: Path | None = None,
        corrected: "Sequence[Correction]" = (),
        prompts: Path | None = None,
        cascade: Sequence[str] = (),
    ) -> "Agent":
        """The release's agent with a memory. `corrected`: people's corrections since the build. Raises OtherCode.

        `prompts` and `cascade`, names of tiers, are tried in place of the release's own.
        """
        from proveout.agent import Parts, assemble

        self.require_own_code()
        steps = self.path("steps") if self.has("steps") else None
        if prompts is None and self.has("prompts"):
            prompts = self.path("prompts")
        parts = Parts(self.path("mission"), prompts, self.path("model"), self.path("calibration"), steps)
        return assemble(parts, memory, self.id, cache, corrected, cascade=cascade)

    def control(self, home: Path, journal: "Journal", original: Callable[[str], Path], run: str) -> "ControlPlane":
        """The control plane for this release in a home. `original` maps a case id to its file. Raises OtherCode."""
        from proveout import connectors
        from proveout.control import ControlPlane, StopSwitch

        self.require_own_code()
        by_action = connectors.of(self.mission, home / "effects", original)
        return ControlPlane(self.mission, self.policy, self.calibrations, by_action, journal, StopSwitch(home / "STOP"), run)

    def require_own_code(self) -> None:
        """Raise OtherCode unless this process runs the pinned code and versions. Call it before executing a release."""
        if self.other_code:
            raise OtherCode(
                f"release {self.id[:SHORT]} was frozen with other code than this process runs ({few(self.other_code)}); "
                f"`proveout run` and a restarted server run the release's own code. Or {ANEW}"
            )
        if self.other_versions:
            raise OtherCode(
                f"release {self.id[:SHORT]} pins other versions: {few(self.other_versions)}. Install those, or {ANEW}"
            )

    @cached_property
    def other_code(self) -> tuple[str, ...]:
        """Files of the package that differ between this release and this process, without the prefix `code/`."""
        files: Mapping[str, str] = self.manifest["files"]
        frozen = {place: digest for place, digest in files.items() if place.startswith("code/")}
        running = _running()
        changed = sorted(place for place in {*frozen, *running} if frozen.get(place) != running.get(place))
        return tuple(place.removeprefix("code/") for place in changed)

    @cached_property
    def other_versions(self) -> tuple[str, ...]:
        """Pinned versions that differ from the installed ones, with both versions of each."""
        pinned: Mapping[str, str] = self.manifest["content"]["environment"]
        versions = {name: (then, _version(name)) for name, then in sorted(pinned.items())}
        return tuple(f"{name} {then} then, {now} now" for name, (then, now) in versions.items() if then != now)

    def differences(self) -> list[str]:
        """How this process differs from what the release pins, in words: versions, then code. Empty if it does not."""
        return [*self.other_versions, *([f"the code of {few(self.other_code)}"] if self.other_code else [])]


class Releases:
    """The releases in one folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def freeze(self, parts: Mapping[str, Path], evidence: Mapping[str, Path] | None = None, headline: str = "") -> str:
        """Freeze parts, each a file or a folder, and return the id. Evidence is kept beside them and does not affect the id.

        Raises BadModel if a part is missing. An existing release is left as it is, unless it is damaged.
        """
        sources = {"code": _files("code/proveout", PACKAGE)} | {name: _files(name, Path(path)) for name, path in parts.items()}
        extra = {f"evidence/{name}": _files(f"evidence/{name}", Path(path)) for name, path in (evidence or {}).items()}
        mission = load(parts["mission"])
        content = {
            "mission": mission.mission,
            "parts": {name: _part_id(name, _hashes(files)) for name, files in sources.items()},
            "environment": _environment(distributions(mission.plugin_names)),
        }
        id = hashlib.sha256(canonical(content).encode()).hexdigest()
        target, aside = self.root / id, self.root / f".{id[:SHORT]}-{uuid.uuid4().hex[:8]}.part"
        try:
            self._checked(target)
            return id
        except NoRelease:
            pass
        except BadModel:
            target.rename(self.root / f".{id[:SHORT]}-{uuid.uuid4().hex[:8]}.damaged")
        files = {place: path for part in (sources | extra).values() for place, path in part.items()}
        try:
            for place, path in files.items():
                (aside / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, aside / place)
                (aside / place).chmod(0o400)
            hashes = {place: _sha256(aside / place) for place in files}  # of the copies: what is frozen is what was read back
            frozen = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = {"format": FORMAT, "id": id, "content": content, "files": hashes, "frozen": frozen, "headline": headline}
            (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            _check(manifest, aside)
            aside.rename(target)
        except OSError:
            if not (target / MANIFEST).exists():  # otherwise another process froze the same release at the same time
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return id

    def list(self) -> list[Summary]:
        """Every release, the newest first, including those that cannot be opened."""
        promoted = self._promoted()[-1:]
        summaries = [self._summary(id, promoted == (id,)) for id in self._ids()]
        return sorted(summaries, key=lambda summary: (summary.frozen, summary.id), reverse=True)

    def _summary(self, id: str, promoted: bool) -> Summary:
        try:
            manifest = _read_manifest(self.root / id / MANIFEST)
        except OtherCode as error:
            return Summary(id, "", "", {}, promoted, str(error))
        except BadModel as error:
            return Summary(id, "", "", {}, promoted, f"DAMAGED: {error}")
        content = manifest["content"]
        return Summary(id, content["mission"], manifest["frozen"], content["parts"], promoted, manifest["headline"])

    def _ids(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self.root.glob("*") if re.fullmatch(r"[0-9a-f]{64}", path.name)))

    def find(self, release: str) -> str:
        """The id that starts with `release`, or the newest for `latest`. Raises NoRelease."""
        ids = self._ids()
        if not ids:
            raise NoRelease(f"no release in {self.root}; make one: proveout build")
        if release == "latest":
            return self.list()[0].id
        matches = [id for id in ids if release and id.startswith(release.lower())]
        if len(matches) != 1:
            fault = f"{len(matches)} releases start with {release!r}" if matches else f"no release {release!r}"
            raise NoRelease(f"{fault}; there are: {', '.join(id[:SHORT] for id in ids)}")
        return matches[0]

    def open(self, release: str) -> Release:
        """Open a release by its id, the start of it, or `latest`. Raises NoRelease, or BadModel, which names what changed."""
        id = self.find(release)
        return Release(id, self.root / id, self._checked(self.root / id))

    def promote(self, release: str, by: str, because: str = "") -> str:
        """Let a release decide the next cases, and return its id. Promoting the current release changes nothing."""
        id = self.open(release).id
        with self._history() as append:
            if self._promoted()[-1:] != (id,):
                append({"what": "promote", "release": id, "by": by, "because": because})
        return id

    def rollback(self, by: str, because: str = "") -> str:
        """Return to the release that was promoted before the current one, and return its id. Raises NoRelease without one."""
        with self._history() as append:
            stack = self._promoted()
            if len(stack) < 2:
                state = f"no release was promoted before {stack[0][:SHORT]}" if stack else "no release is promoted"
                raise NoRelease(f"{state}; there is nothing to roll back to. See: proveout release list")
            before = self.open(stack[-2]).id
            append({"what": "rollback", "release": before, "by": by, "because": because})
        return before

    def current(self) -> str:
        """The id of the promoted release. Raises NoRelease."""
        stack = self._promoted()
        if not stack:
            next_step = "promote the newest: proveout release promote latest" if self._ids() else "make one: proveout build"
            raise NoRelease(f"no release is promoted in {self.root}; {next_step}")
        return stack[-1]

    def promoted(self) -> Release:
        """The promoted release, open. Raises NoRelease."""
        return self.open(self.current())

    def replaced(self) -> tuple[str, ...]:
        """The ids of the releases that were promoted before the current one, oldest first."""
        return self._promoted()[:-1]

    def mission(self, release: str) -> Mission | None:
        """The mission of a release, by its full id; None if it is not here, or not as it was frozen."""
        with suppress(ProveoutError):
            return self.open(release).mission if release in self._ids() else None
        return None

    def history(self) -> Sequence[Mapping[str, str]]:
        """Promotions and rollbacks, oldest first: `at`, `by`, `what`, `release`, `because`.

        Raises NoRelease if the file is damaged.
        """
        path = self.root / "history.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]  # ignore an entry that a crash cut off, which has no line end
        try:
            return [{"because": "", **json.loads(line)} for line in lines]
        except ValueError as error:
            raise NoRelease(f"{path}: a line is damaged ({error}); restore the file before you promote a release") from error

    def _promoted(self) -> tuple[str, ...]:
        """Releases in the order of their promotion, the current one last; a rollback removes the last one."""
        stack: tuple[str, ...] = ()
        for entry in self.history():
            stack = (*stack, entry["release"]) if entry["what"] == "promote" else stack[:-1]
        return stack

    @contextmanager
    def _history(self) -> Iterator[Any]:
        """Lock the history, so that no other process writes between reading and appending."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "history.jsonl").open("a+b") as file:
            lock(file)

            def append(entry: Mapping[str, str]) -> None:
                file.seek(0)
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
                at = datetime.now(UTC).isoformat(timespec="seconds")
                file.write(canonical({**entry, "at": at}).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

            yield append

    def _checked(self, folder: Path) -> Mapping[str, Any]:
        if not folder.exists():
            raise NoRelease(f"no release {folder.name[:SHORT]} in {self.root}")
        manifest = _read_manifest(folder / MANIFEST)
        _check(manifest, folder)
        if manifest["id"] != folder.name:
            raise BadModel(f"{folder}: contains release {manifest['id'][:SHORT]}; expected a folder named by its release's id")
        return manifest


def freeze(
    product: Mapping[str, Path],
    upstream: Mapping[str, Mapping[str, Path]],
    parts: Mapping[str, str],
    evidence: Mapping[str, str],
    mission: Path,
    policy: Path,
    releases: Path | str,
) -> None:
    """The last step of the build pipeline: freeze products of other steps and the mission's files as a release.

    `parts` and `evidence` name each product as `step.product`. Writes the id and content (JSON) to `product["release"]`.
    Lists show the `headline` of the evidence `metrics`, if there is one. Raises BadSpec for an unknown product.
    """
    files = {name: _product(upstream, place) for name, place in parts.items()}
    extra = {name: _product(upstream, place) for name, place in evidence.items()}
    metrics = json.loads(extra["metrics"].read_text(encoding="utf-8")) if "metrics" in extra else {}
    root = Releases(releases)
    files |= {"mission": Path(mission), "policy": Path(policy)}
    id = root.freeze(files, extra, str(metrics.get("headline", "")) if isinstance(metrics, dict) else "")
    content = root.open(id).manifest["content"]
    product["release"].write_text(json.dumps({"id": id, **content}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _product(upstream: Mapping[str, Mapping[str, Path]], place: str) -> Path:
    step, _, name = place.partition(".")
    try:
        return upstream[step][name]
    except KeyError:
        products = ", ".join(f"{step}.{name}" for step, products in upstream.items() for name in products)
        raise BadSpec(f"no product `{place}` comes before the release; there are: {products}") from None


@cache
def _running() -> Mapping[str, str]:
    """The digests of this process's code, read once: the process does not run what is installed later."""
    return _hashes(_files("code/proveout", PACKAGE))


def code_digest() -> str:
    """Of the code that this process runs."""
    return hashlib.sha256(canonical(dict(_running())).encode()).hexdigest()


def few(names: Sequence[str]) -> str:
    """The first names, and the number of the others.

    >>> few(["a.py", "b.py"]), few(["a.py", "b.py", "c.py", "d.py", "e.py"])
    ('a.py, b.py', 'a.py, b.py, c.py and 2 more')
    """
    more = [f" and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return "".join([", ".join(names[:NAMED]), *more])


def _files(name: str, path: Path) -> dict[str, Path]:
    """Each file by its place in the release: `name/...` for a folder, `name.suffix` for a file."""
    if path.is_file():
        return {f"{name}{path.suffix}": path}
    files = {
        f"{name}/{file.relative_to(path).as_posix()}": file
        for file in sorted(path.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    if not files:
        raise BadModel(f"{path}: the part {name!r} of a release is missing or empty; build it again: proveout build")
    return files


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    return {place: _sha256(path) for place, path in files.items()}


def _part_id(name: str, hashes: Mapping[str, str]) -> str:
    """One id over a part's files, without those that are derived from the others."""
    derived = DERIVED.get(name, frozenset())
    counted = {place: digest for place, digest in hashes.items() if derived.isdisjoint(place.split("/"))}
    return hashlib.sha256(canonical(counted).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment(plugins: Iterable[str]) -> dict[str, str]:
    """The versions of Python, of the distributions that the package's sources import, and of those that bring plug-ins."""
    imported = {name for source in PACKAGE.rglob("*.py") for name in _imports(source.read_bytes())}
    installed = installers()
    imports = sorted({installed[name][0] for name in imported & installed.keys() if name != "proveout"})
    return {name: _version(name) for name in ("python", *imports, *sorted(plugins))}


def _version(name: str) -> str:
    """The version of Python or of an installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ".".join(map(str, sys.version_info[:3])) if name == "python" else version(name)
    except PackageNotFoundError:
        return "missing"


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # of statements, where other statements are


@cache
def _imports(source: bytes) -> frozenset[str]:
    """Top-level names that a source imports, anywhere in it."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(source)]
    for node in nodes:  # statements alone: a third less time than `ast.walk` takes
        nodes += (inner for block in BLOCKS for inner in getattr(node, block, ()))
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


def _read_manifest(path: Path) -> dict[str, Any]:
    name = path.parent.name[:SHORT]
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] > FORMAT:
            raise OtherCode(f"release {name} was frozen by a later version, in format {manifest['format']}; update proveout")
        if manifest["format"] < FORMAT:
            raise OtherCode(f"release {name} was frozen by an earlier version, without code that can be run; {ANEW}")
        manifest["content"]["parts"], manifest["content"]["environment"]  # raise KeyError for a manifest without them
        manifest["files"], manifest["frozen"], manifest["headline"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path}: not a release ({type(error).__name__}: {error}); freeze it again: proveout build") from error
    return dict(manifest)


def _check(manifest: Mapping[str, Any], folder: Path) -> None:
    """Raise BadModel unless every file is as it was frozen, and the part ids and the release id match the files."""
    id, again = manifest["id"][:SHORT], "restore it, or freeze it again: proveout build --force"
    files: Mapping[str, str] = manifest["files"]
    for place, digest in files.items():
        if not (folder / place).is_file():
            raise BadModel(f"{folder / place}: missing from release {id}; {again}")
        if _sha256(folder / place) != digest:
            raise BadModel(f"{folder / place}: changed since release {id} was frozen; {again}")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if extra := sorted(present - files.keys() - {MANIFEST}):
        raise BadModel(f"{folder / extra[0]}: does not belong to release {id}; remove it")
    for name, part_id in manifest["content"]["parts"].items():
        part = {place: digest for place, digest in files.items() if place.startswith((f"{name}/", f"{name}."))}
        if _part_id(name, part) != part_id:
            raise BadModel(f"{folder}: the part {name!r} differs from the one that release {id} names; {again}")
    if hashlib.sha256(canonical(manifest["content"]).encode()).hexdigest() != manifest["id"]:
        raise BadModel(f"{folder / MANIFEST}: changed since release {id} was frozen; {again}")


def _seed(index: Path, folder: Path) -> None:
    """Begin a memory with a release's records. `records.jsonl`, which makes the folder a memory, is copied last."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(index.iterdir(), key=lambda path: path.name == "records.jsonl"):
        if source.is_file():
            with replacing(folder / source.name) as part:
                shutil.copyfile(source, part)
