"""The extractor on small forms that are drawn here, on its folder, and on real documents where those are at hand."""

import csv
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from proveout import documents as readers
from proveout import mission as missions
from proveout.errors import BadModel, NoDocuments
from proveout.evaluation import score
from proveout.models import Extractor, Settings, flags
from proveout.models.candidates import candidates_of
from proveout.models.classes import Classes
from proveout.models.label_phrases import LabelPhrases
from proveout.models.layout_statistics import Known, Learning
from proveout.models.ranker import Choice, choose_range
from proveout.models.text_segments import NOWHERE, text_segments
from proveout.prompts import FieldPrompt, Prompts
from proveout.records import Box, Document, Page, Source, Word

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
MISSION = missions.load(DESIGN / "mission.yaml")
PROMPTS = Prompts.load(DESIGN / "prompts", MISSION)
QUICK = Settings(rounds=30, least_rows=3)

Row = Sequence[tuple[float, str]]  # (x, text) of the segments of one line


def drawn(sha256: str, *pages: Sequence[Row]) -> Document:
    """A document whose lines stand 14 points apart; words are 5 points a letter, 3 between."""
    made = []
    for number, rows in enumerate(pages):
        words = []
        for line, row in enumerate(rows):
            for x, text in row:
                for part in text.split():
                    box = Box(x, 20 + 14 * line, x + 5 * len(part), 30 + 14 * line)
                    words.append(Word(part, box, number, line, sha256, Source.TEXT_LAYER))
                    x += 5 * len(part) + 3
        made.append(Page(number, 612, 792, tuple(words)))
    return Document(sha256, tuple(made))


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
    """A form that is never trained on."""
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
    made, labels = [], {}
    for seed in seeds:
        facts, name = facts_of(seed), f"{form.__name__}-{seed:03}"
        made.append(drawn(name, form(facts)))
        labels[name] = {field: str(facts[field]) for field in MISSION.fields}
    return made, labels


@pytest.fixture(scope="module")
def lessons() -> tuple[list[Document], dict[str, dict[str, str]]]:
    (one, a), (other, b) = cases(beside, range(0, 24)), cases(under, range(100, 124))
    return one + other, a | b


@pytest.fixture(scope="module")
def extractor(lessons: tuple[list[Document], dict[str, dict[str, str]]]) -> Extractor:
    classes = {document.sha256: "invoice" if "beside" in document.sha256 else "contract" for document in lessons[0]}
    return Extractor.train(*lessons, MISSION, PROMPTS, QUICK, classes)


def f1(extractor: Extractor, made: list[Document], labels: dict[str, dict[str, str]]) -> float:
    found = {each.document: {n: p.text for n, p in each.fields.items()} for each in extractor.extract(made)}
    return score(labels, found, MISSION.kinds).micro.f1


@pytest.mark.parametrize("form", [beside, under])
def test_new_documents_of_known_forms_are_read_without_fault(extractor: Extractor, form: Callable[..., list[Row]]) -> None:
    assert f1(extractor, *cases(form, range(500, 520))) == 1.0


def test_a_form_never_seen_is_read_by_its_labels(extractor: Extractor) -> None:
    assert f1(extractor, *cases(colons, range(900, 920))) > 0.75


def test_a_proposal_says_what_it_is_where_it_stands_and_why(extractor: Extractor) -> None:
    made, labels = cases(beside, range(600, 601))
    proposal = extractor.extract(made)[0].fields["gross_amount"]
    assert proposal.value == Decimal(labels[made[0].sha256]["gross_amount"].replace("$", "").replace(",", ""))
    assert proposal.place.page == 0 and proposal.place.box.x0 == 500
    assert 0.5 < proposal.score <= 1
    assert "stands right of “Gross Total”" in proposal.speaks_for
    assert "the largest amount of the document" in proposal.speaks_for


def test_an_unknown_form_speaks_against_itself(extractor: Extractor) -> None:
    known, new = extractor.extract([*cases(beside, range(700, 701))[0], *cases(colons, range(700, 701))[0]])
    phrase = "a form unlike all that were learned from"
    assert not any(phrase in proposal.speaks_against for proposal in known.fields.values())
    assert all(phrase in proposal.speaks_against for proposal in new.fields.values())


def test_one_documents_answer_does_not_depend_on_the_others(extractor: Extractor) -> None:
    made = [*cases(beside, range(800, 803))[0], *cases(under, range(800, 803))[0]]
    together = extractor.extract(made)
    assert together == [extractor.extract([each])[0] for each in made]
    assert together[::-1] == extractor.extract(made[::-1])


