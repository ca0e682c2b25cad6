"""The extractor on small generated forms, its saved folder, and real documents if they are available."""

import csv
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proveout import documents as readers
from proveout import mission as missions
from proveout.errors import BadModel, NoDocuments
from proveout.evaluation import score
from proveout.models import Extractor, Settings, flags
from proveout.models.candidates import candidates_of
from proveout.models.classes import Classes
from proveout.models.label_phrases import LabelPhrases
from proveout.models.layout_statistics import LabelledCandidates, LayoutStatistics, TrainingStatistics
from proveout.models.ranker import FAMILIAR, KNOWN, NEW, Choice, Ranker, choose_range
from proveout.models.text_segments import NOWHERE, text_segments
from proveout.prompts import FieldPrompt, Prompts
from proveout.records import Box, Document, Page, Source, Word

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
MISSION = missions.load(DESIGN / "mission.yaml")
PROMPTS = Prompts.load(DESIGN / "prompts", MISSION)
QUICK = Settings(rounds=15, least_rows=3)

Row = Sequence[tuple[float, str]]  # (x, text) of the segments of one line


def drawn(sha256: str, *pages: Sequence[Row]) -> Document:
    """A document with lines 14 points apart, 5 points per letter and 3 points between words."""
    drawn_pages = []
    for number, rows in enumerate(pages):
        words = []
        for line, row in enumerate(rows):
            for x, text in row:
                for part in text.split():
                    box = Box(x, 20 + 14 * line, x + 5 * len(part), 30 + 14 * line)
                    words.append(Word(part, box, number, line, sha256, Source.TEXT_LAYER))
                    x += 5 * len(part) + 3
        drawn_pages.append(Page(number, 612, 792, tuple(words)))
    return Document(sha256, tuple(drawn_pages))


def beside(facts: dict[str, str]) -> list[Row]:
    """An invoice: labels left of their values."""
    return [
        [(250, "INVOICE")],
        [(40, "Invoice #"), (140, facts["contract_num"]), (300, "Invoice Date"), (400, facts["printed"])],
        [(40, "Advertiser"), (140, facts["advertiser"]), (300, "Alt Order #"), (400, facts["other_num"])],
        [
            (40, "Agency"),
            (140, facts["agency"]),
            (300, "Flight Dates"),
            (400, f"{facts['flight_from']} - {facts['flight_to']}"),
        ],
        *([(40, day), (200, "News at six"), (500, amount)] for day, amount in facts["lines"]),
        [(300, "Gross Total"), (500, facts["gross_amount"])],
        [(300, "Agency Commission"), (500, facts["commission"])],
        [(300, "Net Amount Due"), (500, facts["net"])],
    ]


def under(facts: dict[str, str]) -> list[Row]:
    """A contract: labels over their values."""
    return [
        [(40, "CONTRACT"), (300, "Contract Agreement Between")],
        [(40, "Contract / Revision"), (240, "Alt Order #"), (420, "Print Date")],
        [(40, facts["contract_num"]), (240, facts["other_num"]), (420, facts["printed"])],
        [(40, "Contract Dates"), (240, "Advertiser"), (420, "Agency")],
        [(40, f"{facts['flight_from']} - {facts['flight_to']}"), (240, facts["advertiser"]), (420, facts["agency"])],
        *([(40, day), (200, "Evening show"), (500, amount)] for day, amount in facts["lines"]),
        [(40, "Totals"), (500, facts["gross_amount"])],
    ]


def colons(facts: dict[str, str]) -> list[Row]:
    """A form that is not in the training data."""
    return [
        [(40, f"Order #: {facts['contract_num']}"), (300, f"Print Date: {facts['printed']}")],
        [(40, f"Client: {facts['advertiser']}"), (300, f"Agency: {facts['agency']}")],
        [(40, f"Flight: {facts['flight_from']} - {facts['flight_to']}"), (300, f"Estimate #: {facts['other_num']}")],
        *([(40, day), (200, "Morning"), (500, amount)] for day, amount in facts["lines"]),
        [(300, "Grand Total:"), (500, facts["gross_amount"])],
    ]


