"""Synthetic documents for trials and tests: a dated stream of advertising paperwork with known drift and a known bias.

Entry points: `generate` writes a stream, `document` draws one of its documents. `business` decides what happened, `layouts`
how each sender's form looks, `paper` and `letters` draw it.
Covered: the same arguments give the same bytes; every switch has its own day or None, and changes nothing before that day;
the ground truth is written too; an interrupted stream is drawn again.
Not covered: realism beyond the form. Results on this data show that the machinery works, not how well it does on yours.
"""

import csv
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from proveout.corpus.synthetic.layouts import HELD_OUT, LATE, Form, form_of
from proveout.corpus.synthetic.pitfalls import BY_OCR, MOST, Sheet, draw_with, pitfall_at
from proveout.errors import BadInput
from proveout.files import is_part, replacing

if TYPE_CHECKING:
    from proveout.corpus.synthetic.business import Market, Paperwork

START = date(2026, 1, 5)
DAYS = 300  # from the first document to the last
TRAIN, CALIBRATION = 0.33, 0.40  # shares, oldest first; the rest is the live stream
REGIONAL = 0.35  # share of the segment `regional`; the others are `national`
NEW_SUPPLIERS, NEW_LAYOUTS = 0.75, 0.6  # shares of documents with a new supplier or layout after the switch
RAISED = 4  # factor on the amounts after their shift
HARD, WORSE = 0.04, 0.9  # shares of documents with troubles: in general; in the worse segment
SCANS, FAINT = 0.02, 0.12  # shares of scans in general; of faint ones in the worse segment
COPIES = 0.01  # share of papers that are sent a second time, with another print date
PITFALL_SHARE = 0.3  # of documents with a pitfall, if any is switched on
DRAWN_BY = 3  # increase it when the same arguments would draw other pages

Switch: TypeAlias = date | Literal["default"] | None


@dataclass(frozen=True)
class Truth:
    """The ground truth of a stream (truth.json): the day of each switch in ISO form; None: never."""

    seed: int
    documents: int
    start: str
    days: int
    new_suppliers: str | None = None
    amount_shift: str | None = None
    worse_segment: str | None = None
    new_layouts: str | None = None
    segment: str = "regional"  # the one that `worse_segment` affects
    layouts_kept_back: tuple[str, ...] = tuple(f"F{number:02}" for number in HELD_OUT)
    suppliers_kept_back: tuple[str, ...] = ()
    drawn_by: int = DRAWN_BY
    pitfalls: tuple[str, ...] = ()
    pitfall_share: float = 0.0

    @property
    def text(self) -> str:
        """As in truth.json."""
        items = {name: value for name, value in asdict(self).items() if self.pitfalls or not name.startswith("pitfall")}
        return json.dumps(items, indent=1) + "\n"


