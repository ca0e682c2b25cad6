"""Act: decide new cases, show and extract, serve, stop and take back effects."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.output import counted, person, say, short
from proveout.errors import BadInput, NoDocuments
from proveout.files import write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.records import Decision
    from proveout.release import Release


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
    write_whole(out, json.dumps(predictions, indent=1) + "\n")
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


def stop(space: Workspace, because: str, lift: bool) -> None:
    from proveout.control import StopSwitch

    space.claim()
    switch = StopSwitch(space.home / "STOP")
    if lift:
        switch.lift()
        say("effects may happen again; what waited is carried out by the next: proveout run")
    else:
        switch.stop(person(), because)
        say("no effect happens until: proveout stop --lift")


def undo(space: Workspace, case: str, action: str) -> bool:
    """Take back the effects of a case, say what came of it, and return whether nothing of it stands."""
    from proveout.records import Person, Role
    from proveout.serving.worker import Worker

    receipt = Worker.at(space).approvals.undo(case, Person(person(), Role.OPERATOR), action=action)
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
            for intention in journal.retry(retry, person()):
                say(effect(intention))
            say("the next run tries again: proveout run")
            return
        if stopped := StopSwitch(space.home / "STOP").stopped():
            say(f"HELD, all of them: {stopped}; lift it with: proveout stop --lift")
        for intention in (unsettled := journal.unsettled()):
            say(f"{effect(intention)}\n  key {intention.action.key}")
        say(f"{counted(len(unsettled), 'effect')} without an outcome")
