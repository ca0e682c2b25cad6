"""What to do about the findings: one sentence each, the most urgent first."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from proveout.cases import kind_of
from proveout.mission import Mission
from proveout.monitoring.findings import Drift, FieldPerformance, Findings
from proveout.monitoring.wording import column_text, day_text, listed, percent_beside, promised


def advice(findings: Findings, mission: Mission) -> Findings:
    """The findings with advice added."""
    return replace(findings, advice=tuple(dict.fromkeys(_sentences(findings, _inputs(mission)))))


def _inputs(mission: Mission) -> set[str]:
    """The columns of a log that depend on the sender, not on the agent."""
    return {*kind_of(mission).descriptors, "document_class", "segment"}


def _sentences(findings: Findings, inputs: Collection[str]) -> Iterator[str]:
    for row in findings.broken:
        roll_back = "Roll back (proveout release rollback) or send the field to review."
        yield f"Stop automating {row.field}: {under_target(row)}. {roll_back}"
    for row in findings.doubtful:
        yield f"Watch {row.field}: {under_target(row)}. It may be chance, over all fields and a year of reports."
    for segment in dict.fromkeys(disparity.segment for disparity in findings.worse_off):
        yield f"Read the {segment} cases below and find what they share; send {segment} to review until you know."
    for one in findings.slices:
        yield f"Read the cases below and find out why they fare worse: {one.name}."
    for release in dict.fromkeys(drift.release for drift in findings.drifted if drift.release):
        columns = listed([column_text(drift.what) for drift in findings.drifted if drift.release == release])
        yield (
            f"First compare release {release[:12]} with the one before it (proveout what-if --release): it began to decide "
            f"when this changed: {columns}."
        )
    if not findings.before_the_log:
        yield (
            "First check whether the reference is comparable: it overlaps the log in time, so a difference may come from which "
            "cases are in which, not from a change."
        )
    yield from _of_drift(findings.drifted, inputs)
    if not any(window.tested for window in findings.windows):
        yield f"Wait: no window has {findings.alerts.window.at_least} cases yet, so drift was not tested."
    elif not (findings.broken or findings.worse_off or findings.slices or findings.drifted):
        yield "No action needed: no alarm, at the stated false-alarm rates."


def under_target(row: FieldPerformance) -> str:
    """How many of the automated values of a field are right, of those with a label, beside the target that this misses."""
    share, target = percent_beside(row.precision, row.target), promised(row.target)
    return f"{row.right} of {row.labelled} labelled automated values are right ({share}), under the {target} target"


def _of_drift(drifted: tuple[Drift, ...], inputs: Collection[str]) -> Iterator[str]:
    """One sentence per action, naming every drift that calls for it."""
    new = [drift for drift in drifted if drift.what.endswith((".known", ".pattern"))]
    for drift in new:
        cases = drift.condition if drift.after > drift.before else f"cases with a new kind of {drift.what.rpartition('.')[0]}"
        yield f"Answer the {cases} ({drift.when}) on the review page, build and promote: the next release learns from them."
    others = [drift for drift in drifted if drift.what in inputs]
    if others:
        when = listed(list(dict.fromkeys(drift.when for drift in others)))
        yield f"The input changed {when}: read the cases below, then decide whether the mission covers them."
    unsure = [d for d in drifted if d.what.endswith((".confidence", ".answer")) or d.what in ("class_confidence", "route")]
    if unsure:
        fields = dict.fromkeys(drift.what.rpartition(".")[0] or "class" for drift in unsure)
        day = min(drift.since for drift in unsure)
        yield (
            f"Confidence changed ({listed(list(fields))}): add labelled cases from {day_text(day)} on to the calibration rows "
            "of labels.csv, then build, so that confidence is calibrated on such cases."
        )
    covered = {id(drift) for drift in (*new, *others, *unsure)}
    for drift in drifted:
        if id(drift) not in covered:
            more = "More" if drift.after > drift.before else "Fewer"
            yield f"{more} {drift.condition} {drift.when}: check limits and budget."
