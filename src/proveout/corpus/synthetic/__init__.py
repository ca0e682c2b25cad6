"""Synthetic documents to try everything on: a dated stream of advertising paperwork with known drift and a known bias.

Two doors: `generate` writes a stream, `document` draws one of its documents. `business` decides what happened, `layouts` how
each sender's form looks, `paper` and `letters` draw it.
Covered: the same arguments give the same bytes; every switch has its own day or None, and changes nothing before it;
the truth is written beside; what was interrupted is drawn again.
Not covered: realism beyond form. Numbers measured here say whether the machinery works, not how good it is on your documents.
"""

import csv
import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from proveout.corpus.synthetic.layouts import KEPT_BACK, LATE, family
from proveout.errors import BadInput
from proveout.files import replacing

if TYPE_CHECKING:
    from proveout.corpus.synthetic.business import Market

START = date(2026, 1, 5)
DAYS = 300  # from the first document to the last
TRAIN, CALIBRATION = 0.33, 0.40  # shares, oldest first; the rest is the live stream
REGIONAL = 0.35  # share of the segment `regional`; the others are `national`
NEW_SUPPLIERS, NEW_LAYOUTS = 0.75, 0.6  # shares after the switch of documents that show what is new
RAISED = 4  # how many times higher amounts are after their shift
HARD, WORSE = 0.04, 0.9  # shares of documents with troubles: everywhere; in the worse segment
SCANS, FAINT = 0.02, 0.12  # shares of scans: everywhere; and of faint ones in the worse segment
COPIES = 0.01  # share of papers that were sent before and come again with another print date
DRAWN_BY = 2  # raise it when the same arguments would draw other pages

Switch: TypeAlias = date | Literal["default"] | None


@dataclass(frozen=True)
class Truth:
    """What was switched on, and when: days in ISO form. None: never."""

    seed: int
    documents: int
    start: str
    days: int
    new_suppliers: str | None = None
    amount_shift: str | None = None
    worse_segment: str | None = None
    new_layouts: str | None = None
    segment: str = "regional"  # the one that is worse off
    layouts_kept_back: tuple[str, ...] = tuple(f"F{number:02}" for number in KEPT_BACK)
    suppliers_kept_back: tuple[str, ...] = ()
    drawn_by: int = DRAWN_BY


@dataclass(frozen=True)
class _Plan:
    """What is settled about a document before anybody draws it."""

    number: int  # whose paper it is: an older one's for a copy
    day: date  # received
    written: date  # for a copy, when the paper was received first
    split: str
    segment: str
    layout: int
    new_supplier: bool
    raised: int
    worse: bool
    scan: Literal["", "clean", "faint"]
    copy: bool


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
    from proveout.corpus.synthetic.business import Market

    folder, market = Path(folder), Market(seed)
    given = {
        "new_suppliers": new_suppliers,
        "amount_shift": amount_shift,
        "worse_segment": worse_segment,
        "new_layouts": new_layouts,
    }
    since = _days(given, start, days)
    truth = Truth(
        seed,
        documents,
        start.isoformat(),
        days,
        **{name: day.isoformat() if day else None for name, day in since.items()},  # type: ignore[arg-type]
        suppliers_kept_back=market.new,
    )
    truth_text = json.dumps(asdict(truth), indent=1) + "\n"
    names = [hashlib.sha256(f"proveout {seed} {number}".encode()).hexdigest()[:20] for number in range(documents)]
    if _whole(folder, truth_text, {f"{name}.pdf" for name in names}):
        return truth
    (folder / "pdf").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate(names):
        data, row = document(number, documents, seed, since, market, start, days)
        (folder / "pdf" / f"{name}.pdf").write_bytes(data)
        rows.append({"file_id": name, **row})
        if progress:
            progress()
    (folder / "truth.json").write_text(truth_text)
    with replacing(folder / "labels.csv") as part, part.open("w", newline="") as file:  # last: a folder with labels is whole
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["file_id"])
        writer.writeheader()
        writer.writerows(rows)
    return truth


def document(
    number: int,
    documents: int,
    seed: int,
    since: Mapping[str, date | None],
    market: "Market",
    start: date = START,
    days: int = DAYS,
) -> tuple[bytes, dict[str, str]]:
    """One document of a stream, the PDF and its row of labels.csv, without drawing the others.

    Another seed with the same market is another stream of the same advertisers. A document before a switch is what it is
    without that switch.
    """
    return _draw(_plan(number, documents, seed, start, days, since), seed, market)


