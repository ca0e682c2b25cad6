"""Draw one business paper as its sender prints it: letterhead, form, parties, table of spots, totals, footer, terms.

Entry point: `draw`. The same form, paperwork and random state give the same bytes.
Covered: several pages with a continued header; realistic difficulties for a reader, as named troubles.
Not covered: letters, statements and other papers without all the fields. `letters` draws those.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal, get_args

from proveout.corpus.synthetic import wording
from proveout.corpus.synthetic.business import Item, Line, Paperwork
from proveout.corpus.synthetic.drawing import UNBROKEN, Drawing, width_of
from proveout.corpus.synthetic.layouts import Form

Trouble = Literal["abbreviated", "unlabelled", "vague totals", "two periods", "crowded"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)

MARGIN = 40.0  # points
FOOT = 62.0  # points kept free at the bottom
BARE = ("contract_num", "advertiser", "flight", "flight_from", "flight_to", "gross_amount")  # "unlabelled" drops their labels
SHARES = {  # of the table's width
    "line": 0.5, "first": 1.15, "last": 1.15, "show": 2.3, "time": 1.6, "days": 1.0, "length": 0.65, "kind": 0.6, "spots": 0.8,
    "rate": 1.1, "amount": 1.3,
}  # fmt: skip
RIGHT = ("spots", "rate", "amount")
INKS = ((0.75, 0.2, 0.2), (0.25, 0.3, 0.7), (0.55, 0.55, 0.55))


@dataclass(frozen=True)
class Entry:
    """One labelled value of a form."""

    name: str
    label: str
    value: str


def draw(
    form: Form,
    work: Paperwork,
    rng: random.Random,
    troubles: frozenset[Trouble] = frozenset(),
    stamp: str | None = "",
    finish: Callable[[Drawing], None] | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Draw a paper with all fields: the PDF and the correct answers as printed on it.

    `stamp`: its text, "" for one at random or none, None for none; `finish` may add to the drawing.
    """
    if "crowded" in troubles:
        form = replace(form, form_style="flow", colon="", bold_labels=False)
    paper = Paper(form, work, rng, troubles)
    paper.head()
    paper.table()
    paper.totals()
    paper.end(stamp)
    if finish:
        finish(paper.drawing)
    return paper.drawing.pdf(), paper.answers()


