"""Export people's answers about live cases as a folder that the next build learns from. Entry point: `write`.

    labels.csv          file_id (the case id), the mission's fields, class, day, segment, source (who answered)
    files/<id>.<ending> links to the originals

Answers join only the training split: people answer the cases that the agent was unsure of, and a threshold certified on
those would hold for them alone. Answers about cases that the last build calibrates or tests with are left out, and those that a
labelling batch keeps to judge the next release by.
Covered: without new answers the folder stays the same, byte for byte; a kill leaves the old labels.csv intact.
Not covered: a labels.csv cannot say "the document has no such value"; such an answer counts only in the reports.
"""

import csv
from pathlib import Path

from proveout.corpus import Dataset
from proveout.corpus.labels import ANSWERED, UNJUDGED
from proveout.documents import Originals
from proveout.documents.originals import link
from proveout.files import replacing
from proveout.journal import Journal
from proveout.mission import Mission
from proveout.records import Answer, Decided
from proveout.review.batches import kept_for_judging
from proveout.workspace import Workspace


def write(space: Workspace) -> tuple[int, int]:
    """Bring `space.answers` up to date with the journal. Returns how many answered cases are exported and how many are not."""
    folder, originals = space.answers, Originals(space.originals)
    folder.mkdir(parents=True, exist_ok=True)
    if not (space.home / "journal.db").exists():
        return 0, 0
    mission = space.mission
    with Journal(space.home / "journal.db") as journal:
        answers = journal.answers()
        held = _held_back(space.build / "curate" / "dataset") | kept_for_judging(journal) if answers else frozenset()
        kept = {case: answer for case, answer in sorted(answers.items()) if case not in held and case in originals}
        decisions = {case: next(journal.decisions(case=case), None) for case in kept}  # None in a damaged journal
        exported = {case: decided for case, decided in decisions.items() if decided}
        rows = [_row(answers[case], decided, mission) for case, decided in exported.items()]
    if rows:
        (folder / "files").mkdir(exist_ok=True)
        for case in exported:
            source = originals.path(case)
            link(source, folder / "files" / source.name)
        with replacing(folder / "labels.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
            columns = ["file_id", *mission.fields, "class", "day", mission.segment, "split", "source"]
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(rows)
    else:
        (folder / "labels.csv").unlink(missing_ok=True)
    return len(rows), len(answers) - len(rows)


def _held_back(dataset: Path) -> frozenset[str]:
    """The cases that the last build calibrates or tests with."""
    if not (dataset / "dataset.json").exists():
        return frozenset()
    return frozenset(entry.case.id for entry in Dataset.load(dataset).entries if entry.split not in ("train", *UNJUDGED))


def _row(answer: Answer, decided: Decided, mission: Mission) -> dict[str, str]:
    row = {name: text for name, text in answer.fields.items() if name in mission.fields}
    row |= {"file_id": answer.case, "split": "train", "source": f"{ANSWERED}{answer.by}", "class": answer.document_class}
    return row | {"day": decided.case.day.isoformat() if decided.case.day else "", mission.segment: decided.case.segment}
