"""Watch: the monitoring report, the status of a workspace, labels for decided cases, scores of a predictions file."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.designing import environment, monitored
from proveout.cli.erasing import erased_too
from proveout.cli.output import counted, person, say, short
from proveout.cli.proving import checked
from proveout.cli.releasing import warn_of_differences
from proveout.errors import BadInput, NoRelease, ProveoutError
from proveout.files import write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.control.restrictions import Restriction
    from proveout.journal import Journal
    from proveout.mission import SLO
    from proveout.monitoring.signing import Reports
    from proveout.records import Case


ANOTHER = ("this version of Proveout renders it otherwise than the one that wrote it",)


def monitor(space: Workspace) -> bool:
    """Write the monitoring report, put it on file, print its headline, and send an alarm to the channels of the alerts.

    Returns whether there is an alarm: a finding, or an earlier report whose signature is overdue.
    """
    from proveout.bridge import build as run_build
    from proveout.control import StopSwitch
    from proveout.control.restrictions import Restrictions
    from proveout.journal import Journal
    from proveout.monitoring import Alerts, rules
    from proveout.monitoring.channels import Alarm, notify
    from proveout.monitoring.signing import Reports
    from proveout.release import Releases

    with Journal(space.home / "journal.db") as journal:
        position = journal.position
        built = run_build(space.spec("monitor"), env=monitored(space, position)).products
        page = built["report"]["page"]
        reports, release = Reports(space.reports, journal), Releases(space.releases).current()
        filed = reports.file(page, space.design / "mission.yaml", release, position)
        overdue, erased = reports.overdue(date.today()), erased_too(journal)
        report = dict(reports.data(filed))
        switch = StopSwitch(space.home / "STOP")
        newest = sorted(reports.list(), key=lambda each: each.id != filed.id)  # the filed one first, also if filed before
        done = [str(one) for one in rules.act(newest, report, journal, Restrictions(journal, switch), space.mission)]
    if report["about_days"]:
        say(report["about_days"])
    say(f"{report['headline']}\nreport {filed.id[:12]} ({filed.state(date.today())}): {short(page)}")
    for summary in [paths["summary"] for paths in built.values() if "summary" in paths]:
        say(json.loads(summary.read_text(encoding="utf-8"))["headline"])
    if erased:
        say(f"{erased.removeprefix('; ')}, and is not in it")
    sentences = [report["headline"]] if report["alarm"] else []
    if overdue:
        sentences.append(f"The report of {overdue.day} should have been signed by {overdue.due}.")
        say(f"{sentences[-1]} To read and sign it: proveout review")
    for sentence in done:
        say(f"by the rules of the alerts, {sentence}")
    if sentences:
        alerts = Alerts.model_validate(report["alerts"])
        severity, owners = rules.urgency([*filed.findings, *([rules.OVERDUE] if overdue else [])], alerts)
        alarm = Alarm(space.name, " ".join(sentences), report["advice"], str(page), severity, owners, done)
        if severity != "critical" and rules.is_quiet(alerts.quiet, datetime.now(UTC)):
            say("quiet hours: the alarm is sent with the first report after them")
            return True
        for failure in notify(alarm, report["alerts"]["channels"], space.home):
            print(f"proveout: {failure}", file=sys.stderr)
    return bool(sentences)


@contextmanager
def _reports(space: Workspace) -> Iterator[Reports]:
    from proveout.journal import Journal
    from proveout.monitoring.signing import Reports

    with Journal(space.home / "journal.db") as journal:
        yield Reports(space.reports, journal)


def list_reports(space: Workspace) -> None:
    """Print every report on file, the newest first, with its state."""
    with _reports(space) as reports:
        filed = reports.list()
    if not filed:
        say("no report is on file; to write one: proveout monitor")
    for report in filed:
        say(f"{report.id[:12]}  {report.at[:10]}  {report.state(date.today()):28}  {report.headline}")


def show_report(space: Workspace, report: str) -> None:
    """Print the findings of a report, what people concluded, and the signatures."""
    from proveout.monitoring.signing import AGAIN, PAGE, examples

    with _reports(space) as reports:
        filed = reports.find(report)
        say(f"report {filed.id[:12]} of {filed.at[:16].replace('T', ' ')} UTC: {filed.state(date.today())}\n")
        for key, sentence in filed.findings.items():
            say(f"  {sentence}\n    {filed.conclusions.get(key, 'no conclusion yet')}")
        for sentence in filed.followed:
            say(f"  before: {sentence}")
        say("" if filed.findings else f"  {filed.headline}\n")
        if faults := reports.changed(filed):
            say(f"  do not rely on this report: {'; '.join(faults)}; {AGAIN}")
        to_read = {} if faults else examples(reports.data(filed), filed.rules.cases - filed.rules.blind)
        for case, because in to_read.items():
            say(f"  to read: case {case[:12]}: {because}")
        for case in [case for case in filed.again if case not in filed.readings]:
            say(f"  to read again, blind: case {case[:12]}")
        if filed.agreement:
            say(f"  {filed.agreement}")
        for signature in filed.signatures:
            say(
                f"signed by {signature.by}, {signature.role}, at {signature.at[:16].replace('T', ' ')} UTC: {signature.because}"
            )
        say(f"page: {short(reports.filed / filed.id / PAGE)}")


def verify_reports(space: Workspace, report: str | None, render: bool) -> bool:
    """Check that the files of reports are as they were filed; `render`: also write them again. Returns whether all is right."""
    from proveout.release import code_digest

    whole = True
    with _reports(space) as reports:
        for filed in [reports.find(report)] if report else reports.list():
            faults = reports.changed(filed)
            if render and not faults:
                reference = space.releases / filed.release / "evidence" / "reference.parquet"
                try:
                    again = reports.render_again(filed, reference)
                    faults = tuple(
                        f"{name} is another when it is rendered again{erased_too(reports.journal)}" for name in again
                    )
                    if again and filed.code != code_digest():
                        faults = ANOTHER
                except ProveoutError as error:
                    faults = (f"it cannot be rendered again: {error}",)
            unharmed = "unchanged, and the same when rendered again" if render else "unchanged"
            if faults == ANOTHER:
                faults, unharmed = (), f"unchanged; {ANOTHER[0]}"
            whole &= not faults
            say(f"{filed.id[:12]}  {filed.at[:10]}  {'; '.join(faults) or unharmed}")
    return whole


def status(space: Workspace) -> None:
    """Print the state of a workspace: release, schedule, steps, cases that wait, journal, effects, service levels."""
    from proveout.bridge import freshness
    from proveout.cli import scheduling
    from proveout.control import StopSwitch
    from proveout.journal import Journal
    from proveout.journal.prose import dead_letters
    from proveout.release import Releases
    from proveout.workspace import owner

    say(f"mission {space.name} in {short(space.home)}")
    if stopped := StopSwitch(space.home / "STOP").stopped():
        say(f"ALL EFFECTS WAIT: {stopped}; to allow them again: proveout stop --lift")
    try:
        releases = Releases(space.releases)
        say(f"release {releases.current()[:12]} is promoted")
        warn_of_differences(releases)
    except NoRelease as error:
        say(f"release: {error}")
        homes = [path.parent for path in sorted((space.root / "work").glob("*/releases"))]
        others = [home for home in homes if home != space.home and owner(home) == space.name]
        if others:
            say(f"found one in {', '.join(map(short, others))}; to use that: export PROVEOUT_HOME={short(others[0])}")
    if (space.home / "journal.db").exists():
        for restriction in _restricted(space):
            say(f"restricted: {restriction}; to lift it: proveout restrict --lift {restriction.id}")
    for line in scheduling.status(space):
        say(line)
    for task, reason in freshness(space.spec("build"), env=environment(space)).items():
        say(f"  {task:10} {reason or 'up to date'}")
    if not (space.home / "journal.db").exists():
        say("journal: no case decided yet; to decide the inbox: proveout run")
        return
    with _reports(space) as reports:
        for report in [report for report in reports.list() if not report.settled][:1]:
            say(f"report {report.id[:12]} of {report.day}: {report.state(date.today())}; on its page: proveout review")
    with Journal(space.home / "journal.db") as journal:
        for role, count in waiting_by_role(journal).items():
            say(f"{counted(count, 'case')} to answer for a person with the role {role}: proveout review")
        verification, _ = checked(space, journal)
        say(f"journal: {'' if verification.whole else 'DAMAGED, '}{verification.because}")
        unsettled = journal.unsettled()
        counts = Counter(intention.state.value for intention in unsettled if not intention.dead)
        if counts:
            say(f"effects: {', '.join(f'{count} {state}' for state, count in counts.items())}; to list them: proveout effects")
        for line in dead_letters(unsettled):
            say(line)
        for line in service_levels(space, journal):
            say(line)


def _restricted(space: Workspace) -> list[Restriction]:
    from proveout.control.restrictions import Kind, active
    from proveout.journal import LIFTED, RESTRICTED, Journal

    with Journal(space.home / "journal.db") as journal:
        return [one for one in active(journal.of_kind(RESTRICTED, LIFTED)) if one.kind is not Kind.STOP]


def service_levels(space: Workspace, journal: Journal) -> list[str]:
    """The mission's objectives as the lines of a table: measured over the last days, and over all cases."""
    from proveout import evaluation
    from proveout.monitoring import Alerts
    from proveout.monitoring.performance import significance_level
    from proveout.release import Releases

    mission, releases = space.mission, Releases(space.releases)

    def promise(release: str) -> SLO | None:
        return frozen.slo if (frozen := releases.mission(release)) else None

    cases = evaluation.measurements(journal.decisions(), journal.answers(), cache(promise))
    recent, everything = evaluation.service(cases, mission.slo, list(mission.fields))
    if not everything.cases:
        return []
    since = f", {recent.span[0]} to {recent.span[1]}" if recent.span[0] else ""
    width = max(len(objective.name) for objective in recent.objectives)
    lines = [f"service levels, the last {recent.days} days{since}: {counted(recent.cases, 'case')} of {everything.cases}"]
    lines.append(f"  {'':{width}}{'target':>10}{'measured':>10}{'cases':>8}{'budget left':>13}{'burn':>7}{'all cases':>11}")
    for objective, overall in zip(recent.objectives, everything.objectives, strict=True):
        left = f"{objective.left:.0%}" if isfinite(objective.left) else "–"
        burn = f"{objective.burn:.1f}" if isfinite(objective.burn) else "–"
        verdict = objective.verdict(significance_level(mission, Alerts()))
        lines.append(
            f"  {objective.name:{width}}{objective.bound:>10}{objective.format(objective.measured):>10}{objective.cases:>8}"
            f"{left:>13}{burn:>7}{overall.format(overall.measured):>11}  {verdict.replace('missed', 'MISSED')}".rstrip()
        )
    return lines


