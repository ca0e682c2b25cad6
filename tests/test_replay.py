"""A recorded decision is run again by what it pinned; the first part that differs is named with its step."""

import csv
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from program import ROOT, exit_code, proveout
from proveout.cli import acting, designing, releasing, replaying, watching
from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.live import Live
from proveout.live import replay as replays
from proveout.records import Answer, Check, Decided, Route, SimilarCase
from proveout.release import Releases
from proveout.workspace import Workspace
from test_loop import hand_in, labels


@pytest.fixture(scope="module")
def space(bills) -> Workspace:
    """Decided by two releases, in four runs, before and after a person's correction; one file cannot be read."""
    space = Workspace.find("bills", start=bills)
    for number in (1, 2):
        hand_in(space, number)
    (space.home / "inbox" / "empty.pdf").write_bytes(b"%PDF-1.4 nothing")
    acting.run(space, None)
    with Journal(space.home / "journal.db") as journal:
        first = next(decided for decided in journal.decisions() if decided.case.path == "slip-1.txt")
        journal.answer([Answer(first.case.id, labels(1), "ada", document_class="bill", right={})])
    hand_in(space, 3)
    acting.run(space, None)
    designing.build(space, None, None, force=False, record=False)
    releasing.promote(space, "latest")
    for number in (4, 5):
        hand_in(space, number)
        acting.run(space, None)
    return space


@pytest.fixture(scope="module")
def decided(space) -> list[Decided]:
    with Journal(space.home / "journal.db") as journal:
        return list(journal.decisions())


def test_decisions_of_two_releases_before_and_after_a_correction_run_again_bit_for_bit(space, decided, capsys):
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        assert replaying.replay(space, "", None, everything=True, read_again=True)
        assert journal.position == before
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" of release")[0] for line in lines] == ["4 decisions", "2 decisions"]
    assert all(line.endswith("every one the same, bit for bit") for line in lines)
    totals = {one.case.path: one.decision.fields["total"].text for one in decided if "total" in one.decision.fields}
    assert totals["slip-1.txt"] != labels(1)["total"] and totals["slip-3.txt"] == labels(3)["total"], "the correction acted"


def test_one_case_is_run_again_with_those_before_it_in_its_batch(space, decided, capsys):
    second = next(one for one in decided if one.case.path == "slip-2.txt")
    assert replaying.replay(space, second.case.id[:20], None, everything=False, read_again=False)
    assert "1 decision of release" in capsys.readouterr().out
    assert replaying.replay(space, "", date(2999, 1, 1), everything=False, read_again=False)
    assert "no case was decided since then" in capsys.readouterr().out
    for case, why in (("", "name a case, or choose more"), ("zz", "no decided case has an id that starts with 'zz'")):
        with pytest.raises(BadInput, match=why):
            replaying.replay(space, case, None, everything=False, read_again=False)


def test_every_decision_is_exported_as_a_table(space, decided, tmp_path):
    for name in ("cases.parquet", "cases.csv"):
        watching.export(space, tmp_path / name)
    table = parquet.read_table(tmp_path / "cases.parquet").to_pylist()
    rows = list(csv.DictReader((tmp_path / "cases.csv").read_text().splitlines()))
    assert [row["case"] for row in table] == [row["case"] for row in rows] == [one.case.id for one in decided]
    assert {row["total.label"] for row in rows} == {"", labels(1)["total"]}
    with pytest.raises(BadInput, match=r"expected a name that ends with \.parquet or \.csv"):
        watching.export(space, tmp_path / "cases.txt")


def test_batches_are_those_of_the_runs(space, decided):
    with Journal(space.home / "journal.db") as journal:
        batches = [([one.case.path for one in batch], began) for batch, began in replays.batches(journal)]
    assert sorted(batches[0][0]) == ["empty.pdf", "slip-1.txt", "slip-2.txt"] and len(batches) == 4
    positions = [began for _, began in batches]
    assert positions == sorted(positions) and positions[1] > positions[0], "the memory had grown"


@pytest.mark.parametrize(
    ("change", "step", "part"),
    [
        ({"memory_position": 1}, "recall", "memory_position"),
        ({"similar": (SimilarCase("c", 0.5, {}),)}, "recall", "similar"),
        ({"document_class": "nothing"}, "extract", "document_class"),
        ({"checks": (Check("adds up", False, "it does not"),)}, "check", "checks"),
        ({"route": Route.REFUSE}, "route", "route"),
        ({"because": ("one", "two")}, "route", "because"),
    ],
)
def test_the_first_difference_is_named_with_its_step(decided, change, step, part):
    one = next(one for one in decided if one.decision.fields)
    assert replays._compared(one, one.decision).same
    difference = replays._compared(one, replace(one.decision, **change)).difference
    assert (difference.step, difference.part) == (step, part) and f"step {step}: {part} was " in str(difference)