def test_an_edited_prompt_changes_the_scores_without_training(extractor: Extractor) -> None:
    made, _ = cases(colons, range(950, 960))
    client = PROMPTS.fields["advertiser"]
    without = {**PROMPTS.fields, "advertiser": FieldPrompt(client.description, ("Payer",), ("Client", *client.not_labels))}
    edited = extractor.with_prompts(replace(PROMPTS, fields=without))
    told, untold = (
        sum(each.fields["advertiser"].score for each in asked.extract(made) if "advertiser" in each.fields)
        for asked in (extractor, edited)
    )
    assert untold < told - 1


def test_a_document_without_words_has_no_fields_and_the_last_class(extractor: Extractor) -> None:
    (found,) = extractor.extract([Document("empty", (Page(0, 612, 792, ()),))])
    assert found.fields == {} and found.document_class == "other"


def test_the_same_lessons_give_the_same_bytes_in_any_order(
    lessons: tuple[list[Document], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    made, labels = lessons
    for name, ordered in (("one", made), ("other", made[::-1])):
        Extractor.train(ordered, labels, MISSION, PROMPTS, QUICK).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "other").iterdir())
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes() for file in files)


def test_a_saved_extractor_answers_as_before_and_keeps_its_id(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path / "model")
    again = Extractor.load(tmp_path / "model")
    made = [*cases(beside, range(400, 405))[0], *cases(colons, range(400, 405))[0]]
    assert again.extract(made) == extractor.extract(made)
    assert again.id == extractor.id
    assert again.settings == QUICK and again.trained_on == extractor.trained_on


