"""Plan labelling: what is automated now, how many labels more a field needs, and which documents to label."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from proveout.calibration import Calibrations
from proveout.calibration.plan import Outlook, outlook
from proveout.calibration.thresholds import enough_held_out, fewest_values
from proveout.cli.output import counted, say, short
from proveout.corpus import Dataset
from proveout.corpus.folds import by_chance
from proveout.errors import BadInput
from proveout.files import replacing
from proveout.mission import SLO, exact_percent
from proveout.progress import bar
from proveout.records import Route
from proveout.workspace import Workspace


def plan(space: Workspace, precision: float | None, confidence: float | None, minutes: float, to_label: Path | None) -> None:
    """Print the outlook of every field. Raises BadInput without a build, or for an existing `to_label`."""
    promised = space.mission.slo
    slo = promised.model_copy(
        update={"precision": precision or promised.precision, "confidence": confidence or promised.confidence}
    )
    calibration = space.build / "calibrate" / "calibration.json"
    if not calibration.exists():
        raise BadInput(f"{space.name} has no calibration yet (expected {short(calibration)}); build it first: proveout build")
    if to_label and to_label.exists():
        raise BadInput(f"{to_label} exists; name another file, so that no labels are lost")
    calibrations = Calibrations.load(calibration)
    outlooks = _outlooks(space, calibrations, slo)
    say(f"For {slo.precision_text} precision of automated values at {slo.confidence_text} confidence, for each field:")
    say(f"  {'field':16} {'labelled':>8}  {'automated now':>13}  more labels needed (80 % interval)")
    for each in outlooks:
        now = f"{each.coverage:.0%}" if each.more == 0 else "no"
        say(f"  {each.field:16} {each.labels:8}  {now:>13}  {each.needs}")
    fewest = fewest_values(slo.precision, slo.confidence)
    if stuck := [each.field for each in outlooks if each.more != 0 and each.labels >= fewest]:
        say(f"{', '.join(stuck)}: {fewest} values without an error suffice; errors with high scores stand in the way.")
        say("  First read those, because some may be wrong labels: proveout audit")
        if "ranker" in space.mission.tiers:
            say("  A second reader may catch others: in mission.yaml, `tiers: [layout_encoder, person]`; then proveout build")
    first = next(iter(calibrations.by_tier.values()), None)
    say(_untouched(space, first.precision if first else promised.precision))
    if first and first.precision != slo.precision:
        say(_under_another_promise(space, calibrations, slo, first.precision))
    if first and (whole := first.promising(slo).whole_documents()):
        level = f"{slo.precision_text} of documents with every required field right, at {slo.confidence_text}"
        share = f"could be promised for {whole.coverage:.0%}" if whole.coverage else "cannot be promised with these labels"
        say(f"Whole documents: {level}, {share}.")
    more = max((each.more for each in outlooks if each.more), default=0)
    if more:
        say(
            f"The next field needs {min(each.more for each in outlooks if each.more):,} more labelled documents, all of these "
            f"{more:,}: {counted(round(more * minutes / 60) or 1, 'hour')} at {minutes:g} min each."
        )
    if to_label:
        _write(space, to_label, more)


def _outlooks(space: Workspace, calibrations: Calibrations, slo: SLO) -> list[Outlook]:
    """For each field, the outlook of the tier that is nearest to automating it."""
    result = []
    with bar("Simulating", len(space.mission.fields)) as step:
        for field in space.mission.fields:
            tiers = [(tier.evidence.get(field, ()), tier.slo_of(field, slo)) for tier in calibrations.by_tier.values()]
            each = [outlook(field, *tier) for tier in tiers] or [outlook(field, (), slo)]
            result.append(min(each, key=lambda one: (one.more is None, one.more or 0, -one.coverage)))
            step()
    return result


def _untouched(space: Workspace, precision: float) -> str:
    """The promise in documents: the share of the reference, built for this precision, that no person would touch."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    reference = space.build / "agent" / "reference.parquet"
    if not reference.exists():
        return "How many documents no person would touch is known after the step `agent`: proveout build"
    routes = Counter(parquet.read_table(reference, columns=["route"])["route"].to_pylist())
    share = routes[Route.ACT.value] / max(1, routes.total())
    return (
        f"As built, at {exact_percent(precision)}: no person would touch {share:.0%} of {counted(routes.total(), 'document')} "
        "of the calibration split; the others wait for a field or for a check."
    )


def _under_another_promise(space: Workspace, calibrations: Calibrations, slo: SLO, built: float) -> str:
    """What another promise means for whole documents, as far as the evidence of the build tells."""
    dataset = Dataset.load(space.build / "curate" / "dataset")
    promises = slo.model_copy(update={"precision": built}), slo
    now, then = (len(dataset.evidence_ids(dataset.folds(enough_held_out(promise)))) for promise in promises)
    if then > now:
        return (
            f"A build for {slo.precision_text} would cross-fit: its evidence are {then:,} labelled documents, those to learn "
            f"from included, and no longer the {now:,} that this table counts. So build before you label more."
        )
    certified = calibrations.promising(slo).certified
    lacking = [name for name in space.mission.fields if name in space.mission.required and not certified(name)]
    if lacking:
        return f"At {slo.precision_text} a person would touch them all: {', '.join(lacking)} cannot be certified yet."
    return f"At {slo.precision_text} every required field can be certified; how many documents pass is known after a build."


def _write(space: Workspace, path: Path, count: int) -> None:
    """A labels.csv to fill in: unlabelled documents in an order by chance, because a chosen sample would bias the evidence."""
    dataset = Dataset.load(space.build / "curate" / "dataset")
    open_entries = [entry for entry in dataset.chosen() if not entry.labels and not entry.refused]
    drawn = sorted(open_entries, key=lambda entry: by_chance(entry.case.id))[: count or None]
    if len(drawn) < count:
        say(f"The data hold {counted(len(drawn), 'unlabelled document')}; collect {count - len(drawn):,} more.")
    if not drawn:
        say(f"The data hold no unlabelled document, so {short(path)} is not written.")
        return
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_id", *space.mission.fields, "split"])
        rows.writerows([Path(entry.case.path).stem, *[""] * len(space.mission.fields), "calibration"] for entry in drawn)
    say(f"{counted(len(drawn), 'unlabelled document')} to label, drawn at random, in {short(path)}; fill in the fields.")
