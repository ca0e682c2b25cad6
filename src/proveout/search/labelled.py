"""The judged queries of a shop as labelled cases, each with its file. Entry points: `save`, `LabelledQueries`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.records import Case
from proveout.search.case import RESULTS, case_file, case_of
from proveout.search.shop import LIVE, Shop
from proveout.values.rankings import graded

ABOUT = "queries.json"


@dataclass(frozen=True)
class LabelledQuery:
    case: Case
    labels: Mapping[str, str]
    query_class: str


def save(shop: Shop, folder: Path) -> None:
    """A file for each judged query of the shop, and what it was judged; the folder must be new or empty."""
    rows = []
    for query, judged in shop.judgements.items():
        if shop.classes[query] == LIVE:
            continue
        write_whole(folder / f"{case_of(query)}.txt", case_file(query))
        rows.append({"query": query, "class": shop.classes[query], "label": label_of(judged)})
    write_whole(folder / ABOUT, json.dumps(rows, ensure_ascii=False, indent=1))


def label_of(judged: Mapping[str, float]) -> str:
    """Ratings, of which there may be halves, as the grades of a label.

    >>> label_of({"a": 2.5, "b": 0})
    'a=3 | b=0'
    """
    return graded({id: str(math.ceil(rating)) for id, rating in judged.items()})


class LabelledQueries:
    """Implements `cases.LabelledCases`."""

    def __init__(self, folder: Path) -> None:
        """Raises BadInput for a folder that `save` did not write."""
        try:
            rows = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.entries = {
                case_of(row["query"]): LabelledQuery(
                    Case(case_of(row["query"]), row["query"]), {RESULTS: row["label"]}, row["class"]
                )
                for row in rows
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{folder}: no judged queries ({error}); build them: proveout build --only curate") from error
        self.folder = folder

    def entry(self, case: str) -> LabelledQuery:
        """Raises KeyError for an unknown id."""
        return self.entries[case]

    def path_of(self, case: str) -> Path:
        return self.folder / f"{case}.txt"

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of the judgements."""
        return [self.path_of(case) for case in self.entries]