def _days(given: Mapping[str, Switch], start: date, days: int) -> dict[str, date | None]:
    """The day of each switch; the defaults lie within the live stream.

    Raises BadInput for a day before it: a change in what calibration saw would be no drift.
    """
    live = (TRAIN + CALIBRATION) * days
    first = start + timedelta(int(live))
    for name, day in given.items():
        if isinstance(day, date) and not first <= day < start + timedelta(days):
            raise BadInput(
                f"{name}: {day} is not in the live stream; name a day from {first} on, before {start + timedelta(days)}"
            )
    shares = {"new_suppliers": 0.25, "amount_shift": 0.40, "worse_segment": 0.50, "new_layouts": 0.66}
    return {
        name: start + timedelta(int(live + shares[name] * (days - live))) if isinstance(day, str) else day
        for name, day in given.items()
    }


def _whole(folder: Path, truth: str, names: set[str]) -> bool:
    """Whether the folder holds these documents already; False for what an interruption left of them.

    Raises BadInput for anything else.
    """
    if (folder / "labels.csv").exists():
        if not (folder / "truth.json").exists() or (folder / "truth.json").read_text() != truth:
            raise BadInput(f"{folder}: holds other documents already; name a new folder, or delete this one")
        return True
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file; name a new or empty folder")
    ours = {"pdf", "truth.json", ".labels.csv.part"}
    strange = [path for path in sorted(folder.glob("*")) if path.name not in ours]
    strange += [path for path in sorted((folder / "pdf").glob("*")) if path.name not in names]
    if strange:
        raise BadInput(f"{folder}: holds other things, such as {strange[0].relative_to(folder)}; name a new or empty folder")
    return False


def _plan(number: int, documents: int, seed: int, start: date, days: int, since: Mapping[str, date | None]) -> _Plan:
    dice, at = random.Random(f"{seed} {number} plan"), number / documents
    day = start + timedelta(number * days // documents)
    if number and dice.random() < COPIES:
        older = _plan(number - dice.randint(1, min(number, 25)), documents, seed, start, days, since)
        return replace(older, day=day, split=_split(at, older.layout), copy=True)

    def on(name: str) -> bool:
        first = since[name]
        return first is not None and day >= first

    segment = "regional" if dice.random() < REGIONAL else "national"
    kept_back, newcomer, worse = dice.random() < NEW_LAYOUTS, dice.random() < NEW_SUPPLIERS, dice.random() < WORSE
    old_layout, new_layout = dice.randrange(LATE.start if at < TRAIN else LATE.stop), dice.choice(KEPT_BACK)
    paper = dice.random()
    worse_off = on("worse_segment") and segment == "regional"
    layout = new_layout if on("new_layouts") and kept_back else old_layout
    return _Plan(
        number,
        day,
        day,
        _split(at, layout),
        segment,
        layout,
        new_supplier=on("new_suppliers") and newcomer,
        raised=RAISED if on("amount_shift") else 1,
        worse=worse_off and worse,
        scan="clean" if paper < SCANS else "faint" if worse_off and paper > 1 - FAINT else "",
        copy=False,
    )


def _split(at: float, layout: int) -> str:
    if at < TRAIN + CALIBRATION:
        return "train" if at < TRAIN else "calibration"
    return "test-seen" if layout < LATE.start else "test-unseen"


def _draw(plan: _Plan, seed: int, market: "Market") -> tuple[bytes, dict[str, str]]:
    """One document and its row of labels.csv."""
    from proveout.corpus.synthetic import letters, paper, scan

    form = family(plan.layout)
    work = market.paperwork(
        random.Random(f"{seed} {plan.number} work"),
        form.document_class,
        plan.written,
        number=form.number_format,
        home=form.name,
        raised=plan.raised,
        new=plan.new_supplier,
        short=bool(plan.scan),
    )
    work = replace(work, items={**work.items, "printed": plan.day})
    dice = random.Random(f"{seed} {plan.number} paper")
    stamp = "DUPLICATE" if plan.copy else ""
    trouble = random.Random(f"{seed} {plan.number} trouble")
    count = trouble.randint(3, 4) if plan.worse else int(trouble.random() < HARD)
    troubles = frozenset(trouble.sample(paper.TROUBLES, count))
    if form.document_class == "other":
        data, answers = letters.draw_other(form, work, dice, stamp)
    else:
        data, answers = paper.draw(form, work, dice, troubles, stamp)
    if plan.scan:
        data = scan.scanned(data, dice, faint=plan.scan == "faint")
    about = {"class": form.document_class, "day": plan.day.isoformat(), "split": plan.split}
    about |= {"layout": form.name, "segment": plan.segment, "source": "synthetic", "licence": "CC0-1.0"}
    return data, answers | about
