"""People's grades of live results, for the next build. Entry points: `export`, which writes them, and `with_answers`.

Whoever answers sees the doubtful results. So the ranker learns from these queries, but no threshold is certified on them: they
are of the class LIVE, which `learning.cross_fitted` leaves out of what it scores.
Covered: a query that was asked more than once (the later grade counts); one that the shop's own judgements have, whose ratings
stay; a product that the shop no longer has. Without new answers the file stays the same, byte for byte.
"""

import csv
import io
from pathlib import Path

from proveout.documents.originals import Originals
from proveout.errors import UnreadableDocument
from proveout.files import write_whole
from proveout.journal import Journal
from proveout.search.case import RESULTS, QueryCase
from proveout.search.judgements import read_judgements
from proveout.search.shop import LIVE, Shop
from proveout.values.rankings import items_of
from proveout.workspace import Workspace

TABLE = "judgements.csv"  # in the folder of answers


def export(space: Workspace) -> tuple[int, int]:
    """Bring `space.answers` up to date with the journal. Returns how many queries have grades, and 0."""
    judged = _graded(space) if (space.home / "journal.db").exists() else {}
    space.answers.mkdir(parents=True, exist_ok=True)
    if not judged:
        (space.answers / TABLE).unlink(missing_ok=True)
        return 0, 0
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["query", "docid", "rating", "class"])
    for query, grades in sorted(judged.items()):
        rows.writerows([query, id, grade, LIVE] for id, grade in sorted(grades.items()))
    write_whole(space.answers / TABLE, text.getvalue())
    return len(judged), 0


def with_answers(shop: Shop, folder: Path) -> Shop:
    """The shop with the grades of live results that `export` wrote to a folder, if anybody has given some."""
    ids = {product.id for product in shop.products}
    judgements = {query: dict(judged) for query, judged in shop.judgements.items()}
    for query, grades in (read_judgements(folder / TABLE) if (folder / TABLE).exists() else {}).items():
        if usable := {id: grade for id, grade in grades.items() if id in ids}:
            judgements[query] = {**usable, **judgements.get(query, {})}
    return Shop(shop.products, judgements, {query: shop.classes.get(query, LIVE) for query in judgements})


def _graded(space: Workspace) -> dict[str, dict[str, str]]:
    """Query to product to grade, the later answers last."""
    originals = Originals(space.originals)
    judged: dict[str, dict[str, str]] = {}
    with Journal(space.home / "journal.db") as journal:
        contents = {row.case.key: row.case.sha256 for row in journal.decisions()}
        answers = sorted(journal.answers().items(), key=lambda item: item[1].at)
    for key, answer in answers:
        grades = {id: grade for id, grade in items_of(answer.fields.get(RESULTS, "")).items() if grade}
        if not grades or contents.get(key, "") not in originals:
            continue
        (query,) = QueryCase().read([originals.path(contents[key])])
        if not isinstance(query, UnreadableDocument):
            judged.setdefault(query.text, {}).update(grades)
    return judged