def _rewritten(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty folder": (lambda folder: [path.unlink() for path in folder.iterdir()], "no manifest.json"),
    "a foreign format": (lambda folder: _rewritten(folder, format="onnx"), "its format is 'onnx'"),
    "a newer version": (lambda folder: _rewritten(folder, version=99), "written by format version 99, this Proveout reads 2"),
    "a manifest that is not JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
    "a list for a manifest": (lambda folder: (folder / "manifest.json").write_text("[]"), "its format is 'list'"),
    "a changed file": (lambda folder: (folder / "statistics.json").write_text("{}"), "damaged or changed"),
    "a missing file": (lambda folder: (folder / "classes.json").unlink(), "classes.json: missing"),
    "a ranker left out": (lambda folder: _rewritten(folder, files={}), "do not fit together"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_not_ours_or_not_whole_is_refused(extractor: Extractor, tmp_path: Path, fault: str) -> None:
    extractor.save(tmp_path)
    break_it, message = FAULTS[fault]
    break_it(tmp_path)
    with pytest.raises(BadModel, match=message):
        Extractor.load(tmp_path)


def test_training_without_a_label_says_so() -> None:
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
    assert [each.text for each in candidates_of(segments, kind, ("Advertiser",))] == expected  # type: ignore[arg-type]


def test_a_name_that_runs_over_two_lines_is_offered_whole() -> None:
    segments = text_segments(drawn("x", [[(40, "Advertiser:"), (140, "Diana Harsh for")], [(140, "TN District 1")]]))
    assert "Diana Harsh for TN District 1" in [each.text for each in candidates_of(segments, "name")]


def test_cells_know_their_neighbours() -> None:
    segments = text_segments(drawn("x", [[(40, "Order #"), (140, "Flight Dates")], [(40, "4711"), (140, "1/2/20 - 3/4/20")]]))
    order, flight, number, days = range(4)
    assert segments.texts == ["Order #", "Flight Dates", "4711", "1/2/20 - 3/4/20"]
    assert segments.above.tolist() == [NOWHERE, NOWHERE, order, flight]
    assert segments.below.tolist() == [number, days, NOWHERE, NOWHERE]
    assert segments.left.tolist() == [NOWHERE, order, NOWHERE, number]
    assert segments.heading.tolist() == [NOWHERE, NOWHERE, order, flight]


def test_a_known_phrase_is_cut_from_the_words_it_touches_but_not_out_of_a_longer_one() -> None:
    page = [[(40, "One Nation Invoice Date"), (300, "Alt Order # 17")]]
    segments = text_segments(drawn("x", page), ("Invoice Date", "Order #", "Alt Order #"))
    assert segments.texts == ["One Nation", "Invoice Date", "Alt Order #", "17"]


def test_glued_cut_and_misread_labels_are_near_their_phrase() -> None:
    labels = LabelPhrases({"invoice": ["Invoice Date"], "contract": ["Contract #"]})
    for text in ("Invoice Date:", "INVOICEDATE", "lnvoice Date"):
        assert labels.similarity(text)[0] > 0.7 > 0.2 > labels.similarity(text)[1], text
    assert labels.similarity("Contract No.")[1] == 1.0
    assert labels.similarity("12/30/19").tolist() == [0.0, 0.0]


def test_the_ends_of_a_range_are_chosen_together() -> None:
    segments = drawn("x", [[(40, "Flight"), (140, "1/6/20 - 1/12/20"), (300, "Period"), (400, "12/30/19 - 1/26/20")]])
    evidence = (
        Extractor(MISSION.kinds, (), _plain_prompts(), Classes.of({"a": []}), _nothing_learned(), {}, QUICK, {})
        .reader.read(segments)
        .kinds["date"]
    )
    assert [each.text for each in evidence.candidates] == ["1/6/20", "1/12/20", "12/30/19", "1/26/20"]
    first = [Choice(0, 0.6, 0.6), Choice(2, 0.4, 0.4)]
    last = [Choice(3, 0.5, 0.5), Choice(1, 0.45, 0.45)]
    (start, *_), (end, *_) = choose_range(evidence, first, last)
    assert (start.candidate, end.candidate) == (0, 1)
    assert 0.45 < end.score < 0.8


def _plain_prompts() -> dict[str, object]:
    fields = {name: {"labels": list(each.labels), "not_labels": list(each.not_labels)} for name, each in PROMPTS.fields.items()}
    return {"fields": fields, "classes": {"a": []}}


def _nothing_learned() -> Learning:
    return Learning([], {})


def test_a_document_teaches_itself_nothing() -> None:
    """What a training document is told of its own neighbours must come from others: of its form, or of none."""
    import numpy as np

    marks = [frozenset("abcd"), frozenset("abcd"), frozenset("wxyz")]
    signature = ("total", "", "", "", "", "", "", "0")
    known = [Known([signature], np.array([right])) for right in (True, True, False)]
    learning = Learning(marks, {"amount": known})
    alone, without_its_cluster = (learning.columns_without("amount", 0, new_form)[0] for new_form in (False, True))
    assert learning.cluster.tolist() == [0, 0, 1]
    assert alone[0] > 0 > without_its_cluster[0]  # the other document of its form was right; the other form was wrong
    assert alone[-1] == 1.0 and without_its_cluster[-1] == 0.0  # how familiar the form is
    assert learning.columns_without("amount", 0, True, forgetting=1.0)[0, 0] == learning.rates["amount"].unknown[0]


HEADINGS = {"invoice": ["INVOICE", "Invoice #"], "contract": ["CONTRACT"], "other": ["Rebate"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("INVOICE", "invoice"), ("CONTRACT", "contract"), ("Rebate", "other"), ("Dear Sir or Madam", "other")],
)
def test_headings_name_the_class_before_anything_was_learned(text: str, expected: str) -> None:
    assert Classes.of(HEADINGS).tell(text_segments(drawn("x", [[(40, text)]])))[0] == expected


def test_words_teach_the_class_of_a_page_without_a_known_heading() -> None:
    pages = [
        text_segments(drawn(str(n), [[(40, text)]])) for n in range(4) for text in ("amount due now", "parties agree hereby")
    ]
    classes = Classes.of(HEADINGS).learn(pages, ["invoice", "contract"] * 4)
    told, sure = classes.tell(text_segments(drawn("x", [[(40, "the amount due")]])))
    unknown, unsure = classes.tell(text_segments(drawn("x", [[(40, "weather report")]])))
    assert told == "invoice" and unknown == "other" and sure > 0.4 and unsure < 0.7


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
    """An extractor that learnt from two thirds of them, and the paths of the others."""
    paths, labels = real
    made = {readers.sha256_of(path): (path, readers.read(path)) for path in paths if path not in paths[::3]}
    of = {sha256: labels[str(path)] for sha256, (path, _) in made.items()}
    return Extractor.train([document for _, document in made.values()], of, MISSION, PROMPTS, QUICK), paths[::3]


def test_names_of_files_and_the_order_of_a_folder_change_nothing(split: tuple[Extractor, list[Path]], tmp_path: Path) -> None:
    """Title, received and layout stand in labels.csv and never reach a Document; the file's name does not either."""
    extractor, paths = split
    shuffled = random.Random(3).sample(range(len(paths)), len(paths))
    for at, place in enumerate(shuffled):
        shutil.copy(paths[at], tmp_path / f"{place:02} Invoice 999999 for Nobody 01-01-2001.pdf")
    one, other = ([readers.read(path) for path in files] for files in (paths, sorted(tmp_path.glob("*.pdf"))))
    assert [each.sha256 for each in one] != [each.sha256 for each in other]
    by_case = [{each.document: each for each in extractor.extract(made)} for made in (one, other)]
    assert by_case[0] == by_case[1] and len(by_case[0]) == len(paths)


def test_real_documents_of_known_layouts_are_mostly_right(
    split: tuple[Extractor, list[Path]], real: tuple[list[Path], dict[str, dict[str, str]]]
) -> None:
    extractor, paths = split
    found = extractor.extract([readers.read(path) for path in paths])
    answers = {each.document: {name: proposal.text for name, proposal in each.fields.items()} for each in found}
    gold = {readers.sha256_of(path): real[1][str(path)] for path in paths}
    assert score(gold, answers, MISSION.kinds).micro.f1 > 0.7


LETTERS = {"yes": ["final notice", "wish to complain"], "no": ["no complaint"]}


def letter(sha256: str, *lines: str):
    return text_segments(drawn(sha256, [[(40, line)] for line in lines]))


def test_a_flag_is_answered_where_a_phrase_stands_and_no_where_nothing_does():
    flag = flags.flag_of(LETTERS["yes"], LETTERS["no"])
    yes = flags.answer(flag, letter("a", "Dear Sir or Madam", "this is my final", "notice before court", "Nora"))
    no = flags.answer(flag, letter("b", "Dear Sir or Madam", "please send a copy", "Nora"))
    denied = flags.answer(flag, letter("c", "I wish to complain: no, it is no complaint"))
    assert (yes.text, yes.segments, yes.speaks_for) == ("yes", (1,), ("says “final notice”",))
    assert (no.text, no.segments, no.speaks_for) == ("no", (0, 1, 2), ("nothing in it speaks for yes",))
    assert denied.text == "no" and denied.speaks_for == ("says “no complaint”",)


def test_a_document_without_a_word_gets_no_answer():
    assert flags.answer(flags.flag_of(["urgent"], []), text_segments(Document("x", (Page(0, 612, 792, ()),)))) is None


@pytest.mark.parametrize("told", [["yes"] * 6, ["no"] * 6, ["yes"]], ids=["all yes", "all no", "one document"])
def test_labels_of_one_side_alone_leave_the_prompts_their_word(told):
    pages = [letter(str(at), "nobody called me back", f"room {at}") for at in range(len(told))]
    found = flags.flag_of(["complaint"], []).learn(pages, told, guessed=False)
    assert flags.answer(found, letter("x", "this is a complaint")).text == "yes"
    assert flags.answer(found, letter("y", "room 7")).text == "no"


def test_what_the_prompts_do_not_know_a_flag_learns_from_people():
    """On the second page too, and against the phrases where people say otherwise: their labels are not corrected."""
    upset = [letter(f"u{at}", "Dear Sir or Madam", "nobody called me back", "no complaint") for at in range(8)]
    calm = [letter(f"c{at}", "Dear Sir or Madam", "please send a copy") for at in range(8)]
    found = flags.flag_of(LETTERS["yes"], LETTERS["no"]).learn([*upset, *calm], ["yes"] * 8 + ["no"] * 8, guessed=False)
    late = text_segments(drawn("x", [[(40, "Dear Sir or Madam")]], [[(40, "again nobody called")]]))
    said = flags.answer(found, late)
    assert said.text == "yes" and late.page[said.segments[0]] == 1
    assert flags.answer(found, upset[0]).text == "yes"


@pytest.mark.parametrize("mixed", [True, False], ids=["beside printed fields", "alone"])
def test_flags_are_trained_saved_and_loaded_as_the_rest(mixed, tmp_path):
    spec = {"rush": {"kind": "flag"}} | ({"total": {"kind": "amount"}} if mixed else {})
    mission = missions.Mission.model_validate(
        {"mission": "x", "purpose": "", "classes": ["a", "b"], "never_act_on": ["b"], "fields": spec}
        | {"slo": {"precision": 0.9, "confidence": 0.9}}
    )
    told = {"rush": FieldPrompt("", ("rush job",)), "total": FieldPrompt("", ("Gross Total",))}
    prompts = replace(PROMPTS, fields={name: told[name] for name in spec})
    lines = [[(40, "Gross Total"), (200, f"${at + 1}7.00")] for at in range(8)]
    documents = [drawn(f"d{at}", [[(40, "rush job" if at % 2 else "no hurry")], lines[at]]) for at in range(8)]
    labels = {f"d{at}": {"rush": "TRUE" if at % 2 else "0", "total": f"{at + 1}7"} for at in range(8)}
    extractor = Extractor.train(documents, labels, mission, prompts, QUICK)
    extractor.save(tmp_path)
    loaded = Extractor.load(tmp_path)
    found = loaded.extract(documents)
    assert loaded.id == extractor.id and found == extractor.extract(documents)
    assert [one.fields["rush"].text for one in found] == ["no", "yes"] * 4
    assert all(0.5 <= one.fields["rush"].score <= 1 for one in found)
    assert list(found[0].fields) == list(spec)
