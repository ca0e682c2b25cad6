"""What a build of a product search needs before its notebooks run: a mission file, and a shop with judgements."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from proveout.files import write_whole
from proveout.mission import load
from proveout.search.answers import export
from proveout.search.case import RESULTS
from proveout.search.catalogue import JUDGEMENTS, QUERIES
from proveout.search.judgements import read_judgements
from proveout.search.labelled import LabelledQueries, label_of
from proveout.search.shop import read_shop
from proveout.search.synthetic import draw
from proveout.search.synthetic_log import draw_log
from proveout.workspace import Workspace

LOG = "live"  # folder of a drawn shop with what people asked later


class QueryDesign:
    def draw(self, folder: Path) -> None:
        """A shop appears whole: one that was cut short leaves nothing under this name."""
        partial = folder.with_name(f".{folder.name}")
        partial.mkdir(parents=True, exist_ok=True)
        draw().save(partial / "products.jsonl", partial / "judgements.csv")
        draw_log().save(partial / LOG)
        partial.rename(folder)

    def hand_in(self, data: Path, space: Workspace) -> Path:
        """The queries.csv of the data, or of a drawn shop. Without one, the judged queries, which the ranker learned from."""
        inbox = space.home / "inbox"
        inbox.mkdir(exist_ok=True)
        place = data / LOG if (data / LOG / QUERIES).exists() else data
        if (place / QUERIES).exists():
            shutil.copyfile(place / QUERIES, inbox / QUERIES)
        else:
            write_whole(inbox / "judged.txt", "".join(f"{query}\n" for query in read_shop(data).judgements))
        return place

    def labels(self, path: Path) -> Callable[[str], Mapping[str, str]]:
        """Judgements for the text of a query. Raises BadLabels for a table that holds none."""
        judgements = read_judgements(next((path / name for name in JUDGEMENTS if (path / name).exists()), path))
        return lambda text: {RESULTS: label_of(judgements[text])} if text in judgements else {}

    def check(self, mission: Path, data: Path, answers: Path) -> None:
        load(mission)
        read_shop(data)

    def export(self, space: Workspace) -> tuple[int, int]:
        return export(space)

    def labelled(self, curated: Mapping[str, Path]) -> LabelledQueries:
        return LabelledQueries(curated["queries"])