def waiting_by_role(journal: Journal) -> dict[str, int]:
    """Number of cases that wait for a person, by the lowest role that may answer; roles without any are left out."""
    from proveout.records import Role
    from proveout.review import waiting

    reviewers = {decided.case.key for decided in waiting(journal, Role.REVIEWER)}
    operators = {decided.case.key for decided in waiting(journal, Role.OPERATOR)} - reviewers
    return {role: len(cases) for role, cases in (("reviewer", reviewers), ("operator", operators)) if cases}


def label(space: Workspace, labels: Path, until: date | None = None, later: Container[str] = ()) -> int:
    """Add the answers of a labels.csv to the journal, and return how many are new. No answer is added twice.

    `until`: only for cases received until that day; a case without a date is left out. `later`: ids of cases to leave out.
    """
    from proveout.evaluation import verdicts
    from proveout.journal import Journal
    from proveout.records import Answer

    fields = _labels(space, labels)
    with Journal(space.home / "journal.db") as journal:
        labelled = [
            (decided, label)
            for decided in journal.decisions()
            if decided.case.id not in later and (label := fields(decided.case))
        ]
        chosen = [
            (decided, label) for decided, label in labelled if until is None or (decided.case.day and decided.case.day <= until)
        ]
        new = journal.answer(
            Answer(decided.case.id, label, person(), right=verdicts(label, decided.decision, space.mission.kinds))
            for decided, label in chosen
        )
    if until and (undated := sum(decided.case.day is None for decided, _ in labelled)):
        say(f"{counted(undated, 'labelled case')} without a date left out; --until {until} needs the date of each case")
    say(f"{new} new labels for {counted(len(chosen), 'decided case')}; next: proveout monitor")
    return new


