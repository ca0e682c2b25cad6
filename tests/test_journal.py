"""The journal keeps everything that happened, once, in order, on SQLite and on PostgreSQL alike."""

import math
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proveout import journal as journals
from proveout import mission
from proveout.connectors import Outcome, State
from proveout.errors import BadInput, BadJournal
from proveout.journal import ERASURE, Event, Journal, log
from proveout.journal.codec import canonical, decision_from_json, decision_to_json, parse
from proveout.journal.log import read_log
from proveout.live.replay import batches
from proveout.records import (
    Action,
    Answer,
    Box,
    Case,
    Check,
    Decided,
    Decision,
    Output,
    Place,
    Route,
    Ruling,
    SimilarCase,
    Verdict,
)
from proveout.vault import Vault

INVOICES = mission.load(Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml")
PLACE = Place(0, Box(1, 2, 3.5, 4))
PAY = Action("pay_invoice", {"gross_amount": "12.50"}, key="invoices:pay_invoice:c1", compensation="recall_payment")


def decided(case: str = "c1", release: str = "r1", allowed: bool = True) -> Decided:
    decision = Decision(
        case=case,
        release=release,
        document_class="invoice",
        class_confidence=0.9,
        fields={
            "gross_amount": Output("$12.50", Decimal("12.50"), 0.99, PLACE, "ranker", ("beside “Total”",)),
            "flight_from": Output("3/2/20", date(2020, 3, 2), 0.5, None, "rules", (), ("another date is nearer",)),
        },
        automated=frozenset({"gross_amount"}),
        checks=(Check("not a duplicate", True, "no past case has these values"),),
        similar=(SimilarCase("c0", 0.75, {"advertiser": "Ada"}),),
        route=Route.ACT,
        because=("It is certain.", "The weakest value is flight_from."),
        actions=(replace(PAY, key=f"pay:{case}"),),
        memory_position=7,
        descriptors={"pages": 2, "words": 310, "ocr_share": 0.25, "familiar": 0.5},
    )
    rulings = (Ruling(decision.actions[0], Verdict(allowed, "small and certain"), 1250 if allowed else 0),)
    return Decided(Case(case, f"in/{case}.pdf", date(2020, 3, 1), "north"), decision, rulings, seconds=0.125)


@pytest.fixture(params=["sqlite", "encrypted", "postgresql"])
def url(request, tmp_path: Path) -> str:
    """Of a journal that does not exist yet."""
    if request.param == "encrypted":
        assert Vault.create(tmp_path)
    if request.param != "postgresql":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    import psycopg

    server = request.getfixturevalue("postgres")
    name = f"t{time.time_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    with Journal(url) as journal:
        yield journal


def test_a_decision_comes_back_equal_in_every_value(journal: Journal) -> None:
    one = decided()
    (recorded,) = journal.record([one], run="today")
    (back,) = journal.decisions()
    assert back == recorded
    assert replace(back, at="", position=0, run="") == one
    assert str(back.decision.fields["gross_amount"].value) == "12.50"


def test_a_case_is_decided_once_and_the_second_decision_brings_nothing_along(journal: Journal) -> None:
    journal.record([decided(release="r1")], run="today")
    assert journal.record([decided(release="r2"), decided("c2", release="r2")], run="tomorrow")[0].case.id == "c2"
    assert [one.decision.release for one in journal.decisions()] == ["r1", "r2"]
    assert journal.decided(["c1", "c2", "c3"]) == {"c1", "c2"}
    assert [intention.run for intention in journal.pending()] == ["today", "tomorrow"]


def test_the_same_case_twice_in_one_batch_is_one_decision(journal: Journal) -> None:
    assert len(journal.record([decided(), decided()], run="today")) == 1
    assert journal.spent("today") == (1, 1250)


def test_an_allowed_action_is_pending_until_it_has_one_outcome(journal: Journal) -> None:
    journal.record([decided(), decided("c2", allowed=False)], run="today")
    (intention,) = journal.pending()
    assert (intention.case, intention.cents, intention.action.compensation) == ("c1", 1250, "recall_payment")
    assert journal.settle(intention, Outcome(State.DONE, "orders/1.json"))
    assert not journal.settle(intention, Outcome(State.REFUSED, "late"))
    assert journal.pending() == []
    with pytest.raises(BadInput, match="`held` does not settle an effect; expected `done` or `refused`"):
        journal.settle(intention, Outcome(State.HELD, "stopped"))


def test_an_intention_by_itself_is_written_once(journal: Journal) -> None:
    assert journal.intend("c1", PAY, run="by hand")
    assert not journal.intend("c1", PAY, run="by hand")


def test_decisions_are_chosen_by_release_and_moment(journal: Journal) -> None:
    journal.record([decided("c1", "r1")], run="a")
    (second,) = journal.record([decided("c2", "r2")], run="b")
    assert [one.case.id for one in journal.decisions(release="r1")] == ["c1"]
    assert [one.case.id for one in journal.decisions(since=second.at)] == ["c2"]
    assert list(journal.decisions(since=date(2999, 1, 1))) == []


def test_events_of_a_case_tell_its_story_in_order(journal: Journal) -> None:
    journal.record([decided(), decided("c2")], run="today")
    journal.settle(journal.pending()[0], Outcome(State.DONE, "there"))
    journal.answer([Answer("c1", {"gross_amount": "12.50"}, by="ada", right={"gross_amount": True})])
    assert [event.kind for event in journal.events("c1")] == ["decision", "effect intended", "effect settled", "label"]
    assert [event.position for event in journal.events()] == list(range(1, journal.position + 1))


def test_of_several_answers_the_last_word_on_each_field_counts(journal: Journal) -> None:
    first = Answer("c1", {"gross_amount": "12.50", "advertiser": "Ada"}, by="ada", right={"gross_amount": True})
    journal.record([decided()], run="today")
    assert journal.answer([first]) == 1 and journal.answer([first]) == 0, "the same answer is not recorded twice"
    assert journal.answer([Answer("c1", {"gross_amount": ""}, by="bob", document_class="other")]) == 1
    now = journal.answers()["c1"]
    assert (now.fields, now.by, now.document_class) == ({"gross_amount": "", "advertiser": "Ada"}, "bob", "other")
    assert journal.answer([first]) == 1, "back to an earlier answer is an answer"
    assert journal.answers(after=journal.position) == {}


@pytest.mark.parametrize("names", [3, 500])
def test_cases_are_chosen_by_the_start_of_their_id_however_many_there_are(journal: Journal, monkeypatch, names) -> None:
    monkeypatch.setattr(journals, "NAMES", names)
    ids = [f"{n:02x}" + "0" * 62 for n in (0x00, 0x0F, 0x10, 0x1A, 0x1F, 0x20)]
    journal.record([decided(case) for case in ids], run="today")
    chosen = {
        start: [one.case.id for one in journal.decisions(case=start)] for start in ("1", "1a", ids[3][:40], "f", "x", "%")
    }
    assert chosen == {"1": ids[2:5], "1a": ids[3:4], ids[3][:40]: ids[3:4], "f": [], "x": [], "%": []}


class Clock(datetime):
    """It goes back for two hours at the end of the third day, as that of another machine may."""

    moments = iter(())

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return next(cls.moments)


def test_decisions_since_a_day_are_all_of_them_though_a_clock_went_back(journal: Journal, monkeypatch) -> None:
    at = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in (0, 9, 30, 33, 71, 73, 71, 99, 200)]
    Clock.moments = iter(at)
    monkeypatch.setattr(journals, "datetime", Clock)
    for n in range(len(at)):
        journal.record([decided(f"c{n}")], run="today")
    for day in (date(2026, 2, 1) + timedelta(days=n) for n in range(60)):
        since = [f"c{n}" for n, moment in enumerate(at) if moment.date() >= day]
        assert [one.case.id for one in journal.decisions(since=day)] == since, day
    assert len(list(journal.decisions(since=date.min))) == len(at)


