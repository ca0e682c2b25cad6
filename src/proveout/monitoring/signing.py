"""Reports on file: what people conclude from each finding, and who signed. Entry point: `Reports`.

A report's id is the SHA-256 of its findings (report.json), and the journal holds the digest of each of its files. People
conclude on every finding, then sign: the signature covers the files and the conclusions as the person saw them, and closes
them. Every report covers the whole log, so a signature also settles the unsigned reports before it.
Whoever signs has first read cases again, blind, that another person answered: `FiledReport.unread`.
Covered: two people at one report, as many signatures as the alerts ask for, a file that changed or is lost, overdue reports,
and rendering a report again from the journal, to the same bytes.
Not covered: who a person is (`identity`), and acting on a conclusion: the server stops effects or rolls back.
"""

import hashlib
import itertools
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from proveout import mission as missions
from proveout.corpus.folds import by_chance
from proveout.documents import sha256_of
from proveout.errors import BadInput, Busy, Changed
from proveout.files import replacing
from proveout.journal import (
    APPROVAL,
    BATCH,
    CONCLUSION,
    ERASURE,
    LIFTED,
    PROMOTION,
    REPORT,
    RESTRICTED,
    SECOND_READING,
    SIGNATURE,
    TRIAL,
    Event,
    Journal,
)
from proveout.journal.codec import canonical
from proveout.monitoring.alerts import Alerts, SigningAlerts
from proveout.monitoring.wording import capital, finding_text, listed
from proveout.records import Person
from proveout.release import code_digest