@dataclass(frozen=True)
class _Plan:
    """What is decided about a document before it is drawn."""

    number: int  # of the paper; for a copy, that of the original
    day: date  # received
    written: date  # for a copy, when the original was received
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
    pitfalls: Sequence[str] = (),
    pitfall_share: float = PITFALL_SHARE,
    progress: Callable[[], None] | None = None,
) -> Truth:
    """Write `pdf/`, `labels.csv` and `truth.json` to a folder; if it holds this very stream already, do nothing.

    A switch is the day from which a change applies, or None for never. By default the changes start within the live stream:
    new suppliers after a quarter of it, higher amounts after 40 %, a worse segment `regional` after half, layouts absent from
    training after two thirds. `progress` is called after every document.
    `pitfalls`: those of `pitfalls.PITFALLS` that this share of the documents has, in turn; labels.csv gets the columns
    `pitfall`, `variant`, `expected` (`read` or `person`) and `because`. The other documents stay as they are.
    Raises BadInput for a folder with other files, a switch outside the live stream, or a share above one half.
    """
    from proveout.corpus.synthetic.business import Market

    if not 0 < pitfall_share <= MOST:
        raise BadInput(f"pitfall_share: {pitfall_share:g}; expected more than 0 and at most {MOST:g}")
    folder, market = Path(folder), Market(seed)
    switches = {
        "new_suppliers": new_suppliers,
        "amount_shift": amount_shift,
        "worse_segment": worse_segment,
        "new_layouts": new_layouts,
    }
    since = _switch_days(switches, start, days)
    truth = Truth(
        seed,
        documents,
        start.isoformat(),
        days,
        **{name: day.isoformat() if day else None for name, day in since.items()},  # type: ignore[arg-type]
        suppliers_kept_back=market.new,
        pitfalls=tuple(pitfalls),
        pitfall_share=pitfall_share if pitfalls else 0.0,
    )
    names = [hashlib.sha256(f"proveout {seed} {number}".encode()).hexdigest()[:20] for number in range(documents)]
    if _is_complete(folder, truth.text, {f"{name}.pdf" for name in names}):
        return truth
    (folder / "pdf").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate(names):
        data, row = document(number, documents, seed, since, market, start, days, pitfalls, pitfall_share)
        (folder / "pdf" / f"{name}.pdf").write_bytes(data)
        rows.append({"file_id": name, **row})
        if progress:
            progress()
    (folder / "truth.json").write_text(truth.text)
    with replacing(folder / "labels.csv") as part, part.open("w", newline="") as file:  # last: it completes the folder
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
    pitfalls: Sequence[str] = (),
    pitfall_share: float = PITFALL_SHARE,
) -> tuple[bytes, dict[str, str]]:
    """Draw one document of a stream without the others: the PDF and its row of labels.csv.

    `since`: the day of each switch. Another seed with the same market gives another stream of the same
    advertisers. A switch has no effect before its day.
    """
    plan = _plan(number, documents, seed, start, days, since)
    if not pitfalls:
        return _draw(plan, seed, market)
    place = pitfall_at(number, pitfalls, pitfall_share)
    if place is None:
        data, row = _draw(plan, seed, market)
        return data, row | dict.fromkeys(("pitfall", "variant", "expected", "because"), "")
    previous = _plan(number - 1, documents, seed, start, days, since)
    scan: Literal["", "clean"] = "clean" if place[0] in BY_OCR else ""
    plan = replace(plan, number=number, written=plan.day, layout=_invoice(plan.layout), copy=False, scan=scan)
    return _draw_with(place, plan, previous, seed, market)


def _switch_days(switches: Mapping[str, Switch], start: date, days: int) -> dict[str, date | None]:
    """The day of each switch, with the defaults filled in.

    Raises BadInput for a day outside the live stream: a change that calibration saw would be no drift.
    """
    live = (TRAIN + CALIBRATION) * days
    first = start + timedelta(int(live))
    for name, day in switches.items():
        if isinstance(day, date) and not first <= day < start + timedelta(days):
            raise BadInput(
                f"{name}: {day} is not in the live stream; choose a day from {first} on, before {start + timedelta(days)}"
            )
    shares = {"new_suppliers": 0.25, "amount_shift": 0.40, "worse_segment": 0.50, "new_layouts": 0.66}
    return {
        name: start + timedelta(int(live + shares[name] * (days - live))) if isinstance(day, str) else day
        for name, day in switches.items()
    }


def _is_complete(folder: Path, truth: str, names: set[str]) -> bool:
    """Whether the folder holds this stream; False if it is empty or incomplete. Raises BadInput for any other content."""
    if (folder / "labels.csv").exists():
        if not (folder / "truth.json").exists() or (folder / "truth.json").read_text() != truth:
            raise BadInput(f"{folder}: already holds other documents; choose a new folder, or delete this one")
        return True
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file; choose a new or empty folder")
    others = [path for path in sorted(folder.glob("*")) if path.name not in ("pdf", "truth.json") and not is_part(path.name)]
    others += [path for path in sorted((folder / "pdf").glob("*")) if path.name not in names]
    if others:
        raise BadInput(f"{folder}: holds other files, such as {others[0].relative_to(folder)}; choose a new or empty folder")
    return False


