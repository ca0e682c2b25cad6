"""The synthetic stream is the same for the same seed, and says the truth about itself."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from proveout import documents
from proveout.corpus import synthetic
from proveout.errors import BadInput
from proveout.models.values import same
from proveout.records import Source

OFF = {"new_suppliers": None, "amount_shift": None, "worse_segment": None, "new_layouts": None}
KINDS = {"contract_num": "number", "advertiser": "name", "gross_amount": "amount", "flight_from": "date", "flight_to": "date"}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    return folder, synthetic.generate(folder, documents=240, seed=3)


def test_the_same_seed_gives_the_same_bytes(stream, tmp_path):
    folder, truth = stream
    assert synthetic.generate(tmp_path, documents=240, seed=3) == truth
    for path in sorted(folder.rglob("*.*")):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_a_second_call_on_a_whole_folder_draws_nothing(stream):
    folder, truth = stream
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert synthetic.generate(folder, documents=240, seed=3) == truth
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_documents_are_not_written_over(stream):
    with pytest.raises(BadInput, match="holds other documents already"):
        synthetic.generate(stream[0], documents=240, seed=4)


def test_the_labels_stand_on_the_pages(stream):
    folder, _ = stream
    found = asked = 0
    for row in rows(folder)[::5]:
        read = documents.read(folder / "pdf" / f"{row['file_id']}.pdf")
        if read.words[0].source is not Source.TEXT_LAYER:
            continue
        text = " ".join(word.text for word in read.words)
        asked += len(KINDS)
        found += sum(row[name] in text for name in KINDS)
    assert asked > 150
    assert found / asked >= 0.99


def test_every_split_and_class_is_there_and_calibration_can_certify(stream):
    splits = [row["split"] for row in rows(stream[0])]
    assert {"train", "calibration", "test-seen", "test-unseen"} == set(splits)
    assert splits.count("calibration") / len(splits) > 0.35
    assert {row["class"] for row in rows(stream[0])} == {"invoice", "order", "contract", "other"}


def test_tests_on_unseen_layouts_share_none_with_training(stream):
    layouts = {split: {row["layout"] for row in rows(stream[0]) if row["split"] == split} for split in ("train", "test-unseen")}
    assert layouts["test-unseen"] and not layouts["test-unseen"] & layouts["train"]


def test_lines_add_up_to_the_gross_amount():
    import random

    from proveout.corpus.synthetic.business import Business
    from proveout.corpus.synthetic.layouts import FAMILIES, family

    for number in range(FAMILIES):
        form = family(number)
        work = Business(1).paperwork(random.Random(number), form, date(2026, 5, 1))
        assert sum(line.rate for line in work.lines) == work.amounts["gross_amount"] > 0
        assert same("amount", work.labels["gross_amount"], str(work.amounts["gross_amount"]))
        assert work.amounts["net"] + work.amounts["commission"] == work.amounts["gross_amount"]


@pytest.mark.parametrize("name", list(OFF))
def test_each_switch_has_its_own_day(tmp_path, name):
    day = date(2026, 9, 1)
    truth = synthetic.generate(tmp_path, documents=60, seed=5, **{**OFF, name: day})
    on = {key for key in OFF if getattr(truth, key)}
    assert on == {name}
    synthetic.generate(tmp_path / "off", documents=60, seed=5, **OFF)
    pairs = list(zip(rows(tmp_path), rows(tmp_path / "off"), strict=True))

    def differs(row: dict[str, str], other: dict[str, str]) -> bool:
        drawn = [(tmp_path / place / "pdf" / f"{row['file_id']}.pdf").read_bytes() for place in (".", "off")]
        return drawn[0] != drawn[1]

    assert not any(differs(row, other) for row, other in pairs if row["day"] < day.isoformat())
    assert any(differs(row, other) for row, other in pairs if row["day"] >= day.isoformat())


def test_amounts_rise_when_they_are_said_to(tmp_path):
    day = date(2026, 8, 20)
    synthetic.generate(tmp_path, documents=150, seed=2, **{**OFF, "amount_shift": day})
    amounts = {True: [], False: []}
    for row in rows(tmp_path):
        amounts[row["day"] >= day.isoformat()].append(Decimal("".join(c for c in row["gross_amount"] if c in "0123456789.")))
    assert sum(amounts[True]) / len(amounts[True]) > 2 * sum(amounts[False]) / len(amounts[False])
