"""Reports on file: what people conclude from each finding, and who signed. Entry point: `Reports`.

A report's id is the SHA-256 of its findings (report.json), and the journal holds the digest of each of its files. People
conclude on every finding, then sign: the signature covers the files and the conclusions as the person saw them, and closes
them. Every report covers the whole log, so a signature also settles the unsigned reports before it.
Covered: two people at one report, as many signatures as the alerts ask for, a file that changed or is lost, overdue reports,
and rendering a report again from the journal, to the same bytes.
Not covered: who a person is (`identity`), and acting on a conclusion: the server stops effects or rolls back.
"""

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from proveout import mission as missions
from proveout.documents import sha256_of
from proveout.errors import BadInput, Busy, Changed
from proveout.journal import CONCLUSION, REPORT, SIGNATURE, Event, Journal
from proveout.journal.codec import canonical
from proveout.monitoring.alerts import Alerts, SigningAlerts
from proveout.records import Person

PAGE, FINDINGS, MISSION = "report.html", "report.json", "mission.yaml"  # the files of a report
OBJECTIVE = ("name", "measured", "missed", "verdict", "shown")  # of a row of the report's objectives
TRIES = 20  # to write, while other people write about reports
LONGEST = 2_000  # characters of a note or a reason


class Conclusion(StrEnum):
    """What a person makes of a finding."""

    ACKNOWLEDGED = "acknowledged"
    KNOWN_CAUSE = "known cause"
    SEASONAL = "seasonal"
    FALSE_ALARM = "false alarm"
    ASSIGNED = "assigned"
    TO_LABEL = "more labels needed"
    TO_REBUILD = "rebuild needed"
    STOPPED = "effects stopped"
    ROLLED_BACK = "release rolled back"


@dataclass(frozen=True)
class Concluded:
    """A conclusion on a finding."""

    what: Conclusion
    note: str
    by: str
    role: str
    at: str  # ISO 8601, UTC

    def __str__(self) -> str:
        return f"{self.what}{f': {self.note}' if self.note else ''} ({self.by}, {self.at[:10]})"


@dataclass(frozen=True)
class Signature:
    by: str
    role: str
    because: str
    at: str  # ISO 8601, UTC


