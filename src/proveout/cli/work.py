"""What the commands do, in terms of the modules that do it, and how their results are printed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import date
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput, BadModel, NoDocuments, NoRelease
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.bridge import Built
    from proveout.cli.promotion import Change
    from proveout.journal import Journal
    from proveout.records import Decision
    from proveout.release import Release, Releases


def say(text: str = "") -> None:
    print(text, flush=True)


# --- begin ---


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


# --- build -----------------------------------------------------------------------------------------------------------


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
    from proveout.values import says

    if not (space.build / "curate" / "dataset").exists():
        return []
    data, lines = Dataset.load(space.build / "curate" / "dataset"), []
    for name, kind in space.mission.kinds.items():
        labelled = {
            split: sum(says(kind, labels.get(name, "")) for labels in data.labels(split).values())
            for split in ("train", "calibration")
        }
        nothing = f"{name}: no labelled value"
        if not any(says(kind, entry.labels.get(name, "")) for entry in data.chosen()):
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


# --- releases ----------------------------------------------------------------------------------------------------------


def releases(space: Workspace) -> None:
    from proveout.release import Releases

    known = Releases(space.releases)
    for one in known.list():
        say(str(one))
        if one.promoted and one.parts:
            _warn_of_differences(known)


def release(space: Workspace, wanted: str) -> None:
    """Say what a release is made of, who promoted it, and how what is installed here differs from what it pins."""
    from proveout.release import SHORT, Releases

    known = Releases(space.releases)
    opened = known.open(wanted)
    content, frozen = opened.manifest["content"], opened.manifest["frozen"]
    rows = [("mission", content["mission"]), ("frozen", minute(frozen)), ("scores", opened.manifest["headline"] or "none")]
    rows += [(f"part {name}", id[:SHORT]) for name, id in content["parts"].items()]
    done = {"promote": "promoted", "rollback": "returned to"}
    rows += [
        (done[entry["what"]], f"{minute(entry['at'])} by {entry['by']}")
        for entry in known.history()
        if entry["release"] == opened.id
    ]
    say(f"release {opened.id} in {short(opened.folder)}")
    for name, text in [*rows, ("pins", "; ".join(opened.differences()) or "exactly what is installed here")]:
        say(f"  {name:16} {text}")


def minute(at: str) -> str:
    """
    >>> minute("2026-11-25T09:13:20+00:00")
    '2026-11-25 09:13 UTC'
    """
    return f"{at[:16].replace('T', ' ')} UTC"


def _warn_of_differences(known: Releases) -> None:
    """Say what a person has to know of the promoted release where something else is installed than it pins."""
    from proveout.release import ANEW, few

    try:
        promoted = known.promoted()
    except BadModel as error:
        say(f"  it decides nothing: {error}")
        return
    if promoted.other_versions:
        say(f"  it decides nothing here, it pins {few(promoted.other_versions)}: install those, or {ANEW}")
    if promoted.other_code:
        say(f"  it runs its own frozen code; what is installed differs in {few(promoted.other_code)}. To use that, {ANEW}")


def promote(space: Workspace, release: str, yes: bool = False) -> bool:
    """Whether the release decides from now on. Where it loses against the promoted one, a person is asked."""
    from proveout.cli.promotion import compare
    from proveout.release import Releases

    known = Releases(space.releases)
    candidate = known.open(release)
    frozen_for, mission = candidate.manifest["content"]["mission"], space.mission.mission
    if frozen_for != mission:
        raise BadInput(
            f"release {candidate.id[:12]} decides the cases of mission `{frozen_for}`, not of `{mission}`; "
            f"choose one of `{mission}`: proveout release list"
        )
    changes: list[Change] | None = []
    try:
        changes = compare(known.promoted(), candidate)
    except NoRelease:
        pass  # it is the first
    except BadModel as error:
        say(f"nothing is compared: {error}")
    if changes is None:
        say(f"nothing is compared: {known.current()[:12]}, which decides now, was not evaluated on the same test splits")
    elif any(change.is_loss for change in changes):
        say(f"release {candidate.id[:12]} is not as good as {known.current()[:12]}, which decides now:")
        say(f"{'':46}{'promoted':>10}{'this':>9}")
        for change in changes:
            say(str(change))
        if not yes and not _agreed("promote it all the same?"):
            say("nothing was promoted")
            return False
    known.promote(candidate.id, by=_person())
    say(f"release {candidate.id[:12]} decides from now on; back with: proveout release rollback")
    _warn_of_differences(known)
    return True


def _agreed(question: str) -> bool:
    """What a person at the terminal says. Raises BadInput where nobody can be asked."""
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask on, so nothing was done; to do it all the same, add --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def rollback(space: Workspace) -> None:
    from proveout.release import Releases

    known = Releases(space.releases)
    say(f"back to release {known.rollback(by=_person())[:12]}")
    _warn_of_differences(known)


def _person() -> str:
    import getpass

    return os.environ.get("PROVEOUT_USER") or getpass.getuser()


# --- decide ------------------------------------------------------------------------------------------------------------


def run(space: Workspace, inbox: Path | None) -> dict[str, Any]:
    from proveout.bridge import build as run_build
    from proveout.journal import Journal
    from proveout.release import Releases

    env: dict[str, Any] = {
        "inbox": (inbox or space.home / "inbox").resolve(),
        "release": Releases(space.releases).current(),
        "releases": space.releases,
        "home": space.home,
        "cache": space.cache,
        "out": space.home / "run",
    }
    if not env["inbox"].is_dir():
        raise NoDocuments(f"{env['inbox']}: no such folder; put documents there, or name another with --inbox")
    with Journal(space.home / "journal.db") as journal:
        waits = bool(journal.pending())  # effects that a stop held back, or a kill
    built = run_build(space.spec("run"), env=env, force=waits)
    summary: dict[str, Any] = json.loads(built.products["run"]["summary"].read_text(encoding="utf-8"))
    if built.ran:
        say(told(summary))
    else:
        say(f"nothing new in {short(env['inbox'])}: {counted(summary['cases'], 'case')}, all decided")
    return summary


def told(summary: Mapping[str, Any]) -> str:
    """One run in one line."""
    routes = ", ".join(f"{count} {route}" for route, count in summary["routes"].items() if count)
    effects = ", ".join(f"{count} {state}" for state, count in summary["effects"].items()) or "none"
    already = summary["cases"] - summary["decided"]
    stopped = f"; {summary['stopped']}" if summary.get("stopped") else ""
    refused = "".join(f"\n  refused {name}: {because}" for name, because in summary.get("refused", {}).items())
    dead = "".join(f"\n{line}" for line in summary.get("dead_letters", ()))
    return (
        f"{counted(summary['decided'], 'case')} decided by release {summary['release'][:12]} ({routes or 'nothing new'}); "
        f"{already} were decided before; effects: {effects}{stopped}{refused}{dead}"
    )


def _open(space: Workspace) -> tuple[Release, Agent]:
    """The promoted release, and its agent as it decides live."""
    from proveout.live import Live
    from proveout.release import Releases

    opened = Releases(space.releases).promoted()
    return opened, Live(opened, space.home / "inbox", space.home, space.cache).agent()


def extract(space: Workspace, folder: Path, out: Path) -> None:
    from proveout.live import inbox_cases
    from proveout.progress import bar

    (_, agent) = _open(space)
    cases = inbox_cases(folder, agent.kind)
    predictions: dict[str, Any] = {}
    with bar("Extracting", len(cases)) as step:
        for first in range(0, len(cases), 64):
            batch = cases[first : first + 64]
            for case, decision in zip(batch, agent.batch([folder / case.path for case in batch]), strict=True):
                predictions[Path(case.path).stem] = answers(decision)
                step()
    aside = out.with_name(f".{out.name}.part")
    aside.write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")
    aside.replace(out)
    say(f"{len(predictions)} documents in {out}; score them with: proveout score {out} LABELS.csv")


def answers(decision: Decision) -> dict[str, dict[str, Any]]:
    """A decision in the scorer's format."""
    return {
        name: {"value": value.text, "confidence": round(value.confidence, 4), "automated": name in decision.automated}
        for name, value in decision.fields.items()
    }