PAGE, FINDINGS, MISSION = "report.html", "report.json", "mission.yaml"  # the files of a report
OBJECTIVE = ("name", "measured", "missed", "verdict", "shown")  # of a row of the report's objectives
AGAIN = "to get it as it was, or a newer one: proveout monitor"
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
    TIGHTENED = "threshold tightened"
    REVIEW_ONLY = "review only"
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
class Reading:
    """A blind second reading of a case because of a report."""

    by: str
    agreeing: int  # values, and the class, that are as the first reader's
    values: int
    others: tuple[str, ...]  # the names of those that are not


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
    code: str = ""  # digest of the code that wrote it
    followed: tuple[str, ...] = ()  # what became of the findings of the report before it, a sentence each
    covered_by: str = ""  # id of the signed report after it that settles it
    again: Mapping[str, str] = field(default_factory=dict)  # answered cases to read again, blind, each with who answered it
    readings: Mapping[str, Reading] = field(default_factory=dict)  # of those cases, until it was signed

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files, the conclusions and what became of earlier findings; a signature names it."""
        conclusions = {key: [each.what.value, each.note, each.by, each.at] for key, each in self.conclusions.items()}
        content = {"files": dict(self.files), "conclusions": conclusions}
        content |= {"followed": [*self.followed]} if self.followed else {}
        content |= {"readings": self.read_again} if self.readings else {}
        return hashlib.sha256(canonical(content).encode()).hexdigest()

    @property
    def read_again(self) -> dict[str, list[Any]]:
        """The blind second readings as plain data: by case who read it, how many values agree, and of how many."""
        return {case: [one.by, one.agreeing, one.values] for case, one in sorted(self.readings.items())}

    @property
    def agreement(self) -> str:
        """How often the readers agree, in a sentence; "" without a blind second reading."""
        if not self.readings:
            return ""
        agreeing = sum(one.agreeing for one in self.readings.values())
        values = sum(one.values for one in self.readings.values())
        cases = f"{len(self.readings)} case{'s' * (len(self.readings) > 1)} read again, blind"
        return f"{cases}: {agreeing} of {values} values agree with the first reader's"

    def unread(self, person: str) -> tuple[str, ...]:
        """The cases that this person still has to read again, blind, before signing."""
        if self.signatures:
            return ()
        others = [case for case, by in self.again.items() if by != person and case not in self.readings]
        return tuple(others[: max(0, self.rules.blind - len(self.readings))])

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

        A file of it that was changed or lost meanwhile is restored, if it is written the same again.
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
        for filed in [each for each in self.list() if each.id == id]:
            for name, source in {PAGE: page, FINDINGS: produced, MISSION: mission}.items():
                if self._fault(filed, name) and sha256_of(source) == filed.files[name]:
                    with replacing(folder / name) as part:
                        shutil.copyfile(source, part)
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
            "code": code_digest(),
        }
        before = next((report for report in self.list() if report.id != id and report.conclusions), None)
        payload["followed"] = followed(self.journal, before, payload["findings"]) if before else []
        if payload["findings"]:
            rules = SigningAlerts.model_validate(payload["rules"])
            payload["again"] = answered_cases(self.journal, rules.blind)
        self.journal.append([Event("", REPORT, payload, key=id)])
        return self.find(id)

    def list(self) -> list[FiledReport]:
        """All reports, the newest first. Each call reads only what is new in the journal."""
        with self._lock:
            for event in self.journal.of_kind(REPORT, CONCLUSION, ERASURE, SECOND_READING, SIGNATURE, after=self._position):
                self._reports |= {report.id: report for report in self._after(event)}
                self._position = event.position
            newest_first = [*reversed(self._reports.values())]
        covered_by = ""
        for place, report in enumerate(newest_first):
            if report.signed:
                covered_by = report.id
            elif covered_by:
                newest_first[place] = replace(report, covered_by=covered_by)
        return newest_first

    def _after(self, event: Event) -> Sequence[FiledReport]:
        """The reports that an event is about, as they are after it."""
        payload = event.payload
        if event.kind == REPORT:
            return [_filed(event)]
        if event.kind == ERASURE:
            about = [report for report in self._reports.values() if event.case in report.again]
            return [replace(each, again=_without(each.again, event), readings=_without(each.readings, event)) for each in about]
        if event.kind == SECOND_READING:
            waiting = [report for report in self._reports.values() if event.case in report.again and not report.signatures]
            return [replace(report, readings={**report.readings, event.case: _reading(payload)}) for report in waiting]
        report = self._reports[payload["report"]]
        if event.kind == CONCLUSION:
            concluded = Concluded(Conclusion(payload["what"]), payload["note"], payload["by"], payload["role"], event.at)
            return [replace(report, conclusions={**report.conclusions, **dict.fromkeys(payload["findings"], concluded)})]
        signature = Signature(payload["by"], payload["role"], payload["because"], event.at)
        return [replace(report, signatures=(*report.signatures, signature))]

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

    def data(self, report: FiledReport) -> Mapping[str, Any]:
        """The findings of a report as data; see `page.as_json`. Raises BadInput if the file is not what was filed."""
        if fault := self._fault(report, FINDINGS):
            raise BadInput(f"report {report.id[:12]}: {fault}; {AGAIN}")
        data: Mapping[str, Any] = json.loads((self.filed / report.id / FINDINGS).read_text(encoding="utf-8"))
        return data

    def changed(self, report: FiledReport) -> tuple[str, ...]:
        """The files of a report that are not what was filed, each with what is wrong."""
        return tuple(fault for name in report.files if (fault := self._fault(report, name)))

    def _fault(self, report: FiledReport, name: str) -> str:
        path = self.filed / report.id / name
        if not path.is_file():
            return f"{name} is missing"
        return "" if sha256_of(path) == report.files[name] else f"{name} was changed after it was filed"

    def render_again(self, report: FiledReport, reference: Path) -> tuple[str, ...]:
        """Write a report anew from the journal, and name the files that differ. `reference`: the decisions it compares with."""
        from proveout import monitoring

        folder = self.filed / report.id
        about, mission = json.loads((folder / FINDINGS).read_text(encoding="utf-8")), missions.load(folder / MISSION)
        with tempfile.TemporaryDirectory() as scratch:
            again = Path(scratch)
            self.journal.to_parquet(again / "logs", mission, until=report.position)
            log = monitoring.read(again / "logs")
            alerts, frozen = Alerts.model_validate(about["alerts"]), monitoring.frozen_missions(reference, log)
            findings = monitoring.compare(monitoring.read(reference), log, mission, alerts, frozen)
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
            if faults := self.changed(filed):
                raise BadInput(f"this report cannot be concluded on: {'; '.join(faults)}; {AGAIN}")
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
                raise Changed(
                    "the conclusions or readings changed after you opened this report; nothing was signed, read them again"
                )
            if faults := self.changed(filed):
                raise BadInput(f"this report cannot be signed: {'; '.join(faults)}; {AGAIN}")
            if filed.open_findings:
                raise BadInput(f"{len(filed.open_findings)} of {len(filed.findings)} findings have no conclusion yet")
            if unread := filed.unread(person.name):
                which = listed([case[:12] for case in unread])
                raise BadInput(f"read {len(unread)} more case{'s' * (len(unread) > 1)} again first, blind: {which}")
            if not because:
                raise BadInput("a signature needs a reason: say what you read and why you agree")
            payload = {"report": filed.id, "files": dict(filed.files), "digest": digest, "because": because[:LONGEST]}
            payload["readings"] = filed.read_again
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
                self.journal.append_unless((CONCLUSION, SECOND_READING, SIGNATURE), position, [new])
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
        event.key,
        event.at,
        **plain,
        code=payload.get("code", ""),
        objectives=objectives,
        findings=findings,
        rules=rules,
        conclusions={},
        signatures=(),
        followed=tuple(payload.get("followed", ())),
        again=payload.get("again", {}),
    )


def _without(cases: Mapping[str, Any], event: Event) -> dict[str, Any]:
    return {case: each for case, each in cases.items() if case != event.case}


def _reading(payload: Mapping[str, Any]) -> Reading:
    agrees = payload["agrees"]
    others = tuple(name for name, same in agrees.items() if not same)
    return Reading(payload["by"], len(agrees) - len(others), len(agrees), others)


def examples(report: Mapping[str, Any], most: int) -> dict[str, str]:
    """Cases that the findings of a report (report.json) are about, each with what it shows; of each finding one in turn."""
    findings = [row["examples"] for part in ("worse_off", "slices", "drifted") for row in report[part]]
    in_turn = filter(None, itertools.chain.from_iterable(itertools.zip_longest(*findings)))
    cases: dict[str, str] = {}
    for example in in_turn:
        cases.setdefault(example["case"], "; ".join(example["because"]))
    return dict(itertools.islice(cases.items(), most))


def answered_cases(journal: Journal, most: int) -> dict[str, str]:
    """Cases that a person answered and nobody has read again, by chance, each with who did: so many of each of two people.

    So there are enough of them for a second reader who answered cases, too.
    """
    answered: dict[str, str] = {}
    for event in journal.of_kind(APPROVAL, SECOND_READING, ERASURE):
        if event.kind == APPROVAL:
            answered[event.case] = event.payload["by"]
        else:
            answered.pop(event.case, None)
    chosen: dict[str, str] = {}
    for case in sorted(answered, key=by_chance):
        people = [*dict.fromkeys(chosen.values())]
        by = answered[case]
        if list(chosen.values()).count(by) < most and (by in people or len(people) < 2):
            chosen[case] = by
    return chosen


def followed(journal: Journal, before: FiledReport, findings: Sequence[Mapping[str, str]]) -> list[str]:
    """What became of the findings of a report that people concluded on, a sentence each, by the journal as it is.

    `findings`: of the report that follows.
    """
    restrictions, batches, lifted, answers = [], [], {}, journal.answers()
    trial: Event | None = None
    promotion: Event | None = None
    for event in journal.of_kind(RESTRICTED, LIFTED, BATCH, TRIAL, PROMOTION, after=before.position):
        if event.kind == RESTRICTED and event.payload["report"] == before.id:
            restrictions.append(event)
        elif event.kind == BATCH and event.payload["report"] == before.id:
            batches.append(event)
        elif event.kind == LIFTED:
            lifted[event.key] = event
        elif event.kind == TRIAL:
            trial = event
        elif event.kind == PROMOTION:
            promotion = event
    now, sentences = {finding["key"] for finding in findings}, []
    for key, concluded in before.conclusions.items():
        became = []
        for event in batches:
            if key in event.payload["findings"]:
                cases = [*event.payload["teach"], *event.payload["judge"]]
                became.append(f"{sum(case in answers for case in cases)} of {len(cases)} cases of its batch are labelled")
        for event in restrictions:
            if key == event.payload["finding"]:
                end = lifted.get(event.key)
                became.append(f"lifted by {end.payload['by']} on {end.at[:10]}" if end else "still in force")
        if concluded.what in (Conclusion.TO_LABEL, Conclusion.TO_REBUILD):
            if promotion:
                became.append(f"release {promotion.payload['release'][:12]} was promoted on {promotion.at[:10]}")
            if trial:
                became.append(f"trial of release {trial.payload['release'][:12]}: {trial.payload['sentence'].rstrip('.')}")
            if not (promotion or trial):
                became.append("no other release was tried or promoted since")
        again = "It holds in this report, too." if key in now else "This report no longer finds it."
        sentences.append(f"{capital(finding_text(key))}: {'; '.join([str(concluded), *became])}. {again}")
    sentences += [f"{capital(finding_text(key))}: nobody concluded on it." for key in before.open_findings]
    sentences += [f"{before.agreement}."] if before.agreement else []
    return sentences


def _by(person: Person) -> dict[str, str]:
    return {"by": person.name, "role": person.role.value}
