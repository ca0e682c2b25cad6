"""Check that the notebook, the pipeline and the release decide the same. Entry points: `parity`, `compare`.

    notebook   the file in marimo's own kernel, as the editor runs it, on the pipeline's inputs
    pipeline   the product that the build left
    release    a plain call of the frozen release on the cases' files, with the memory that it was frozen with
    others     anything else that decides by that release and is passed to `parity`, such as the server

Each way yields a log of decisions (`journal.log`). Every column is compared, except who decided and when: numbers with a
fraction within a tolerance, all else exactly. A value is compared as printed, and by whether a person says it is right.
Covered: a case missing from one log, a value that one way leaves empty; the build's own products are only read.
Not covered: steps whose product is not a log of decisions; evidence and wording, which a log does not hold; a release of
other code than this process runs, which raises OtherCode.
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

TOLERANCE = 1e-9  # of a confidence: the same numbers added in another order; far below what any threshold can see
IGNORED = frozenset({"release", "seconds", "decided_at"})  # columns that say who decided and when
MAX_ROWS = 40  # differences in the table; beyond that the cause is not a single case


@dataclass(frozen=True)
class Difference:
    """One value that the ways do not agree on."""

    case: str
    what: str  # a column of the log, such as `route`, `advertiser` or `advertiser.confidence`; `case`: it is missing
    values: Mapping[str, Any]  # by way; None: no value


@dataclass(frozen=True)
class Parity:
    """The result of a comparison."""

    ways: tuple[str, ...]
    cases: int
    fields: tuple[str, ...]
    differences: tuple[Difference, ...]
    largest: float  # difference in a confidence, also within the tolerance

    @property
    def agrees(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        """One line if all ways agree, otherwise a table of the differences."""
        ways = f"{', '.join(self.ways[:-1])} and {self.ways[-1]}"
        counted = f"{self.cases} cases, {len(self.fields)} fields: {ways}"
        if self.agrees:
            return f"{counted} agree; largest difference in confidence {self.largest:g}"
        cases, listed = len({difference.case for difference in self.differences}), self.differences[:MAX_ROWS]
        rows = [("case", "what", *self.ways)]
        rows += [(entry.case[:12], entry.what, *(_format(entry.values[way]) for way in self.ways)) for entry in listed]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        more = [f"and {len(self.differences) - MAX_ROWS} more"] if len(self.differences) > MAX_ROWS else []
        return "\n".join([f"{counted} differ in {len(self.differences)} values of {cases} cases", *lines, *more])


def parity(
    spec: Path | str,
    env: Mapping[str, Any],
    releases: Path,
    task: str = "evaluate",
    product: str = "decisions",
    tolerance: float = TOLERANCE,
    cache: Path | None = None,
    others: Mapping[str, Decide] = MappingProxyType({}),
) -> Parity:
    """Run a step of a complete build as a notebook and as a plain call of the build's release; compare both with its product.

    Raises BadInput if the build is stale, TaskFailed if the notebook fails in marimo's kernel.
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
    """Run a task's notebook in marimo's kernel, as the editor does, and return its products.

    They are written to `scratch`, which takes the place of `out` and holds links to the upstream products.
    Raises BadSpec for a product outside `out`, TaskFailed if the notebook fails.
    """
    env = {**env, "out": scratch.resolve()}
    copy = load(spec.path, env)
    for name, path in copy.tasks[task].product.items():
        if path == spec.tasks[task].product[name]:
            raise BadSpec(
                f"{spec.path}: product `{name}` of `{task}` is not under {{{{out}}}}, so a second run would replace it"
            )
    for upstream in copy.tasks[task].upstream:
        for name, link in copy.tasks[upstream].product.items():
            if link != (real := spec.tasks[upstream].product[name]):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(real)
    _run_in_kernel(spec, copy.tasks[task], env, scratch)
    return copy.tasks[task].product


