"""Design: begin a mission, build it, open its notebooks, show that notebook, pipeline, release and server decide the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.output import say, short
from proveout.errors import BadInput, NoDocuments
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.bridge import Built


def new(name: str, template: str) -> None:
    from proveout.cli.new import new as begin
    from proveout.workspace import project_root

    root = project_root()
    folder = begin(root, name, template)
    of = f"--mission {name}"
    if os.environ.get("PROVEOUT_HOME"):  # another mission's workspace
        of += f" --home {short(root / 'work' / name)}"
    last = max((folder / "examples").glob("*.txt"))
    does = {"questions": "answers questions of bills", "flags": "answers yes or no of letters"}[template]
    say(f"mission {name} in {short(folder)}: {does} until you say otherwise in mission.yaml and prompts/")
    say("it builds as it is, from the examples beside it; next:")
    say(f"  proveout build {of}")
    say(f"  proveout release promote {of}")
    say(f"  proveout show {short(last)} {of}")


def environment(space: Workspace, data: Path | None = None, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """What the build spec's placeholders become for this workspace. What people answered until now is laid among them."""
    from proveout.live import label_export

    answers: dict[str, Any] = {}
    if "{{answers}}" in space.spec("build").read_text(encoding="utf-8"):
        teach, judge = label_export.write(space)
        answers = {"answers": space.answers}
        if teach or judge:
            tell(f"  answers    {teach} join the training documents; {judge} are about documents that calibrate or test")
    examples = space.design / "examples"
    data = data or _last_data(space) or (examples if examples.is_dir() else space.home / "synthetic")
    return {"data": data.resolve(), "out": space.build, "releases": space.releases, **answers}


def _last_data(space: Workspace) -> Path | None:
    """The data of the last build here, so that `--data` is said once."""
    note = space.home / "data"
    return Path(note.read_text(encoding="utf-8").strip()) if note.exists() else None


def monitored(space: Workspace) -> dict[str, Any]:
    """What the monitor spec's placeholders become: the live log beside what the promoted release decided when it was built."""
    from proveout.journal import Journal
    from proveout.release import Releases

    if not (space.logs / "decisions.parquet").exists():
        raise NoDocuments(f"{space.logs}: no log yet; decide some cases first: proveout run")
    with Journal(space.home / "journal.db") as journal:
        journal.to_parquet(space.logs, space.mission)  # with what people answered since
    reference = Releases(space.releases).promoted().path("evidence/reference")
    return {"reference": reference, "logs": space.logs, "out": space.reports}


def build(space: Workspace, data: Path | None, only: Sequence[str] | None, force: bool, record: bool) -> Built:
    from proveout.bridge import build as run_build
    from proveout.corpus import check_labels

    env = environment(space, data, say)
    if not env["data"].is_dir():
        raise BadInput(
            f"{env['data']}: no such folder; expected documents and a labels.csv. "
            f"Name one with --data, or make synthetic ones: proveout synthesize {env['data']}"
        )
    if (env["data"] / "labels.csv").exists():
        check_labels(env["data"] / "labels.csv", space.mission, space.answers / "labels.csv")
    space.claim()
    (space.home / "data").write_text(f"{env['data']}\n", encoding="utf-8")

    def tell(result: Any) -> None:
        mark = f"{result.seconds:6.1f} s  {result.why}" if result.state == "ran" else f"     ok  {result.why}"
        say(f"  {result.task:10} {mark}")

    built = run_build(space.spec("build"), env=env, only=only or None, force=force, record=record, progress=tell)
    say(f"{len(built.ran)} of {len(built.tasks)} steps ran in {built.seconds:.1f} s; products: {short(space.build)}")
    for line in unlabelled(space):
        say(line)
    return built


def unlabelled(space: Workspace) -> list[str]:
    """What the last build could not learn or certify because nobody labelled it, a line for each such field."""
    from proveout.corpus import Dataset
    from proveout.values import has_value

    if not (space.build / "curate" / "dataset").exists():
        return []
    data, lines = Dataset.load(space.build / "curate" / "dataset"), []
    for name, kind in space.mission.kinds.items():
        labelled = {
            split: sum(has_value(kind, labels.get(name, "")) for labels in data.labels(split).values())
            for split in ("train", "calibration")
        }
        nothing = f"{name}: no labelled value"
        if not any(has_value(kind, entry.labels.get(name, "")) for entry in data.chosen()):
            lines.append(f"{nothing}, so it is never extracted or automated; label some in labels.csv")
        elif not labelled["train"]:
            lines.append(f"{nothing} to train on, so it is never extracted or automated; label some of the split train")
        elif not labelled["calibration"]:
            lines.append(f"{nothing} to calibrate on, so it is never automated; label some of the split calibration")
    return lines


def why(space: Workspace, task: str, data: Path | None) -> str:
    from proveout.bridge import why as reason

    return reason(space.spec("build"), task, env=environment(space, data)) or "nothing changed"


def edit(space: Workspace, notebook: str, data: Path | None, options: Sequence[str] = ()) -> None:
    from proveout.bridge.context import variables
    from proveout.bridge.spec import sources

    specs = {pipeline: dict(sources(space.spec(pipeline))) for pipeline in ("build", "monitor")}
    found = next((pipeline for pipeline, files in specs.items() if notebook in files), None)
    if found is None:
        known = ", ".join(name for files in specs.values() for name in files)
        raise BadInput(f"no notebook `{notebook}` in the pipelines of {space.name}; there are: {known}")
    env = environment(space, data) if found == "build" else monitored(space)
    command = [sys.executable, "-m", "marimo", "edit", str(specs[found][notebook]), *options]
    os.execvpe(command[0], command, os.environ | variables(space.spec(found), notebook, env))


def lab(space: Workspace, data: Path | None, marimo: bool, options: Sequence[str] = ()) -> None:
    from proveout.bridge.context import variables
    from proveout.bridge.spec import sources

    spec = space.spec("build")
    knows = os.environ | variables(spec, "", environment(space, data))
    knows |= {"PROVEOUT_HOME": str(space.home), "PROVEOUT_MISSION": space.name}
    if marimo:
        command = ["marimo", "edit", str(next(file.parent for _, file in sources(spec) if file)), *options]
    else:
        manager = "--ServerApp.contents_manager_class=proveout.bridge.lab.Pages"
        quiet = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # no network
        command = ["jupyterlab", f"--ServerApp.root_dir={space.root}", manager, *quiet, *options]
    os.execvpe(sys.executable, [sys.executable, "-m", *command], knows)


def parity(space: Workspace, tolerance: float) -> bool:
    """Say whether notebook, pipeline, release and server decide the same, and return it."""
    from proveout.live.parity import parity as compare_ways
    from proveout.serving.parity import decided_by_server

    server = {"server": partial(decided_by_server, space)}
    env, releases = environment(space), space.releases
    found = compare_ways(space.spec("build"), env, releases, tolerance=tolerance, cache=space.cache, others=server)
    say(str(found))
    return found.agrees
