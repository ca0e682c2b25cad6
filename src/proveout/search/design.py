"""What a build of a product search needs before its notebooks run: a mission file, and a shop with judgements."""

from collections.abc import Mapping
from pathlib import Path

from proveout.mission import load
from proveout.search.answers import export
from proveout.search.labelled import LabelledQueries
from proveout.search.shop import read_shop
from proveout.search.synthetic import draw
from proveout.workspace import Workspace


class QueryDesign:
    def draw(self, folder: Path) -> None:
        """A shop appears whole: one that was cut short leaves nothing under this name."""
        partial = folder.with_name(f".{folder.name}")
        partial.mkdir(parents=True, exist_ok=True)
        draw().save(partial / "products.jsonl", partial / "judgements.csv")
        partial.rename(folder)

    def check(self, mission: Path, data: Path, answers: Path) -> None:
        load(mission)
        read_shop(data)

    def export(self, space: Workspace) -> tuple[int, int]:
        return export(space)

    def labelled(self, curated: Mapping[str, Path]) -> LabelledQueries:
        return LabelledQueries(curated["queries"])
