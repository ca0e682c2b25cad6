"""The synthetic stream is reproducible from its seed, is hard in the ways it names, and reports its ground truth."""

import csv
import random
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proveout import documents
from proveout.corpus import synthetic
from proveout.corpus.synthetic.business import Market, Paperwork
from proveout.corpus.synthetic.layouts import HELD_OUT, LAYOUTS, form_of
from proveout.corpus.synthetic.letters import draw_other
from proveout.corpus.synthetic.paper import TROUBLES, draw
from proveout.errors import BadInput
from proveout.records import Page

OFF: dict[str, Any] = {"new_suppliers": None, "amount_shift": None, "worse_segment": None, "new_layouts": None}
FIELDS = ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to")
DAY = date(2026, 8, 22)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def words_of(folder: Path, row: dict[str, str]) -> list[str]:
    """The words of the text layer; none for a scan."""
    import pypdfium2

    from proveout.documents import text_layer

    with pypdfium2.PdfDocument(folder / "pdf" / f"{row['file_id']}.pdf") as pdf:
        return [word for page in pdf for word in text_layer.read_page(page).texts]


def is_printed(value: str, words: list[str]) -> bool:
    """Whether all words of a value are on the page; a long name may take two lines, a flight is often one word."""
    text = "".join(words)
    return value.replace(" ", "") in text or set(value.split()) <= set(words)