def facts_of(seed: int) -> dict[str, object]:
    draw = random.Random(seed)
    start = date(2020, 1, 6) + timedelta(days=draw.randrange(200))
    end = start + timedelta(days=draw.randrange(6, 30))
    printed = start - timedelta(days=draw.randrange(1, 20))
    days = [start + timedelta(days=draw.randrange((end - start).days)) for _ in range(4)]
    cents = [draw.randrange(50, 900) * 100 for _ in days]
    total = sum(cents)

    def money(value: float) -> str:
        return f"${Decimal(round(value)) / 100:,.2f}"

    def day(value: date) -> str:
        return value.strftime("%m/%d/%y")

    first = draw.choice(["Friends of", "Citizens for", "Committee to Elect", "Vote"])
    return {
        "contract_num": str(draw.randrange(200_000, 999_999)),
        "other_num": str(draw.randrange(2_000_000, 9_999_999)),
        "advertiser": f"{first} {draw.choice(['Ada', 'Grace', 'Alan', 'Edsger'])} {draw.choice(['Stone', 'Marsh', 'Lane'])}",
        "agency": draw.choice(["Union Media", "Blue Buying LLC", "North Strategies"]),
        "gross_amount": money(total),
        "commission": money(total * 0.15),
        "net": money(total * 0.85),
        "flight_from": day(start),
        "flight_to": day(end),
        "printed": day(printed),
        "lines": [(day(d), money(c)) for d, c in zip(days, cents, strict=True)],
    }


def cases(form: Callable[..., list[Row]], seeds: range) -> tuple[list[Document], dict[str, dict[str, str]]]:
    documents, labels = [], {}
    for seed in seeds:
        facts, name = facts_of(seed), f"{form.__name__}-{seed:03}"
        documents.append(drawn(name, form(facts)))
        labels[name] = {field: str(facts[field]) for field in MISSION.fields}
    return documents, labels


@pytest.fixture(scope="module")
def training_data() -> tuple[list[Document], dict[str, dict[str, str]]]:
    (invoices, invoice_labels), (contracts, contract_labels) = cases(beside, range(0, 24)), cases(under, range(100, 124))
    return invoices + contracts, invoice_labels | contract_labels


@pytest.fixture(scope="module")
def extractor(training_data: tuple[list[Document], dict[str, dict[str, str]]]) -> Extractor:
    classes = {document.sha256: "invoice" if "beside" in document.sha256 else "contract" for document in training_data[0]}
    return Extractor.train(*training_data, MISSION, PROMPTS, QUICK, classes)


def answers(extractor: Extractor, documents: Sequence[Document]) -> dict[str, dict[str, str]]:
    return {e.document: {name: value.text for name, value in e.fields.items()} for e in extractor.extract(documents)}


def f1(extractor: Extractor, documents: list[Document], labels: dict[str, dict[str, str]]) -> float:
    return score(labels, answers(extractor, documents), MISSION.kinds).micro.f1


@pytest.mark.parametrize("form", [beside, under])
def test_new_documents_of_known_forms_are_read_without_error(extractor: Extractor, form: Callable[..., list[Row]]) -> None:
    assert f1(extractor, *cases(form, range(500, 520))) == 1.0


def test_a_new_form_is_read_by_its_labels(extractor: Extractor) -> None:
    assert f1(extractor, *cases(colons, range(900, 920))) > 0.75


def test_an_extracted_value_has_a_place_a_score_and_reasons(extractor: Extractor) -> None:
    documents, labels = cases(beside, range(600, 601))
    amount = extractor.extract(documents)[0].fields["gross_amount"]
    assert amount.value == Decimal(labels[documents[0].sha256]["gross_amount"].replace("$", "").replace(",", ""))
    assert amount.place.page == 0 and amount.place.box.x0 == 500
    assert 0.5 < amount.score <= 1
    assert "right of “Gross Total”" in amount.speaks_for
    assert "the largest amount in the document" in amount.speaks_for


