"""Watch: the monitoring report, the status of a workspace, labels for decided cases, scores."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Container
from datetime import date
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.designing import environment, monitored
from proveout.cli.output import counted, person, say, short
from proveout.cli.releasing import warn_of_differences
from proveout.errors import BadInput, NoRelease
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.journal import Journal


def monitor(space: Workspace) -> None:
    from proveout.bridge import build as run_build
    from proveout.monitoring.channels import Alarm, notify

    page = run_build(space.spec("monitor"), env=monitored(space)).products["performance"]["page"]
    report = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    if report["about_days"]:
        say(report["about_days"])
    say(f"{report['headline']}\nread it: {short(page)}")
    if report["alarm"]:
        alarm = Alarm(space.name, report["headline"], report["advice"], str(page))
        for failure in notify(alarm, report["alerts"]["channels"], space.home):
            print(f"proveout: {failure}", file=sys.stderr)


def status(space: Workspace) -> None:
    from proveout.bridge import freshness
    from proveout.cli import scheduling
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
        warn_of_differences(known)
    except NoRelease as error:
        say(f"release: {error}")
        homes = [path.parent for path in sorted((space.root / "work").glob("*/releases"))]
        others = [home for home in homes if home != space.home and owner(home) == space.name]
        if others:
            say(f"there is one in {', '.join(map(short, others))}; look there with: export PROVEOUT_HOME={short(others[0])}")
    for line in scheduling.status(space):
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
    from proveout.monitoring.performance import significance_level

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
        verdict = one.verdict(significance_level(mission, Alerts()))
        lines.append(
            f"  {one.name:{width}}{one.bound:>10}{one.shown(one.measured):>10}{one.cases:>8}{left:>13}{burn:>7}"
            f"{ever.shown(ever.measured):>11}  {verdict.replace('missed', 'MISSED')}".rstrip()
        )
    return lines


def waiting_by_role(journal: Journal) -> dict[str, int]:
    """How many cases wait for people, by the role that is asked."""
    from proveout.records import Role
    from proveout.review import waiting

    reviewers = {one.case.key for one in waiting(journal, Role.REVIEWER)}
    operators = {one.case.key for one in waiting(journal, Role.OPERATOR)} - reviewers
    return {role: len(cases) for role, cases in (("reviewer", reviewers), ("operator", operators)) if cases}


def label(space: Workspace, labels: Path, until: date | None = None, later: Container[str] = ()) -> int:
    """Add to the journal what people say of decided cases. Nothing is said twice.

    `until`: only of cases received until that day; a case without a day is left out. `later`: ids of cases that nobody has
    looked at yet.
    """
    from proveout.corpus import read_labels
    from proveout.evaluation import verdicts
    from proveout.journal import Journal
    from proveout.records import Answer

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
            Answer(one.case.id, row.fields, person(), right=verdicts(row.fields, one.decision, space.mission.kinds))
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
