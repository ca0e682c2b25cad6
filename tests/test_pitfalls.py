"""Documents with pitfalls: what the generator promises of each, and that no value of one is silently wrong.

The reader of these tests looks for the right value and takes a wrong one wherever the file offers it: the amount that no page
shows, the other reading of a day, the amount without its sign.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proveout.agent import Agent
from proveout.calibration import Calibrations
from proveout.cli import app
from proveout.corpus import synthetic
from proveout.corpus.synthetic.business import Market
from proveout.corpus.synthetic.pitfalls import BY_OCR, DECOY, DUPLICATE, PITFALLS, chosen
from proveout.corpus.synthetic.wording import LABELS
from proveout.documents import read, read_many
from proveout.errors import BadInput
from proveout.inspection import inspect
from proveout.mission import Mission
from proveout.models.candidates import Candidate, candidates_of
from proveout.models.e_invoice import EInvoiceTier
from proveout.models.text_segments import text_segments
from proveout.models.tiers import Extraction, ScoredValue
from proveout.records import Decision, Document, Kind, Route
from proveout.retrieval import Memory
from proveout.values import Conventions, conventions, day_of, plain, same, value_of, written
from proveout.values.dates import DAY_FIRST, MONTH_FIRST

EACH = 6  # documents of each pitfall
READ_BY_OCR = ("picture-values", *BY_OCR)
SWITCHES = ("new_suppliers", "amount_shift", "worse_segment", "new_layouts")
DIGEST = "4a8a6f981b961d01dbe262a96c89ebf06a788c11aeaeb0dd80cd45d6059ac187"
KINDS: dict[str, Kind] = {
    "contract_num": "number", "advertiser": "name", "gross_amount": "amount", "flight_from": "date", "flight_to": "date",
}  # fmt: skip
MISSION = Mission.model_validate(
    {
        "mission": "pitfalls",
        "purpose": "Read invoices of the world.",
        "classes": ["invoice", "other"],
        "never_act_on": [],
        "fields": {name: {"kind": kind} for name, kind in KINDS.items()}
        | {
            "contract_num": {"kind": "number", "e_invoice": "invoice_number"},
            "gross_amount": {"kind": "amount", "e_invoice": "total"},
        },
        "slo": {"precision": 0.9, "confidence": 0.9},
        "tiers": ["ranker", "e_invoice", "person"],
        "checks": {"duplicate_on": ["contract_num", "gross_amount", "flight_from", "flight_to"]},
        "actions": {"file_document": {}},
    }
)
Row = dict[str, str]


class Reader:
    """Reads the value of each field, or whatever the file has that could be taken for it."""

    def __init__(self, labels: dict[str, Row]) -> None:
        self.labels = labels

    def extract(self, contents, configs=None):
        return [self._extraction(content) for content in contents]

    def _extraction(self, document: Document) -> Extraction:
        printed, segments = conventions(document), text_segments(document)
        values = {}
        for name, kind in KINDS.items():
            candidates = candidates_of(segments, kind, LABELS["advertiser"], printed)
            row = self.labels[document.id]
            possible = [candidate for candidate in candidates if could_be(kind, candidate, row[name], is_foreign(row))]
            wrong = [candidate for candidate in possible if not same(kind, row[name], candidate.key)]
            if text := next((candidate.text for candidate in (*wrong, *possible)), ""):
                values[name] = ScoredValue(text, value_of(kind, text, printed), 0.99)
        return Extraction(document.id, "invoice", 0.99, values)


def could_be(kind: Kind, candidate: Candidate, label: str, foreign: bool) -> bool:
    """Whether a person might take a candidate for the value; one of a foreign document reads its days as it has them."""
    if kind == "date":
        return day_of(candidate.text, Conventions(order=DAY_FIRST if foreign else MONTH_FIRST)) == day_of(label)
    if kind == "amount":
        has_cents = re.search(r"[.,]\d\d", candidate.text) is not None
        return has_cents and digits(candidate.text) in (digits(label), f"{digits(label)}0", digits(str(DECOY)))
    return plain(candidate.text) == plain(label) if kind == "number" else same(kind, label, candidate.text)


def is_foreign(row: Row) -> bool:
    return row["pitfall"].startswith("foreign") and not row["variant"].startswith("United States")


def digits(text: str) -> str:
    return re.sub(r"\D", "", text).lstrip("0")


class Certain(Calibrations):
    """Automates everything, so that the checks alone decide."""

    def automates(self, tier: str, field: str, score: float) -> bool:
        return True


@dataclass(frozen=True)
class Decided:
    row: Row
    document: Document
    decision: Decision

    @property
    def acts(self) -> bool:
        return self.decision.route is Route.ACT

    @property
    def wrong(self) -> dict[str, str]:
        """The values that are not what a person sees."""
        values = {name: written(output.value) for name, output in self.decision.fields.items()}
        return {name: value for name, value in values.items() if not same(KINDS[name], self.row[name], value)}

    @property
    def reasons(self) -> set[str]:
        """Why it goes to a person, in the words of labels.csv."""
        failed = {check.name for check in self.decision.checks if check.passed is False}
        anomalies = {anomaly.kind.name.lower() for anomaly in self.document.anomalies}
        return anomalies | ({DUPLICATE} if "not a duplicate" in failed else set())

    def __str__(self) -> str:
        row, failed = self.row, [check.because for check in self.decision.checks if check.passed is False]
        missing = sorted(KINDS.keys() - self.decision.fields.keys())
        return f"{row['pitfall']}, {row['variant']}, {row['file_id']}: wrong {self.wrong}, missing {missing}, failed {failed}"


def decided(folder: Path, names: Sequence[str], each: int) -> list[Decided]:
    """The documents with a pitfall of a stream, laid into `inbox` in their order, read and decided."""
    synthetic.generate(folder / "data", 2 * each * len(names), seed=11, pitfalls=names, pitfall_share=0.5)
    with (folder / "data" / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sent_again = {row["file_id"] for row, after in pairwise(rows) if after["pitfall"] == "resaved"}
    rows = [row for row in rows if row["pitfall"] or row["file_id"] in sent_again]
    (folder / "inbox").mkdir()
    files = [folder / "inbox" / f"{at:04} {row['file_id']}.pdf" for at, row in enumerate(rows)]
    for file, row in zip(files, rows, strict=True):
        pdf_of(folder, row).rename(file)
    answers = zip(files, read_many(files, folder / "cache"), strict=True)
    documents = [one if isinstance(one, Document) else read(file) for file, one in answers]  # without the limits on time
    labels = {document.id: row for document, row in zip(documents, rows, strict=True)}
    memory = Memory.open(folder / "memory", store="")
    agent = Agent(MISSION, {"ranker": Reader(labels), "e_invoice": EInvoiceTier(MISSION)}, Certain({}), memory)
    decisions = agent.batch(documents)
    return [Decided(*case) for case in zip(rows, documents, decisions, strict=True) if case[0]["pitfall"]]


def pdf_of(folder: Path, row: Row) -> Path:
    return folder / "data" / "pdf" / f"{row['file_id']}.pdf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pitfalls")


@pytest.fixture(scope="module")
def cases(folder) -> list[Decided]:
    """Five or more documents of each pitfall that needs no OCR."""
    return decided(folder, [name for name in PITFALLS if name not in READ_BY_OCR], EACH)


def silent(cases: Sequence[Decided]) -> list[str]:
    """The decisions to act on a wrong value."""
    return [str(case) for case in cases if case.acts and case.wrong]


def test_no_value_is_silently_wrong(cases) -> None:
    assert min(Counter(case.row["pitfall"] for case in cases).values()) == EACH
    assert silent(cases) == []


def test_each_document_ends_as_its_label_says(cases) -> None:
    """What a person reads is read whole and acted on; what is deceptive goes to a person, for the reason that is stated."""
    assert [str(case) for case in cases if case.acts != (case.row["expected"] == "read")] == []
    assert [str(case) for case in cases if case.acts and len(case.decision.fields) < len(KINDS)] == []
    assert [str(case) for case in cases if not case.acts and case.row["because"] not in case.reasons] == []


def test_inspect_names_the_deceptive_ones_and_no_other(folder, cases) -> None:
    files = {file.id: file for file in inspect(folder / "inbox", folder / "cache").files}
    for case in cases:
        file = files[case.document.id]
        named = {anomaly.kind.name.lower() for anomaly in file.anomalies} | ({DUPLICATE} if file.near_duplicate_of else set())
        assert case.row["because"] in named if case.row["because"] else not file.anomalies, str(case)


@pytest.mark.slow
def test_no_value_of_a_large_stream_is_silently_wrong(tmp_path: Path) -> None:
    cases = decided(tmp_path, [name for name in PITFALLS if name not in READ_BY_OCR], 20)
    assert silent(cases) == []
    assert sum(case.acts == (case.row["expected"] == "read") for case in cases) >= 0.99 * len(cases)


@pytest.mark.slow
def test_no_value_that_is_read_by_ocr_is_silently_wrong(tmp_path: Path) -> None:
    cases = decided(tmp_path, READ_BY_OCR, EACH)
    assert silent(cases) == []
    assert sum(case.acts for case in cases) >= 0.6 * len(cases)


# the switch


def test_without_the_switch_the_stream_is_as_it_was() -> None:
    """Change this digest only with DRAWN_BY."""
    market, digest = Market(7), hashlib.sha256()
    since = synthetic._switch_days(dict.fromkeys(SWITCHES, "default"), synthetic.START, synthetic.DAYS)
    for number in range(0, 900, 15):
        data, row = synthetic.document(number, 900, 7, since, market)
        digest.update(data + repr(row).encode() if b"/Subtype /Image" not in data else b"a scan")
    assert digest.hexdigest() == DIGEST


def test_the_other_documents_of_a_stream_stay_as_they_are(tmp_path: Path) -> None:
    plain_truth = synthetic.generate(tmp_path / "plain", 24, seed=5)
    truth = synthetic.generate(tmp_path / "data", 24, seed=5, pitfalls=("negative", "stamps"), pitfall_share=0.25)
    assert (truth.pitfalls, plain_truth.pitfalls) == (("negative", "stamps"), ())
    assert "pitfall" not in (tmp_path / "plain" / "truth.json").read_text()
    with (tmp_path / "data" / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["pitfall"] for row in rows) == {"": 18, "negative": 3, "stamps": 3}
    for row in rows:
        as_before = pdf_of(tmp_path, row).read_bytes() == (tmp_path / "plain" / "pdf" / f"{row['file_id']}.pdf").read_bytes()
        assert as_before == (row["pitfall"] == "")


@pytest.mark.parametrize("name", PITFALLS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    since, market = dict.fromkeys(SWITCHES), Market(3)
    first, again, other = (
        synthetic.document(1, 4, seed, since, market, pitfalls=(name,), pitfall_share=0.5) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert first[1]["pitfall"] == name


def test_the_help_describes_each_pitfall() -> None:
    printed = CliRunner().invoke(app, ["synthesize", "--help"]).output
    assert re.findall(r"^    ([a-z-]+)  +\S", printed, re.MULTILINE) == sorted(PITFALLS, key=lambda n: printed.index(f"  {n} "))


def test_the_command_writes_what_was_asked_for(tmp_path: Path) -> None:
    command = ["synthesize", str(tmp_path / "data"), "--documents", "4", "--with", "rotated, stamps", "--share", "0.5"]
    assert CliRunner().invoke(app, command).exit_code == 0
    with (tmp_path / "data" / "labels.csv").open(newline="", encoding="utf-8") as file:
        assert [row["pitfall"] for row in csv.DictReader(file)] == ["", "rotated", "", "stamps"]


def test_what_is_no_pitfall_is_refused(tmp_path: Path) -> None:
    assert chosen("all") == tuple(PITFALLS)
    with pytest.raises(BadInput, match="unknown pitfall `stamp`; did you mean `stamps`"):
        chosen("rotated,stamp")
    with pytest.raises(BadInput, match=r"pitfall_share: 0\.8; expected more than 0 and at most 0\.5"):
        synthetic.generate(tmp_path, 4, pitfalls=("stamps",), pitfall_share=0.8)