def test_an_unknown_layout_counts_against_every_value(extractor: Extractor) -> None:
    familiar, new = extractor.extract([*cases(beside, range(700, 701))[0], *cases(colons, range(700, 701))[0]])
    phrase = "unlike any layout in the training data"
    assert not any(phrase in value.speaks_against for value in familiar.fields.values())
    assert all(phrase in value.speaks_against for value in new.fields.values())


def test_one_documents_answer_does_not_depend_on_the_others(extractor: Extractor) -> None:
    documents = [*cases(beside, range(800, 803))[0], *cases(under, range(800, 803))[0]]
    together = extractor.extract(documents)
    assert together == [extractor.extract([document])[0] for document in documents]
    assert together[::-1] == extractor.extract(documents[::-1])


def test_a_document_without_words_has_no_fields_and_the_last_class(extractor: Extractor) -> None:
    (extraction,) = extractor.extract([Document("empty", (Page(0, 612, 792, ()),))])
    assert extraction.fields == {} and extraction.document_class == "other"


def test_the_same_training_data_give_the_same_bytes_in_any_order(
    training_data: tuple[list[Document], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    documents, labels = training_data
    for name, ordered in (("forward", documents), ("reversed", documents[::-1])):
        Extractor.train(ordered, labels, MISSION, PROMPTS, QUICK).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "forward").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "reversed").iterdir())
    assert all((tmp_path / "forward" / file).read_bytes() == (tmp_path / "reversed" / file).read_bytes() for file in files)


def test_a_saved_extractor_answers_as_before_and_keeps_its_id(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path / "model")
    loaded = Extractor.load(tmp_path / "model")
    documents = [*cases(beside, range(400, 405))[0], *cases(colons, range(400, 405))[0]]
    assert loaded.extract(documents) == extractor.extract(documents)
    assert loaded.id == extractor.id
    assert loaded.settings == QUICK and loaded.trained_on == extractor.trained_on


