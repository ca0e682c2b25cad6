"""What a live log says of a search beyond drift and bias. Entry point: `Traffic.of`.

Numbers per week: requests, the share without a result, and the share of answers that nobody clicked, where clicks are recorded
in `logs/clicks.csv` (columns case and product). Latency by the layer that answered. Products that no answer had, and which of
them are new since the release before.
Covered: an empty log, a log without days (one line), clicks on cases that the log does not have.
Not covered: whether a click means that a product fits. Only people's grades say that.
"""

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput
from proveout.search.case import RESULTS
from proveout.values.rankings import items_of

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

CLICKS = "clicks.csv"
NAMED = 20  # products that a summary names


@dataclass(frozen=True, slots=True)
class Week:
    """Requests of one week; shares are nan where they have no cases."""

    monday: str  # ISO 8601; "" in a log without days
    requests: int
    no_result: float  # share of the requests
    no_click: float  # share of the answers with products; nan without recorded clicks


@dataclass(frozen=True, slots=True)
class Layer:
    """The requests that one layer answered."""

    name: str
    requests: int
    median: float  # seconds
    tail: float  # seconds, the 99th percentile


@dataclass(frozen=True, slots=True)
class Traffic:
    weeks: tuple[Week, ...]
    layers: tuple[Layer, ...]  # the most used first
    products: int  # in the catalogue
    never_given: tuple[str, ...]  # ids of products that no answer had
    new_never_given: tuple[str, ...]  # of those, the ones that the release before did not have

    @classmethod
    def of(
        cls, log: "DataFrame", clicked: Collection[str] | None, catalogue: Collection[str], before: Collection[str] = ()
    ) -> "Traffic":
        """`clicked`: cases with a click; None where none are recorded. `before`: ids of the release before, if there is one."""
        import pandas as pd

        given = {id for text in log[f"{RESULTS}.value"].dropna() for id in items_of(text)}
        never = tuple(sorted(set(catalogue) - given))
        days = pd.to_datetime(log["day"])
        mondays = (days - pd.to_timedelta(days.dt.weekday, unit="D")).dt.strftime("%Y-%m-%d").fillna("")
        weeks = tuple(_week(str(monday), part, clicked) for monday, part in log.groupby(mondays))
        layers = [
            Layer(str(name), len(part), float(part["seconds"].median()), float(part["seconds"].quantile(0.99)))
            for name, part in log.groupby(f"{RESULTS}.tier")
        ]
        layers.sort(key=lambda layer: (-layer.requests, layer.name))
        earlier = set(before)
        new = tuple(id for id in never if id not in earlier) if earlier else ()
        return cls(weeks, tuple(layers), len(set(catalogue)), never, new)

    @property
    def headline(self) -> str:
        """The last week in one sentence, and what never appears."""
        if not self.weeks:
            return "No query was decided yet."
        last = self.weeks[-1]
        of_week = f" in the week of {last.monday}" if last.monday else ""
        clicks = "" if math.isnan(last.no_click) else f", {last.no_click:.0%} of the answers without a click"
        new = f", {len(self.new_never_given)} of them new" if self.new_never_given else ""
        return (
            f"{last.no_result:.0%} of {last.requests} queries without a result{of_week}{clicks}; "
            f"{len(self.never_given)} of {self.products} products were in no answer{new}."
        )

    def as_plain(self) -> Mapping[str, Any]:
        """For JSON: null where a share has no cases; products as far as a reader looks."""
        plain = asdict(self) | {"headline": self.headline, "products_never_given": len(self.never_given)}
        for week in plain["weeks"]:
            week |= {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in week.items()}
        return plain | {name: plain[name][:NAMED] for name in ("never_given", "new_never_given")}


def read_clicks(logs: Path) -> frozenset[str] | None:
    """The cases with a click; None if none are recorded. Raises BadInput for a table without the columns."""
    path = logs / CLICKS
    if not path.exists():
        return None
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if missing := {"case", "product"} - set(rows.fieldnames or ()):
            raise BadInput(f"{path}: no column {', '.join(sorted(missing))}; expected case and product")
        return frozenset(row["case"] for row in rows if row["product"])


def _week(monday: str, part: "DataFrame", clicked: Collection[str] | None) -> Week:
    answered = part[part["products"] > 0]
    no_click = math.nan if clicked is None or answered.empty else float((~answered["case"].isin(set(clicked))).mean())
    return Week(monday, len(part), float((part["products"] == 0).mean()), no_click)
