"""Synthetic documents to try everything on: a dated stream of advertising paperwork with known drift and a known bias.

One door: `generate`. `business` decides what happened, `layouts` how each sender's form looks, `paper` draws it.
Covered: the same arguments give the same bytes; every switch has its own day or None; the truth is written beside.
Not covered: realism beyond form. Numbers measured here say whether the machinery works, not how good it is on your documents.
"""

import csv
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from proveout.corpus.synthetic.business import Business, Paperwork
from proveout.corpus.synthetic.layouts import FAMILIES, KEPT_BACK, family
from proveout.errors import BadInput

START = date(2026, 1, 5)
DAYS = 300  # from the first document to the last
TRAIN, CALIBRATION = 0.33, 0.40  # shares, oldest first; the rest is the live stream
SCANS = 0.02
REGIONAL = 0.35  # share of the segment `regional`; the others are `national`
NEW_SHARE = 0.6  # of the documents after a switch that show what is new
RAISED = 4  # how many times higher amounts are after their shift
COLUMNS = ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to")

Switch: TypeAlias = date | Literal["default"] | None


@dataclass(frozen=True)
class Truth:
    """What was switched on, and when. None: never."""

    seed: int
    documents: int
    start: str
    days: int
    new_suppliers: str | None = None
    amount_shift: str | None = None
    worse_segment: str | None = None
    new_layouts: str | None = None
    segment: str = "regional"  # the one that is worse off


def generate(
    folder: Path | str,
    documents: int = 900,
    seed: int = 7,
    *,
    start: date = START,
    days: int = DAYS,
    new_suppliers: Switch = "default",
    amount_shift: Switch = "default",
    worse_segment: Switch = "default",
    new_layouts: Switch = "default",
    progress: Callable[[], None] | None = None,
) -> Truth:
    """Write `pdf/`, `labels.csv` and `truth.json` to a folder; a folder that holds them already is left as it is.

    A switch is the day from which something is true, None for never; by default each has its day within the live stream:
    new suppliers after a quarter of it, higher amounts after 40 %, the segment `regional` worse after half, layouts that
    training never saw after two thirds. Raises BadInput for a folder that holds other things.
    """
    folder = Path(folder)
    live = (TRAIN + CALIBRATION) * days
    given = {
        "new_suppliers": (new_suppliers, 0.25),
        "amount_shift": (amount_shift, 0.40),
        "worse_segment": (worse_segment, 0.50),
        "new_layouts": (new_layouts, 0.66),
    }
    default = {name: start + timedelta(int(live + share * (days - live))) for name, (_, share) in given.items()}
    switched = {name: default[name] if isinstance(day, str) else day for name, (day, _) in given.items()}
    since: dict[str, str | None] = {name: day.isoformat() if isinstance(day, date) else None for name, day in switched.items()}
    truth = Truth(
        seed,
        documents,
        start.isoformat(),
        days,
        new_suppliers=since["new_suppliers"],
        amount_shift=since["amount_shift"],
        worse_segment=since["worse_segment"],
        new_layouts=since["new_layouts"],
    )
    if (folder / "labels.csv").exists():
        if not (folder / "truth.json").exists() or json.loads((folder / "truth.json").read_text()) != asdict(truth):
            raise BadInput(f"{folder}: holds other documents already; name a new folder, or delete this one")
        return truth
    (folder / "pdf").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(documents):
        day = start + timedelta(number * days // documents)
        rows.append(_draw(folder / "pdf", number, seed, day, number / documents, switched))
        if progress:
            progress()
    (folder / "truth.json").write_text(json.dumps(asdict(truth), indent=1) + "\n")
    aside = folder / ".labels.csv.part"
    with aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    aside.replace(folder / "labels.csv")  # last: a folder with labels is whole
    return truth


def _draw(pdf: Path, number: int, seed: int, day: date, at: float, switched: dict[str, date | None]) -> dict[str, str]:
    """One document and its row of labels.csv."""
    from proveout.corpus.synthetic import paper

    dice = random.Random(f"{seed} {number}")

    def on(name: str) -> bool:
        since = switched[name]
        return since is not None and day >= since

    segment = "regional" if dice.random() < REGIONAL else "national"
    worse = on("worse_segment") and segment == "regional"
    unseen = on("new_layouts") and dice.random() < NEW_SHARE
    form = family(dice.randrange(FAMILIES - KEPT_BACK, FAMILIES) if unseen else dice.randrange(FAMILIES - KEPT_BACK))
    new_names = on("new_suppliers") and dice.random() < NEW_SHARE
    business = Business(seed, raised=RAISED if on("amount_shift") else 1, new_names=new_names)
    work: Paperwork = business.paperwork(dice, form, day)
    file_id = hashlib.sha256(f"proveout {seed} {number}".encode()).hexdigest()[:20]
    scanned = dice.random() < (0.08 if worse else SCANS)
    paper.draw(pdf / f"{file_id}.pdf", form, work, dice, worse=worse, scanned=scanned)
    split = "train" if at < TRAIN else "calibration" if at < TRAIN + CALIBRATION else "test-unseen" if unseen else "test-seen"
    known = {name: work.labels[name] for name in COLUMNS}
    about = {"class": work.document_class, "day": day.isoformat(), "split": split, "layout": form.name, "segment": segment}
    return {"file_id": file_id, **known, **about, "source": "synthetic", "licence": "CC0-1.0"}