def show(
    space: Workspace, document: str, again: bool, before_deciding: Callable[[Workspace], None] = lambda space: None
) -> None:
    """What was decided of a case and what came of it; of a new document, what would be. Writes nothing down, does nothing."""
    from proveout.cases import kind_of
    from proveout.documents import Originals
    from proveout.journal import Journal
    from proveout.journal.prose import history, printed

    path = Path(document)
    with Journal(space.home / "journal.db") as journal:
        wanted = kind_of(space.mission).identify(path)[0] if path.is_file() else document
        turns = list(journal.decisions(case=wanted)) if wanted else []
        cases = {one.case.id for one in turns}
        if len(cases) > 1 or not (cases or path.is_file()):
            raise BadInput(
                f"{document}: no such file, and {len(cases) or 'no'} decided cases begin so; give a file or a case id"
            )
        if turns and not again:
            one = turns[-1].in_order(space.mission.fields)
            say(f"{one.case.path}\n\n{printed(one.decision, one.rulings)}\n")
            say(history(journal.events(one.case.id)).replace(str(space.home), short(space.home)))
            return
        before_deciding(space)
        path = path if path.is_file() else Originals(space.originals).path(turns[-1].case.sha256)
        opened, agent = _open(space)
        decision = agent.invoke(path)
        (rulings,) = opened.control(space.home, journal, lambda case: path, run="show").judge([decision])
    say(printed(decision, rulings))