def paperwork(number: int) -> Paperwork:
    form = form_of(number)
    return Market(1).paperwork(
        random.Random(number), form.document_class, date(2026, 5, 1), number=form.number_format, sender=form.name
    )


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    return folder, synthetic.generate(folder, documents=150, seed=3)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The stream of seed 5 with every switch off."""
    folder = tmp_path_factory.mktemp("calm")
    synthetic.generate(folder, documents=100, seed=5, **OFF)
    return folder


def test_the_same_seed_gives_the_same_bytes(stream, tmp_path):
    folder, truth = stream
    assert synthetic.generate(tmp_path, documents=150, seed=3) == truth
    for path in sorted(folder.rglob("*.*")):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_another_seed_gives_other_papers(stream, tmp_path):
    synthetic.generate(tmp_path, documents=30, seed=4)
    assert not {row["contract_num"] for row in rows(tmp_path)} & {row["contract_num"] for row in rows(stream[0])} - {""}


def test_a_second_call_on_a_whole_folder_draws_nothing(stream):
    folder, truth = stream
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert synthetic.generate(folder, documents=150, seed=3, progress=lambda: pytest.fail("a document was drawn")) == truth
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_stream_is_completed_by_the_next_call(tmp_path):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.generate(tmp_path, documents=4, progress=stop)
    assert not (tmp_path / "labels.csv").exists()
    (tmp_path / ".labels.csv.123-456.part").write_text("file_id\n")  # as a kill while it was written leaves it
    synthetic.generate(tmp_path, documents=4)
    assert len(rows(tmp_path)) == len(list((tmp_path / "pdf").iterdir())) == 4


def test_other_documents_are_not_overwritten(stream, tmp_path):
    with pytest.raises(BadInput, match="already holds other documents"):
        synthetic.generate(stream[0], documents=150, seed=4)
    (tmp_path / "pdf").mkdir()
    (tmp_path / "pdf" / "mine.pdf").write_bytes(b"%PDF-")
    with pytest.raises(BadInput, match=r"holds other files, such as pdf/mine\.pdf"):
        synthetic.generate(tmp_path, documents=3)


def test_a_switch_before_the_live_stream_is_refused(tmp_path):
    with pytest.raises(BadInput, match="amount_shift: 2026-01-09 is not in the live stream"):
        synthetic.generate(tmp_path, documents=3, amount_shift=date(2026, 1, 9))


def test_the_labels_are_printed_on_the_pages(stream):
    folder, _ = stream
    printed = labelled = 0
    for row in rows(folder)[::3]:
        if not (words := words_of(folder, row)):
            continue
        values = [row[name] for name in FIELDS if row[name]]
        labelled += len(values)
        printed += sum(is_printed(value, words) for value in values)
    assert labelled > 230
    assert printed / labelled >= 0.99


@pytest.mark.parametrize("number", range(LAYOUTS))
def test_every_layout_prints_its_answers_among_wrong_ones(number, tmp_path):
    form, work = form_of(number), paperwork(number)
    drawn, answers = (draw_other if form.document_class == "other" else draw)(form, work, random.Random(number))
    (tmp_path / "a.pdf").write_bytes(drawn)
    words = [word.text for word in documents.read(tmp_path / "a.pdf").words]
    text = "".join(words)
    assert [value for value in answers.values() if not is_printed(value, words)] == []
    if form.document_class != "other":
        assert len({word for word in words if word[-3:-2] == "." and word[-2:].isdigit()}) >= 2, (
            "one amount alone is no question"
        )
        assert sum(character.isdigit() for character in text) > 60


def test_no_two_layouts_look_alike():
    seen = {repr(form_of(number)).split(",", 1)[1] for number in range(LAYOUTS)}
    assert len(seen) == LAYOUTS >= 40


@pytest.mark.parametrize("number", range(0, LAYOUTS, 5))
def test_lines_add_up_to_the_gross_amount(number):
    work = paperwork(number)
    gross = work.items["gross_amount"]
    assert sum(line.amount for line in work.lines) == sum(work.months.values()) == gross
    assert work.items["net"] + work.items.get("commission", Decimal(0)) == gross
    assert (min(line.first for line in work.lines), max(line.last for line in work.lines)) == work.items["flight"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_each_trouble_changes_the_page_and_never_the_answers(trouble):
    changed = 0
    for number in range(12):
        form, work = form_of(number), paperwork(number)
        easy, hard = (draw(form, work, random.Random(1), troubles) for troubles in (frozenset(), frozenset({trouble})))
        assert easy[1] == hard[1]
        changed += easy[0] != hard[0]
    assert changed >= 9


def test_splits_follow_the_days_and_leave_enough_to_certify():
    start = synthetic.START
    since = synthetic._switch_days(dict.fromkeys(OFF, "default"), start, synthetic.DAYS)
    splits = [synthetic._plan(number, 900, 7, start, synthetic.DAYS, since).split for number in range(900)]
    assert splits[:297] == ["train"] * 297
    assert splits[297:657] == ["calibration"] * 360
    assert set(splits[657:]) == {"stream", "test-seen", "test-unseen"}
    assert min(splits.count(name) for name in ("test-seen", "test-unseen")) >= 25 and splits.count("stream") >= 110


def test_every_class_and_both_segments_are_there(stream):
    labels = rows(stream[0])
    assert {row["class"] for row in labels} == {"invoice", "order", "contract", "other"}
    assert {row["segment"] for row in labels} == {"national", "regional"}
    assert Counter(row["class"] for row in labels)["other"] < 0.2 * len(labels)


def test_tests_on_unseen_layouts_share_none_with_training(stream):
    layouts = {split: {row["layout"] for row in rows(stream[0]) if row["split"] == split} for split in ("train", "test-unseen")}
    assert layouts["test-unseen"] and not layouts["test-unseen"] & layouts["train"]


def test_a_paper_that_is_sent_twice_says_the_same_and_is_another_file():
    plans = [synthetic._plan(number, 300, 7, synthetic.START, synthetic.DAYS, OFF) for number in range(300)]
    copies = [plan for plan in plans if plan.copy]
    assert copies
    for copy in copies:
        first, again = (synthetic._draw(plan, 7, Market(7)) for plan in (plans[copy.number], copy))
        assert {name: first[1][name] for name in FIELDS} == {name: again[1][name] for name in FIELDS}
        assert first[0] != again[0]
        assert first[1]["day"] <= again[1]["day"]


def test_some_documents_are_scans(stream):
    folder, _ = stream
    scans = [row for row in rows(folder) if not words_of(folder, row)]
    assert 1 <= len(scans) <= 0.08 * 150
    picture = documents.page_image(folder / "pdf" / f"{scans[0]['file_id']}.pdf", Page(0, 0, 0, ()))
    assert len(set(picture.convert("L").tobytes())) > 30, "a scan without noise"


def _number(row: dict[str, str]) -> float:
    return float("".join(letter for letter in row["gross_amount"] if letter in "0123456789.") or "nan")


def _raised(after: list[dict[str, str]], calm: list[dict[str, str]]) -> bool:
    pairs = [(_number(row), _number(other)) for row, other in zip(after, calm, strict=True) if row["class"] != "other"]
    return all(amount == pytest.approx(4 * once) for amount, once in pairs)


EFFECTS = {  # checks a switch's effect: the rows from its day on against the same rows of the calm stream
    "new_suppliers": lambda after, calm: (
        len({r["advertiser"] for r in after} & {r["advertiser"] for r in calm}) < len(after) / 2
    ),
    "amount_shift": _raised,
    "worse_segment": lambda after, calm: after == calm,  # the answers stay; the pages do not
    "new_layouts": lambda after, calm: sum(r["layout"] >= f"F{HELD_OUT.start}" for r in after) > len(after) / 3,
}


@pytest.mark.parametrize("name", list(OFF))
def test_each_switch_changes_what_it_says_from_its_day_and_nothing_else(tmp_path, calm, name):
    truth = synthetic.generate(tmp_path, documents=100, seed=5, **{**OFF, name: DAY})
    assert {key: getattr(truth, key) for key in OFF} == {**OFF, name: DAY.isoformat()}
    now, then = rows(tmp_path), rows(calm)
    changed = [
        row
        for row in now
        if (tmp_path / "pdf" / f"{row['file_id']}.pdf").read_bytes() != (calm / "pdf" / f"{row['file_id']}.pdf").read_bytes()
    ]
    assert len(changed) >= 5
    assert min(row["day"] for row in changed) >= DAY.isoformat()
    if name == "worse_segment":
        assert {row["segment"] for row in changed} == {"regional"}
    after, before = ([row for row in part if row["day"] >= DAY.isoformat()] for part in (now, then))
    assert EFFECTS[name](after, before)
