"""Questions to a long journal: what a person waits for who asks about one case, one day or one run.

`question_*`: milliseconds in a journal of 1,000,000 events (PROVEOUT_EVENTS: another number), of which a third are decisions,
one in fifty is a label, and the rest are effects, intended and settled. Stated is the slowest of 20. The peer reads every event
of the kind, as one without an index does. `question_log`: seconds until the log that monitoring reads has one more decision,
beside writing it anew. `question_verify`: seconds for the whole chain, beside SHA-256 over as many lines in memory. Writing the
journal takes a minute, and 800 bytes an event.
"""

import hashlib
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from proveout import journal as journals
from proveout import mission as missions
from proveout.journal import DECISION, INTENDED, LABEL, SETTLED, Event, Journal
from proveout.journal.codec import decision_to_json
from proveout.live.replay import batches
from proveout.records import Decision, Route

MISSION = Path(__file__).parents[2] / "pipelines/invoices/mission.yaml"
EVENTS = int(os.environ.get("PROVEOUT_EVENTS", "1000000"))
RUN, COMMIT, QUESTIONS = 300, 1000, 20  # cases a run, cases a commit, of each kind
FIRST, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 700


def run() -> dict[str, dict[str, Any]]:
    rng, results = random.Random(1), {}
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, "journal.db")) as journal:
        cases = written(journal)
        asked = [rng.choice(cases) for _ in range(QUESTIONS)]
        last = (FIRST + timedelta(days=DAYS)).date()
        questions: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {
            "case": (
                lambda case: list(journal.decisions(case=case[:12])),
                lambda case: scanned(journal, lambda event: event.case == case),
            ),
            "day": (
                lambda _: next(journal.decisions(since=last)),
                lambda _: scanned(journal, lambda event: event.at >= last.isoformat()),
            ),
            "batch": (lambda case: list(batches(journal, {case})), lambda _: list(batches(journal))),
            "answer": (lambda case: journal.answers(cases=[case]), lambda _: journal.answers()),
            "spent": (lambda case: journal.spent(of(cases.index(case))), lambda _: list(journal.of_kind(INTENDED))),
            "pending": (lambda _: journal.pending(), lambda _: Journal(journal.url).pending()),
        }
        for name, (ours, peer) in questions.items():
            journal.pending()
            slowest = max(_timed(ours, case) for case in asked)
            other = _timed(peer, asked[0])
            about = {"unit": "ms, the worst of 20", "peer_name": "ms, reading all of the kind"}
            results[f"question_{name}"] = {"ours": slowest * 1e3, "peer": other * 1e3, "ratio": slowest / other, **about}
            print(f"  {name}: {slowest * 1e3:.2f} ms", flush=True)
        logs, mission = Path(folder, "home", "logs"), missions.load(MISSION)
        anew = _timed(lambda _: journal.to_parquet(logs, mission), "")
        journal.append(list(happened(len(cases), hashlib.sha256(b"one more").hexdigest())))
        more = _timed(lambda _: journal.to_parquet(logs, mission), "")
        results["question_log"] = {
            "ours": more,
            "peer": anew,
            "unit": "s",
            "ratio": more / anew,
            "peer_name": "s, written anew",
        }
        whole, plain = _timed(lambda _: journal.verify(), ""), _timed(lambda _: hashed(journal.position), "")
        about = {"unit": "s", "peer_name": "s, SHA-256 over as many lines of 600 bytes"}
        results["question_verify"] = {"ours": whole, "peer": plain, "ratio": whole / plain, **about}
    return results


def hashed(lines: int) -> None:
    line = b"x" * 600
    for _ in range(lines):
        hashlib.sha256(line).digest()


def of(case: int) -> str:
    return f"run {case // RUN}"


def written(journal: Journal) -> list[str]:
    """Fill a journal; the cases in the order of their decisions."""
    cases = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(EVENTS // 3)]
    clock = mock.Mock(wraps=datetime)
    with mock.patch.object(journals, "datetime", clock):
        for start in range(0, len(cases), COMMIT):
            clock.now.return_value = FIRST + timedelta(days=DAYS * min(1, (start + COMMIT) / len(cases)))
            some = enumerate(cases[start : start + COMMIT], start)
            journal.append([event for n, case in some for event in happened(n, case)])
    return cases


def happened(n: int, case: str) -> Iterator[Event]:
    nothing = Decision(case, "r" * 64, "invoice", 0.9, {}, frozenset(), (), (), Route.ACT, ("", ""), (), 1 + n // RUN)
    about = {"case": {"path": f"{n}.pdf", "day": None, "segment": "north"}, "run": of(n), "seconds": 0.1, "verdicts": []}
    yield Event(case, DECISION, {**about, "decision": decision_to_json(nothing)}, key=case)
    action = {"name": "pay", "arguments": {}, "key": f"pay:{n}", "compensation": None}
    yield Event(case, INTENDED, {"action": action, "run": of(n), "cents": 100}, key=f"pay:{n}")
    yield Event(case, SETTLED, {"name": "pay", "state": "done", "because": ""}, key=f"pay:{n}")
    if n % 17 == 0:
        yield Event(case, LABEL, {"labels": {"total": "1"}, "class": "", "by": "ada", "right": {}})


def scanned(journal: Journal, wanted: Callable[[Event], bool]) -> list[Event]:
    """Decisions as a reader of all of them finds them."""
    return list(filter(wanted, journal.of_kind(DECISION)))


def _timed(question: Callable[[str], Any], case: str) -> float:
    began = time.perf_counter()
    question(case)
    return time.perf_counter() - began
