"""What people answered about live cases, as a folder that the next build learns from. One door: `write`.

    labels.csv          file_id (the case's id), the mission's fields, class, day, segment, source (who answered)
    files/<id>.<ending> links to the originals

Answers go to the training split and to no other: people are asked about the cases that the agent was unsure of, and a
threshold that is certified on those would speak of them alone. What a build holds back to judge by is left out.
Covered: nothing new leaves the folder as it is, byte for byte; a kill on the way leaves the old one.
Not covered: "the document has none" cannot be said in a labels.csv; such an answer counts in the reports only.
"""

import csv
from pathlib import Path

from proveout.corpus import Dataset
from proveout.documents import Originals
from proveout.documents.originals import link
from proveout.files import replacing
from proveout.journal import Journal
from proveout.mission import Mission
from proveout.records import Answer, Decided
from proveout.workspace import Workspace


def write(space: Workspace) -> tuple[int, int]:
    """Make `space.answers` say what the journal says now. Gives how many answered cases teach, and how many only judge."""
    folder, originals = space.answers, Originals(space.originals)
    folder.mkdir(parents=True, exist_ok=True)
    if not (space.home / "journal.db").exists():
        return 0, 0
    mission = space.mission
    with Journal(space.home / "journal.db") as journal:
        answers = journal.answers()
        held = _held_back(space.build / "curate" / "dataset") if answers else frozenset()
        teach = {case: one for case, one in answers.items() if case not in held and case in originals}
        rows = [_row(one, next(journal.decisions(case=case)), mission) for case, one in sorted(teach.items())]
    if rows:
        (folder / "files").mkdir(exist_ok=True)
        for case in teach:
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
    """The cases by which the last build judges itself."""
    if not (dataset / "dataset.json").exists():
        return frozenset()
    return frozenset(entry.case.id for entry in Dataset.load(dataset).entries if entry.split not in ("train", "stream"))


def _row(answer: Answer, decided: Decided, mission: Mission) -> dict[str, str]:
    row = {name: text for name, text in answer.fields.items() if name in mission.fields}
    row |= {"file_id": answer.case, "split": "train", "source": f"answered by {answer.by}", "class": answer.document_class}
    return row | {"day": decided.case.day.isoformat() if decided.case.day else "", mission.segment: decided.case.segment}
