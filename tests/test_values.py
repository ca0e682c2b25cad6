"""Printed values: signs, number formats, dates and names as a person of each country reads them, and what counts as equal."""

import csv
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from babel.dates import format_date
from tests.benchmarks import vrdu

from proveout import evaluation
from proveout.checks import READ_ONE_WAY, ReadInOneWay, Subject, adds_up
from proveout.documents import read_many
from proveout.errors import BadInput
from proveout.models.candidates import candidates_of
from proveout.models.text_segments import text_segments
from proveout.records import Answer, Box, Case, Check, Decided, Decision, Document, Kind, Output, Page, Route, Source, Word
from proveout.review import answer
from proveout.values import (
    Conventions,
    amount_of,
    amounts_of,
    conventions,
    conventions_of,
    day_of,
    doubt,
    key,
    plain_name,
    same,
    same_as_read,
    value_of,
    written,
)
from proveout.values.dates import DAY_FIRST, MONTH_FIRST, day_in, days_in

GERMAN = ["Rechnung 4711 vom 31.12.2025", "Netto 1.000,00 €", "USt 190,00 €"]
AMERICAN = ["Invoice 4711, 12/31/2025", "Net $1,000.00", "Tax $80.00"]
KUWAITI = ["Invoice 4711", "Net 12.500 KD", "Fee 1,250.750 KD"]


def drawn(lines: Sequence[str]) -> Document:
    """One page with these lines; a tab moves to the next column."""
    words = []
    for number, line in enumerate(lines):
        x, y = 40.0, 40.0 + 20 * number
        for column in line.split("\t"):
            for text in column.split(" "):
                width = 6.0 * len(text)
                words.append(Word(text, Box(x, y, x + width, y + 10), 0, number, "d", Source.TEXT_LAYER))
                x += width + 3
            x += 60
    return Document("d", (Page(0, 612, 792, tuple(words)),))


def keys(document: Document, kind: Kind) -> set[str]:
    return {candidate.key for candidate in candidates_of(text_segments(document), kind, (), conventions(document))}


def checked(lines: Sequence[str], kind: Kind, text: str, dates: str = "inferred") -> Check:
    """The check of one extracted value in a document with these lines."""
    document = drawn([*lines, text])
    (check,) = ReadInOneWay(dates, {"field": kind})(Subject(document, {}, printed={"field": text}))
    return check


# Signs

NEGATIVE = [
    "-500.00", "−500.00", "–500.00", "—500.00", "‐500.00", "﹣500.00", "－500.00", "500.00-", "500.00−", "(500.00)",
    "( 500.00 )",
    "（500.00）", "$-500.00", "-$500.00", "−$500", "$(500.00)", "($500.00)", "(€ 500,00)", "€ -500,00", "€ −500,00",
    "-500,00 €",
    "500,00- €", "500,00 €-", "500,00 -", "500.00 CR", "500.00CR", "$500.00 Cr", "500.00 cr.".upper(), "USD -500.00",
    "-500 Kč",
    "▲500円", "△500.00", "-CHF 500.00", "CHF -500.00", "(KD 500.000)", "− 500,00",
]  # fmt: skip
POSITIVE = [
    "500.00",
    "+500.00",
    "$500",
    "500.00 DR",
    "500,- €",
    "500.-",
    "500.– CHF",
    "$500.00 (net)",
    "500,00 € (-15 %)",
]


@pytest.mark.parametrize("text", NEGATIVE)
def test_a_sign_is_read_in_every_form(text: str) -> None:
    assert amount_of(text) == -500, text
    assert not same("amount", text, "500.00") and same("amount", text, "-500.00")


@pytest.mark.parametrize("text", POSITIVE)
def test_what_is_no_sign_makes_no_amount_negative(text: str) -> None:
    assert amount_of(text) == 500, text


@pytest.mark.parametrize(
    "total", ["−1,234.56", "1,234.56-", "(1,234.56)", "1,234.56 CR", "$ -1,234.56", "($1,234.56)", "-$1,234.56"]
)
def test_a_credit_note_has_a_negative_candidate_and_no_positive_one(total: str) -> None:
    assert keys(drawn(["CREDIT NOTE", f"Total\t{total}"]), "amount") == {"-1234.56"}


