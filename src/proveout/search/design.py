"""What a build of a product search needs before its notebooks run: a mission file, and a shop with judgements."""

from pathlib import Path
from typing import Literal

from proveout.mission import Common, read
from proveout.search.shop import read_shop
from proveout.search.synthetic import draw


class SearchMission(Common):
    """A mission whose cases are queries. `slo.precision` is that of each route, `slo.lowest_confidence` that of any result."""

    case: Literal["query"]


class QueryDesign:
    def draw(self, folder: Path) -> None:
        """A shop appears whole: one that was cut short leaves nothing under this name."""
        partial = folder.with_name(f".{folder.name}")
        partial.mkdir(parents=True, exist_ok=True)
        draw().save(partial / "products.jsonl", partial / "judgements.csv")
        partial.rename(folder)

    def check(self, mission: Path, data: Path, answers: Path) -> None:
        read(mission, SearchMission)
        read_shop(data)
