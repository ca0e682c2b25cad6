"""Design: create a mission, build it, open its notebooks, check that notebook, pipeline, release and server agree."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from proveout.cli.output import say, short
from proveout.errors import BadInput, NoDocuments
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.bridge import Built

QUIET = (  # options of JupyterLab: no network, no news, no line for each of its parts
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--ServerApp.log_level=ERROR",
    "--LabApp.log_level=ERROR",
    *(f"--ServerApp.jpserver_extensions={name}=False" for name in ("nbclassic", "ploomber", "ploomber_extension")),
)
DECIDE = "decide"  # the step of a build whose cells are the steps of a decision
PRODUCTS = "model/products.jsonl"  # in a release of a search
SYNTHETIC = "synthetic"  # folder of a workspace with data that were drawn


def new(name: str, template: str) -> None:
    """Create a mission from a template (`questions`, `flags` or `search`) and print the next commands."""
    from proveout.cli.new import new as create
    from proveout.workspace import project_root

    root = project_root()
    folder = create(root, name, template)
    options = f"--mission {name}"
    if os.environ.get("PROVEOUT_HOME"):  # another mission's workspace
        options += f" --home {short(root / 'work' / name)}"
    example = "headset" if template == "search" else short(max((folder / "examples").glob("*.txt")))
    purpose, yours = {
        "questions": ("extracts fields from bills", "mission.yaml and prompts/"),
        "flags": ("answers yes/no questions about letters", "mission.yaml and prompts/"),
        "search": ("searches a drawn shop", "mission.yaml, and put your products and judgements into examples/,"),
    }[template]
    say(f"Created mission {name} in {short(folder)}. It {purpose}; edit {yours} to make it yours.")
    say("It builds as generated, from its own examples. Next:")
    say(f"  proveout build {options}")
    say(f"  proveout release promote {options}")
    say(f"  proveout show {example} {options}")


def environment(space: Workspace, data: Path | None = None, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Values for the placeholders of the build spec in this workspace. Exports people's answers if the spec asks for them."""
    from proveout.cases import design_of
    from proveout.evaluation.regression import write_list
    from proveout.live import label_export

    answers: dict[str, Any] = {}
    spec = space.spec("build").read_text(encoding="utf-8")
    if "{{answers}}" in spec:
        export = getattr(design_of(space.design / "mission.yaml"), "export", label_export.write)
        for_training, for_testing = export(space)
        answers = {"answers": space.answers}
        if for_training or for_testing:
            others = "belong to calibration or test documents, or are kept to judge the release"
            tell(f"  answers    {for_training} join the training set; {for_testing} {others}")
    examples = space.design / "examples"
    data = data or _last_data(space) or (examples if examples.is_dir() else space.home / SYNTHETIC)
    if "{{regression}}" in spec:
        answers |= {"regression": write_list(space.home)}
    releases = {"releases": space.releases} if "{{releases}}" in spec else {}
    return {"data": data.resolve(), "out": space.build, **releases, **answers}


def _last_data(space: Workspace) -> Path | None:
    """The data of the last build in this workspace, so that `--data` is needed only once."""
    file = space.home / "data"
    return Path(file.read_text(encoding="utf-8").strip()) if file.exists() else None


def monitored(space: Workspace, until: int | None = None) -> dict[str, Any]:
    """Values for the placeholders of the monitor spec: the live log, and the promoted release's decisions when it was built.

    Writes the log anew from the journal, as it was at the position `until`. Raises NoDocuments if no case was decided.
    """
    from proveout.journal import Journal
    from proveout.release import Releases

    empty = f"{space.logs}: no log yet; decide some cases first: proveout run"
    if not (space.home / "journal.db").exists():
        raise NoDocuments(empty)
    with Journal(space.home / "journal.db") as journal:
        if next(journal.decisions(), None) is None:
            raise NoDocuments(empty)
        journal.to_parquet(space.logs, space.mission, until)  # with the answers given since
    releases = Releases(space.releases)
    values: dict[str, Any] = {
        "reference": releases.promoted().path("evidence/reference"),
        "logs": space.logs,
        "out": space.reports,
    }
    if "{{products}}" in space.spec("monitor").read_text(encoding="utf-8"):
        earlier = [folder for id in releases.replaced() if (folder := space.releases / id / PRODUCTS).exists()]
        values |= {"products": releases.promoted().folder / PRODUCTS, "before": str(earlier[-1]) if earlier else ""}
    return values