def to_mlflow(space: Workspace, url: str) -> None:
    """Write releases and decisions to an MLflow server, those that it does not have. Raises BadInput if it refuses."""
    from proveout.cli.proving import decided_journal
    from proveout.live.mlflow_export import export as export_to
    from proveout.release import Releases

    with decided_journal(space) as journal:
        added = export_to(url, space.mission.mission, Releases(space.releases), journal)
    counts = ", ".join(f"{count} {name}" for name, count in vars(added).items())
    say(f"wrote {counts} to {url}, experiment `proveout {space.mission.mission}`")


def _labels(space: Workspace, labels: Path) -> Callable[[Case], Mapping[str, str]]:
    """From a case to its labels by field: by its file's name or, where the design of its kind says so, by its text."""
    from proveout.cases import design_of, kind_of
    from proveout.corpus import read_labels
    from proveout.documents import Originals
    from proveout.errors import UnreadableDocument

    by_text = getattr(design_of(space.design / "mission.yaml"), "labels", None)
    if by_text is None:
        rows = read_labels(_table(labels), space.mission).rows
        return lambda case: row.fields if (row := rows.get(Path(case.path).stem)) else {}
    of_text, kind, originals = by_text(labels), kind_of(space.mission), Originals(space.originals)

    def of_case(case: Case) -> Mapping[str, str]:
        (content,) = kind.read([originals.path(case.sha256)]) if case.sha256 in originals else (UnreadableDocument(""),)
        return {} if isinstance(content, UnreadableDocument) else of_text(content.text)

    return of_case