def as_release(spec: Spec, releases: Path, log: Path, out: Path, cache: Path | None = None) -> Path:
    """Let the build's release decide the cases of a log from their files, in the log's order; write its log to `out`."""
    return as_decided(
        spec, releases, log, out, lambda release, paths: release.agent(release.memory(), cache=cache).batch(paths)
    )


def as_decided(spec: Spec, releases: Path, log: Path, out: Path, decide: Decide) -> Path:
    """Like `as_release`, with `decide` in place of the plain call."""
    from proveout.cases import design_of
    from proveout.evaluation.labelled_log import write_labelled_log
    from proveout.release import Releases

    id = json.loads(spec.tasks["release"].product["release"].read_text(encoding="utf-8"))["id"]
    release = Releases(releases).open(id)
    dataset = design_of(release.path("mission")).labelled(spec.tasks["curate"].product)
    decisions = decide(release, [dataset.path_of(case) for case in _rows(log)])
    write_labelled_log(decisions, dataset, out, release.mission)
    return out


def compare(logs: Mapping[str, Path], tolerance: float = TOLERANCE) -> Parity:
    """Compare Parquet logs of the same cases. `logs`: by the name of the way that produced them."""
    rows = {way: _rows(path) for way, path in logs.items()}
    columns = dict.fromkeys(column for log in rows.values() for row in log.values() for column in row if column not in IGNORED)
    cases = dict.fromkeys(case for log in rows.values() for case in log)
    differences, largest = [], 0.0
    for case in cases:
        if not all(case in log for log in rows.values()):
            values = {way: "there" if case in log else None for way, log in rows.items()}
            differences.append(Difference(case, "case", values))
            continue
        for column in columns:
            values = {way: log[case].get(column) for way, log in rows.items()}
            spread = _spread(list(values.values()))
            if column.endswith("confidence"):
                largest = max(largest, spread)
            if not spread <= tolerance:
                differences.append(Difference(case, column, values))
    fields = tuple(name.removesuffix(".confidence") for name in columns if name.endswith(".confidence"))
    return Parity(tuple(logs), len(cases), fields, tuple(differences), largest)


def _spread(values: list[Any]) -> float:
    """The range of numbers with a fraction; for anything else 0 if all are equal, otherwise infinity.

    >>> _spread([0.5, 0.75, 0.5]), _spread(["Ada", "Ada"]), _spread(["Ada", None]), _spread([None, 0.5]), _spread([1, 2])
    (0.25, 0.0, inf, inf, inf)
    """
    if all(value == values[0] for value in values):
        return 0.0
    return max(values) - min(values) if all(isinstance(value, float) for value in values) else float("inf")


def _format(value: Any) -> str:
    return "nothing" if value is None else repr(value) if isinstance(value, str | float) else str(value)


def _rows(log: Path) -> dict[str, dict[str, Any]]:
    """Each row by its case, in the order of the log."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    return {row["case"]: row for row in parquet.read_table(log).to_pylist()}


def _is_fresh(spec: Spec, env: Mapping[str, Any], task: str) -> None:
    from proveout.bridge.staleness import why

    for name in (task, "release"):
        if reason := why(spec.path, name, env):
            raise BadInput(f"`{name}` of {spec.path.parent.name} is stale: {reason}; build it first: proveout build")


def _run_in_kernel(spec: Spec, task: Task, env: Mapping[str, Any], scratch: Path) -> None:
    """`marimo export` opens a session in edit mode, with the editor's kernel, and waits until every cell has run."""
    page = str(scratch / "page.html")
    command = [sys.executable, "-m", "marimo", "export", "html", str(task.file), "--no-sandbox", "-f", "-o", page]
    environment = os.environ | variables(spec.path, task.name, env)
    scratch.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    missing = [name for name, path in task.product.items() if not path.exists()]
    if run.returncode or missing:
        what = run.stderr.strip()[-2000:] or f"it ended without writing {', '.join(missing)}"
        raise TaskFailed(f"{task.file}: task `{task.name}` fails in marimo's kernel, as it would in the editor: {what}")