def test_the_batches_of_a_case_are_found_from_its_run_on(journal: Journal) -> None:
    for run in range(4):
        journal.record([decided(f"c{run}{n}") for n in range(3)], run=f"run {run}")
    everything = [([one.case.id for one in batch], began) for batch, began in batches(journal)]
    assert [len(batch) for batch, _ in everything] == [3, 3, 3, 3]
    for run in range(4):
        for n in range(3):
            ((batch, began),) = batches(journal, {f"c{run}{n}"})
            assert ([one.case.id for one in batch], began) == (everything[run][0][: n + 1], everything[run][1])
    later = [[one.case.id for one in batch] for batch, _ in batches(journal, {"c11", "c21"})]
    assert later == [["c10", "c11", "c12"], ["c20", "c21"]]
    assert list(batches(journal, {"c99"})) == list(batches(journal, ())) == []


def test_answers_to_some_cases_are_those_among_all(journal: Journal) -> None:
    journal.answer([Answer(f"c{n}", {"gross_amount": f"{n}.00"}, by="ada") for n in range(5)])
    answers = journal.answers()
    assert journal.answers(cases=["c1", "c3", "c9"]) == {case: answers[case] for case in ("c1", "c3")}


def test_an_effect_is_due_whoever_intends_it_after_all_others_were_settled(journal: Journal, url: str) -> None:
    with Journal(url) as other:
        for case in ("c1", "c2", "c3"):
            other.record([decided(case)], run="today")
            (intention,) = journal.pending()
            assert intention.case == case
            journal.settle(intention, Outcome(State.DONE, "there"))
            assert journal.pending() == []


