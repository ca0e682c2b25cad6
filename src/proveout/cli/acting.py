"""Act: decide new cases, show decisions, extract fields, serve, stop effects and undo them."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.output import counted, person, say, short
from proveout.errors import BadInput, NoDocuments
from proveout.files import read_object, write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.records import Decision
    from proveout.release import Release

MOST_NAMED = 20  # files that wait, and files that were refused


def run(space: Workspace, inbox: Path | None) -> dict[str, Any]:
    """Decide what is new in the inbox with the promoted release. Returns the summary of the run pipeline.

    Raises NoRelease if none is promoted, NoDocuments if there is no inbox.
    """
    from proveout.bridge import build as run_build
    from proveout.journal import Journal
    from proveout.live import erasure
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
        erasure.complete(space, journal)
        unfinished = bool(journal.pending())  # a stop or a kill left effects undone
    unfinished |= bool(read_object(env["out"] / "summary.json").get("waiting"))  # complete by now, perhaps with the same bytes
    built = run_build(space.spec("run"), env=env, force=unfinished)
    summary: dict[str, Any] = json.loads(built.products["run"]["summary"].read_text(encoding="utf-8"))
    if built.ran:
        say(in_one_line(summary))
    else:
        left_out = _left_out(summary)
        say(f"nothing new in {short(env['inbox'])}: {counted(summary['cases'], 'case')}, all decided{left_out}")
    return summary


def in_one_line(summary: Mapping[str, Any]) -> str:
    """One run in one line, followed by a line for each document that waits or was refused, and for each dead letter."""
    routes = ", ".join(f"{count} {route}" for route, count in summary["routes"].items() if count)
    effects = ", ".join(f"{count} {state}" for state, count in summary["effects"].items()) or "none"
    already = summary["cases"] - summary["decided"]
    stopped = f"; {summary['stopped']}" if summary.get("stopped") else ""
    dead = "".join(f"\n{line}" for line in summary.get("dead_letters", ()))
    return (
        f"{counted(summary['decided'], 'case')} decided by release {summary['release'][:12]} ({routes or 'nothing new'}); "
        f"{already} already decided; effects: {effects}{stopped}{_left_out(summary)}{dead}"
    )


def _left_out(summary: Mapping[str, Any]) -> str:
    """How many files wait for the next run, and the first of those that wait or were refused, each with the reason."""
    waiting, refused = summary.get("waiting", {}), summary.get("refused", {})
    lines = [f"  waits {name}: {because}" for name, because in waiting.items()][:MOST_NAMED]
    lines += [f"  refused {name}: {because}" for name, because in refused.items()][:MOST_NAMED]
    if rest := len(waiting) + len(refused) - len(lines):
        lines.append(f"  and {rest} more; the run's summary.json names them all")
    head = f"; {counted(len(waiting), 'file')} for the next run" if waiting else ""
    return head + "".join(f"\n{line}" for line in lines)


def _promoted(space: Workspace) -> tuple[Release, Agent]:
    """The promoted release, and its agent with the live memory."""
    from proveout.live import Live
    from proveout.release import Releases

    release = Releases(space.releases).promoted()
    return release, Live(release, space.home / "inbox", space.home, space.cache).agent()


def extract(space: Workspace, folder: Path, out: Path) -> None:
    """Write `answers` of every document in a folder as one JSON file, by file name without suffix."""
    from proveout.live import listed
    from proveout.progress import bar

    _, agent = _promoted(space)
    arrivals = listed(folder, agent.kind).arrivals
    predictions: dict[str, Any] = {}
    with bar("Extracting", len(arrivals)) as step:
        for first in range(0, len(arrivals), 64):
            batch = arrivals[first : first + 64]
            for arrival, decision in zip(batch, agent.batch([arrival.file.path for arrival in batch]), strict=True):
                predictions[Path(arrival.case.path).stem] = answers(decision)
                step()
    write_whole(out, json.dumps(predictions, indent=1) + "\n")
    say(f"wrote {counted(len(predictions), 'document')} to {out}; to score them: proveout score {out} LABELS.csv")


def answers(decision: Decision) -> dict[str, dict[str, Any]]:
    """A decision in the format that `proveout score` reads."""
    return {
        name: {"value": value.text, "confidence": round(value.confidence, 4), "automated": name in decision.automated}
        for name, value in decision.fields.items()
    }


def show(
    space: Workspace, document: str, again: bool, before_deciding: Callable[[Workspace], None] = lambda space: None
) -> None:
    """Print a recorded decision with its history, or what would be decided now. Records nothing and takes no action.

    `document`: a file, the name of one in the inbox, the start of a case id or, where cases are texts, a text. `again`: decide
    also a case that was decided.
    Raises BadInput for a document that is neither a file nor exactly one decided case.
    """
    from proveout.cases import kind_of
    from proveout.documents import Originals
    from proveout.journal import Journal
    from proveout.journal.prose import history, printed

    path = next((path for path in (Path(document), space.home / "inbox" / document) if path.is_file()), Path(document))
    kind = kind_of(space.mission)
    with Journal(space.home / "journal.db") as journal:
        wanted = kind.identify(path)[0] if path.is_file() else document
        turns = list(journal.decisions(case=wanted)) if wanted else []
        if not turns and (erased := [case for case in journal.erased() if wanted and case.startswith(wanted)]):
            say(f"case {erased[0][:12]}\n\n{history(journal.events(erased[0]))}")
            return
        cases = {turn.case.id for turn in turns}
        if not (cases or path.is_file()) and hasattr(kind, "case_file"):
            with tempfile.NamedTemporaryFile(suffix=".txt") as file:
                file.write(kind.case_file(document, ""))
                file.flush()
                return show(space, file.name, again, before_deciding)
        if len(cases) > 1 or not (cases or path.is_file()):
            raise BadInput(
                f"{document}: no such file here or in the inbox, and {len(cases) or 'no'} decided cases start with it; give a "
                "file or a case id"
            )
        if turns and not again:
            latest = turns[-1].in_order(space.mission.fields)
            say(f"{latest.case.path}\n\n{printed(latest.decision, latest.rulings)}\n")
            say(history(journal.events(latest.case.id)).replace(str(space.home), short(space.home)))
            return
        before_deciding(space)
        path = path if path.is_file() else Originals(space.originals).path(turns[-1].case.sha256)
        release, agent = _promoted(space)
        decision = agent.invoke(path)
        (rulings,) = release.control(space.home, journal, lambda case: path, run="show").judge([decision])
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
    """Serve until Ctrl-C. `tls`: key and certificate. `show`: the path of a page to open in the browser.

    Raises BadInput for options that do not fit, or if there is no account.
    """
    import ipaddress
    import webbrowser

    from proveout import serving

    if (tls[0] is None) != (tls[1] is None):
        raise BadInput("https needs both --ssl-keyfile and --ssl-certfile; give both or neither")
    if root_path and not re.fullmatch(r"(/[\w.~-]+)+", root_path):
        raise BadInput(f"--root-path {root_path}: expected a path that begins with / and does not end with it: /proveout")
    try:
        local_only = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local_only = host == "localhost"
    if not (local_only or tls[0] or proxy):
        print(
            f"WARNING: other machines can reach {host}, and passwords are sent unencrypted.\n"
            "WARNING: give a certificate (--ssl-keyfile, --ssl-certfile), or listen on 127.0.0.1 behind an https proxy.",
            file=sys.stderr,
        )

    def started(url: str) -> None:
        say(f"mission {space.name} is served at {url}{show or '/'}; press Ctrl-C to stop")
        if show:
            webbrowser.open(url + show)

    serving.serve(space, host, port, root_path=root_path, proxy=proxy, tls=tls, started=started)


def stop(space: Workspace, because: str, lift: bool) -> None:
    """Stop every side effect, or `lift` the stop."""
    from proveout.control import StopSwitch

    space.claim()
    switch = StopSwitch(space.home / "STOP")
    if lift:
        switch.lift()
        say("effects are allowed again; to carry out those that waited: proveout run")
    else:
        switch.stop(person(), because)
        say("all effects are stopped; to allow them again: proveout stop --lift")


def undo(space: Workspace, case: str, action: str) -> bool:
    """Undo the effects of a case, print the outcome, and return whether no effect is left. `action`: "" for all."""
    from proveout.records import Person, Role
    from proveout.serving.worker import Worker

    receipt = Worker(space).approvals.undo(case, Person(person(), Role.OPERATOR), action=action)
    for line in receipt.lines:
        say(line.replace(str(space.home), short(space.home)))
    return not any(effect.stands for effect in receipt.effects if action in ("", effect.action.name))


def effects(space: Workspace, retry: str) -> None:
    """List the effects without an outcome, or `retry` failed ones: a key, the start of a case id, or `all`."""
    from proveout.control import StopSwitch
    from proveout.journal import Journal
    from proveout.journal.prose import effect

    with Journal(space.home / "journal.db") as journal:
        if retry:
            for intention in journal.retry(retry, person()):
                say(effect(intention))
            say("the next run retries: proveout run")
            return
        if stopped := StopSwitch(space.home / "STOP").stopped():
            say(f"ALL EFFECTS WAIT: {stopped}; to allow them again: proveout stop --lift")
        for intention in (unsettled := journal.unsettled()):
            say(f"{effect(intention)}\n  key {intention.action.key}")
        say(f"{counted(len(unsettled), 'effect')} without an outcome")
