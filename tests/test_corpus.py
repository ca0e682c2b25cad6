"""The corpus: a folder and its labels.csv become a data set, or one clear error."""

import math
import shutil
from pathlib import Path

import pytest

from proveout import documents, mission
from proveout.corpus import Dataset, build_dataset, building, check_labels, read_labels
from proveout.corpus.card import crossing
from proveout.errors import BadInput, BadLabels, NoDocuments
from proveout.mission import FieldSpec, Mission

HEADER = "file_id,split,day,layout,segment,class,source,licence,contract_num,gross_amount"


@pytest.fixture(scope="module")
def invoices() -> Mission:
    return mission.load(Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml")


def body(number: int) -> str:
    """The unique text of a document."""
    return f"Invoice {number}\nGross Total ${number}.00\n" + " ".join(f"spot{number * 1000 + i}" for i in range(60)) + "\n"


def folder_of(folder: Path, rows: list[str], header: str = HEADER, texts: dict[str, str] | None = None) -> Path:
    """A folder with a labels.csv and a text file for each of its rows."""
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for number, row in enumerate(rows):
        name = row.split(",")[0]
        (folder / f"{name}.txt").write_text((texts or {}).get(name, body(number)), encoding="utf-8")
    return folder


ROWS = [
    "a,train,2020-01-05,L1,east,invoice,here,CC0,4711,$1.00",
    "b,train,2020-01-06,L1,west,order,here,CC0,4712,",
    "c,calibration,2020-02-01,L2,west,,here,CC0,,$3.00",
    "d,test-seen,2020-03-01,L2,east,other,here,CC0,4714,$4.00",
    "e,test-unseen,2020-03-02,L3,east,contract,here,CC0,4715,$5.00",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, invoices: Mission) -> Dataset:
    """Five labelled documents, a copy, a near-duplicate, one without a row and one that cannot be read."""
    home = tmp_path_factory.mktemp("corpus")
    near = body(0).replace("spot59", "spot60")
    rows = [*ROWS, "copy,test-seen,2020-03-05,L1,west,invoice,,,,", "near,test-seen,2020-03-06,L1,west,invoice,,,,"]
    folder = folder_of(home / "folder", rows, texts={"copy": body(1), "near": near})
    (folder / "unlabelled.txt").write_text(body(99), encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    return build_dataset(folder, invoices, home / "out", cache=home / "cache")


def case_of(data: Dataset, name: str) -> str:
    return documents.sha256_of(data.folder / f"{name}.txt")


def test_a_data_set_holds_the_words_that_a_reader_finds(data: Dataset) -> None:
    for split in ("train", "calibration", "test"):
        for document in Dataset.load(data.root).documents(split):
            assert document == documents.read(data.path_of(document.sha256))


def test_labels_class_day_and_segment_come_from_the_row(data: Dataset) -> None:
    entry = data.entry(case_of(data, "a"))
    assert (entry.split, entry.layout, entry.document_class, entry.source, entry.licence) == (
        "train",
        "L1",
        "invoice",
        "here",
        "CC0",
    )
    assert (str(entry.case.day), entry.case.segment, entry.case.path) == ("2020-01-05", "east", "a.txt")
    assert data.labels("train")[case_of(data, "a")] == {"contract_num": "4711", "gross_amount": "$1.00"}
    assert data.labels("train")[case_of(data, "b")] == {"contract_num": "4712"}  # an empty value is no label
    assert case_of(data, "c") not in data.classes()


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", {"a", "b"}),
        ("test", {"d", "e", "near"}),
        ("test-unseen", {"e"}),
        ("stream", {"unlabelled"}),
        ("nothing", set()),
    ],
)
def test_a_split_is_chosen_by_its_name(data: Dataset, split: str, names: set[str]) -> None:
    assert {data.path_of(document.sha256).stem for document in data.documents(split)} == names


def test_a_file_without_a_row_is_a_live_case_and_the_card_says_so(data: Dataset) -> None:
    assert data.entry(case_of(data, "unlabelled")).split == "stream"
    assert "2 files have no row in labels.csv" in data.card and "unlabelled" in data.card


def test_the_same_bytes_are_one_case(data: Dataset) -> None:
    copy = next(entry for entry in data.entries if entry.case.path == "copy.txt")
    assert copy.duplicate_of == "b.txt" and copy.case.id == case_of(data, "b")
    assert [entry.case.path for entry in data.chosen() if entry.case.id == copy.case.id] == ["b.txt"]


