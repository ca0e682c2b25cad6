"""The run pipeline's one step: a release decides every new case of an inbox, and what is allowed is carried out.

Cases go through in the order of their days, a batch at a time: decided, judged, journaled together, carried out,
remembered. A run that is killed at any point is continued by the next one: what is journaled is never decided again,
an intended effect is asked for before it is tried, and the memory is filled up from the journal.
Not covered: several processes at one inbox; they would decide a case once, but remember in a different order.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout import documents
from proveout.errors import BadInput, NoDocuments
from proveout.progress import bar
from proveout.records import Case, Document, Route

if TYPE_CHECKING:
    from proveout.journal import Decided
    from proveout.retrieval import Memory

BATCH = 64  # cases a commit: the journal's cost a case is flat from here on, and a kill loses little
SHEET = "inbox.csv"  # file, day, segment: what is known of a case beside its bytes


def inbox_cases(inbox: Path) -> list[Case]:
    """The inbox's cases, oldest first. A file that lies there twice is one case.

    `inbox.csv` beside the files may say each one's day and segment; without it the day is the file's own.
    Raises NoDocuments for a folder in which no document lies.
    """
    if not inbox.is_dir():
        raise NoDocuments(f"{inbox}: no such folder; put documents there, or name another with --inbox")
    files = [path for path in sorted(inbox.rglob("*")) if path.is_file() and _is_document(path)]
    if not files:
        raise NoDocuments(f"{inbox}: no document in it; expected are PDFs, scans (PNG, JPEG, TIFF) or plain texts")
    known = _sheet(inbox / SHEET)
    cases: dict[str, Case] = {}
    for path in files:
        name = path.relative_to(inbox).as_posix()
        day, segment = known.get(name, (date.fromtimestamp(path.stat().st_mtime), ""))
        sha256 = documents.sha256_of(path)
        cases.setdefault(sha256, Case(sha256, name, day, segment))
    return sorted(cases.values(), key=lambda case: (case.day or date.max, case.id))


def _is_document(path: Path) -> bool:
    """Whatever is not hidden and not a sheet beside the documents. What cannot be read becomes a refused case."""
    return not path.name.startswith(".") and path.name not in {SHEET, "labels.csv", "truth.json"}


def _sheet(path: Path) -> dict[str, tuple[date | None, str]]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {"file", "day", "segment"} - set(rows.fieldnames or ()):
            raise BadInput(f"{path}: no column {', '.join(sorted(missing))}; expected are file, day, segment")
        try:
            return {row["file"]: (date.fromisoformat(row["day"]) if row["day"] else None, row["segment"]) for row in rows}
        except ValueError as error:
            raise BadInput(f"{path}:{rows.line_num}: {error}; a day looks like 2020-06-05") from error


def run(product: Mapping[str, Path], inbox: Path, release: str, releases: Path, home: Path, cache: Path) -> None:
    """Decide what is new in `inbox` by `release`, and write a summary of this run (JSON).

    Live state stays in `home`: journal.db, memory/, effects/, and logs/ (Parquet, one row a case, for monitoring).
    """
    from proveout.actions import connectors
    from proveout.control import ControlPlane, StopSwitch
    from proveout.journal import Journal
    from proveout.release import Releases

    opened = Releases(Path(releases)).open(release)
    cases = inbox_cases(Path(inbox))
    paths = {case.id: Path(inbox) / case.path for case in cases}
    cache = Path(cache)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    with Journal(Path(home) / "journal.db") as journal:
        memory = opened.memory(Path(home) / "memory")
        _remember(memory, list(journal.decisions()), paths, cache)  # what a killed run journaled and did not remember
        control = ControlPlane(
            opened.mission,
            opened.policy,
            opened.calibration,
            connectors(Path(home) / "effects", paths.__getitem__),
            journal,
            StopSwitch(Path(home) / "STOP"),
            run=f"{opened.id[:12]} {started}",
        )
        effects: dict[str, str] = {}  # the newest state of each

        def act() -> None:
            effects.update({intention.action.key: outcome.state.value for intention, outcome in control.carry_out()})

        act()  # on what a stop or a kill left undone
        agent = opened.agent(memory, cache=cache)
        done = journal.decided(case.id for case in cases)
        new = [case for case in cases if case.id not in done]
        recorded: list[Decided] = []
        with bar("Deciding", len(new)) as step:
            for first in range(0, len(new), BATCH):
                batch = new[first : first + BATCH]
                recorded += journal.record(_decide(agent, control, batch, paths), control.run)
                act()
                _remember(memory, recorded[-len(batch) :], paths, cache)
                for _ in batch:
                    step()
        journal.to_parquet(Path(home) / "logs", list(opened.mission.fields))
        routes = Counter(one.decision.route.value for one in recorded)
        summary = {
            "release": opened.id,
            "started": started,
            "cases": len(cases),
            "decided": len(recorded),
            "routes": {route.value: routes[route.value] for route in Route},
            "effects": dict(Counter(effects.values())),
            "stopped": control.stop.stopped(),
            "refused": {one.case.path: one.decision.because[1] for one in recorded if one.decision.route is Route.REFUSE},
        }
    product["summary"].write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _decide(agent: Any, control: Any, batch: Sequence[Case], paths: Mapping[str, Path]) -> list[Decided]:
    from proveout.journal import Decided

    began = time.perf_counter()
    decisions = agent.batch([paths[case.id] for case in batch])
    rulings = control.judge(decisions)
    seconds = (time.perf_counter() - began) / len(batch)
    return [Decided(case, said, ruled, seconds) for case, said, ruled in zip(batch, decisions, rulings, strict=True)]


def _remember(memory: Memory, decided: Sequence[Decided], paths: Mapping[str, Path], cache: Path) -> None:
    """Add what was decided and can still be read. The text comes from the reader's cache, where the decision left it."""
    from proveout.retrieval import Record, case_text, written

    new = [one for one in decided if one.case.id in paths and memory.answer(one.case.id) is None]
    read = documents.read_many([paths[one.case.id] for one in new], cache=cache)
    memory.add(
        Record(
            case=one.case.id,
            text=case_text(document),
            fields={name: written(value.value) for name, value in one.decision.fields.items()},
            document_class=one.decision.document_class,
            document=one.case.id,
        )
        for one, document in zip(new, read, strict=True)
        if isinstance(document, Document) and one.decision.route is not Route.REFUSE
    )