def build(space: Workspace, data: Path | None, only: Sequence[str] | None, force: bool, record: bool) -> Built:
    """Run the stale steps, each reported in a line as it ends. Raises BadInput for data that cannot be built from."""
    from proveout.bridge import build as run_build
    from proveout.cases import design_of

    env = environment(space, data, say)
    design = design_of(space.design / "mission.yaml")
    if env["data"] == space.home / SYNTHETIC and not env["data"].exists():
        space.claim()
        design.draw(env["data"])
    design.check(space.design / "mission.yaml", env["data"], space.answers)
    space.claim()
    (space.home / "data").write_text(f"{env['data']}\n", encoding="utf-8")
    built = run_build(space.spec("build"), env=env, only=only or None, force=force, record=record, progress=_tell)
    say(f"{len(built.ran)} of {len(built.tasks)} steps ran in {built.seconds:.1f} s; products: {short(space.build)}")
    for line in unlabelled(space):
        say(line)
    return built


def fine_tune(space: Workspace, force: bool) -> None:
    """Fine-tune the local language model on the last build's documents, if anything changed since the last time."""
    from proveout.bridge import build as run_build

    env = tuned(space)
    built = run_build(space.spec("tune"), env=env, force=force, record=True, progress=_tell)
    model = env["out"] / "merge" / "model"
    say(f"{len(built.ran)} of {len(built.tasks)} steps ran in {built.seconds:.1f} s; to use the model, write in model.yaml:")
    say(f"local: {short(model)}")


def tuned(space: Workspace) -> dict[str, Any]:
    """Values for the placeholders of the tune spec. Raises BadInput without a build, whose documents are learned from."""
    dataset = space.build / "curate" / "dataset"
    if not dataset.exists():
        raise BadInput(f"{space.name} was never built, and its documents are what is learned from; first: proveout build")
    return {"dataset": dataset, "out": space.home / "tuned"}


def _tell(result: Any) -> None:
    mark = f"{result.seconds:6.1f} s  {result.why}" if result.state == "ran" else f"     ok  {result.why}"
    say(f"  {result.task:10} {mark}")


def unlabelled(space: Workspace) -> list[str]:
    """A line for each field that the last build could not learn because it has no labels."""
    from proveout.corpus import Dataset
    from proveout.corpus.dataset import LEARN_FROM
    from proveout.values import has_value

    if not (space.build / "curate" / "dataset").exists():
        return []
    data, lines = Dataset.load(space.build / "curate" / "dataset"), []
    for name, kind in space.mission.kinds.items():
        if not any(has_value(kind, labels.get(name, "")) for labels in data.labels(*LEARN_FROM).values()):
            lines.append(f"{name}: no labelled value outside of the tests, so it is never extracted or automated; label some")
    return lines


def why(space: Workspace, task: str, data: Path | None) -> str:
    """What makes a task stale, in one line."""
    from proveout.bridge import why as reason

    return reason(space.spec("build"), task, env=environment(space, data)) or "nothing changed"


def edit(space: Workspace, notebook: str, data: Path | None, options: Sequence[str] = (), failed: bool = False) -> None:
    """Replace this process by marimo's editor. `failed`: on the inputs of the step's last run, which has to have failed.

    Raises BadInput if no pipeline has the notebook, or if that run did not fail.
    """
    from proveout.bridge.spec import sources

    values = {"build": lambda: environment(space, data), "monitor": lambda: monitored(space), "tune": lambda: tuned(space)}
    notebooks = {pipeline: dict(sources(space.spec(pipeline))) for pipeline in values if space.spec(pipeline).exists()}
    pipeline = next((pipeline for pipeline, files in notebooks.items() if notebook in files), None)
    if pipeline is None:
        names = ", ".join(name for files in notebooks.values() for name in files)
        raise BadInput(f"no notebook `{notebook}` in the pipelines of {space.name}; expected one of: {names}")
    env = values[pipeline]()
    if failed:
        env = _failed(space.spec(pipeline), notebook, env)
    _editor(notebooks[pipeline][notebook], space.spec(pipeline), notebook, env, options, dict(os.environ))


def _failed(spec: Path, task: str, env: dict[str, Any]) -> dict[str, Any]:
    """The environment in which a task failed in its last run; says why it did, and what changed since."""
    from proveout.bridge.spec import load
    from proveout.bridge.staleness import BuildState

    state = BuildState(load(spec, env))
    failure = state.failure(state.spec.tasks[task])
    if failure is None:
        raise BadInput(f"the last run of `{task}` did not fail; to open it on its inputs: proveout edit {task}")
    say(failure.because)
    say(f"since then: {failure.since}" if failure.since else "its inputs and its code are as they were")
    sys.stdout.flush()
    return dict(failure.env)


