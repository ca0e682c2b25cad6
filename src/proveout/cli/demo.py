"""Run everything once and summarize the result.

The demo does what the single commands do, in their order, in a workspace of its own. Only the inbox is special: its live cases
are the documents that the data set keeps out of training and calibration, handed in without their labels.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from proveout.cases import design_of
from proveout.cli import acting, designing, output, releasing, watching
from proveout.cli.output import say
from proveout.documents.originals import link
from proveout.errors import BadInput
from proveout.live import INBOX_CSV
from proveout.workspace import Workspace

UNANSWERED = timedelta(days=10)  # cases in the last days of the stream have no labels yet and wait for review
UNANSWERED_SHARE = 0.1  # the same for a stream without dates


def demo(mission: str, data: Path | None, documents: int, seed: int, home: Path | None, language_model: bool = False) -> None:
    """Run the six steps. Without `data`, generate that many synthetic documents.

    With `language_model`, the packaged one then reads some of the cases that wait for a person.
    """
    from proveout.release import Releases

    began = time.perf_counter()
    own = [*([] if mission == "invoices" else [mission]), *([data.resolve().name] if data else [])]
    os.umask(0o077)
    space = Workspace.find(mission, home or Path("work") / "-".join(["demo", *own]))
    _ = space.mission  # one that decides no cases is refused before anything is written
    space.claim()
    hand_in = getattr(design_of(space.design / "mission.yaml"), "hand_in", None)
    if hand_in and language_model:
        raise BadInput(f"a language model reads documents; {mission} has none: leave out --language-model")
    if data is None and hand_in:
        data = space.home / "synthetic"
        with _step("1/6  Data: drawn, with known drift and a known bias"):
            if not data.exists():
                design_of(space.design / "mission.yaml").draw(data)
    elif data is None:
        data = space.home / "synthetic"
        with _step(f"1/6  Documents: {documents} synthetic invoices with known drift and a known bias"):
            _synthesize(data, documents, seed)
    else:
        say(f"1/6  Documents: {data}")
    with _step("2/6  Build: run the notebooks and freeze a release"):
        built = designing.build(space, data, None, False, True)
    with _step("3/6  Promote: let the release decide"):
        if built.ran or not any(release.promoted for release in Releases(space.releases).list()):
            releasing.promote(space, "latest", yes=True)
        else:
            say("  no new release; the current one stays promoted")
    with _step("4/6  Run: decide the live cases, oldest first"):
        labels, (inbox, later) = (hand_in(data, space), (None, frozenset())) if hand_in else (data, _hand_in(space))
        acting.run(space, inbox)
    with _step("5/6  Monitor: add late labels and compare the live cases with the reference"):
        watching.label(space, labels, _last_day(space) if hand_in else None, later)
        watching.monitor(space)
    say(f"6/6  Summary\n\n{summary(space)}\n")
    if language_model:
        from proveout.cli import second_reader

        with _step(f"Language model: {second_reader.CASES} of the cases that wait, read by SmolLM2 on this machine"):
            second_reader.read_waiting(space)
    say(f"Finished in {time.perf_counter() - began:.0f} seconds. A second `proveout demo` skips what is already done.")


def _last_day(space: Workspace) -> date | None:
    """The last day of the log whose cases have labels by now; None in a log without days."""
    from proveout.journal.log import read_log

    days = read_log(space.logs / "decisions.parquet").to_pandas()["day"].dropna()
    return days.max() - UNANSWERED if len(days) and days.nunique() > 1 else None


@contextmanager
def _step(title: str) -> Iterator[None]:
    say(title)
    yield
    say()


def _synthesize(folder: Path, documents: int, seed: int) -> None:
    from proveout.corpus import synthetic
    from proveout.progress import bar

    if (folder / "labels.csv").exists():
        say("  already generated")
        return
    with bar("Generating documents", documents) as step:
        synthetic.generate(folder, documents=documents, seed=seed, progress=step)


def _hand_in(space: Workspace) -> tuple[Path, frozenset[str]]:
    """Link the stream's files into the inbox, and list the day and segment of each.

    Returns the inbox, and the ids of the cases at the end of the stream, which get no labels yet.
    """
    from proveout.corpus import Dataset

    dataset = Dataset.load(space.build / "curate" / "dataset")
    inbox = space.home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    rows, stream = [], dataset.chosen("stream", "test")
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
    say(f"  no case has a date: deciding in the order of case ids; the last {UNANSWERED_SHARE:.0%} get no labels")
    ids = sorted(entry.case.id for entry in stream)
    return inbox, frozenset(ids[round(len(ids) * (1 - UNANSWERED_SHARE)) :])


def summary(space: Workspace) -> str:
    """The result of a demo as text: automation, precision, drift, segments, open reviews, where to find more."""
    from proveout.journal.log import read_log
    from proveout.live import label_export

    log = read_log(space.logs / "decisions.parquet").to_pandas()
    report = json.loads((space.reports / "report.json").read_text(encoding="utf-8"))
    lines = [
        f"Cases                  {len(log)} decided, {(log['route'] == 'refuse').sum()} of them refused"
        + ("" if space.mission.refuse else " as unreadable"),
        f"Handled automatically  {(log['route'] == 'act').mean():.0%} of cases",
    ]
    lines += _precision(log, space)
    lines += ["", "Drift"]
    lines += [f"  {drift['sentence']}" for drift in report["drifted"][:5]] or ["  none detected"]
    lines += ["", "Segments treated worse"]
    lines += [f"  {_disparity(finding)}" for finding in report["worse_off"][:5]] or ["  none at the stated confidence"]
    lines += [f"  {one['sentence']}" for one in report["slices"]]
    lines += ["", "Waiting for your review", f"  {_waiting(space)}"]
    joining, _ = label_export.write(space)
    if joining:
        then = "proveout build, then proveout release trial, which compares the two releases on the changed cases"
        lines += ["", "Learn from the answers", f"  {joining} of them teach the next release: {then}"]
    lines += ["", "Read more"]
    lines += [f"  {name:18} {output.short(path)}" for name, path in _places(space)]
    return "\n".join(lines)


def _precision(log: Any, space: Workspace) -> list[str]:
    """For each field, how much was automated and how much of that is correct, as far as labels have arrived."""
    from proveout.release import Releases

    slo = space.mission.slo
    calibrations = Releases(space.releases).promoted().calibrations
    lines = [
        "",
        f"Automated values by field (target: {slo.precision_text} correct at {slo.confidence_text} confidence)",
    ]
    for name in space.mission.fields:
        labelled = log[log[f"{name}.right"].notna()]
        right = labelled[f"{name}.right"].astype(bool)
        automated = right[labelled[f"{name}.automated"]]
        if not calibrations.certified(name):
            result = f"none: {calibrations.because(name).split(';')[0]}"
        elif automated.empty:
            result = "nothing automated yet" if not log[f"{name}.automated"].any() else "automated, but not labelled yet"
        else:
            share, below = automated.mean(), automated.mean() < slo.precision
            digits = 2 if below and round(share, 3) >= slo.precision else 1  # 97.99 %, below 98 %, is not 98.0 %
            result = f"{log[f'{name}.automated'].mean():4.0%} automated, {share:.{digits}%} of {len(automated)} correct"
            result += ", BELOW TARGET (see Drift)" if below else ""
        lines.append(f"  {name:14} {result}" + (f"  (of all answers {right.mean():.1%} correct)" if len(right) else ""))
    return lines


def _disparity(finding: dict[str, Any]) -> str:
    lately = f", from {_moment(finding['lately'])} on" if finding["lately"] else ""
    changed = f"; the rate changed at {_moment(finding['since'])}" if finding["since"] else ""
    rates = f"{finding['value']:.0%}, {finding['other']:.0%} elsewhere"
    return f"{finding['segment']}{lately}: {finding['measure']} {rates}{changed}"


def _moment(moment: str | int) -> str:
    """A date, or the number of a case in a stream without dates."""
    return moment if isinstance(moment, str) else f"case {moment}"


def _waiting(space: Workspace) -> str:
    from proveout.journal import Journal
    from proveout.review import waiting

    with Journal(space.home / "journal.db") as journal:
        cases = len(waiting(journal))
    home = f"export PROVEOUT_HOME={output.short(space.home)}"
    commands = f"{home}; proveout user add YOU --role operator; proveout review"
    return f"{output.counted(cases, 'case')}. To answer: {commands}" if cases else "nothing"


def _places(space: Workspace) -> list[tuple[str, Path]]:
    return [
        ("drift and bias", space.reports / "report.html"),
        ("notebook records", space.build),
        ("journal", space.home / "journal.db"),
        ("effects", space.home / "effects"),
    ]