@pytest.mark.parametrize("statement", ["UPDATE events SET payload = '{}'", "DELETE FROM events"])
def test_the_database_refuses_to_change_what_was_written(journal: Journal, statement: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    journal.append([Event("c1", "note", {})])
    with pytest.raises(DBAPIError, match="append-only"), journal._engine.begin() as connection:
        connection.execute(text(statement))
    assert journal.verify().whole


def test_all_of_a_batch_is_written_or_nothing(journal: Journal) -> None:
    with pytest.raises(BadInput, match="printable"):
        journal.append([Event("c1", "note", {}), Event("c2\n", "note", {})])
    assert journal.position == 0 and list(journal.events()) == []


def decide_sixty(url: str, by: str) -> None:
    with Journal(url) as journal:
        for start in range(0, 60, 6):
            cases = [f"c{n}" for n in range(start, start + 6)]
            decisions = [Event(case, "decision", {"by": by}, key=case) for case in cases]
            journal.append([*decisions, *(Event(case, "note", {"by": by}) for case in cases)])


def test_many_processes_at_one_journal_decide_each_case_once(url: str) -> None:
    Journal(url).close()
    processes = multiprocessing.get_context("fork")
    workers = [processes.Process(target=decide_sixty, args=(url, f"w{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Journal(url) as journal:
        events = [(event.case, event.kind, event.payload["by"]) for event in journal.events()]
        assert sorted(case for case, kind, _ in events if kind == "decision") == sorted(f"c{n}" for n in range(60))
        assert {(case, by) for case, kind, by in events if kind == "note"} == {
            (c, by) for c, kind, by in events if kind == "decision"
        }
        assert journal.verify().whole


def test_a_change_by_hand_is_found_and_placed(journal: Journal) -> None:
    from sqlalchemy import text

    journal.record([decided(f"c{n}") for n in range(5)], run="today")
    assert journal.verify().whole
    drop = {
        "sqlite": "DROP TRIGGER events_refuse_UPDATE",
        "postgresql": "DROP TRIGGER events_refuse_update ON events",
    }
    with journal._engine.begin() as connection:
        connection.execute(text(drop[journal._engine.dialect.name]))
        connection.execute(text("UPDATE events SET payload = payload || ' ' WHERE position = 4"))
    report = journal.verify()
    assert (report.whole, report.bad) == (False, 4) and report.because == "event 4 was changed after it was written"


def test_a_journal_of_a_newer_schema_is_refused(journal: Journal, url: str) -> None:
    from sqlalchemy import text

    with journal._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(BadJournal, match="found a journal with schema 0099, expected 0002 or older"):
        Journal(url)


def test_the_migrations_make_the_tables_that_the_code_expects(journal: Journal) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from proveout.journal.schema import metadata

    with journal._engine.connect() as connection:
        options = {"include_name": lambda name, *_: name != "effects_by_run"}  # an expression, other in each database
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def a_text_file(path: Path) -> None:
    path.write_text("no database, but a letter to my bank\n" * 100)


def another_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (what TEXT)")


@pytest.mark.parametrize("spoil", [a_text_file, another_database])
def test_another_file_is_not_taken_for_a_journal(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "journal.db")
    with pytest.raises(BadJournal, match=r"journal\.db"):
        Journal(tmp_path / "journal.db")


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense://x", "sqlite//:x://"])
def test_a_url_that_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"SQLite|expected a file"):
        Journal(url)


def test_a_full_disk_writes_nothing_and_the_next_try_continues(tmp_path: Path) -> None:
    from sqlalchemy import text

    with Journal(tmp_path / "journal.db") as journal:
        journal.record([decided("c1")], run="today")
        with journal._engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar()
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))  # of this, the pool's one connection
        many = [decided(f"d{n}") for n in range(100)]
        with pytest.raises(BadJournal, match="full"):
            journal.record(many, run="today")
        assert journal.decided(["c1", "d0"]) == {"c1"} and journal.verify().whole
        with journal._engine.connect() as connection:
            connection.execute(text("PRAGMA max_page_count = 1000000"))
        assert len(journal.record(many, run="today")) == 100


def test_the_log_has_one_row_a_case_and_labels_that_came_later(journal: Journal, tmp_path: Path) -> None:
    refused = Decision(
        "c2", "r1", "", 0.0, {}, frozenset(), (), (), Route.REFUSE, ("Refused: encrypted.", "A person has to look.")
    )
    journal.record([decided(), Decided(Case("c2", "x.pdf"), refused)], run="today")
    journal.answer([Answer("c1", {"gross_amount": "12.50"}, by="ada", right={"gross_amount": True})])
    rows = read_log(journal.to_parquet(tmp_path / "logs", INVOICES)).to_pylist()
    assert [row["case"] for row in rows] == ["c1", "c2"]
    first, second = rows
    assert (first["gross_amount"], first["gross_amount.automated"], first["gross_amount.right"]) == ("$12.50", True, True)
    assert (first["day"], first["segment"], first["pages"], first["ocr_share"]) == (date(2020, 3, 1), "north", 2, 0.25)
    assert (first["familiar"], second["familiar"]) == (0.5, None)
    assert (second["route"], second["day"], second["pages"], second["gross_amount.right"]) == ("refuse", None, None, None)
    assert first["advertiser"] is None and first["decided_at"].tzinfo is not None


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_is_brought_up_to_date_is_the_one_that_is_written_anew(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(log, "ROWS", 4)  # a group of rows
    rng, names = random.Random(seed), [f"c{n}" for n in range(60)]
    for step in range(12):
        for name in rng.sample(names, rng.randrange(8)):
            journal.record([decided(name), again(name, step % 3)], run="today")
        for name in rng.sample(names, rng.randrange(6)):  # of some that are not decided, too
            answer = Answer(name, {"gross_amount": str(rng.random())}, by="ada", right={"gross_amount": True})
            journal.answer([answer, replace(answer, turn=1)])
        if step in (5, 9) and (each := next(journal.decisions(), None)):
            erase(journal, each.case.id, tmp_path)
        path = journal.to_parquet(tmp_path / "logs", INVOICES)
        before = path.stat().st_ino
        assert journal.to_parquet(tmp_path / "logs", INVOICES).stat().st_ino == before  # nothing happened since
        anew = journal.to_parquet(tmp_path / "anew", INVOICES, until=journal.position)
        assert read_log(path).equals(read_log(anew))
        assert path.read_bytes() == anew.read_bytes() or Vault.at(tmp_path)


def test_a_journal_on_a_server_is_encrypted_with_the_keys_of_a_workspace(postgres: str, tmp_path: Path) -> None:
    import psycopg

    name = f"t{time.time_ns()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    url, vault = postgres.replace("/postgres?", f"/{name}?"), Vault.create(tmp_path)
    assert vault
    with Journal(url, vault) as journal:
        (one, _) = journal.record([decided("c1"), decided("c2")], run="today")
        assert next(journal.decisions()) == one
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            stored = "".join(row[0] for row in connection.execute("SELECT payload FROM events"))
        assert "12.50" not in stored and "pay_invoice" not in stored and "today" in stored
        with Journal(url) as without, pytest.raises(BadJournal, match="is encrypted"):
            list(without.decisions())
        vault.destroy(["c1"])
        assert [each.case.id for each in journal.decisions()] == ["c2"] and journal.verify().whole


def test_a_log_of_another_mission_or_journal_is_written_anew(journal: Journal, tmp_path: Path) -> None:
    journal.record([decided()], run="today")
    columns = set(read_log(journal.to_parquet(tmp_path / "logs", INVOICES)).column_names)
    fewer = INVOICES.model_copy(update={"fields": {"advertiser": INVOICES.fields["advertiser"]}})
    assert set(read_log(journal.to_parquet(tmp_path / "logs", fewer)).column_names) < columns
    (tmp_path / "logs" / "decisions.parquet").write_bytes(b"PAR1 torn")
    assert set(read_log(journal.to_parquet(tmp_path / "logs", INVOICES)).column_names) == columns
    with Journal(tmp_path / "other.db") as other:
        other.record([decided("c2"), decided("c1", "r2")], run="today")
        rows = read_log(other.to_parquet(tmp_path / "logs", INVOICES)).to_pylist()
        assert [(row["case"], row["release"]) for row in rows] == [("c2", "r1"), ("c1", "r2")]


def test_a_log_with_a_damaged_column_is_written_anew(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.record([decided(f"c{n}") for n in range(50)], run="today")
        path = journal.to_parquet(tmp_path / "logs", INVOICES)
        whole, column = path.read_bytes(), parquet.ParquetFile(path).metadata.row_group(0).column(20)
        start = column.dictionary_page_offset or column.data_page_offset
        path.write_bytes(whole[:start] + b"\xff" * 12 + whole[start + 12 :])
        assert journal.to_parquet(tmp_path / "logs", INVOICES).read_bytes() == whole


def test_a_log_that_another_process_replaces_meanwhile_gets_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.record([decided("c0"), decided("c1")], run="today")
        journal.to_parquet(tmp_path / "logs", INVOICES)
        journal.record([decided("c2"), decided("c3")], run="today")
        write = log.write_log

        def late(*arguments: object) -> Path:
            monkeypatch.setattr(log, "write_log", write)
            for until in (3, None, journal.position):  # a report's log as of then, a run's, and a report's as of now
                journal.to_parquet(tmp_path / "logs", INVOICES, until)
            return write(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(log, "write_log", late)
        rows = read_log(journal.to_parquet(tmp_path / "logs", INVOICES))
        assert rows["case"].to_pylist() == ["c0", "c1", "c2", "c3"]


def again(case: str, turn: int) -> Decided:
    """The same case at a later turn."""
    one = decided(case)
    return replace(one, case=replace(one.case, turn=turn), decision=replace(one.decision, turn=turn, actions=()), rulings=())


def erase(journal: Journal, case: str, home: Path) -> None:
    positions = journal.in_the_clear(case)
    journal.append([Event(case, ERASURE, {"by": "ada", "emptied": positions}, key=case)])
    if vault := Vault.at(home):
        vault.destroy([case])
    if positions:
        journal.empty(positions)


texts = st.text(st.characters(codec=None, categories=None), max_size=8)
numbers = st.floats(allow_nan=False) | st.sampled_from([0.1, 1e-300, -0.0])
values = texts | st.decimals(allow_nan=False) | st.dates()
fields = st.builds(
    Output, texts, values, numbers, st.none() | st.builds(Place, st.integers(0, 99), st.builds(Box, *[numbers] * 4)), texts,
    st.lists(texts, max_size=2).map(tuple), st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip
actions = st.builds(Action, texts, st.dictionaries(texts, texts, max_size=2), texts, st.none() | texts)
decisions = st.builds(
    Decision, texts, texts, texts, numbers, st.dictionaries(texts, fields, max_size=3), st.frozensets(texts, max_size=3),
    st.lists(st.builds(Check, texts, st.none() | st.booleans(), texts), max_size=2).map(tuple),
    st.lists(st.builds(SimilarCase, texts, numbers, st.dictionaries(texts, texts, max_size=2)), max_size=2).map(tuple),
    st.sampled_from(Route), st.tuples(texts, texts),
    st.lists(actions, max_size=2).map(tuple),
    st.integers(0, 2**62), st.dictionaries(texts, numbers, max_size=3),
)  # fmt: skip


@given(decisions)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_json_loses_nothing_of_any_decision(decision: Decision) -> None:
    text = canonical(decision_to_json(decision))
    assert decision_from_json(parse(text)) == decision
    assert canonical(decision_to_json(decision_from_json(parse(text)))) == text


def test_a_confidence_that_is_not_a_number_stays_none() -> None:
    decision = replace(decided().decision, class_confidence=math.nan)
    assert math.isnan(decision_from_json(parse(canonical(decision_to_json(decision)))).class_confidence)