def _rewritten(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty folder": (lambda folder: [path.unlink() for path in folder.iterdir()], "no manifest.json"),
    "a foreign format": (lambda folder: _rewritten(folder, format="onnx"), "its format is 'onnx'"),
    "a newer version": (lambda folder: _rewritten(folder, version=99), "written in format version 99, this Proveout reads 6"),
    "a manifest that is not JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
    "a list for a manifest": (lambda folder: (folder / "manifest.json").write_text("[]"), "its format is 'list'"),
    "a changed file": (lambda folder: (folder / "statistics.json").write_text("{}"), "damaged or changed"),
    "a missing file": (lambda folder: (folder / "classes.json").unlink(), "classes.json: missing"),
    "a ranker left out": (lambda folder: _rewritten(folder, files={}), "its files are inconsistent"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_foreign_or_damaged_folder_is_refused(extractor: Extractor, tmp_path: Path, fault: str) -> None:
    extractor.save(tmp_path)
    break_it, message = FAULTS[fault]
    break_it(tmp_path)
    with pytest.raises(BadModel, match=message):
        Extractor.load(tmp_path)


def test_training_without_a_label_raises() -> None:
    with pytest.raises(NoDocuments, match="none of 1 documents has a label"):
        Extractor.train(cases(beside, range(1))[0], {}, MISSION, PROMPTS)


@pytest.mark.parametrize(
    ("kind", "line", "expected"),
    [
        ("date", [(40, "Flight 1/27/20 - 2/04/2020")], ["1/27/20", "2/04/2020"]),
        ("date", [(40, "01/26/202313097-1")], ["01/26/20"]),
        ("date", [(40, "Jan 6, 2020 to 2020-02-03, 7-Mar-20")], ["Jan 6, 2020", "2020-02-03", "7-Mar-20"]),
        ("date", [(40, "13/32/20 and 4/5")], []),
        ("amount", [(40, "Total $: $1,880.00 (15.00 %)")], ["$1,880.00"]),
        ("amount", [(40, "($76.50)"), (200, "1.880,00"), (300, "$ 5")], ["($76.50)", "1.880,00", "$ 5"]),
        ("number", [(40, "Invoice 2363932-1 of 01/02/20 for $1,880.00, call (309) 786-5441")], ["2363932-1"]),
        ("number", [(40, "PQ1523915 KT20020037")], ["PQ1523915", "KT20020037"]),
        ("name", [(40, "Advertiser One Nation, Inc."), (300, "12/30/19")], ["One Nation, Inc."]),
    ],
)
def test_candidates_are_cut_out_as_printed(kind: str, line: Row, expected: list[str]) -> None:
    segments = text_segments(drawn("x", [line]))
    assert [candidate.text for candidate in candidates_of(segments, kind, ("Advertiser",))] == expected  # type: ignore[arg-type]


def test_a_name_over_two_lines_is_one_candidate() -> None:
    segments = text_segments(drawn("x", [[(40, "Advertiser:"), (140, "Diana Harsh for")], [(140, "TN District 1")]]))
    assert "Diana Harsh for TN District 1" in [candidate.text for candidate in candidates_of(segments, "name")]


def test_a_name_runs_over_as_many_lines_as_the_mission_says() -> None:
    rows = [[(40, "NOVA CAFE SDN BHD 862725-U")], [(132, "22A-1, JALAN 17/54,")], [(132, "46400 Petaling Jaya")]]
    segments = text_segments(drawn("x", [*rows, [(132, "Selangor")], [(40, "Tel: 07-3863322")]]))
    two, three = ({one.text: one for one in candidates_of(segments, "name", lines=lines)} for lines in (2, 3))
    address = "22A-1, JALAN 17/54, 46400 Petaling Jaya"
    assert "NOVA CAFE SDN BHD" in two  # without the number behind it
    assert address in two and "22A-1, JALAN 17/54," not in two  # a line with more digits than letters begins an address
    assert set(three) - set(two) == {f"{address} Selangor"}
    whole = three[f"{address} Selangor"]
    assert (whole.box.y0, whole.box.y1, whole.last) == (34, 72, whole.segment + 2)


def test_segments_have_their_neighbours() -> None:
    segments = text_segments(drawn("x", [[(40, "Order #"), (140, "Flight Dates")], [(40, "4711"), (140, "1/2/20 - 3/4/20")]]))
    order, flight, number, days = range(4)
    assert segments.texts == ["Order #", "Flight Dates", "4711", "1/2/20 - 3/4/20"]
    assert segments.above.tolist() == [NOWHERE, NOWHERE, order, flight]
    assert segments.below.tolist() == [number, days, NOWHERE, NOWHERE]
    assert segments.left.tolist() == [NOWHERE, order, NOWHERE, number]
    assert segments.heading.tolist() == [NOWHERE, NOWHERE, order, flight]


def test_a_label_phrase_is_a_segment_of_its_own_unless_it_is_part_of_a_longer_one() -> None:
    page = [[(40, "One Nation Invoice Date"), (300, "Alt Order # 17")]]
    segments = text_segments(drawn("x", page), ("Invoice Date", "Order #", "Alt Order #"))
    assert segments.texts == ["One Nation", "Invoice Date", "Alt Order #", "17"]


def test_glued_cut_and_misread_labels_are_similar_to_their_phrase() -> None:
    labels = LabelPhrases({"invoice": ["Invoice Date"], "contract": ["Contract #"]})
    for text in ("Invoice Date:", "INVOICEDATE", "lnvoice Date"):
        assert labels.similarity(text)[0] > 0.7 > 0.2 > labels.similarity(text)[1], text
    assert labels.similarity("Contract No.")[1] == 1.0
    assert labels.similarity("12/30/19").tolist() == [0.0, 0.0]


def test_the_ends_of_a_range_are_chosen_together() -> None:
    document = drawn("x", [[(40, "Flight"), (140, "1/6/20 - 1/12/20"), (300, "Period"), (400, "12/30/19 - 1/26/20")]])
    untrained = Extractor(MISSION.kinds, (), _plain_prompts(), Classes.of({"a": []}), TrainingStatistics([], {}), {}, QUICK, {})
    features = untrained.reader.read(document).kinds["date"]
    assert [candidate.text for candidate in features.candidates] == ["1/6/20", "1/12/20", "12/30/19", "1/26/20"]
    first = [Choice(0, 0.6, 0.6), Choice(2, 0.4, 0.4)]
    last = [Choice(3, 0.5, 0.5), Choice(1, 0.45, 0.45)]
    (start, *_), (end, *_) = choose_range(features, first, last)
    assert (start.candidate, end.candidate) == (0, 1)
    assert 0.45 < end.score < 0.8


def _plain_prompts() -> dict[str, object]:
    fields = {name: {"labels": list(f.labels), "not_labels": list(f.not_labels)} for name, f in PROMPTS.fields.items()}
    return {"fields": fields, "classes": {"a": []}}


def test_a_training_document_does_not_learn_from_itself() -> None:
    """Its statistics come only from other documents, of its own layout or of other layouts."""
    import numpy as np

    marks = [frozenset("abcd"), frozenset("abcd"), frozenset("wxyz")]
    signature = ("total", "", "", "", "", "", "", "0")
    labelled = [LabelledCandidates([signature], np.array([right])) for right in (True, True, False)]
    statistics = TrainingStatistics(marks, {"amount": labelled})
    without_itself, without_its_cluster = (statistics.columns_without("amount", 0, new)[0] for new in (False, True))
    assert statistics.cluster.tolist() == [0, 0, 1]
    assert without_itself[0] > 0 > without_its_cluster[0]  # right in its own layout, wrong in the other layout
    assert without_itself[-1] == 1.0 and without_its_cluster[-1] == 0.0  # how familiar the layout is
    assert statistics.columns_without("amount", 0, True, forgetting=1.0)[0, 0] == statistics.rates["amount"].unknown[0]


HEADINGS = {"invoice": ["INVOICE", "Invoice #"], "contract": ["CONTRACT"], "other": ["Rebate"]}


def test_familiarity_decides_between_the_trees_for_known_and_for_new_layouts() -> None:
    rng = np.random.default_rng(3)
    rows = rng.random((400, 20))
    rows[:, FAMILIAR] = 0.5  # a constant, so that no tree splits at it
    trained = Ranker.train([rows], [rows[:, 0] + rng.normal(0, 0.3, 400) > 0.5], QUICK)

    def at(familiar: float) -> np.ndarray:
        rows[:, FAMILIAR] = familiar
        return trained.probabilities(rows)

    assert np.array_equal(at(0), at(NEW)) and np.array_equal(at(KNOWN), at(1))
    assert np.abs(at(NEW) - at(KNOWN)).max() > 0.05
    assert np.allclose(at((NEW + KNOWN) / 2), (at(NEW) + at(KNOWN)) / 2)
    assert np.array_equal(Ranker.from_text(trained.as_text()).probabilities(rows), trained.probabilities(rows))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("INVOICE", "invoice"), ("CONTRACT", "contract"), ("Rebate", "other"), ("Dear Sir or Madam", "other")],
)
def test_headings_give_the_class_without_training(text: str, expected: str) -> None:
    assert Classes.of(HEADINGS).classify(text_segments(drawn("x", [[(40, text)]])))[0] == expected