# --- serve -------------------------------------------------------------------------------------------------------------


def serve(
    space: Workspace,
    host: str,
    port: int,
    root_path: str = "",
    proxy: str = "",
    tls: tuple[Path | None, Path | None] = (None, None),
    show: str = "",
) -> None:
    """Serve until ctrl-c. `show`: a page to open in the browser."""
    import ipaddress
    import webbrowser

    from proveout import serving

    if (tls[0] is None) != (tls[1] is None):
        raise BadInput("https needs both: --ssl-keyfile and --ssl-certfile")
    if root_path and not re.fullmatch(r"(/[\w.~-]+)+", root_path):
        raise BadInput(f"--root-path {root_path}: expected a path that begins with / and does not end with it, as /proveout")
    try:
        here_only = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here_only = host == "localhost"
    if not (here_only or tls[0] or proxy):
        print(
            f"WARNING: {host} can be reached from other machines, and passwords travel in the open.\n"
            "WARNING: give a certificate (--ssl-keyfile, --ssl-certfile), or listen on 127.0.0.1 behind a proxy with https.",
            file=sys.stderr,
        )

    def started(url: str) -> None:
        say(f"mission {space.name} is served at {url}{show or '/'}; ctrl-c ends it")
        if show:
            webbrowser.open(url + show)

    serving.serve(space, host, port, root_path=root_path, proxy=proxy, tls=tls, started=started)


# --- monitor, status -----------------------------------------------------------------------------------------------------


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


def monitor(space: Workspace) -> None:
    from proveout.bridge import build as run_build
    from proveout.monitoring.channels import Alarm, tell

    page = run_build(space.spec("monitor"), env=monitored(space)).products["performance"]["page"]
    report = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    if report["about_days"]:
        say(report["about_days"])
    say(f"{report['headline']}\nread it: {short(page)}")
    if report["alarm"]:
        alarm = Alarm(space.name, report["headline"], report["advice"], str(page))
        for failure in tell(alarm, report["alerts"]["channels"], space.home):
            print(f"proveout: {failure}", file=sys.stderr)