def export(space: Workspace, file: Path) -> None:
    """Write every decision with its values and labels, a row each, as Parquet or CSV. Raises BadInput for another ending."""
    import tempfile

    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from proveout.journal import Journal
    from proveout.journal.log import csv_of

    if file.suffix not in (".parquet", ".csv"):
        raise BadInput(f"{file}: expected a name that ends with .parquet or .csv")
    with tempfile.TemporaryDirectory() as folder, Journal(space.home / "journal.db") as journal:
        written, erased = journal.to_parquet(folder, space.mission), erased_too(journal)
        table = pq.read_table(written)
        if file.suffix == ".parquet":
            write_whole(file, written.read_bytes())
        else:
            cells = ([("" if cell is None else cell) for cell in row.values()] for row in table.to_pylist())
            write_whole(file, csv_of([table.column_names, *cells]))
    say(f"wrote {counted(table.num_rows, 'decision')} to {file}{erased}; the columns: docs/log.md")


def score(space: Workspace, predictions: Path, labels: Path, split: str | None) -> None:
    """Print precision, recall and F1 by field, of all answers and of the automated ones; of flags also those of "yes".

    Raises BadInput for a file that is not what `proveout extract` writes, or that shares no document with the labels.
    """
    from proveout import evaluation
    from proveout.corpus import read_labels
    from proveout.values import EQUAL

    rows = read_labels(_table(labels), space.mission).rows
    chosen = {name: dict(row.fields) for name, row in rows.items() if split is None or row.split == split}
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows.values()}))
        raise BadInput(f"{labels}: no row of split {split!r}; expected one of: {splits}")
    try:
        extracted = json.loads(predictions.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{predictions}: not JSON ({error}); expected what `proveout extract` writes") from error
    scored = {name: labels for name, labels in chosen.items() if name in extracted}
    if not scored:
        raise BadInput(f"{predictions}: none of its {len(extracted)} documents is in {labels}; is it from another folder?")
    if missing := len(chosen) - len(scored):
        say(f"{counted(missing, 'labelled document')} left out: not in {short(predictions)}\n")
    for kind in dict.fromkeys(space.mission.kinds.values()):
        say(f"right {kind}: {EQUAL[kind]}")
    say("")
    for title, automated_only in (("all answers", False), ("automated answers", True)):
        answers = evaluation.answers(extracted, automated_only)
        result = evaluation.score(scored, answers, space.mission.kinds, evaluation.by_dates(space.mission.dates))
        say(f"{title}: {result.documents} documents, every field correct in {result.whole_document_right:.3f}")
        say(f"{'field':14}{'precision':>10}{'recall':>10}{'f1':>10}{'coverage':>10}{'labelled':>10}")
        for name, counts in [*result.fields.items(), ("micro", result.micro)]:
            rates = (counts.precision, counts.recall, counts.f1, counts.coverage)
            say(f"{name:14}" + "".join(f"{rate:10.3f}" for rate in rates) + f"{counts.labelled:10}")
        for name, counts in evaluation.yes_only(scored, answers, space.mission.kinds).items():
            say(f"{f'{name} yes':14}{counts.precision:10.3f}{counts.recall:10.3f}{counts.f1:10.3f}{'':10}{counts.labelled:10}")
        say()


def _table(labels: Path) -> Path:
    return labels / "labels.csv" if labels.is_dir() else labels