def _editor(
    file: Path, spec: Path, task: str, env: dict[str, Any], options: Sequence[str], exported: dict[str, str]
) -> NoReturn:
    """Replace this process by marimo's editor on a notebook, with the context of its task."""
    from proveout.bridge.context import variables

    command = [sys.executable, "-m", "marimo", "edit", str(file), *options]
    os.execvpe(command[0], command, exported | variables(spec, task, env))


def open_case(space: Workspace, case: str, options: Sequence[str] = ()) -> None:
    """Replace this process by marimo's editor on a decided case, with the code of the release that decided it.

    Raises BadInput if it is not exactly one decided case, or if the build has no step `decide`; BadModel for a damaged release.
    """
    from proveout.bridge.spec import sources
    from proveout.cli.explaining import one_decided
    from proveout.cli.own_code import own_environment
    from proveout.cli.proving import decided_journal
    from proveout.release import Releases

    notebook = dict(sources(space.spec("build"))).get(DECIDE)
    if notebook is None:
        raise BadInput(f"{space.spec('build')} has no step `{DECIDE}`; add it as pipelines/invoices/pipeline.build.yaml has it")
    with decided_journal(space) as journal:
        decided = one_decided(space, journal, case)
    release = Releases(space.releases).open(decided.decision.release)
    exported = dict(os.environ)
    if release.other_code:
        if not (release.path("code") / "proveout" / "live" / "opening.py").exists():
            raise BadInput(f"release {release.id[:12]} cannot be opened: its code had no `open` yet")
        exported = own_environment(release)
        say(f"release {release.id[:12]} runs its own frozen code")
        sys.stdout.flush()
    exported |= {"PROVEOUT_CASE": decided.case.key, "PROVEOUT_HOME": str(space.home), "PROVEOUT_MISSION": space.name}
    _editor(notebook, space.spec("build"), DECIDE, environment(space), options, exported)


def audit(space: Workspace, options: Sequence[str] = ()) -> None:
    """Replace this process by the page of the label audit. Raises BadInput without a build, whose models judge the labels."""
    from proveout.bridge.spec import sources

    if not (space.build / "calibrate" / "calibration.json").exists():
        raise BadInput(f"{space.name} was never built, and the models of a build judge the labels; first: proveout build")
    page = next(file.parent for _, file in sources(space.spec("build")) if file) / "audit.py"
    if not page.exists():
        raise BadInput(f"the labels of mission {space.name} are not audited: its notebooks have no audit.py")
    exported = os.environ | {"PROVEOUT_HOME": str(space.home), "PROVEOUT_MISSION": space.name}
    os.execvpe(sys.executable, [sys.executable, "-m", "marimo", "run", str(page), *options], exported)


def lab(space: Workspace, data: Path | None, marimo: bool, options: Sequence[str] = ()) -> None:
    """Replace this process by JupyterLab on the project, or by marimo's editor on the notebooks' folder."""
    from proveout.bridge.context import variables
    from proveout.bridge.lab import CONFIG
    from proveout.bridge.spec import sources

    spec = space.spec("build")
    exported = os.environ | variables(spec, "", environment(space, data))
    exported |= {"PROVEOUT_HOME": str(space.home), "PROVEOUT_MISSION": space.name}
    if marimo:
        command = ["marimo", "edit", str(next(file.parent for _, file in sources(spec) if file)), *options]
    else:
        manager = "--ServerApp.contents_manager_class=proveout.bridge.lab.Pages"
        if os.geteuid() == 0 and "--allow-root" not in options:
            raise BadInput("root runs JupyterLab only if asked: use another account or, in a container, add --allow-root")
        say("JupyterLab: begin with notebooks/tours/first_steps.ipynb; Ctrl-C ends it.")
        sys.stdout.flush()
        exported["JUPYTER_CONFIG_PATH"] = os.pathsep.join([str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])])
        command = ["jupyterlab", f"--ServerApp.root_dir={space.root}", manager, *QUIET, *options]
    os.execvpe(sys.executable, [sys.executable, "-m", *command], exported)


def parity(space: Workspace, tolerance: float) -> bool:
    """Print and return whether notebook, pipeline, release and server agree. `tolerance`: between confidences."""
    from proveout.live.parity import parity as compare_ways
    from proveout.serving.parity import decided_by_server

    server = {"server": partial(decided_by_server, space)}
    env, releases = environment(space), space.releases
    report = compare_ways(space.spec("build"), env, releases, tolerance=tolerance, cache=space.cache, others=server)
    say(str(report))
    return report.agrees