def test_a_credit_is_never_payable() -> None:
    from proveout.connectors.effects import amount_in_cents
    from proveout.records import Action

    for text in ("−12.00", "12.00-", "(12.00)", "12.00 CR", "€ -12,00"):
        with pytest.raises(BadInput, match="above 0"):
            amount_in_cents(Action("pay_invoice", {"amount": written(value_of("amount", text))}, "k"))


def test_a_credit_is_no_duplicate_of_its_invoice_and_thousandths_are_no_other_amount() -> None:
    texts = ["500.00", "-500.00", "423.923", "4239.23", "東京電力", "大阪ガス"]
    assert len({key(text) for text in texts}) == len(texts)


# Number formats

AMOUNTS = [
    ("CHF 1'234.50", "1234.50"), ("CHF 1’234.50", "1234.50"), ("1 234,56 €", "1234.56"), ("1\u00a0234,56 €", "1234.56"),
    ("1\u202f234\u202f567,89 €", "1234567.89"), ("₹ 1,23,456.00", "123456"), ("Rs 12,34,567", "1234567"),
    ("423.923 KD", "423.923"),
    ("KWD 1,250.750", "1250.75"), ("OMR 0.500", "0.5"), ("$.75", "0.75"), (".75 €", "0.75"), ("1.234.567,89", "1234567.89"),
    ("1.899,- kr", "1899"), ("12 590 Kč", "12590"), ("¥12,000", "12000"), ("35€99", "35.99"), ("١٬٢٣٤٫٥٠", "1234.50"),
    ("１，２３４．５０", "1234.50"), ("1234567.89", "1234567.89"), ("1,234.5678", "1234.5678"), ("$1,510.0", "1510"),
    ("R$ 1.234,56", "1234.56"),
    ("0.123 KD", "0.123"), ("$5,950,00", "5950"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), AMOUNTS)
def test_a_number_is_read_in_the_format_of_its_country(text: str, expected: str) -> None:
    assert amount_of(text) == Decimal(expected)
    assert doubt("amount", text) == ""


NO_AMOUNTS = ["free", "", "PQ-500.00", "15.08.2017", "12 %", "16.00 ft", "1.250 kg", "--", "€"]
NO_AMOUNTS += ["July, 2004", "2004 July", "juillet 2004", "März. 2004", "julio de 2004", "4 July 2004", "Sept/2004"]


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount_has_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        value_of("amount", text)


RANGES = [
    "From 26 to 50 €", "26 to 50 €", "26–50 €", "26 € - 50 €", "€26-€50", "26,00 – 50,00", "26 bis 50 EUR", "de 26 à 50 €",
    "entre 26 y 50 €", "between €26 and €50", "od 26 do 50 zł", "26,00 € bis 50,00 € pro Monat",
]  # fmt: skip


@pytest.mark.parametrize("text", RANGES)
def test_a_range_is_its_lower_end_and_a_doubt(text: str) -> None:
    assert amount_of(text) == 26
    assert "may be 26" in doubt("amount", text) and "range" in doubt("amount", text)


