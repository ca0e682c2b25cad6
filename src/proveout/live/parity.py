"""One step run in several ways: do the notebook, the pipeline and the release decide the same? Doors: `parity`, `compare`.

    notebook   the file in marimo's own kernel, as the editor runs it, on the pipeline's inputs
    pipeline   the product that the build left
    release    a plain call of the frozen release on the cases' files, with the memory that it was frozen with
    others     whoever decides by that release and is handed to `parity`, such as the server

Each way gives a log of decisions (`journal.log`). Every column is compared, exactly or, for numbers with a fraction, within
a tolerance; left out are who decided and when. A value is compared as printed, and by whether a person says it is right.
Covered: a case that one way lacks, a value that one way leaves empty; the build's own products are read and never written.
Not covered: steps whose product is no log of decisions; evidence and wording, which a log does not hold. A release of other
code than runs here is no way to decide here: it raises OtherCode.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from proveout.bridge.context import variables
from proveout.bridge.spec import Spec, Task, load
from proveout.errors import BadInput, BadSpec, TaskFailed

if TYPE_CHECKING:
    from proveout.records import Decision
    from proveout.release import Release

Decide = Callable[["Release", Sequence[Path]], "Sequence[Decision]"]

TOLERANCE = 1e-9  # of a confidence: the same numbers in another order of adding; far below what any threshold sees
ASIDE = frozenset({"release", "seconds", "decided_at"})  # columns that say who decided and when
SHOWN = 40  # differences in the table; beyond that the cause is not a single case


@dataclass(frozen=True)
class Difference:
    """One value that is not the same everywhere."""

    case: str
    what: str  # a column of the log, such as `route`, `advertiser` or `advertiser.confidence`; `case`: it is missing
    said: Mapping[str, Any]  # way -> value; None: it says nothing


@dataclass(frozen=True)
class Parity:
    """What a comparison found."""

    ways: tuple[str, ...]
    cases: int
    fields: tuple[str, ...]
    differences: tuple[Difference, ...]
    largest: float  # difference in a confidence, also within the tolerance

    @property
    def agrees(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        """One line where all agree, and a table of what differs where they do not."""
        ways = f"{', '.join(self.ways[:-1])} and {self.ways[-1]}"
        counted = f"{self.cases} cases, {len(self.fields)} fields: {ways}"
        if self.agrees:
            return f"{counted} agree; largest difference in confidence {self.largest:g}"
        cases = len({one.case for one in self.differences})
        rows = [("case", "what", *self.ways)]
        rows += [(one.case[:12], one.what, *(_shown(one.said[way]) for way in self.ways)) for one in self.differences[:SHOWN]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        more = [f"and {len(self.differences) - SHOWN} more"] if len(self.differences) > SHOWN else []
        return "\n".join([f"{counted} differ in {len(self.differences)} values of {cases} cases", *lines, *more])


def parity(
    spec: Path | str,
    env: Mapping[str, Any],
    releases: Path,
    task: str = "agent",
    product: str = "reference",
    tolerance: float = TOLERANCE,
    cache: Path | None = None,
    others: Mapping[str, Decide] = MappingProxyType({}),
) -> Parity:
    """Run a step of a whole build as a notebook and as a plain call of the build's release, and compare with its product.

    Raises BadInput where the build is not up to date, and TaskFailed where the notebook fails in marimo's kernel.
    """
    loaded = load(spec, env)
    _is_fresh(loaded, env, task)
    with tempfile.TemporaryDirectory(prefix="proveout-parity-") as folder:
        built = loaded.tasks[task].product[product]
        logs = {
            "notebook": as_notebook(loaded, env, task, Path(folder, "notebook"))[product],
            "pipeline": built,
            "release": as_release(loaded, releases, built, Path(folder, "release.parquet"), cache),
        }
        for way, decide in others.items():
            logs[way] = as_decided(loaded, releases, built, Path(folder, f"{way}.parquet"), decide)
        return compare(logs, tolerance)


def as_notebook(spec: Spec, env: Mapping[str, Any], task: str, scratch: Path) -> Mapping[str, Path]:
    """Run a task's notebook in marimo's kernel, as the editor does, and give its products.

    They are written into `scratch`: there, `out` is another folder, in which the upstream products are links.
    """
    env = {**env, "out": scratch.resolve()}
    there = load(spec.path, env)
    for name, path in there.tasks[task].product.items():
        if path == spec.tasks[task].product[name]:
            raise BadSpec(
                f"{spec.path}: product `{name}` of `{task}` is not under {{{{out}}}}, so a second run would replace it"
            )
    for upstream in there.tasks[task].upstream:
        for name, link in there.tasks[upstream].product.items():
            if link != (real := spec.tasks[upstream].product[name]):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(real)
    _run_in_kernel(spec, there.tasks[task], env, scratch)
    return there.tasks[task].product


def as_release(spec: Spec, releases: Path, log: Path, out: Path, cache: Path | None = None) -> Path:
    """Let the build's release decide the cases of a log from their files, in the log's order, and write the log of that."""
    return as_decided(
        spec, releases, log, out, lambda release, paths: release.agent(release.memory(), cache=cache).batch(paths)
    )


def as_decided(spec: Spec, releases: Path, log: Path, out: Path, decide: Decide) -> Path:
    """The same by whoever decides."""
    from proveout.corpus import Dataset
    from proveout.evaluation import verdicts
    from proveout.journal.log import write_log
    from proveout.records import Decided
    from proveout.release import Releases

    id = json.loads(spec.tasks["release"].product["release"].read_text(encoding="utf-8"))["id"]
    release = Releases(releases).open(id)
    dataset = Dataset.load(spec.tasks["curate"].product["dataset"])
    cases = list(_rows(log))
    decisions = decide(release, [dataset.path_of(case) for case in cases])
    entries = [dataset.entry(case) for case in cases]
    kinds = release.mission.kinds
    known = {
        entry.case.id: {"labels": entry.labels, "right": verdicts(entry.labels, decision, kinds)}
        for entry, decision in zip(entries, decisions, strict=True)
    }
    decided = [Decided(entry.case, decision) for entry, decision in zip(entries, decisions, strict=True)]
    return write_log(decided, out, release.mission, known)


def compare(logs: Mapping[str, Path], tolerance: float = TOLERANCE) -> Parity:
    """Compare logs of the same cases, each under the name of the way in which it came about."""
    rows = {way: _rows(path) for way, path in logs.items()}
    columns = dict.fromkeys(column for log in rows.values() for row in log.values() for column in row if column not in ASIDE)
    cases = dict.fromkeys(case for log in rows.values() for case in log)
    differences, largest = [], 0.0
    for case in cases:
        if not all(case in log for log in rows.values()):
            said = {way: "there" if case in log else None for way, log in rows.items()}
            differences.append(Difference(case, "case", said))
            continue
        for column in columns:
            said = {way: log[case].get(column) for way, log in rows.items()}
            apart = _apart(list(said.values()))
            if column.endswith("confidence"):
                largest = max(largest, apart)
            if not apart <= tolerance:
                differences.append(Difference(case, column, said))
    fields = tuple(name.removesuffix(".confidence") for name in columns if name.endswith(".confidence"))
    return Parity(tuple(logs), len(cases), fields, tuple(differences), largest)


def _apart(values: list[Any]) -> float:
    """How far values lie apart: numbers by their distance; anything else is the same, or infinitely far.

    >>> _apart([0.5, 0.75, 0.5]), _apart(["Ada", "Ada"]), _apart(["Ada", None]), _apart([None, 0.5]), _apart([1, 2])
    (0.25, 0.0, inf, inf, inf)
    """
    if all(value == values[0] for value in values):
        return 0.0
    return max(values) - min(values) if all(isinstance(value, float) for value in values) else float("inf")


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str | float) else str(value)


def _rows(log: Path) -> dict[str, dict[str, Any]]:
    """Case to its row, in the order of the log."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    return {row["case"]: row for row in parquet.read_table(log).to_pylist()}


def _is_fresh(spec: Spec, env: Mapping[str, Any], task: str) -> None:
    from proveout.bridge.staleness import why

    for name in (task, "release"):
        if reason := why(spec.path, name, env):
            raise BadInput(f"`{name}` of {spec.path.parent.name} is stale: {reason}; build it first: proveout build")


def _run_in_kernel(spec: Spec, task: Task, env: Mapping[str, Any], scratch: Path) -> None:
    """`marimo export` opens a session in edit mode, with the editor's kernel, and waits until every cell has run."""
    command = [sys.executable, "-m", "marimo", "export", "html", str(task.file), "--no-sandbox", "-f"]
    knows = os.environ | variables(spec.path, task.name, env)
    scratch.mkdir(parents=True, exist_ok=True)
    run = subprocess.run([*command, "-o", str(scratch / "page.html")], env=knows, capture_output=True, text=True, check=False)
    missing = [name for name, path in task.product.items() if not path.exists()]
    if run.returncode or missing:
        what = run.stderr.strip()[-2000:] or f"it ended without writing {', '.join(missing)}"
        raise TaskFailed(f"{task.file}: task `{task.name}` fails in marimo's kernel, as it would in the editor: {what}")