def test_a_difference_in_one_bit_of_a_confidence_is_found(decided):
    one = next(one for one in decided if "total" in one.decision.fields)
    total = one.decision.fields["total"]
    other = replace(total, confidence=total.confidence * (1 - 2**-52))
    assert other.confidence != total.confidence
    difference = replays._compared(one, replace(one.decision, fields={**one.decision.fields, "total": other})).difference
    assert (difference.step, difference.part) == ("ranker", "fields.total.confidence")
    fewer = {name: output for name, output in one.decision.fields.items() if name != "total"}
    assert replays._compared(one, replace(one.decision, fields=fewer)).difference.part == "fields.total"


def test_what_is_missing_or_damaged_is_named_and_the_others_go_on(space, decided, capsys, tmp_path):
    last, first = decided[-1], decided[0].decision.release
    (kept,) = space.originals.rglob(f"{last.case.sha256}*")
    kept.rename(tmp_path / kept.name)
    model = next(path for path in sorted((space.releases / first / "model").rglob("*")) if path.is_file())
    content = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert not replaying.replay(space, "", None, everything=True, read_again=False)
        out = capsys.readouterr().out
        assert f"4 decisions of release {first[:12]} cannot be run again: " in out and model.name in out
        assert f"  {last.case.id[:12]}  its file is not kept" in out and "1 differ or could not be run" in out
    finally:
        model.write_bytes(content)
        shutil.move(tmp_path / kept.name, kept)
    assert Releases(space.releases).open(first)


SIZES = (1, 7, 64)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def decide_in_batches(home: str) -> None:
    """Decide every case of a home anew in batches of several sizes; a difference from what is recorded is an error."""
    with Journal(f"{home}/journal.db") as journal:
        batches = list(replays.batches(journal))
    live = Live(Releases(f"{home}/releases").open(batches[0][0][0].decision.release), Path(home, "inbox"), Path(home))
    for batch, began in batches:
        agent = live.agent(began)
        files = list(replays.inputs(agent, live, batch, began).values())
        for size in SIZES:
            parts = (files[first : first + size] for first in range(0, len(files), size))
            again = [decision for part in parts for decision in agent.batch(part)]
            for decided, decision in zip(batch, again, strict=True):
                alike = any("of the same batch" in check.because for check in decided.decision.checks)  # needs its neighbours
                steps = ("check", "route", "propose") if alike else ()
                differences = [one for one in replays.differences(decided.decision, decision) if one.step not in steps]
                assert not differences, f"in batches of {size}, case {decided.case.id[:12]}: {differences[0]}"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_decision_does_not_depend_on_the_size_of_its_batch_or_on_threads(demo_once, tmp_path, monkeypatch, threads):
    for name in THREADS:
        monkeypatch.setenv(name, threads)
    home = shutil.copytree(demo_once / "home", tmp_path / "home")
    assert exit_code(decide_in_batches, home) == 0


LEARNED, DECIDED = 60, 40  # documents


@pytest.fixture(scope="session")
def filings_once(once, shared_data) -> Path:
    """`home` has a release that learned from real filings, and its decisions on others; all are of their training part."""

    def fill(folder: Path) -> None:
        real, home, data = shared_data / "adbuy", folder / "home", folder / "data"
        with (real / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.pop("split") == "train"]
        for name, chosen in (("data", rows[:LEARNED]), ("home/inbox", rows[LEARNED : LEARNED + DECIDED])):
            (folder / name).mkdir(parents=True)
            for row in chosen:
                shutil.copyfile(real / "pdf" / f"{row['file_id']}.pdf", folder / name / f"{row['file_id']}.pdf")
        with (data / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows[:LEARNED])
        for words in (("build", "--data", data), ("release", "promote", "latest"), ("run",)):
            proveout(ROOT, *words, PROVEOUT_HOME=home)

    return once("filings", fill)


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_real_documents_are_decided_again_bit_for_bit(filings_once, tmp_path, monkeypatch, threads):
    for name in THREADS:
        monkeypatch.setenv(name, threads)
    home = shutil.copytree(filings_once / "home", tmp_path / "home")
    printed = proveout(ROOT, "replay", "--all", PROVEOUT_HOME=home)
    assert f"{DECIDED} decisions of release" in printed and "every one the same, bit for bit" in printed
    assert exit_code(decide_in_batches, home) == 0