def test_a_near_duplicate_points_to_the_earlier_case_and_is_reported_across_splits(data: Dataset) -> None:
    near = data.entry(case_of(data, "near"))
    assert near.near_duplicate_of == case_of(data, "a")
    assert [(later.case.path, earlier.case.path) for later, earlier in crossing(data.chosen())] == [("near.txt", "a.txt")]
    assert "| near.txt | test-seen | a.txt | train |" in data.card
    assert [(later.case.path, earlier.case.path) for later, earlier in data.near_duplicates(0.8)] == [("near.txt", "a.txt")]
    assert data.near_duplicates(0.999) == []


def test_copies_with_the_same_labels_are_one_group_of_the_evidence(tmp_path: Path, invoices: Mission) -> None:
    page = " ".join(f"word{number}" for number in range(80))
    texts = {"a": page, "copy": f"{page} stamped", "other": f"{page} 12", "far": page[::-1]}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    rows = [f"{name},{4711 + (name == 'other')},{'calibration' if name == 'far' else 'train'}" for name in texts]
    (tmp_path / "labels.csv").write_text("\n".join(["file_id,contract_num,split", *rows]))
    data = build_dataset(tmp_path, invoices, tmp_path / "data")
    groups = [tuple(data.path_of(id).stem for id in group) for fold in data.folds(math.inf) for group in fold]
    assert sorted(tuple(sorted(group)) for group in groups) == [("a", "copy"), ("far",), ("other",)]
    assert len(data.evidence(data.folds(math.inf))) == 3


def test_a_file_that_cannot_be_read_is_a_refused_case(data: Dataset) -> None:
    (refused,) = [entry for entry in data.entries if entry.refused]
    assert refused.case.path == "broken.pdf" and refused.refused.startswith("broken PDF")
    assert refused.case.id not in {document.sha256 for document in data.documents()}
    assert "| broken.pdf | broken PDF" in data.card


def test_the_version_depends_on_the_content_and_not_on_the_paths(data: Dataset, tmp_path: Path, invoices: Mission) -> None:
    moved = shutil.copytree(data.root.parent / "folder", tmp_path / "elsewhere")
    assert build_dataset(moved, invoices, tmp_path / "same").version == data.version
    (moved / "d.txt").rename(moved / "renamed.txt")
    labels = (moved / "labels.csv").read_text()
    (moved / "labels.csv").write_text(labels.replace("\nd,", "\nrenamed,"))
    assert build_dataset(moved, invoices, tmp_path / "renamed").version == data.version
    (moved / "labels.csv").write_text(labels.replace("\nd,", "\nrenamed,").replace("$4.00", "$4.01"))
    assert build_dataset(moved, invoices, tmp_path / "other label").version != data.version


def test_a_data_set_is_whole_wherever_it_is_moved(data: Dataset, tmp_path: Path) -> None:
    moved = Dataset.load(shutil.copytree(data.root, tmp_path / "moved"))
    assert moved.path_of(case_of(data, "a")).read_text() == body(0)
    for file in moved.root.glob("*.*"):
        assert str(data.root.parent).encode() not in file.read_bytes()  # no path of this machine


def test_without_splits_in_the_file_cases_are_split_by_day(tmp_path: Path, invoices: Mission) -> None:
    rows = [f"d{number},2020-01-{20 - number:02}" for number in range(10)]
    data = build_dataset(folder_of(tmp_path / "f", rows, "file_id,received"), invoices, tmp_path / "out")
    days = {
        split: sorted(e.case.day.day for e in data.chosen(split) if e.case.day) for split in ("train", "calibration", "test")
    }
    assert days == {"train": [11, 12, 13, 14, 15], "calibration": [16, 17], "test": [18, 19, 20]}
    assert len(data.documents("stream")) == 3  # without live cases, the stream is the test split


def test_the_class_comes_from_the_title_and_the_segment_from_the_layout(tmp_path: Path, invoices: Mission) -> None:
    rows = ["a,Inv 12,L1", "b,ORDER and contract,L2", "c,Contracts 2020,L1"]
    data = build_dataset(folder_of(tmp_path / "f", rows, "file_id,title,layout"), invoices, tmp_path / "out")
    assert [entry.document_class for entry in data.entries] == ["invoice", "", "contract"]
    assert [entry.case.segment for entry in data.entries] == ["L1", "L2", "L1"]
    assert "guess from words of the title" in data.card


