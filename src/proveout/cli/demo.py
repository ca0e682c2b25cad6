"""The main job once through, with what a person wants to know at the end.

Everything here is what the single commands do, in their order, over a folder of its own; only the inbox is made up:
the live stream is what the data set keeps from training and calibration, handed in without its labels.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from proveout.cli import acting, designing, output, releasing, watching
from proveout.cli.output import say
from proveout.documents.originals import link
from proveout.live import INBOX_CSV
from proveout.workspace import Workspace

UNANSWERED = timedelta(days=10)  # at the end of the stream nobody has said yet what was right: those cases wait for review
UNANSWERED_SHARE = 0.1  # of a stream without days


def demo(mission: str, data: Path | None, documents: int, seed: int, home: Path | None) -> None:
    from proveout.release import Releases

    began = time.perf_counter()
    folder = home or Path("work") / (f"demo-{data.resolve().name}" if data else "demo")
    space = Workspace.find(mission, folder)
    space.claim()
    if data is None:
        data = space.home / "synthetic"
        with _step(f"1/6  Documents: a dated stream of {documents} synthetic ones, with known drift and a known bias"):
            _synthesize(data, documents, seed)
    else:
        say(f"1/6  Documents: {data}")
    with _step("2/6  Build: notebooks into a release"):
        built = designing.build(space, data, None, False, True)
    with _step("3/6  Promote"):
        if built.ran or not any(one.promoted for one in Releases(space.releases).list()):
            releasing.promote(space, "latest", yes=True)
        else:
            say("  no new release: what was promoted stays, or what was rolled back to")
    with _step("4/6  Run: the release decides the live stream, in its order"):
        inbox, later = _hand_in(space)
        acting.run(space, inbox)
    with _step("5/6  Labels arrive late, and the log is compared with the reference"):
        watching.label(space, data, later=later)
        watching.monitor(space)
    say("6/6  Summary")
    say()
    say(summary(space))
    say(f"\n{time.perf_counter() - began:.0f} seconds in all. Once more, and nothing is built or decided twice: proveout demo")


@contextmanager
def _step(title: str) -> Iterator[None]:
    say(title)
    yield
    say()


def _synthesize(folder: Path, documents: int, seed: int) -> None:
    from proveout.corpus import synthetic
    from proveout.progress import bar

    if (folder / "labels.csv").exists():
        say("  there already")
        return
    with bar("Drawing documents", documents) as step:
        synthetic.generate(folder, documents=documents, seed=seed, progress=step)


def _hand_in(space: Workspace) -> tuple[Path, frozenset[str]]:
    """Link the stream's files into the inbox, with the day and the segment of each.

    Gives it, and the cases at the end of the stream, of which nobody says yet what is right.
    """
    from proveout.corpus import Dataset

    dataset = Dataset.load(space.build / "curate" / "dataset")
    inbox = space.home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    rows, stream = [], dataset.chosen("stream")
    for entry in stream:
        source = dataset.path_of(entry.case.id)
        link(source, inbox / source.name)
        rows.append((source.name, entry.case.day or "", entry.case.segment))
    with (inbox / INBOX_CSV).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "day", "segment"), *rows])
    days = [entry.case.day for entry in stream if entry.case.day]
    if days:
        last = max(days) - UNANSWERED
        return inbox, frozenset(entry.case.id for entry in stream if entry.case.day and entry.case.day > last)
    say(f"  no case has a day: they are decided in the order of their ids, and the last {UNANSWERED_SHARE:.0%} stay unanswered")
    ids = sorted(entry.case.id for entry in stream)
    return inbox, frozenset(ids[round(len(ids) * (1 - UNANSWERED_SHARE)) :])


def summary(space: Workspace) -> str:
    """What came of it, in the order in which a person asks."""
    import pandas as pd  # type: ignore[import-untyped]

    log = pd.read_parquet(space.logs / "decisions.parquet")
    report = json.loads((space.reports / "report.json").read_text(encoding="utf-8"))
    acted = (log["route"] == "act").mean()
    lines = [
        f"documents            {len(log)} decided, {(log['route'] == 'refuse').sum()} refused as unreadable",
        f"no person touches    {acted:.0%} of them",
    ]
    lines += _precision(log, space)
    lines += ["", "what drifted, and since when"]
    lines += [f"  {one['sentence']}" for one in report["drifted"][:5]] or ["  nothing"]
    lines += ["", "who is worse off"]
    lines += _listed_disparities(report["worse_off"])
    lines += ["", "what waits for you", f"  {_waiting(space)}"]
    lines += ["", "where to read on"]
    lines += [f"  {name:18} {output.short(path)}" for name, path in _places(space)]
    return "\n".join(lines)


def _precision(log: Any, space: Workspace) -> list[str]:
    """Field by field, what was automated and how good it was, beside what was promised, as far as labels have arrived."""
    from proveout.release import Releases

    slo = space.mission.slo
    calibrations = Releases(space.releases).promoted().calibrations
    lines = ["", f"automated values, promised {slo.precision:.0%} right at {slo.confidence:.0%} confidence"]
    for name in space.mission.fields:
        known = log[log[f"{name}.right"].notna()]
        right = known[f"{name}.right"].astype(bool)
        automated = right[known[f"{name}.automated"]]
        if not calibrations.certified(name):
            said = f"none: {calibrations.because(name).split(';')[0]}"
        elif automated.empty:
            said = "none yet" if not log[f"{name}.automated"].any() else "no label yet"
        else:
            said = f"{log[f'{name}.automated'].mean():4.0%} of all, {automated.mean():.1%} of {len(automated)} right"
            said += ", BELOW THE PROMISE: see what drifted" if automated.mean() < slo.precision else ""
        lines.append(f"  {name:14} {said}" + (f"  (all answers: {right.mean():.1%} right)" if len(right) else ""))
    return lines


def _listed_disparities(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"  {one['segment']}{_lately(one)}: {one['measure']}"
        f" {one['value']:.0%}, {one['other']:.0%} elsewhere"
        + (f"; its rate changed at {_moment(one['since'])}" if one["since"] else "")
        for one in found[:5]
    ] or ["  no segment, at the stated confidence"]


def _moment(moment: str | int) -> str:
    """A day as the report has it, or the number of a case."""
    return moment if isinstance(moment, str) else f"case {moment}"


def _lately(one: dict[str, Any]) -> str:
    return f", from {_moment(one['lately'])} on" if one["lately"] else ""


def _waiting(space: Workspace) -> str:
    from proveout.journal import Journal
    from proveout.review import waiting

    with Journal(space.home / "journal.db") as journal:
        asked = len(waiting(journal))
    home = f"export PROVEOUT_HOME={output.short(space.home)}"
    opened = f"{home}; proveout user add YOU --role operator; proveout review"
    return f"{output.counted(asked, 'case')} to answer: {opened}" if asked else "nothing"


def _places(space: Workspace) -> list[tuple[str, Path]]:
    return [
        ("drift and bias", space.reports / "report.html"),
        ("the notebooks' records", space.build),
        ("the journal", space.home / "journal.db"),
        ("effects", space.home / "effects"),
    ]