def status(space: Workspace) -> None:
    from proveout.bridge import freshness
    from proveout.cli import clock
    from proveout.control import StopSwitch
    from proveout.journal import Journal
    from proveout.journal.prose import dead_letters
    from proveout.release import Releases
    from proveout.workspace import owner

    say(f"mission {space.name} in {short(space.home)}")
    if stopped := StopSwitch(space.home / "STOP").stopped():
        say(f"EFFECTS WAIT: {stopped}; lift it with: proveout stop --lift")
    try:
        known = Releases(space.releases)
        say(f"release {known.current()[:12]} is promoted")
        _warn_of_differences(known)
    except NoRelease as error:
        say(f"release: {error}")
        homes = [path.parent for path in sorted((space.root / "work").glob("*/releases"))]
        others = [home for home in homes if home != space.home and owner(home) == space.name]
        if others:
            say(f"there is one in {', '.join(map(short, others))}; look there with: export PROVEOUT_HOME={short(others[0])}")
    for line in clock.status(space):
        say(line)
    for task, reason in freshness(space.spec("build"), env=environment(space)).items():
        say(f"  {task:10} {reason or 'up to date'}")
    if not (space.home / "journal.db").exists():
        say("journal: nothing decided yet; proveout run")
        return
    with Journal(space.home / "journal.db") as journal:
        for role, count in waiting_by_role(journal).items():
            wait = f"{counted(count, 'case')} {'waits' if count == 1 else 'wait'}"
            say(f"{wait} for somebody with the role {role}: proveout review")
        checked = journal.verify()
        say(f"journal: {checked.because}" if checked.whole else f"journal: DAMAGED, {checked.because}")
        unsettled = journal.unsettled()
        counts = Counter(intention.state.value for intention in unsettled if not intention.dead)
        if counts:
            say(f"effects: {', '.join(f'{count} {state}' for state, count in counts.items())}; which: proveout effects")
        for line in dead_letters(unsettled):
            say(line)
        for line in service_levels(space, journal):
            say(line)


def service_levels(space: Workspace, journal: Journal) -> list[str]:
    """The mission's objectives over the last days, as a table; beside it what was measured over everything."""
    from proveout import evaluation
    from proveout.monitoring import Alerts
    from proveout.monitoring.performance import surely

    mission = space.mission
    cases = evaluation.measurements(journal.decisions(), journal.answers())
    recent, always = evaluation.service(cases, mission.slo, list(mission.fields))
    if not always.cases:
        return []
    since = f", {recent.span[0]} to {recent.span[1]}" if recent.span[0] else ""
    width = max(len(one.name) for one in recent.objectives)
    lines = [f"service levels, the last {recent.days} days{since}: {counted(recent.cases, 'case')} of {always.cases}"]
    lines.append(f"  {'':{width}}{'target':>10}{'measured':>10}{'cases':>8}{'budget left':>13}{'burn':>7}{'all cases':>11}")
    for one, ever in zip(recent.objectives, always.objectives, strict=True):
        left = f"{one.left:.0%}" if isfinite(one.left) else "–"
        burn = f"{one.burn:.1f}" if isfinite(one.burn) else "–"
        verdict = one.verdict(surely(mission, Alerts()))
        lines.append(
            f"  {one.name:{width}}{one.bound:>10}{one.shown(one.measured):>10}{one.cases:>8}{left:>13}{burn:>7}"
            f"{ever.shown(ever.measured):>11}  {verdict.replace('missed', 'MISSED')}".rstrip()
        )
    return lines


def stop(space: Workspace, because: str, lift: bool) -> None:
    from proveout.control import StopSwitch

    space.claim()
    switch = StopSwitch(space.home / "STOP")
    if lift:
        switch.lift()
        say("effects may happen again; what waited is carried out by the next: proveout run")
    else:
        switch.stop(_person(), because)
        say("no effect happens until: proveout stop --lift")


def undo(space: Workspace, case: str, action: str) -> bool:
    """Take back the effects of a case, say what came of it, and return whether nothing of it stands."""
    from proveout.records import Person, Role
    from proveout.serving.worker import Worker

    receipt = Worker.at(space).approvals.undo(case, Person(_person(), Role.OPERATOR), action=action)
    for line in receipt.lines:
        say(line.replace(str(space.home), short(space.home)))
    return not any(effect.stands for effect in receipt.effects if action in ("", effect.action.name))


def effects(space: Workspace, retry: str) -> None:
    """Say how every effect stands that has no outcome, or let those that failed be tried again."""
    from proveout.control import StopSwitch
    from proveout.journal import Journal
    from proveout.journal.prose import effect

    with Journal(space.home / "journal.db") as journal:
        if retry:
            for intention in journal.retry(retry, _person()):
                say(effect(intention))
            say("the next run tries again: proveout run")
            return
        if stopped := StopSwitch(space.home / "STOP").stopped():
            say(f"HELD, all of them: {stopped}; lift it with: proveout stop --lift")
        for intention in (unsettled := journal.unsettled()):
            say(f"{effect(intention)}\n  key {intention.action.key}")
        say(f"{counted(len(unsettled), 'effect')} without an outcome")