class Paper:
    """One paper, drawn from top to bottom. `y` is the current baseline in points from the top."""

    def __init__(self, form: Form, work: Paperwork, rng: random.Random, troubles: frozenset[Trouble]) -> None:
        self.form, self.work, self.rng, self.troubles = form, work, rng, troubles
        self.drawing = Drawing(*form.page)
        self.width = form.page[0] - 2 * MARGIN
        self.y = MARGIN + 8
        self.step = form.size * 1.32
        self.bare = frozenset(rng.sample(BARE, rng.randint(2, 4))) if "unlabelled" in troubles else frozenset()
        self.remarks = self._remarks()
        self.advertiser = form.as_name(str(work.items["advertiser"]))

    def answers(self) -> dict[str, str]:
        """The correct value of every field as printed."""
        items = self.work.items
        flight = items["flight"]
        assert isinstance(flight, tuple)
        first, last = flight
        return {
            "contract_num": str(items["contract_num"]),
            "advertiser": self.advertiser,
            "gross_amount": self.form.as_text(items["gross_amount"]),
            "flight_from": self.form.as_text(first),
            "flight_to": self.form.as_text(last),
        }

    # content

    def label(self, name: str) -> str:
        """The label of an item as printed; "" if it has lost its label."""
        if name in self.bare:
            return ""
        text = self.form.labels.get(name, name)
        if "two periods" in self.troubles and name in ("flight", "period"):
            text = "Dates"
        elif "abbreviated" in self.troubles and name in wording.SHORT:
            text = wording.SHORT[name][len(text) % len(wording.SHORT[name])]
        return text + self.form.colon

    def entries(self) -> list[Entry]:
        """The form's labelled values in the sender's order."""
        order = [name for name in self.form.order if name != "contract_num" or not self.form.number_in_title]
        if "two periods" in self.troubles and "period" not in order:
            order.insert(self.rng.randrange(len(order)), "period")
        if self.form.gross_in_form:
            order.append("gross_amount")
        return [entry for name in order for entry in self.entries_for(name)]

    def entries_for(self, name: str) -> Iterable[Entry]:
        """The entries of an item: none if it is unknown, two for a flight with two labels."""
        items = self.work.items
        if name not in items:
            return
        item = items[name]
        if name == "flight" and isinstance(item, tuple) and not self.form.range_sign and "two periods" not in self.troubles:
            yield Entry("flight_from", self.label("flight_from"), self._unbroken(item[0]))
            yield Entry("flight_to", self.label("flight_to"), self._unbroken(item[1]))
            return
        value = self._unbroken(item)
        if name == "contract_num" and "/" in self.form.labels[name]:
            value = f"{value} / {items['revision']}"
        yield Entry(name, self.label(name), self.advertiser if name == "advertiser" else value)

    def _unbroken(self, item: Item) -> str:
        """The item as printed, with days and amounts that do not break across lines."""
        if isinstance(item, str):
            return item
        if isinstance(item, tuple):
            return (self.form.range_sign or " - ").join(self._unbroken(day) for day in item)
        return self.form.as_text(item).replace(" ", UNBROKEN)

    def _remarks(self) -> list[str]:
        """Sentences with numbers, dates and amounts as plausible wrong answers."""
        rng = self.rng
        texts = [rng.choice(wording.REMARKS) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        if rng.random() < 0.005:
            texts.append(wording.INSTRUCTION)
        day = self.work.items["issued"]
        assert isinstance(day, date)
        return [
            text.format(
                n=rng.randrange(10**4, 10**7),
                a=self.form.as_text(day - timedelta(rng.randint(1, 40))),
                b=self.form.as_text(day + timedelta(rng.randint(1, 40))),
                m=self.form.as_text(Decimal(rng.randrange(2000, 900_000)) / 100),
                who=f"{rng.choice(wording.FIRST_NAMES)} {rng.choice(wording.LAST_NAMES)}",
            )
            for text in texts
        ]

    # layout

    def write(self, x: float, text: str, *, bold: bool = False, size: float = 0, room: float = 0, right: bool = False) -> None:
        """Write at `y`. A text wider than `room` is set smaller, but not below 5.5 points."""
        font, points = self.form.bold if bold else self.form.font, size or self.form.size
        if room:
            points = max(min(points, points * room / max(width_of(text, font, points), 0.1)), 5.5)
        self.drawing.text(x, self.y, text, font, round(points, 2), "right" if right else "left")

    def room_for(self, height: float) -> bool:
        """Start a new page if `height` does not fit on this one. Returns whether it fitted."""
        if self.y + height < self.drawing.height - FOOT:
            return True
        self._foot()
        self.drawing.new_page()
        self.y = MARGIN + 8
        number = self.work.items["contract_num"]
        self.write(MARGIN, f"{self.label('contract_num')} {number}".strip())
        self.write(MARGIN + self.width * 0.4, self.advertiser, room=self.width * 0.4)
        self.write(MARGIN + self.width, f"{self.form.title} (continued)", right=True)
        self.y += 2 * self.step
        return False

    def head(self) -> None:
        """Draw everything above the table."""
        form, middle = self.form, self.width / 2
        entries = self.entries()
        if form.top == "stacked":
            start = self.y
            at = 0.0 if form.title_at != "left" else middle + 40
            below = self.letterhead(MARGIN + at)
            self.y = start
            self.title(MARGIN, self.width)
            self.y = max(self.y, below) + self.step
            self.parties(MARGIN, self.width)
            self.y += self.step
            self.fields(entries, MARGIN, self.width)
        elif form.top == "form first":
            self.title(MARGIN, self.width)
            self.fields(entries, MARGIN, self.width)
            self.y += self.step
            start = self.y
            below = self.letterhead(MARGIN)
            self.y = start
            self.parties(MARGIN + middle, middle)
            self.y = max(self.y, below)
        else:
            left, right = (MARGIN, MARGIN + middle + 8) if form.top == "beside" else (MARGIN + middle + 8, MARGIN)
            start = self.y
            self.y = self.letterhead(left) + self.step
            self.parties(left, middle - 12)
            below, self.y = self.y, start
            self.title(right, middle - 8)
            self.fields(entries, right, middle - 8)
            self.y = max(self.y, below)
        self.y += 1.5 * self.step
        if form.remarks_at == "top":
            self.remark()

    def title(self, x: float, width: float) -> None:
        text = self.form.title
        if self.form.number_in_title:
            text = f"{text} # {self.work.items['contract_num']}"
        size = min(self.form.size * 1.9, self.form.size * 1.9 * width / width_of(text, self.form.bold, self.form.size * 1.9))
        self.y += size * 0.5
        at = {"left": x, "centre": x + width / 2, "right": x + width}[self.form.title_at]
        self.drawing.text(at, self.y, text, self.form.bold, round(size, 2), self.form.title_at)
        self.y += size + 6

    def letterhead(self, x: float) -> float:
        """Draw the station's letterhead; returns the `y` below it."""
        form, drawing = self.form, self.drawing
        call_sign = str(self.work.items["station"])
        grey = 0.25 + len(form.labels["agency"]) % 5 / 10
        indent = 0.0
        if form.logo == "bar":
            drawing.box(x, self.y - 8, 150, 5, fill=(grey, grey, 0.6))
        elif form.logo != "none":
            drawing.box(x, self.y - 8, 44, 34, fill=(grey, 0.3, 0.55), round=form.logo == "disc")
            drawing.text(x + 22, self.y + 12, call_sign, form.bold, 11, "centre", (1.0, 1.0, 1.0))
            indent = 52.0
        y = self.y + 6
        for place, line in enumerate(self.work.station):
            drawing.text(x + indent, y, line, form.font if place else form.bold, form.size + (0 if place else 1.5))
            y += self.step
        return max(y, self.y + 34)

    def parties(self, x: float, width: float) -> None:
        """Draw the addresses of payer and payee, full of numbers that are no answers."""
        blocks = {
            "bill to": [("Billing Address:", self.work.bill_to)],
            "remit": [("Send Payment To:", self.work.station[:3]), ("Bill To", self.work.bill_to)],
            "both": [("Bill To:", self.work.bill_to), ("Remit To:", self.work.station[:3])],
            "none": [],
        }[self.form.parties]
        start, lowest, wide = self.y, self.y, width > 300
        for place, (heading, lines) in enumerate(blocks):
            at = x + (width / 2 * place if wide else 0)
            if wide:
                self.y = start
            self.write(at, heading, bold=self.form.bold_labels)
            for line in lines:
                self.y += self.step
                self.write(at + (10 if self.form.colon else 0), line, room=width / (2 if wide else 1) - 12)
            self.y += 1.6 * self.step
            lowest = max(lowest, self.y)
        self.y = lowest

    def fields(self, entries: Sequence[Entry], x: float, width: float) -> None:
        """Draw labelled values in the form's style."""
        style = self.form.form_style
        if style == "flow":
            self._flow(entries, x, width)
        elif style in ("above", "grid"):
            self._grid(entries, x, width, bordered=style == "grid")
        else:
            self._columns(entries, x, width)

    def _flow(self, entries: Sequence[Entry], x: float, width: float) -> None:
        """Labels and values one after the other, like the words of a sentence."""
        at = x
        for entry in entries:
            label = width_of(entry.label, self.form.bold, self.form.size)
            value = width_of(entry.value, self.form.font, self.form.size)
            if at > x and at + label + value + 6 > x + width:
                at, self.y = x, self.y + 1.25 * self.step
            self.write(at, entry.label, bold=self.form.bold_labels)
            self.write(at + label + (4 if label else 0), entry.value, room=max(x + width - at - label - 4, 60))
            at += label + value + 20
        self.y += 1.4 * self.step

    def _grid(self, entries: Sequence[Entry], x: float, width: float, bordered: bool) -> None:
        """Values below their labels, row by row, with or without borders."""
        columns, form = self.form.form_columns, self.form
        cell = width / columns
        for start in range(0, len(entries), columns):
            row = entries[start : start + columns]
            texts = [wrap(entry.value, cell - 8, form.font, form.size) for entry in row]
            height = self.step * (1.05 + max(len(lines) for lines in texts)) + 3
            top = self.y - form.size
            for column, (entry, lines) in enumerate(zip(row, texts, strict=True)):
                at = x + column * cell + 3
                self.y = top + form.size
                self.drawing.text(
                    at, self.y, entry.label, form.bold if form.bold_labels else form.font, max(form.size - 0.8, 6)
                )
                for line in lines:
                    self.y += self.step
                    self.write(at, line, room=cell - 6)
                if bordered:
                    self.drawing.box(at - 3, top - 1, cell, height)
            self.y = top + height + form.size
        self.y += 0.4 * self.step

    def _columns(self, entries: Sequence[Entry], x: float, width: float) -> None:
        """Values beside their labels, column by column: plain, in bordered rows, or after leader dots."""
        form, start, lowest = self.form, self.y, self.y
        per_column = -(-len(entries) // form.form_columns)
        for column in range(form.form_columns):
            part = entries[column * per_column : (column + 1) * per_column]
            cell = width / form.form_columns - 8
            left = x + column * width / form.form_columns
            indent = max((width_of(entry.label, form.bold, form.size) for entry in part), default=0) + 9
            self.y = start
            for entry in part:
                self.write(left + 2, entry.label, bold=form.bold_labels)
                if form.form_style == "leader":
                    dots = cell - width_of(entry.label, form.bold, form.size) - width_of(entry.value, form.font, form.size) - 14
                    count = int(dots / width_of(".", form.font, form.size))
                    self.write(left + width_of(entry.label, form.bold, form.size) + 7, "." * max(count, 0))
                    self.write(left + cell, entry.value, right=True, room=max(cell - indent, 40))
                    lines = 1
                else:
                    lines = self._lines(left + indent, entry.value, cell - indent)
                if form.form_style == "rows":
                    top, height = self.y - form.size - 0.5, lines * self.step + 2
                    self.drawing.box(left, top, cell, height)
                    self.drawing.line(left + indent - 5, top, left + indent - 5, top + height)
                self.y += lines * self.step + 2
            lowest = max(lowest, self.y)
        self.y = lowest

    def _lines(self, x: float, text: str, room: float) -> int:
        """Write a value over as many lines as it needs and return their number; `y` stays."""
        first, lines = self.y, wrap(text, room, self.form.font, self.form.size)
        for line in lines:
            self.write(x, line, room=room)
            self.y += self.step
        self.y = first
        return len(lines)

    def remark(self) -> None:
        for remark in self.remarks:
            for line in wrap(
                f"{self.rng.choice(('Remarks: ', 'Note: ', '', '* '))}{remark}", self.width, self.form.font, self.form.size
            ):
                self.room_for(2 * self.step)
                self.write(MARGIN, line)
                self.y += self.step
        self.y += self.step * bool(self.remarks)

    # the table

    def table(self) -> None:
        spans = self._spans()
        self._table_head(spans)
        for row, line in enumerate(self.work.lines):
            details = self._details(line)
            if not self.room_for(self.step * (1.3 + min(len(details), 3))):
                self._table_head(spans)
            self._row(spans, self._row_values(line), shaded=self.form.table_style == "shaded" and row % 2 == 1)
            for detail in details:
                if not self.room_for(self.step):
                    self._table_head(spans)
                self.drawing.text(MARGIN + 0.08 * self.width, self.y, detail, self.form.font, max(self.form.size - 1, 5.5))
                self.y += self.step
        if self.form.totals == "in table":
            gross = self.form.as_text(self.work.items["gross_amount"])
            self.room_for(2 * self.step)
            first = next(iter(spans))
            self.drawing.line(MARGIN, self.y - self.form.size - 1, MARGIN + self.width, self.y - self.form.size - 1)
            label = "Total" if "vague totals" in self.troubles else self.rng.choice(("Totals", "TOTALS:", "Total"))
            self._row(spans, {first: label, "spots": str(self.work.items["spots"]), "amount": gross}, bold=True)
        self.y += self.step

    def _spans(self) -> dict[str, tuple[float, float]]:
        """Left edge and width of each column."""
        total = sum(SHARES[name] for name in self.form.table_columns)
        spans, x = {}, MARGIN
        for name in self.form.table_columns:
            width = self.width * SHARES[name] / total
            spans[name] = (x, width)
            x += width
        return spans

    def _table_head(self, spans: dict[str, tuple[float, float]]) -> None:
        self.room_for(3 * self.step)
        if self.form.table_style in ("shaded", "grid"):
            self.drawing.box(MARGIN, self.y - self.form.size - 1.5, self.width, self.step + 2, fill=(0.85, 0.85, 0.88))
        for name, (x, width) in spans.items():
            right = name in RIGHT
            self.write(x + (width - 3 if right else 2), self.form.table_heads[name], bold=True, room=width - 4, right=right)
        self.y += 2
        if self.form.table_style != "shaded":
            self.drawing.line(MARGIN, self.y + 1, MARGIN + self.width, self.y + 1, 0.8)
        self.y += 1.2 * self.step

    def _row(
        self, spans: dict[str, tuple[float, float]], values: dict[str, str], *, shaded: bool = False, bold: bool = False
    ) -> None:
        top = self.y - self.form.size - 0.5
        if shaded:
            self.drawing.box(MARGIN, top, self.width, self.step + 1, fill=(0.95, 0.95, 0.95))
        for name, text in values.items():
            x, width = spans[name]
            right = name in RIGHT
            self.write(
                x + (width - 3 if right else 2), text, bold=bold, room=width - 4 if not bold or right else 0, right=right
            )
        if self.form.table_style == "grid" and not bold:
            for x, width in spans.values():
                self.drawing.box(x, top, width, self.step + 1, thick=0.3)
        elif self.form.table_style == "ruled":
            self.drawing.line(MARGIN, top + self.step + 0.7, MARGIN + self.width, top + self.step + 0.7, 0.25)
        self.y += self.step + 1

    def _row_values(self, line: Line) -> dict[str, str]:
        form = self.form
        values = {
            "line": str(line.number),
            "first": form.in_column(line.first),
            "last": form.in_column(line.last),
            "show": line.show,
            "time": line.time,
            "days": line.days,
            "length": line.length,
            "kind": "NM",
            "spots": str(line.spots),
            "rate": form.as_text(line.rate),
            "amount": form.as_text(line.amount),
        }
        return {name: values[name] for name in form.table_columns}

    def _details(self, line: Line) -> list[str]:
        """Texts below a line, weeks ordered or spots aired: more dates and amounts that are no answers."""
        form, days = self.form, (line.last - line.first).days
        if form.below_lines == "weeks":
            last = min(line.last, line.first + timedelta(6))
            return [
                f"Week: {form.as_text(line.first)}  {form.as_text(last)}  {line.days}  {line.spots}  {form.as_text(line.rate)}"
            ]
        if form.below_lines == "spots":
            aired = sorted(line.first + timedelta(self.rng.randint(0, days)) for _ in range(line.spots))
            minute = self.rng.randint(0, 59)
            return [
                f"{number}  {day:%a}  {form.as_text(day)}  {5 + (minute + number) % 7}:{(minute * number) % 60:02} PM  "
                f"{line.length}  AD{day:%y}{minute:02}{number:02}H  {form.as_text(line.rate)}"
                for number, day in enumerate(aired, 1)
            ]
        return []

    # the totals

    def totals(self) -> None:
        style = self.form.totals
        rows = self._total_rows()
        if style == "months":
            self._months()
            rows = [row for row in rows if row[0] in ("tax", "balance", "owed", "part")]
        elif style == "in table":
            rows = [row for row in rows if row[0] != "gross_amount"]
        if rows:
            self._stack(rows)
        self.y += self.step

    def _total_rows(self) -> list[tuple[str, str, str]]:
        """Name, label and amount of each row."""
        items = self.work.items
        rows = [(name, self.label(name), self.form.as_text(items[name])) for name in self.form.totals_rows if name in items]
        if "vague totals" in self.troubles:
            rows = [
                (name, "Total" if name in ("gross_amount", "net", "owed") else label, amount) for name, label, amount in rows
            ]
            part = sum((line.amount for line in self.work.lines[:-1]), Decimal(0))
            if part:
                rows.insert(self.rng.randrange(len(rows) + 1), ("part", "Total", self.form.as_text(part)))
        return rows

    def _stack(self, rows: Sequence[tuple[str, str, str]]) -> None:
        self.room_for(self.step * (1.3 * len(rows) + 1))
        width = 230.0
        left = MARGIN if self.form.totals == "left" else MARGIN + self.width - width
        for _, label, amount in rows:
            self.write(left + 4, label, bold=self.form.bold_labels)
            self.write(left + width - 4, amount, right=True)
            if self.form.totals == "box":
                self.drawing.box(left, self.y - self.form.size - 1.5, width, 1.3 * self.step)
            self.y += 1.3 * self.step

    def _months(self) -> None:
        """Draw gross, commission and net by month; the last row holds the totals."""
        months, as_text = self.work.months, self.form.as_text
        direct = "commission" not in self.work.items
        heads = ["Month", self.form.labels["gross_amount"].replace("Total", "").strip() or "Gross"]
        heads += [] if direct else ["Commission", "Net"]
        self.room_for(self.step * (len(months) + 4))
        left, width = MARGIN + self.width - 100 * len(heads), 100.0
        table = [heads]
        taken = Decimal(0)
        gross, net = self.work.items["gross_amount"], self.work.items["net"]
        assert isinstance(gross, Decimal) and isinstance(net, Decimal)
        for place, (month, amount) in enumerate(months.items(), 1):
            share = (amount * Decimal("0.85")).quantize(Decimal("0.01")) if place < len(months) else net - taken
            taken += share
            table.append([month, as_text(amount)] + ([] if direct else [as_text(amount - share), as_text(share)]))
        label = self.rng.choice(("Totals", "Total", "Grand Total"))
        table.append([label, as_text(gross)] + ([] if direct else [as_text(gross - net), as_text(net)]))
        for row, texts in enumerate(table):
            for column, text in enumerate(texts):
                at = left + column * width
                self.write(
                    at + (width - 4 if column else 2), text, bold=row in (0, len(table) - 1), right=bool(column), room=width - 6
                )
            self.drawing.line(left, self.y + 2.5, left + width * len(heads), self.y + 2.5, 0.3)
            self.y += 1.2 * self.step

    # the end

    def end(self, stamp: str | None) -> None:
        """Draw everything below the totals."""
        if self.form.remarks_at == "bottom":
            self.remark()
        self._foot()
        self._stamp("" if stamp is None else stamp or (self.rng.choice(wording.STAMPS) if self.rng.random() < 0.15 else ""))
        if self.form.terms:
            self.drawing.new_page()
            self.y = MARGIN + 20
            self.write(MARGIN, "TERMS AND CONDITIONS", bold=True, size=self.form.size + 1)
            self.y += 2 * self.step
            for term in wording.TERMS:
                for line in wrap(term, self.width, self.form.font, self.form.size):
                    self.write(MARGIN, line)
                    self.y += self.step
                self.y += 0.5 * self.step
            self._foot()

    def _foot(self) -> None:
        y = self.drawing.height - MARGIN
        for place, line in enumerate(self.form.footer):
            self.drawing.text(
                self.drawing.width / 2, y - 9 * (len(self.form.footer) - place), line, self.form.font, 6.5, "centre"
            )
        printed = self.form.as_text(self.work.items["printed"])
        self.drawing.text(MARGIN, y + 4, f"Printed {printed} {7 + len(printed) % 5}:12 AM", self.form.font, 6.5)
        self.drawing.text(
            self.drawing.width - MARGIN, y + 4, f"Page {len(self.drawing.pages)} of {{pages}}", self.form.font, 6.5, "right"
        )

    def _stamp(self, text: str) -> None:
        if text:
            x, y = self.rng.uniform(0.35, 0.75) * self.drawing.width, self.rng.uniform(0.75, 0.9) * self.drawing.height
            self.drawing.text(
                x, y, text, "Helvetica-Bold", 20, "left", self.rng.choice(INKS), self.rng.choice((0, 0, 8, -6, 15))
            )


def wrap(text: str, width: float, font: str, size: float) -> list[str]:
    """Break a text at spaces into lines of at most `width` points; a longer word keeps its own line.

    >>> wrap("Friends of Dana Whitlock", 60, "Helvetica", 8)
    ['Friends of Dana', 'Whitlock']
    """
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, font, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