def test_a_title_reaches_nothing_that_a_model_sees(tmp_path: Path, invoices: Mission) -> None:
    rows = ["a,Secret 4711,L1", "b,Hidden 4712,L2"]
    data = build_dataset(folder_of(tmp_path / "f", rows, "file_id,title,layout"), invoices, tmp_path / "out")
    assert not any(b"4711" in file.read_bytes() or b"Hidden" in file.read_bytes() for file in data.root.glob("*.*"))


MALFORMED = {
    "no file_id": ("key,split\na,train\n", "labels.csv, line 1: no column `file_id`; found key, split; expected a UTF-8 CSV"),
    "empty": ("", "labels.csv: empty"),
    "too many values": ("file_id,split\na,train\nb,train,x\n", "labels.csv, line 3: 3 values, the header has 2"),
    "open quote": ('file_id,split\na,"train\n', "labels.csv, line 2: malformed CSV"),
    "twice": ("file_id\na\nb\na\n", "labels.csv, line 4: file_id 'a' is already in line 2"),
    "nameless": ("file_id,split\n,train\n", "labels.csv, line 2: no file_id"),
    "column twice": ("file_id,split,split\na,b,c\n", "column `split` appears twice"),
    "bad day": ("file_id,day\na,02/03/2020\n", "labels.csv, line 2: day '02/03/2020'; expected YYYY-MM-DD"),
    "bad split": ("file_id,split\na,trian\n", "labels.csv, line 2: split 'trian'; expected one of train, calibration"),
    "bad class": ("file_id,class\na,bill\n", "labels.csv, line 2: class 'bill'; expected one of invoice, order"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_labels_file_says_what_and_where(tmp_path: Path, invoices: Mission, name: str) -> None:
    text, message = MALFORMED[name]
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadLabels) as caught:
        read_labels(tmp_path / "labels.csv", invoices)
    assert message in str(caught.value)


NEARLY_RIGHT = {
    "file_ID,split": "file_ID -> file_id",
    "id,split": "id -> file_id",
    "filename,Contract Number,advertiser": "filename -> file_id, Contract Number -> contract_num",
    "file_id,contract_number,advertiser_name": "contract_number -> contract_num, advertiser_name -> advertiser",
    "file_id,contractnum,Gross Amt": "contractnum -> contract_num, Gross Amt -> gross_amount (or remove a column that means "
    "something else). Also, no column looks like `advertiser`, `flight_from`, `flight_to`; found file_id, contractnum, Gross",
    "file_id,Contract #,GROSS AMOUNT": "Contract # -> contract_num, GROSS AMOUNT -> gross_amount",
    "file_id,flight from,FlightTo": "flight from -> flight_from, FlightTo -> flight_to",
    "file_id,gros_amount,Day,spilt": "gros_amount -> gross_amount, Day -> day, spilt -> split",
    "File;Contract No.;advertiser": "the columns are separated by semicolons; save it as CSV with commas. "
    "Also, headers are nearly right; "
    "rename File -> file_id, Contract No. -> contract_num",
    "file_id\tadvertiser": "the columns are separated by tabs; save it as CSV with commas",
}


@pytest.mark.parametrize("header", NEARLY_RIGHT)
def test_headers_that_nearly_fit_are_refused_with_the_names_that_fit(tmp_path: Path, invoices: Mission, header: str) -> None:
    (tmp_path / "labels.csv").write_text(f"\ufeff{header}\n", encoding="utf-8")  # as a spreadsheet writes it
    with pytest.raises(BadLabels) as caught:
        read_labels(tmp_path / "labels.csv", invoices)
    assert NEARLY_RIGHT[header] in str(caught.value)


@pytest.mark.parametrize("column", ["mood", "receiver", "resource", "net_amount", "total", "invoice_number", "name"])
def test_a_column_that_means_something_else_is_left_out(tmp_path: Path, invoices: Mission, column: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file_id,{','.join(invoices.fields)},{column}\n", encoding="utf-8")
    assert read_labels(tmp_path / "labels.csv", invoices).unknown == (column,)
    (tmp_path / "labels.csv").write_text(f"file_id,{column}\n", encoding="utf-8")
    assert read_labels(tmp_path / "labels.csv", invoices).unknown == (column,)


FIELDS = "contract_num,advertiser,gross_amount,flight_from,flight_to"
NO_BUILD = {
    "no column": (
        "file_id,contract_num,client\na,1,x\n",
        "no column for `advertiser`, `gross_amount`, `flight_from`, `flight_to`, which the mission invoices requires before it "
        "acts; found file_id, contract_num, client; expected file_id, contract_num, advertiser, gross_amount, flight_from",
    ),
    "no value": (f"file_id,{FIELDS}\na,,,,,\n", "no row has a value for any of contract_num, advertiser"),
    "no split": (f"file_id,split,{FIELDS}\na,train,1,,,,\nb,test-seen,2,,,,\n", "no row has the split calibration; a build"),
    "too few": (f"file_id,{FIELDS}\na,1,,,,\nb,2,,,,\nc,3,,,,\n", "3 documents besides live cases; a build needs at least 4"),
}


@pytest.mark.parametrize("name", NO_BUILD)
def test_labels_that_no_build_can_use_are_refused_before_the_build(tmp_path: Path, invoices: Mission, name: str) -> None:
    text, message = NO_BUILD[name]
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadLabels) as caught:
        check_labels(tmp_path / "labels.csv", invoices)
    assert message in str(caught.value)
    assert read_labels(tmp_path / "labels.csv", invoices).rows, "a file of answers may be like this"


def test_a_column_may_be_empty_or_come_from_what_people_answered(tmp_path: Path, invoices: Mission) -> None:
    labels, answers = tmp_path / "labels.csv", tmp_path / "answers.csv"
    labels.write_text(f"file_id,{FIELDS}\n" + "".join(f"{name},1,,,,\n" for name in "abcd"), encoding="utf-8")
    check_labels(labels, invoices, answers)
    labels.write_text("file_id,contract_num\n" + "".join(f"{name},1\n" for name in "abcd"), encoding="utf-8")
    answers.write_text(f"file_id,{FIELDS}\ne,1,One Nation,$2.00,1/2/20,1/3/20\n", encoding="utf-8")
    check_labels(labels, invoices, answers)


@pytest.mark.parametrize("place", ["f", "f/pdf"])
def test_a_file_id_may_have_its_extension(tmp_path: Path, invoices: Mission, place: str) -> None:
    folder_of(tmp_path / "f", ["a", "b.2"], "file_id")
    (tmp_path / place).mkdir(exist_ok=True)
    for name in ("a.txt", "b.2.txt"):
        (tmp_path / "f" / name).rename(tmp_path / place / name)
    labels = tmp_path / "f" / "labels.csv"
    labels.write_text("file_id\na.txt\nb.2\n", encoding="utf-8")
    assert set(read_labels(labels, invoices).rows) == {"a", "b.2"}
    labels.write_text("file_id\na.txt\na\n", encoding="utf-8")
    with pytest.raises(BadLabels, match="file_id 'a' is already in line 2"):
        read_labels(labels, invoices)


def test_the_card_says_how_cases_without_a_day_were_split(tmp_path: Path, invoices: Mission) -> None:
    rows = [f"d{number},{'2020-01-05' if number < 3 else ''}" for number in range(10)]
    some = build_dataset(folder_of(tmp_path / "f", rows, "file_id,day"), invoices, tmp_path / "some")
    assert "Split by day, oldest first; before them the 7 cases without a day, at random." in some.card
    assert {entry.split for entry in some.chosen() if entry.case.day} == {"test"}
    none = build_dataset(folder_of(tmp_path / "g", [row[:2] for row in rows], "file_id"), invoices, tmp_path / "none")
    assert "Split at random: labels.csv has no days." in none.card
    assert [len(none.documents(split)) for split in ("train", "calibration", "test")] == [5, 2, 3]


def test_a_flag_is_yes_or_no_however_it_is_written_and_nothing_else(tmp_path: Path, invoices: Mission) -> None:
    mission = invoices.model_copy(update={"fields": {"rush": FieldSpec(kind="flag")}})
    (tmp_path / "labels.csv").write_text("file_id,rush\na,TRUE\nb,0\nc,\nd,No\n", encoding="utf-8")
    rows = read_labels(tmp_path / "labels.csv", mission).rows
    assert {name: dict(row.fields) for name, row in rows.items()} == {
        "a": {"rush": "yes"},
        "b": {"rush": "no"},
        "c": {},
        "d": {"rush": "no"},
    }
    (tmp_path / "labels.csv").write_text("file_id,rush\na,yes\nb,maybe\n", encoding="utf-8")
    with pytest.raises(BadLabels, match="line 3: flag `rush` is 'maybe'; expected yes or no"):
        read_labels(tmp_path / "labels.csv", mission)


def test_labels_of_another_encoding_are_refused(tmp_path: Path, invoices: Mission) -> None:
    (tmp_path / "labels.csv").write_bytes("file_id,advertiser\na,Müller\n".encode("latin-1"))
    with pytest.raises(BadLabels, match="not UTF-8"):
        read_labels(tmp_path / "labels.csv", invoices)


def test_a_byte_order_mark_is_not_part_of_a_header(tmp_path: Path, invoices: Mission) -> None:
    (tmp_path / "labels.csv").write_text("\ufefffile_id\na\n", encoding="utf-8")
    assert list(read_labels(tmp_path / "labels.csv", invoices).rows) == ["a"]


def test_unknown_columns_are_left_out_and_named_in_the_card(tmp_path: Path, invoices: Mission) -> None:
    data = build_dataset(folder_of(tmp_path / "f", ["a,blue"], "file_id,mood"), invoices, tmp_path / "out")
    assert "left out: mood" in data.card


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda folder: None, NoDocuments, "no such folder"),
        (lambda folder: folder.mkdir(), NoDocuments, "no documents"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").write_text("Hello")), BadLabels, "labels.csv: cannot be read"),
        (
            lambda folder: (folder_of(folder, ROWS), (folder / "b.txt").unlink()),
            BadLabels,
            "1 of 5 rows have no file, the first is 'b'",
        ),
        (lambda folder: (folder_of(folder, ROWS), (folder / "b.pdf").write_text("x")), BadLabels, "have the same file_id 'b'"),
        (lambda folder: folder_of(folder, ["a"], "file_id", {"a": " "}), NoDocuments, "none of 1 files can be read"),
    ],
    ids=["no folder", "empty folder", "no labels", "row without file", "two files", "nothing readable"],
)
def test_a_folder_that_is_no_corpus_gives_one_message(tmp_path: Path, invoices: Mission, make, error, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "f")
    with pytest.raises(error) as caught:
        build_dataset(tmp_path / "f", invoices, tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_a_build_that_fails_leaves_the_old_data_set(
    data: Dataset, tmp_path: Path, invoices: Mission, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(data.root, out)

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "card", full)
    with pytest.raises(OSError, match="No space"):
        build_dataset(data.root.parent / "folder", invoices, out)
    assert Dataset.load(out).version == data.version
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "not a data set"), ("{}", "not a data set"), ("no json", "not a data set"), ('{"schema": 99}', "schema 99")],
)
def test_a_folder_that_is_no_data_set_is_not_opened(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        Dataset.load(tmp_path)


def test_real_invoices_have_the_splits_and_labels_of_their_file(shared_data: Path, tmp_path: Path, invoices: Mission) -> None:
    """Thirty text-layer documents of the real stream; all 373 are read by the pipeline."""
    real = shared_data / "adbuy"
    (tmp_path / "few").mkdir()
    header, *rows = (real / "labels.csv").read_text(encoding="utf-8").splitlines()
    few = sorted((real / "pdf").glob("*.pdf"), key=lambda path: path.stat().st_size)[:30]
    stems = {path.stem for path in few}
    chosen = [row for row in rows if row.split(",")[0] in stems]
    (tmp_path / "few" / "labels.csv").write_text("\n".join([header, *chosen]), encoding="utf-8")
    (tmp_path / "few" / "pdf").symlink_to(tmp_path / "pdfs")
    (tmp_path / "pdfs").mkdir()
    for path in few:
        (tmp_path / "pdfs" / path.name).symlink_to(path)
    data = build_dataset(tmp_path / "few", invoices, tmp_path / "out")
    assert len(data.documents()) == 30
    assert all(entry.case.segment == entry.layout and entry.case.day for entry in data.entries)
    assert {name for labels in data.labels().values() for name in labels} == set(invoices.fields)