@dataclass(frozen=True)
class FiledReport:
    """A report with all that people said of it."""

    id: str
    at: str  # when it was filed; ISO 8601, UTC
    position: int  # of the journal when its log was written
    release: str  # whose reference it compares with
    headline: str
    cases: int
    objectives: Mapping[str, Mapping[str, Any]]  # over the last days, each with the parts of `OBJECTIVE`
    files: Mapping[str, str]  # name to SHA-256
    findings: Mapping[str, str]  # key to sentence
    rules: SigningAlerts
    conclusions: Mapping[str, Concluded]  # by key of the finding, the last one
    signatures: tuple[Signature, ...]
    covered_by: str = ""  # id of the signed report after it that settles it

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files and the conclusions; a signature names it."""
        conclusions = {key: [each.what.value, each.note, each.by, each.at] for key, each in self.conclusions.items()}
        return hashlib.sha256(canonical({"files": dict(self.files), "conclusions": conclusions}).encode()).hexdigest()

    @property
    def day(self) -> date:
        return date.fromisoformat(self.at[:10])

    @property
    def signed(self) -> bool:
        """Whether it has all the signatures it needs."""
        return len(self.signatures) >= self.rules.signatures

    @property
    def settled(self) -> bool:
        """Whether nobody has to sign it: it is signed, a later one is, or it found nothing."""
        return self.signed or bool(self.covered_by) or not self.findings

    @property
    def due(self) -> date:
        """The last day on which it is signed in time."""
        return self.day + timedelta(self.rules.within_days)

    @cached_property
    def open_findings(self) -> tuple[str, ...]:
        """The keys of the findings without a conclusion."""
        return tuple(key for key in self.findings if key not in self.conclusions)

    def overdue(self, today: date) -> bool:
        return not self.settled and today > self.due

    def state(self, today: date) -> str:
        """One phrase for people.

        >>> empty = FiledReport("ab", "2026-11-02T06:00:00", 0, "", "", 0, {}, {}, {}, SigningAlerts(), {}, ())
        >>> empty.state(date(2026, 11, 30)), replace(empty, findings={"drift pages": ""}).state(date(2026, 11, 30))
        ('nothing to sign', 'overdue since 2026-11-10')
        """
        if self.signed:
            return f"signed by {' and '.join(signature.by for signature in self.signatures)}"
        if self.covered_by:
            return f"settled by report {self.covered_by[:12]}"
        if not self.findings:
            return "nothing to sign"
        if self.overdue(today):
            return f"overdue since {self.due + timedelta(1)}"
        missing = self.rules.signatures - len(self.signatures)
        return (
            f"to sign by {self.due}" if not self.signatures else f"{missing} more signature{'s' * (missing > 1)} by {self.due}"
        )

    def fault(self, findings: Sequence[str], what: Conclusion, note: str) -> str:
        """Why this cannot be concluded on these findings; "" if it can."""
        if not findings or (unknown := [key for key in findings if key not in self.findings]):
            return f"this report has no finding `{unknown[0]}`" if findings else "no finding is ticked; tick at least one"
        if self.signatures:
            return f"{self.signatures[0].by} has signed these conclusions, so they can no longer change"
        if not note.strip() and what is not Conclusion.ACKNOWLEDGED:
            return f"“{what}” needs a note that says {'to whom' if what is Conclusion.ASSIGNED else 'why'}"
        return ""

    def refusal(self, person: Person) -> str:
        """Why this person may not conclude or sign; "" if they may."""
        if self.signed:
            return "this report is signed, so nothing about it can change"
        if not person.role.includes(self.rules.role):
            return f"a report is signed by a person with the role {self.rules.role}; {person.name} has the role {person.role}"
        if any(signature.by == person.name for signature in self.signatures):
            return f"{person.name} has signed it already; the next signature is another person's"
        return ""


class Reports:
    """The reports of a workspace. Safe for several threads and processes."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        """`folder`: of the workspace's reports; those on file lie in `filed`, each in a folder with its id."""
        self.filed, self.journal = folder / "filed", journal
        self._lock, self._position = threading.Lock(), 0
        self._reports: dict[str, FiledReport] = {}  # in the order in which they were filed

    def file(self, page: Path, mission: Path, release: str, position: int) -> FiledReport:
        """Put a report on file, with the mission it judged by; equal findings are the same report, filed once.

        `position`: of the journal when its log was written. `release`: whose reference it compares with.
        """
        produced = page.with_name(FINDINGS)
        id = sha256_of(produced)
        folder, part = self.filed / id, self.filed / f".{id}.part"
        if not folder.exists():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, source in {PAGE: page, FINDINGS: produced, MISSION: mission}.items():
                shutil.copyfile(source, part / name)
            part.rename(folder)
        about = json.loads(produced.read_text(encoding="utf-8"))
        rows = about["objectives"]["recent"]["rows"]
        payload = {
            "files": {name: sha256_of(folder / name) for name in (PAGE, FINDINGS, MISSION)},
            "headline": about["headline"],
            "cases": about["log"]["cases"],
            "objectives": [{part: row[part] for part in OBJECTIVE} for row in rows if row["measured"] is not None],
            "findings": about["findings"],
            "rules": about["alerts"]["signing"],
            "position": position,
            "release": release,
        }
        self.journal.append([Event("", REPORT, payload, key=id)])
        return self.find(id)

    def list(self) -> list[FiledReport]:
        """All reports, the newest first. Each call reads only what is new in the journal."""
        with self._lock:
            for event in self.journal.of_kind(REPORT, CONCLUSION, SIGNATURE, after=self._position):
                report = self._after(event)
                self._reports[report.id] = report
                self._position = event.position
            newest_first = [*reversed(self._reports.values())]
        covered_by = ""
        for place, report in enumerate(newest_first):
            if report.signed:
                covered_by = report.id
            elif covered_by:
                newest_first[place] = replace(report, covered_by=covered_by)
        return newest_first

    def _after(self, event: Event) -> FiledReport:
        """The report that an event is about, as it is after it."""
        payload = event.payload
        if event.kind == REPORT:
            return _filed(event)
        report = self._reports[payload["report"]]
        if event.kind == CONCLUSION:
            concluded = Concluded(Conclusion(payload["what"]), payload["note"], payload["by"], payload["role"], event.at)
            return replace(report, conclusions={**report.conclusions, **dict.fromkeys(payload["findings"], concluded)})
        signature = Signature(payload["by"], payload["role"], payload["because"], event.at)
        return replace(report, signatures=(*report.signatures, signature))

    def find(self, report: str) -> FiledReport:
        """The report whose id starts so; `latest` for the newest. Raises BadInput unless exactly one does."""
        reports = self.list()
        matching = reports[:1] if report == "latest" else [each for each in reports if report and each.id.startswith(report)]
        if len(matching) != 1:
            what = f"{len(matching) or 'no'} reports have" if reports else "no report is on file, so none has"
            raise BadInput(
                f"{what} an id that starts with {report[:64]!r}; list them: proveout report list, write one: proveout monitor"
            )
        return matching[0]

    def changed(self, report: FiledReport) -> tuple[str, ...]:
        """The files of a report that are not what was filed, each with what is wrong."""
        faults = []
        for name, digest in report.files.items():
            path = self.filed / report.id / name
            if not path.is_file():
                faults.append(f"{name} is missing")
            elif sha256_of(path) != digest:
                faults.append(f"{name} was changed after it was filed")
        return tuple(faults)

    def render_again(self, report: FiledReport, reference: Path) -> tuple[str, ...]:
        """Write a report anew from the journal, and name the files that differ. `reference`: the decisions it compares with."""
        from proveout import monitoring

        folder = self.filed / report.id
        about, mission = json.loads((folder / FINDINGS).read_text(encoding="utf-8")), missions.load(folder / MISSION)
        with tempfile.TemporaryDirectory() as scratch:
            again = Path(scratch)
            self.journal.to_parquet(again / "logs", mission, until=report.position)
            log = monitoring.read(again / "logs")
            findings = monitoring.compare(monitoring.read(reference), log, mission, Alerts.model_validate(about["alerts"]))
            monitoring.write_page(findings, again / PAGE, again / FINDINGS, about["reports"])
            return tuple(name for name in (PAGE, FINDINGS) if sha256_of(again / name) != report.files[name])

    def overdue(self, today: date) -> FiledReport | None:
        """The report that has waited longest for its signature, if one is overdue."""
        return next((report for report in reversed(self.list()) if report.overdue(today)), None)

    def conclude(self, report: str, findings: Sequence[str], what: Conclusion, note: str, person: Person) -> FiledReport:
        """Conclude the same on these findings; a later conclusion replaces an earlier one.

        Raises BadInput for an unknown finding, without a note where one is needed, and for a person who may not.
        """
        note = note.strip()

        def conclusion(filed: FiledReport) -> Event:
            if fault := filed.fault(findings, what, note):
                raise BadInput(fault)
            payload = {"report": filed.id, "findings": [*findings], "what": what.value, "note": note[:LONGEST]}
            return Event("", CONCLUSION, payload | _by(person))

        return self._write(report, person, conclusion)

    def sign(self, report: str, person: Person, digest: str, because: str) -> FiledReport:
        """Sign a report. `digest`: of the report as the person saw it.

        Raises Changed if it is another by now; BadInput without a reason, while a finding has no conclusion, if a file was
        changed, and for a person who may not.
        """
        because = because.strip()

        def signature(filed: FiledReport) -> Event:
            if digest != filed.digest:
                raise Changed("the conclusions changed after you opened this report; nothing was signed, read them again")
            if faults := self.changed(filed):
                raise BadInput(f"this report cannot be signed: {'; '.join(faults)}")
            if filed.open_findings:
                raise BadInput(f"{len(filed.open_findings)} of {len(filed.findings)} findings have no conclusion yet")
            if not because:
                raise BadInput("a signature needs a reason: say what you read and why you agree")
            payload = {"report": filed.id, "files": dict(filed.files), "digest": digest, "because": because[:LONGEST]}
            return Event("", SIGNATURE, payload | _by(person), key=f"{filed.id} {person.name}")

        return self._write(report, person, signature)

    def _write(self, report: str, person: Person, event: Callable[[FiledReport], Event]) -> FiledReport:
        """Write the event that follows from the report as it is, unless somebody wrote about a report meanwhile: then again."""
        for _ in range(TRIES):
            position, filed = self.journal.position, self.find(report)
            if refusal := filed.refusal(person):
                raise BadInput(refusal)
            new = event(filed)
            try:
                self.journal.append_unless((CONCLUSION, SIGNATURE), position, [new])
            except Changed:
                continue
            return self.find(filed.id)
        raise Busy("other people wrote about reports each time; nothing was saved, try again")


def _filed(event: Event) -> FiledReport:
    payload = event.payload
    rules = SigningAlerts.model_validate(payload["rules"])
    findings = {finding["key"]: finding["sentence"] for finding in payload["findings"]}
    plain = {name: payload[name] for name in ("position", "release", "headline", "cases", "files")}
    objectives = {row["name"]: row for row in payload["objectives"]}
    return FiledReport(
        event.key, event.at, **plain, objectives=objectives, findings=findings, rules=rules, conclusions={}, signatures=()
    )


def _by(person: Person) -> dict[str, str]:
    return {"by": person.name, "role": person.role.value}