def _plan(number: int, documents: int, seed: int, start: date, days: int, since: Mapping[str, date | None]) -> _Plan:
    rng, position = random.Random(f"{seed} {number} plan"), number / documents
    day = start + timedelta(number * days // documents)
    if number and rng.random() < COPIES:
        original = _plan(number - rng.randint(1, min(number, 25)), documents, seed, start, days, since)
        return replace(original, day=day, split=_split(position, original.layout, original.number), copy=True)

    def on(name: str) -> bool:
        first = since[name]
        return first is not None and day >= first

    segment = "regional" if rng.random() < REGIONAL else "national"
    held_out, new_supplier, worse = rng.random() < NEW_LAYOUTS, rng.random() < NEW_SUPPLIERS, rng.random() < WORSE
    old_layout, new_layout = rng.randrange(LATE.start if position < TRAIN else LATE.stop), rng.choice(HELD_OUT)
    quality = rng.random()
    affected = on("worse_segment") and segment == "regional"
    layout = new_layout if on("new_layouts") and held_out else old_layout
    return _Plan(
        number,
        day,
        day,
        _split(position, layout, number),
        segment,
        layout,
        new_supplier=on("new_suppliers") and new_supplier,
        raised=RAISED if on("amount_shift") else 1,
        worse=affected and worse,
        scan="clean" if quality < SCANS else "faint" if affected and quality > 1 - FAINT else "",
        copy=False,
    )


def _split(position: float, layout: int, number: int) -> str:
    """The split of a document at a position, 0..1, of the stream; of a copy by the number of its original.

    Of the live papers every other one is a test. Answers about the rest may teach the next build, which others then test.
    """
    if position < TRAIN + CALIBRATION:
        return "train" if position < TRAIN else "calibration"
    if number % 2:
        return "stream"
    return "test-seen" if layout < LATE.start else "test-unseen"


def _content(plan: _Plan, seed: int, market: "Market") -> tuple[Form, "Paperwork"]:
    form = form_of(plan.layout)
    work = market.paperwork(
        random.Random(f"{seed} {plan.number} work"),
        form.document_class,
        plan.written,
        number=form.number_format,
        sender=form.name,
        raised=plan.raised,
        new=plan.new_supplier,
        short=bool(plan.scan),
    )
    return form, replace(work, items={**work.items, "printed": plan.day})


def _draw(plan: _Plan, seed: int, market: "Market") -> tuple[bytes, dict[str, str]]:
    """The PDF of a document and its row of labels.csv."""
    from proveout.corpus.synthetic import letters, paper, scan

    form, work = _content(plan, seed, market)
    rng = random.Random(f"{seed} {plan.number} paper")
    stamp = "DUPLICATE" if plan.copy else ""
    trouble = random.Random(f"{seed} {plan.number} trouble")
    count = trouble.randint(3, 4) if plan.worse else int(trouble.random() < HARD)
    troubles = frozenset(trouble.sample(paper.TROUBLES, count))
    if form.document_class == "other":
        data, answers = letters.draw_other(form, work, rng, stamp)
    else:
        data, answers = paper.draw(form, work, rng, troubles, stamp)
    if plan.scan:
        data = scan.rasterise(data, rng, faint=plan.scan == "faint")
    return data, answers | _about(plan, form.document_class)


def _about(plan: _Plan, document_class: str) -> dict[str, str]:
    about = {"class": document_class, "day": plan.day.isoformat(), "split": plan.split, "layout": form_of(plan.layout).name}
    return about | {"segment": plan.segment, "source": "synthetic", "licence": "CC0-1.0"}


def _draw_with(
    place: tuple[str, int], plan: _Plan, previous: _Plan, seed: int, market: "Market"
) -> tuple[bytes, dict[str, str]]:
    """The PDF of an invoice with a pitfall and its row of labels.csv."""
    name, at = place
    form, work = _content(plan, seed, market)
    rng = random.Random(f"{seed} {plan.number} paper")
    another = replace(plan, number=-plan.number)  # a number that no document of the stream has
    drawn = draw_with(
        name, Sheet(form, work, rng, at, lambda: _draw(another, seed, market)[0], lambda: _draw(previous, seed, market))
    )
    about = _about(plan, drawn.document_class)
    outcome = {"pitfall": name, "variant": drawn.variant, "expected": "person" if drawn.because else "read"}
    times = {"day": about["day"], "split": about["split"]}
    return drawn.pdf, {**about, **drawn.answers, **times, **outcome, "because": drawn.because}


def _invoice(layout: int) -> int:
    """The nearest layout that is an invoice, and as late in the stream."""
    period = next(layouts for layouts in (range(LATE.start), LATE, HELD_OUT) if layout in layouts)
    return min((one for one in period if form_of(one).document_class == "invoice"), key=lambda one: abs(one - layout))