NO_RANGES = [
    ("3 à 12,50 €", "12.50"), ("100.00 - 30 sec spot", "100"), ("500.00 - 75.00", "500"), ("2 to 3 days: $40", "40"),
    ("$2,000 - July 2004", "2000"), ("12.50 for July 2004", "12.50"), ("Price 2004", "2004"), ("2004 € in July", "2004"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NO_RANGES)
def test_what_is_no_range_and_no_month_stays_an_amount(text: str, expected: str) -> None:
    assert amount_of(text) == Decimal(expected)
    assert doubt("amount", text) == ""


VOTES = [
    (GERMAN, "1.234", "1234", ""),  # the others show a decimal comma
    (GERMAN, "1,234", "1.234", "two decimals"),  # an amount in euro has no thousandths
    (AMERICAN, "1,234", "1234", ""),
    (AMERICAN, "$1,940", "1940", ""),
    (AMERICAN, "1.234", "1.234", "two decimals"),
    (KUWAITI, "423.923 KD", "423.923", ""),
    (KUWAITI, "423.923", "423.923", ""),
    (["Total 12.500 KD"], "1,250.750 KD", "1250.750", ""),
    (["Invoice 4711"], "1.234", "1234", "no other amount"),  # no vote
    (["Invoice 4711"], "1,234", "1234", "no other amount"),
    (["Invoice 4711"], "$1,234", "1234", ""),
    (["A 12,50", "B 12.50"], "1.234", "1234", "1 of its other amounts"),  # a split vote
    (["A 12,50", "B 12.50", "C 3,20"], "1,234", "1234", "2 of its other amounts"),
    (["A 1 500.00"], "2 500.00", "2500.00", "two columns"),
    (["A 1\u00a0500.00 EUR"], "2 500.00", "2500.00", ""),
    (["A 1 500 000.00"], "2 500.00", "2500.00", ""),
    (["A 1 500,00 €"], "2 500,00", "2500.00", ""),
    (GERMAN, "- 12,50", "-12.50", "minus or a separator"),
]


@pytest.mark.parametrize(("lines", "text", "value", "reason"), VOTES)
def test_the_amounts_of_a_document_decide_what_an_ambiguous_one_means(
    lines: list[str], text: str, value: str, reason: str
) -> None:
    check = checked(lines, "amount", text)
    assert check.passed is (reason == "") and reason in check.because and (text in check.because or not reason)
    assert value_of("amount", text, conventions(drawn([*lines, text]))) == Decimal(value)


def test_one_misread_comma_among_many_amounts_splits_no_vote() -> None:
    lines = [f"Item {n}.00" for n in range(10, 30)]
    assert checked([*lines, "Item 7,50"], "amount", "1,234").passed


def test_candidates_are_read_by_the_conventions_of_their_document() -> None:
    assert "423.923" in keys(drawn([*KUWAITI, "Total 423.923"]), "amount")
    assert "1234.00" in keys(drawn([*GERMAN, "Summe 1.234"]), "amount")
    assert {"1234.56", "1190.00"} <= keys(drawn(["Net 1 234,56 €", "Total 1 190,00 €"]), "amount")
    assert "150.00" in keys(drawn([*AMERICAN, "1 150.00"]), "amount")  # one spot at 150.00
    assert amounts_of(drawn(["A (12.00)", "B 1 234,56", "C .75 €"])) == [Decimal("-12.00"), Decimal("1234.56"), Decimal("0.75")]


def test_a_value_has_the_key_of_its_candidate() -> None:
    for lines in (GERMAN, AMERICAN, KUWAITI, ["1 234,56 €", "12,00-", "(5,00)", "1.234"]):
        document = drawn(lines)
        printed = conventions(document)
        for candidate in candidates_of(text_segments(document), "amount", (), printed):
            assert written(value_of("amount", candidate.text, printed)) == candidate.key


def test_prices_of_shops_in_many_countries_are_read(shared_data: Path) -> None:
    with (shared_data / "prices" / "prices.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows = [row for row in rows if not row["amount"] or re.search(r"\d", row["printed"])]  # five have no digit but an amount
    amounts = [(amount_of(row["printed"]), Decimal(row["amount"]) if row["amount"] else None) for row in rows]
    right = sum(a == b or (a is not None and b is not None and abs(a) == b) for a, b in amounts)  # the set has no signs
    assert len(rows) == 556 and right / len(rows) >= 0.99


# Dates

FOURTH = date(2026, 2, 4)
WRITTEN = [
    "2026-02-04", "2026/02/04", "2026.02.04", "2026. 02. 04.", "20260204", "2026年2月4日", "2026년 2월 4일",
    "２０２６年２月４日",
    "4. Februar 2026", "4. Feb. 2026", "04 février 2026", "4 fevrier 2026", "4 févr. 2026", "4 de febrero de 2026",
    "4 feb 2026",
    "4 febbraio 2026", "4 de fevereiro de 2026", "4 februari 2026", "4 lutego 2026", "4. februar 2026", "den 4 februari 2026",
    "4. helmikuuta 2026", "4. února 2026", "4. februára 2026", "2026. február 4.", "4 februarie 2026", "4 февруари 2026",
    "4. veljače 2026", "4. veebruar 2026", "4 Φεβρουαρίου 2026", "4 февраля 2026 г.", "4 лютого 2026", "4 Şubat 2026",
    "February 4, 2026", "Feb. 4th, 2026", "4th of February 2026", "04-Feb-26", "Feb04/26", "4 Feb '26",
    "FEBRUARY 4 2026", "1er",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN[:-1])
def test_a_day_with_a_written_month_or_the_year_first_is_one_day(text: str) -> None:
    day = day_in(text)
    assert day is not None and day.days == {FOURTH}


@pytest.mark.parametrize("text", [text for text in WRITTEN[:-1] if not text.isdigit()])
def test_each_of_them_is_a_candidate(text: str) -> None:
    assert keys(drawn([f"Date {text}"]), "date") == {"2026-02-04"}


MONTHS_IN = "en_GB de fr es it pt nl pl sv da nb fi cs sk hu ro bg hr sl et lt el ru uk tr"


@pytest.mark.parametrize("language", MONTHS_IN.split())
def test_every_written_month_is_read_in_text(language: str) -> None:
    for month in range(1, 13):
        text = format_date(date(2026, month, 12), "long", locale=language)
        day = day_in(text)
        assert day is not None and date(2026, month, 12) in day.days and keys(drawn([f"Date {text}"]), "date"), text


@pytest.mark.parametrize("text", ["02/235/20", "2026-13-04", "31.02.2026", "February", "4 spots 2026", "1/2", "12345678"])
def test_what_is_no_day_of_the_calendar_is_none(text: str) -> None:
    assert day_of(text) is None


def test_two_digits_of_a_year_are_of_the_last_or_of_this_century() -> None:
    assert [day_of(text) for text in ("2/4/26", "2/4/68", "2/4/69", "2/4/99")] == [
        date(year, 2, 4) for year in (2026, 2068, 1969, 1999)
    ]


ORDERS = [
    (["Rechnung", "31.12.2025"], DAY_FIRST, "'31.12.2025'"),
    (["Invoice", "12/31/2025"], MONTH_FIRST, "'12/31/2025'"),
    (["paid 31/12/2025", "due 12/31/2025"], "", "both orders"),
    (["Rechnung Nr 1, Datum und Betrag"], DAY_FIRST, "German words"),
    (["facture numéro 1, échéance et montant"], DAY_FIRST, "French words"),
    (["Total 12,00 €"], DAY_FIRST, "amounts are in €"),
    (["Total £12.00"], DAY_FIRST, "amounts are in £"),
    (["Springfield, IL 62704"], MONTH_FIRST, "United States"),
    (["Springfield, IL 62704", "Total €12.00"], "", "the hints disagree"),
    (["4 Feb 2026"], DAY_FIRST, "written day first"),
    (["February 4, 2026"], MONTH_FIRST, "written month first"),
    (["4 février 2026"], DAY_FIRST, "day first"),
    (["IBAN DE02 1203 0000 0000 2020 51"], DAY_FIRST, "account or tax number"),
    (["2026-02-04"], "", "nothing"),
    (["Total $12.00"], "", "nothing"),
]


@pytest.mark.parametrize(("lines", "order", "reason"), ORDERS)
def test_the_order_of_days_is_inferred_with_its_evidence(lines: list[str], order: str, reason: str) -> None:
    printed = conventions_of(lines)
    assert printed.order == order and reason in printed.because
    check = checked(lines, "date", "04/03/2026")
    assert check.passed is (order != "") and reason in check.because
    expected = {DAY_FIRST: date(2026, 3, 4), MONTH_FIRST: date(2026, 4, 3)}
    assert not order or day_of("04/03/2026", conventions(drawn([*lines, "04/03/2026"]))) == expected[order]


@pytest.mark.parametrize("text", ["04/03/2026", "4.3.26", "04-03-2026", "4/3/26", "3. 4. 2026"])
def test_a_day_that_may_be_two_goes_to_a_person_with_both(text: str) -> None:
    check = checked(["Invoice 4711", "31/12/2025", "12/31/2025"], "date", text)
    assert check.name == READ_ONE_WAY and check.passed is False
    assert "2026-03-04" in check.because and "2026-04-03" in check.because


def test_a_mission_that_declares_the_order_asks_no_document() -> None:
    assert checked(["31/12/2025"], "date", "04/03/2026", "month_first").because.endswith("month first: the mission declares it")
    assert keys(drawn(["04/03/2026"]), "date") and conventions(drawn(["31/12/2025"]), "month_first").order == MONTH_FIRST


def test_a_month_name_that_differs_between_languages_is_decided_by_the_other_months() -> None:
    assert doubt("date", "4. listopada 2026") != ""
    assert day_of("4. listopada 2026", conventions_of(["4. veljače 2026"])) == date(2026, 10, 4)
    assert day_of("4 listopada 2026", conventions_of(["4 lutego 2026"])) == date(2026, 11, 4)


def test_both_ends_of_a_range_are_found() -> None:
    assert [day.text for day in days_in("1/27/20 - 2/04/20, 4.3.-5.3.2026")] == ["1/27/20", "2/04/20", "5.3.2026"]


def test_days_compare_in_every_order_that_is_possible() -> None:
    assert same("date", "3/4/26", "03/04/2026") and same("date", "13/4/26", "2026-04-13")
    assert not same("date", "3/4/26", "2026-03-04") and not same("date", "3/4/26", "4/3/26")
    assert same("date", "3/4/26", "2026-04-03", Conventions(order=DAY_FIRST))
    assert same_as_read("date", "03.04.2026", "3.4.26", date(2026, 4, 3))
    assert not same_as_read("date", "2026-03-04", "3.4.26", date(2026, 4, 3))


def test_german_invoices_have_their_days_and_totals_among_the_candidates(shared_data: Path) -> None:
    folder = shared_data / "zugferd"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, document in zip(rows, read_many([folder / "pdf" / f"{row['file_id']}.pdf" for row in rows]), strict=True):
        assert isinstance(document, Document)
        printed = conventions(document)
        assert printed.order == DAY_FIRST and printed.commas > CLEAR_COMMAS * printed.points, (row["file_id"], printed)
        amounts, days = keys(document, "amount"), keys(document, "date")
        assert {written(Decimal(row[name])) for name in ("grand_total", "payable")} <= amounts, row["file_id"]
        assert (row["issue_date"] in days) == (row["xml_contradicts_page"] == "0"), row["file_id"]


CLEAR_COMMAS = 4


# Names

SAME_NAMES = [
    ("Mike Bloomberg 2020, Inc. (33528)", "MIKE BLOOMBERG 2020"), ("Müller GmbH", "Mueller GmbH & Co. KG"),
    ("Müller", "Muller"),
    ("Café Zoë S.A.", "CAFE ZOE"), ("東京電力株式会社", "（株）東京電力"), ("ＡＢＣ商事", "ABC商事"),
    ("Ørsted A/S", "Orsted"), ("Ørsted", "Oersted"),
    ("Łódź Sp. z o.o.", "LODZ"), ("ООО «Ромашка»", "Ромашка"), ("Αθήνα Α.Ε.", "ΑΘΗΝΑ"), ("Grupo Sol, S.L.", "Grupo Sol"),
    ("Strasse AG", "Straße"), ("Nokia Oyj", "NOKIA"), ("Volvo AB", "Volvo"), ("Philips N.V.", "Philips"),
    ("Petrobras S/A", "Petrobras"),
    ("삼성전자 주식회사", "삼성전자"), ("שָׁלוֹם", "שלום"), ("Mike Bloornberg 2020", "Mike Bloomberg 2020"),
    ("MikeBloomberg 2020", "Mike Bloomberg 2020"),
    ("Zoë", "Zoe\u0308"), ("Fred Hutchinson Cancer Cemter", "Fred Hutchinson Cancer Center"),
]  # fmt: skip
OTHER_NAMES = [
    ("東京電力", "大阪ガス"), ("東京電力", "東京電機"), ("Газпром", "Лукойл"), ("الاتصالات", "المياه"),
    ("חברת החשמל", "בזק"), ("ΔΕΗ", "ΟΤΕ"),
    ("Cl Vote Yes on 18", "Vote Yes on 18"), ("Vote Yes on 16", "Vote Yes on 18"),
    ("Citizens for Clean Water and Air", "Citizens not Clean Water and Air"),
    ("First National Bank of Ohio", "First National Bank of Iowa"), ("がき", "かき"), ("Day Spa", "Day"), ("", ""),
    ("#", "-"), ("Tom Steyer", "Tom Steyer 2020"),
    ("三菱東京銀行大阪第一支店", "三菱東京銀行大阪第二支店"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME_NAMES)
def test_names_that_a_person_takes_for_one_are_the_same(a: str, b: str) -> None:
    assert same("name", a, b) and same("name", b, a)


@pytest.mark.parametrize(("a", "b"), OTHER_NAMES)
def test_names_that_a_person_keeps_apart_differ(a: str, b: str) -> None:
    assert not same("name", a, b) and not same("name", b, a)


def test_names_in_every_script_are_candidates() -> None:
    names = ["東芝", "東京電力", "Газпром", "ΔΕΗ", "삼성", "Ørsted"]
    assert {plain_name(name) for name in names} <= keys(drawn(names), "name")


# People and scores

TEXT, READ = "04/03/2026", date(2026, 3, 4)


def decided(text: str = TEXT, value: date = READ) -> Decided:
    output = Output(text, value, 0.9, tier="ranker")
    decision = Decision("c", "r", "invoice", 1.0, {"flight_from": output}, frozenset(), (), (), Route.REVIEW, ("", ""))
    return Decided(Case("c" * 64, "c.pdf"), decision)


def test_a_person_who_types_a_day_that_may_be_two_is_asked_for_one(invoices_mission) -> None:
    inferred = invoices_mission.model_copy(update={"dates": "inferred"})
    with pytest.raises(BadInput, match="may be 2026-05-06 or 2026-06-05; enter a day as 2026-12-31"):
        answer(decided(), inferred, {"flight_from": "05/06/2026"}, "ada")
    assert answer(decided(), inferred, {"flight_from": TEXT}, "ada").right == {"flight_from": True}
    corrected: Answer = answer(decided(), inferred, {"flight_from": "2026-04-03"}, "ada")
    assert corrected.right == {"flight_from": False}


@pytest.fixture
def invoices_mission():
    from proveout import mission

    return mission.load(Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml")


def test_the_house_score_minds_signs_and_words_where_vrdu_does_not() -> None:
    kinds: dict[str, Kind] = {"total": "amount", "name": "name"}
    gold = {"a": {"total": "500.00", "name": "Vote Yes on 18"}}
    given = {"a": {"total": "(500.00)", "name": "Cl Vote Yes on 18"}}
    assert evaluation.score(gold, given, kinds).micro.right == 0
    assert evaluation.score(gold, given, kinds, vrdu.same).micro.right == 2


@pytest.mark.parametrize(
    ("total", "printed", "passed"),
    [
        ("114.00", "100.00 19.00 -5.00 114.00", True),  # a discount is taken off
        ("114.00", "100.00 19.00 5.00 114.00", False),
        ("100.00", "-60.00 160.00 100.00", True),
        ("1550.00", "1550.00 -232.50 1317.50", True),  # an agency's commission is taken off the total
        ("1550.00", "1550.00 232.50 1317.50", True),
        ("119.00", "-100.00 -19.00 119.00", False),  # what is due does not follow from two credits
        ("-119.00", "-100.00 -19.00 -119.00", True),  # a credit note
        ("-119.00", "100.00 19.00 119.00", True),  # one that prints its amounts without signs
        ("-119.00", "80.00 -19.00 -119.00", False),
        ("-119.00", "-60.00 -40.00 -19.00 -119.00", True),
        ("119.00", "119.00", None),
    ],
)
def test_amounts_add_up_with_their_signs(total: str, printed: str, passed: bool | None) -> None:
    assert adds_up("total", Decimal(total), list(map(Decimal, printed.split()))).passed is passed