def label(space: Workspace, labels: Path, until: date | None = None, later: Container[str] = ()) -> int:
    """Add to the journal what people say of decided cases. Nothing is said twice.

    `until`: only of cases received until that day; a case without a day is left out. `later`: ids of cases that nobody has
    looked at yet.
    """
    from proveout.corpus import read_labels
    from proveout.evaluation import verdicts
    from proveout.journal import Answer, Journal

    table = labels / "labels.csv" if labels.is_dir() else labels
    rows = read_labels(table, space.mission).rows
    with Journal(space.home / "journal.db") as journal:
        known = [
            (one, row)
            for one in journal.decisions()
            if one.case.id not in later and (row := rows.get(Path(one.case.path).stem)) and row.fields
        ]
        chosen = [(one, row) for one, row in known if until is None or (one.case.day and one.case.day <= until)]
        new = journal.answer(
            Answer(one.case.id, row.fields, _person(), right=verdicts(row.fields, one.decision, space.mission.kinds))
            for one, row in chosen
        )
    if until and (undated := sum(one.case.day is None for one, _ in known)):
        say(f"{counted(undated, 'labelled case')} without a day left out: nobody knows whether they came until {until}")
    say(f"{new} new labels for {counted(len(chosen), 'decided case')}; next: proveout monitor")
    return new


def score(space: Workspace, predictions: Path, labels: Path, split: str | None) -> None:
    from proveout import evaluation
    from proveout.corpus import read_labels

    rows = read_labels(labels / "labels.csv" if labels.is_dir() else labels, space.mission).rows
    chosen = {name: dict(row.fields) for name, row in rows.items() if split is None or row.split == split}
    if not chosen:
        raise BadInput(
            f"{labels}: no row of split {split!r}; there are: {', '.join(sorted({row.split for row in rows.values()}))}"
        )
    try:
        given = json.loads(predictions.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{predictions}: not JSON ({error}); expected what `proveout extract` writes") from error
    asked = {name: labels for name, labels in chosen.items() if name in given}
    if not asked:
        raise BadInput(f"{predictions}: none of its {len(given)} documents stands in {labels}; is it of another folder?")
    if left := len(chosen) - len(asked):
        say(f"{left} labelled documents are not in {short(predictions)} and are left out\n")
    chosen = asked
    for title, automated_only in (("all answers", False), ("automated answers", True)):
        result = evaluation.score(chosen, evaluation.answers(given, automated_only), space.mission.kinds)
        say(f"{title}: {result.documents} documents, every field right in {result.whole_document_right:.3f}")
        say(f"{'field':14}{'precision':>10}{'recall':>10}{'f1':>10}{'coverage':>10}{'labelled':>10}")
        for name, counts in [*result.fields.items(), ("micro", result.micro)]:
            rates = (counts.precision, counts.recall, counts.f1, counts.coverage)
            say(f"{name:14}" + "".join(f"{rate:10.3f}" for rate in rates) + f"{counts.labelled:10}")
        for name, counts in evaluation.of_yes(chosen, evaluation.answers(given, automated_only), space.mission.kinds).items():
            shown = f"{counts.precision:10.3f}{counts.recall:10.3f}{counts.f1:10.3f}"
            say(f"{f'{name} yes':14}{shown}{'':10}{counts.labelled:10}")
        say()


def waiting_by_role(journal: Journal) -> dict[str, int]:
    """How many cases wait for people, by the role that is asked."""
    from proveout.records import Role
    from proveout.review import waiting

    reviewers = {one.case.key for one in waiting(journal, Role.REVIEWER)}
    operators = {one.case.key for one in waiting(journal, Role.OPERATOR)} - reviewers
    return {role: len(cases) for role, cases in (("reviewer", reviewers), ("operator", operators)) if cases}


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "case"), counted(0, "case")
    ('1 case', '0 cases')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(path: Path) -> str:
    """Relative to where the person stands, when that is shorter."""
    return os.path.relpath(path) if len(os.path.relpath(path)) < len(str(path)) else str(path)
