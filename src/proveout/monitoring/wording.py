"""Findings in words: what a column of the comparison means to somebody who never saw its name.

Pure functions over a column's name (`advertiser.known`, `pages`, `flight_to.lead_days`) and what is said of it.
Not covered: what to do about it (`advice`), and other languages.
"""

from collections.abc import Sequence
from datetime import date

Moment = date | int  # a day; where the log has no days, the number of a case, from 1


def event_said(column: str, relation: str, value: float | str) -> str:
    """Something that is true of a case or not, as what a number of cases are.

    >>> print(event_said("gross_amount", "above", 4200.0), event_said("advertiser.known", "is", "new"), sep="; ")
    cases with a gross_amount above 4,200; cases with an advertiser never seen before
    >>> print(event_said("total.answer", "is", "none"), event_said("flight_to.lead_days", "at most", -3.0), sep="; ")
    cases without an answer for total; cases whose flight_to is at least 3 days before the case's day
    >>> print(event_said("advertiser.confidence", "at most", 0.9953642), event_said("words", "above", 382.0), sep="; ")
    cases where the agent is at most 99.5% sure of advertiser; documents of more than 382 words
    """
    shown = f"{value:,.6g}" if isinstance(value, float) else value
    share = f"{100 * value:.3g}%" if isinstance(value, float) else value
    name, _, part = column.rpartition(".")
    how = "more than" if relation == "above" else relation
    if not name:
        return {
            "pages": f"documents of {how} {shown} {'page' if value == 1 else 'pages'}",
            "words": f"documents of {how} {shown} words",
            "ocr_share": f"documents with {how} {share} of their words read by OCR",
            "familiar": f"forms that share {how} {_whole(value)} of their wording with any in training",
            "class_confidence": f"documents whose class is {how} {share} sure",
            "document_class": f"documents of the class {shown}",
            "segment": f"cases of the segment {shown}",
            "route": {
                "act": "cases that pass without a person",
                "review": "cases that go to a person",
                "refuse": "files that cannot be read",
            }.get(str(value), f"cases routed to {shown}"),
        }.get(column, f"cases with {_article(column)} {'of' if relation == 'is' else relation} {shown}")
    answers = {
        "automated": f"cases where {name} needs no person",
        "to review": f"cases where a person has to check {name}",
        "none": f"cases without an answer for {name}",
    }
    return {
        "known": f"cases with {_article(name)} {'seen before' if value == 'seen' else 'never seen before'}",
        "answer": answers.get(str(value), f"cases with {_article(name)} {shown}"),
        "confidence": f"cases where the agent is {how} {share} sure of {name}",
        "pattern": f"cases with {_article(name)} printed like {shown}",
        "lead_days": f"cases whose {name} is {_lead(relation, value)} the case's day",
        "days": f"cases with {relation} {shown} days from {name.replace('..', ' to ')}",
    }.get(part, f"cases with {column} {relation} {shown}")


def column_said(column: str) -> str:
    """What a column is.

    >>> column_said("advertiser.known"), column_said("flight_from..flight_to.days"), column_said("gross_amount")
    ('advertiser: seen before or new', 'days from flight_from to flight_to', 'gross_amount')
    """
    name, _, part = column.rpartition(".")
    if not name:
        alone = {
            "ocr_share": "share of words read by OCR",
            "familiar": "wording shared with the nearest form in training",
            "class_confidence": "confidence in the class",
            "document_class": "class of the document",
            "route": "what becomes of the case",
        }
        return alone.get(column, column)
    return {
        "known": f"{name}: seen before or new",
        "answer": f"{name}: automated, to review or none",
        "confidence": f"confidence in {name}",
        "pattern": f"{name}: how it is printed",
        "lead_days": f"{name}: days after the case's day",
        "days": f"days from {name.replace('..', ' to ')}",
    }.get(part, column)


def value_said(column: str, value: float | str) -> str:
    """One case's value.

    >>> value_said("advertiser.known", "new"), value_said("advertiser.confidence", 0.0299222), value_said("pages", 3.0)
    ('advertiser never seen before', '3% sure of advertiser', '3 pages')
    """
    name, _, part = column.rpartition(".")
    shown = f"{value:,.6g}" if isinstance(value, float) else value
    if not name:
        return {
            "pages": f"{shown} {'page' if value == 1 else 'pages'}",
            "words": f"{shown} words",
            "ocr_share": f"{_whole(value)} of its words read by OCR",
            "familiar": f"shares {_whole(value)} of its wording with the nearest form in training",
            "class_confidence": f"{_whole(value)} sure of its class",
            "document_class": f"class {shown}",
            "segment": f"segment {shown}",
            "route": {"act": "no person needed", "review": "goes to a person", "refuse": "refused"}.get(str(value), str(shown)),
        }.get(column, f"{column} {shown}")
    return {
        "known": f"{name} {'seen before' if value == 'seen' else 'never seen before'}",
        "answer": f"{name}: {'no answer' if value == 'none' else shown}",
        "confidence": f"{_whole(value)} sure of {name}",
        "pattern": f"{name} printed like {shown}",
        "lead_days": f"{name} {shown} days after the case's day",
        "days": f"{shown} days from {name.replace('..', ' to ')}",
    }.get(part, f"{column} {shown}")


def sure(p: float) -> str:
    """How sure a finding is whose probability of being chance, all corrections made, is `p`.

    >>> sure(1e-9), sure(0.0004), sure(0.024)
    ('beyond doubt', 'very sure', 'sure (p = 0.02)')
    """
    if p < 1e-6:
        return "beyond doubt"
    return "very sure" if p < 0.001 else f"sure (p = {p:.1g})"


def day_said(day: Moment | None, form: str = "%d %B %Y") -> str:
    """
    >>> day_said(date(2026, 9, 1)), day_said(date(2026, 9, 1), "%d %b"), day_said(121), day_said(None)
    ('1 September 2026', '1 Sep', 'case 121', 'no day')
    """
    if isinstance(day, int):
        return f"case {day}"
    return f"{day:{form}}".lstrip("0") if day else "no day"


def changed_said(day: Moment) -> str:
    """
    >>> changed_said(date(2026, 9, 1)), changed_said(121)
    ('on 1 September 2026', 'at case 121')
    """
    return f"{'at' if isinstance(day, int) else 'on'} {day_said(day)}"


def group_said(segment: str, since: Moment | None) -> str:
    """
    >>> group_said("north", date(2026, 9, 1)), group_said("north", None)
    ('north, from 1 September 2026 on', 'north')
    """
    return f"{segment}, from {day_said(since)} on" if since else segment


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _whole(value: float | str) -> str:
    return f"{value:.0%}" if isinstance(value, float) else value


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _lead(relation: str, value: float | str) -> str:
    days = float(value) if isinstance(value, float) else 0.0
    if days < 0:
        return f"{'at least' if relation == 'at most' else 'less than'} {-days:,.6g} days before"
    return f"{'more than' if relation == 'above' else 'at most'} {days:,.6g} days after"