def test_a_mission_may_have_a_single_class() -> None:
    pages = [text_segments(drawn(str(n), [[(40, text)]])) for n in range(4) for text in ("RECEIPT", "thank you")]
    classes = Classes.of({"receipt": ["RECEIPT"]}).learn(pages, ["receipt", ""] * 4)
    assert classes.classify(pages[1]) == ("receipt", 1.0)
    assert classes.evidence_for(pages[0], "receipt") == [] and set(classes.log_odds("receipt")) >= {"RECEIPT"}


def test_words_give_the_class_of_a_page_without_a_known_heading() -> None:
    pages = [
        text_segments(drawn(str(n), [[(40, text)]])) for n in range(4) for text in ("amount due now", "parties agree hereby")
    ]
    classes = Classes.of(HEADINGS).learn(pages, ["invoice", "contract"] * 4)
    name, confidence = classes.classify(text_segments(drawn("x", [[(40, "the amount due")]])))
    other, doubtful = classes.classify(text_segments(drawn("x", [[(40, "weather report")]])))
    assert name == "invoice" and other == "other" and confidence > 0.4 and doubtful < 0.7


@pytest.mark.parametrize(("likelihood", "first"), [(0.96, "corrected"), (0.99, "best")])
def test_a_correction_moves_no_value_that_is_nearly_certain(
    extractor: Extractor,
    training_data: tuple[list[Document], Any],
    monkeypatch: pytest.MonkeyPatch,
    likelihood: float,
    first: str,
) -> None:
    document = extractor.reader.read(training_data[0][0])
    kind = MISSION.kinds["gross_amount"]
    texts = [candidate.text for candidate in document.kinds[kind].candidates]
    other = next(at for at, text in enumerate(texts) if text != texts[0])
    choices = [Choice(0, likelihood, likelihood), Choice(other, 0.1, 0.1)]
    monkeypatch.setattr(LayoutStatistics, "corrected_candidates", lambda *_: [other])
    ordered = extractor._corrected_first("gross_amount", [], document, choices)
    assert ordered[0].candidate == {"best": 0, "corrected": other}[first] and len(ordered) == 2


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[list[Path], dict[str, dict[str, str]]]:
    """Eighteen documents with a text layer, of three layouts, from the training split."""
    with (shared_data / "adbuy" / "labels.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "train" and row["layout"] in ("L00", "L02", "L09")]
    chosen = [row for layout in ("L00", "L02", "L09") for row in [r for r in rows if r["layout"] == layout][:6]]
    paths = [shared_data / "adbuy" / "pdf" / f"{row['file_id']}.pdf" for row in chosen]
    by_path = {str(path): {name: row[name] for name in MISSION.fields} for path, row in zip(paths, chosen, strict=True)}
    return paths, by_path


@pytest.fixture(scope="module")
def split(real: tuple[list[Path], dict[str, dict[str, str]]]) -> tuple[Extractor, list[Path]]:
    """An extractor trained on two thirds of them, and the paths of the others."""
    paths, labels = real
    train = [path for path in paths if path not in paths[::3]]
    by_hash = {readers.sha256_of(path): labels[str(path)] for path in train}
    return Extractor.train([readers.read(path) for path in train], by_hash, MISSION, PROMPTS, QUICK), paths[::3]


def test_file_names_and_the_order_of_a_folder_change_nothing(split: tuple[Extractor, list[Path]], tmp_path: Path) -> None:
    """Title, received and layout are in labels.csv and are never part of a Document; neither is the file name."""
    extractor, paths = split
    shuffled = random.Random(3).sample(range(len(paths)), len(paths))
    for at, place in enumerate(shuffled):
        shutil.copy(paths[at], tmp_path / f"{place:02} Invoice 999999 for Nobody 01-01-2001.pdf")
    original, renamed = ([readers.read(path) for path in files] for files in (paths, sorted(tmp_path.glob("*.pdf"))))
    assert [document.sha256 for document in original] != [document.sha256 for document in renamed]
    by_case = [{e.document: e for e in extractor.extract(documents)} for documents in (original, renamed)]
    assert by_case[0] == by_case[1] and len(by_case[0]) == len(paths)


def test_real_documents_of_known_layouts_are_mostly_right(
    split: tuple[Extractor, list[Path]], real: tuple[list[Path], dict[str, dict[str, str]]]
) -> None:
    extractor, paths = split
    labels = {readers.sha256_of(path): real[1][str(path)] for path in paths}
    assert f1(extractor, [readers.read(path) for path in paths], labels) > 0.7


LETTERS = {"yes": ["final notice", "wish to complain"], "no": ["no complaint"]}


def letter(sha256: str, *lines: str):
    return text_segments(drawn(sha256, [[(40, line)] for line in lines]))


def test_a_flag_is_placed_at_its_phrase_and_is_no_without_one():
    flag = flags.flag_of(LETTERS["yes"], LETTERS["no"])
    yes = flags.answer(flag, letter("a", "Dear Sir or Madam", "this is my final", "notice before court", "Nora"))
    no = flags.answer(flag, letter("b", "Dear Sir or Madam", "please send a copy", "Nora"))
    denied = flags.answer(flag, letter("c", "I wish to complain: no, it is no complaint"))
    assert (yes.text, yes.segments, yes.speaks_for) == ("yes", (1,), ("says “final notice”",))
    assert (no.text, no.segments, no.speaks_for) == ("no", (0, 1, 2), ("nothing in the document supports yes",))
    assert denied.text == "no" and denied.speaks_for == ("says “no complaint”",)


def test_a_document_without_words_gets_no_answer():
    assert flags.answer(flags.flag_of(["urgent"], []), text_segments(Document("x", (Page(0, 612, 792, ()),)))) is None


@pytest.mark.parametrize("labels", [["yes"] * 6, ["no"] * 6, ["yes"]], ids=["all yes", "all no", "one document"])
def test_the_prompts_phrases_still_count_if_all_labels_are_equal(labels):
    pages = [letter(str(at), "nobody called me back", f"room {at}") for at in range(len(labels))]
    flag = flags.flag_of(["complaint"], []).learn(pages, labels, guessed=False)
    assert flags.answer(flag, letter("x", "this is a complaint")).text == "yes"
    assert flags.answer(flag, letter("y", "room 7")).text == "no"


def test_a_flag_learns_from_people_what_the_prompts_do_not_say():
    """Also on the second page, and against the prompts' phrases: people's labels are never overridden."""
    upset = [letter(f"u{at}", "Dear Sir or Madam", "nobody called me back", "no complaint") for at in range(8)]
    calm = [letter(f"c{at}", "Dear Sir or Madam", "please send a copy") for at in range(8)]
    flag = flags.flag_of(LETTERS["yes"], LETTERS["no"]).learn([*upset, *calm], ["yes"] * 8 + ["no"] * 8, guessed=False)
    late = text_segments(drawn("x", [[(40, "Dear Sir or Madam")]], [[(40, "again nobody called")]]))
    answer = flags.answer(flag, late)
    assert answer.text == "yes" and late.page[answer.segments[0]] == 1
    assert flags.answer(flag, upset[0]).text == "yes"


@pytest.mark.parametrize("mixed", [True, False], ids=["beside printed fields", "alone"])
def test_flags_are_trained_saved_and_loaded_like_other_fields(mixed, tmp_path):
    spec = {"rush": {"kind": "flag"}} | ({"total": {"kind": "amount"}} if mixed else {})
    mission = missions.Mission.model_validate(
        {"mission": "x", "purpose": "", "classes": ["a", "b"], "never_act_on": ["b"], "fields": spec}
        | {"slo": {"precision": 0.9, "confidence": 0.9}}
    )
    fields = {"rush": FieldPrompt("", ("rush job",)), "total": FieldPrompt("", ("Gross Total",))}
    prompts = replace(PROMPTS, fields={name: fields[name] for name in spec})
    lines = [[(40, "Gross Total"), (200, f"${at + 1}7.00")] for at in range(8)]
    documents = [drawn(f"d{at}", [[(40, "rush job" if at % 2 else "no hurry")], lines[at]]) for at in range(8)]
    labels = {f"d{at}": {"rush": "TRUE" if at % 2 else "0", "total": f"{at + 1}7"} for at in range(8)}
    extractor = Extractor.train(documents, labels, mission, prompts, QUICK)
    extractor.save(tmp_path)
    loaded = Extractor.load(tmp_path)
    extractions = loaded.extract(documents)
    assert loaded.id == extractor.id and extractions == extractor.extract(documents)
    assert [extraction.fields["rush"].text for extraction in extractions] == ["no", "yes"] * 4
    assert all(0.5 <= extraction.fields["rush"].score <= 1 for extraction in extractions)
    assert list(extractions[0].fields) == list(spec)
