"""Findings in plain words, for readers who do not know the column names.

Pure functions of a column's name (`advertiser.known`, `pages`, `flight_to.lead_days`) and its value.
Not covered: what to do about a finding (`advice`), and other languages.
"""

from collections.abc import Sequence
from datetime import date

from proveout.mission import exact_percent

Moment = date | int  # a day; where the log has no days, the number of a case, from 1
RATES = {  # of a group, and of all others
    "automation rate": "{:.0%} handled automatically, others {:.0%}",
    "automation rate of right cases": "{:.0%} of cases without a wrong value handled automatically, others {:.0%}",
    "automation rate of wrong cases": "{:.0%} of cases with a wrong value handled automatically, others {:.0%}",
    "review rate": "{:.0%} need a person, others {:.0%}",
    "error rate": "{:.0%} of cases have a wrong value, others {:.0%}",
    "error rate of automated values": "{:.1%} of automated cases have a wrong automated value, others {:.1%}",
    "override rate": "people changed {:.0%} of the cases that came to them, others {:.0%}",
    "waiting rate": "{:.0%} waited over a day for an answer, others {:.0%}",
    "calibration gap": "confidence minus share of right values {:+.3f}, others {:+.3f}",
}


def condition_text(column: str, relation: str, value: float | str, cases: str = "cases") -> str:
    """A condition as the cases that meet it. `cases`: what they are called, such as documents.

    >>> print(condition_text("gross_amount", "above", 4200.0), condition_text("advertiser.known", "is", "new"), sep="; ")
    cases with a gross_amount above 4,200; cases with an advertiser never seen before
    >>> print(condition_text("total.answer", "is", "none"), condition_text("flight_to.lead_days", "at most", -3.0), sep="; ")
    cases without an answer for total; cases whose flight_to is at least 3 days before the case's day
    >>> print(condition_text("advertiser.confidence", "at most", 0.9953642), condition_text("words", "above", 3.0, "queries"))
    cases where confidence in advertiser is at most 99.5 % queries with more than 3 words
    """
    text = f"{value:,.6g}" if isinstance(value, float) else value
    share = f"{100 * value:.3g} %" if isinstance(value, float) else value
    name, _, part = column.rpartition(".")
    how, one = "more than" if relation == "above" else relation, value == 1
    if not name:
        which = {
            "pages": f"with {how} {text} {'page' if one else 'pages'}",
            "words": f"with {how} {text} {'word' if one else 'words'}",
            "ocr_share": f"with {how} {share} of their words read by OCR",
            "anomalies": f"with {how} {text} {'place' if one else 'places'} read otherwise than seen",
            "familiar": f"that share {how} {_whole(value)} of their wording with any training document",
            "unknown_words": f"with {how} {text} {'word' if one else 'words'} that no product has",
            "corrected_words": f"with {how} {text} corrected {'word' if one else 'words'}",
            "products": f"with {how} {text} {'product' if one else 'products'} in the answer",
            "store_down": f"answered {'without' if relation == 'above' else 'with'} the vector store",
            "similarity": f"whose most similar past case is alike by {relation} {share}",
            "class_confidence": f"where confidence in the class is {relation} {share}",
            "document_class": f"of class {text}",
            "segment": f"of segment {text}",
            "route": {"act": "handled automatically", "review": "sent to review", "refuse": "refused"}.get(
                str(value), f"routed to {text}"
            ),
        }
        plainly = f"with {_article(column)} {'of' if relation == 'is' else relation} {text}"
        return f"{cases} {which.get(column, plainly)}"
    answers = {
        "automated": f"where {name} is automated",
        "to review": f"where {name} needs review",
        "none": f"without an answer for {name}",
    }
    which = {
        "given": f"{'with' if value == 'given' else 'without'} a value of {column_text(name)}",
        "tier": f"where {name} is read by {value}",
        "known": f"with {_article(name)} {'seen before' if value == 'seen' else 'never seen before'}",
        "answer": answers.get(str(value), f"with {_article(name)} {text}"),
        "confidence": f"where confidence in {name} is {relation} {share}",
        "pattern": f"with {_article(name)} printed like {text}",
        "lead_days": f"whose {name} is {_lead(relation, value)} the case's day",
        "days": f"with {how} {text} days from {name.replace('..', ' to ')}",
    }
    plainly = f"with {column} {relation} {text}"
    return f"{cases} {which.get(part, plainly)}"


def column_text(column: str) -> str:
    """What a column holds.

    >>> column_text("advertiser.known"), column_text("flight_from..flight_to.days"), column_text("gross_amount")
    ('advertiser: seen before or new', 'days from flight_from to flight_to', 'gross_amount')
    """
    name, _, part = column.rpartition(".")
    if not name:
        alone = {
            "ocr_share": "share of words read by OCR",
            "anomalies": "places read otherwise than seen",
            "familiar": "wording shared with the most similar training document",
            "unknown_words": "words that no product has",
            "corrected_words": "corrected words",
            "products": "products in the answer",
            "store_down": "without the vector store",
            "similarity": "similarity to the most similar past case",
            "class_confidence": "confidence in the class",
            "document_class": "class of the document",
            "route": "route of the case",
        }
        return alone.get(column, column)
    return {
        "given": f"{column_text(name)}: given or missing",
        "tier": f"{name}: read by which tier",
        "known": f"{name}: seen before or new",
        "answer": f"{name}: automated, to review or none",
        "confidence": f"confidence in {name}",
        "pattern": f"{name}: printed pattern",
        "lead_days": f"{name}: days after the case's day",
        "days": f"days from {name.replace('..', ' to ')}",
    }.get(part, column)


def value_text(column: str, value: float | str) -> str:
    """The value of one case.

    >>> value_text("advertiser.known", "new"), value_text("advertiser.confidence", 0.0299222), value_text("pages", 3.0)
    ('advertiser never seen before', '3 % confidence in advertiser', '3 pages')
    """
    name, _, part = column.rpartition(".")
    text = f"{value:,.6g}" if isinstance(value, float) else value
    if not name:
        return {
            "pages": f"{text} {'page' if value == 1 else 'pages'}",
            "words": f"{text} words",
            "ocr_share": f"{_whole(value)} of its words read by OCR",
            "anomalies": f"{text} {'place' if value == 1 else 'places'} read otherwise than seen",
            "familiar": f"shares {_whole(value)} of its wording with the most similar training document",
            "similarity": f"most similar past case alike by {_whole(value)}",
            "class_confidence": f"{_whole(value)} confidence in its class",
            "document_class": f"class {text}",
            "segment": f"segment {text}",
            "route": {"act": "handled automatically", "review": "sent to review", "refuse": "refused"}.get(
                str(value), str(text)
            ),
        }.get(column, f"{column} {text}")
    return {
        "given": f"{column_text(name)} {value}",
        "tier": f"{name} read by {value}",
        "known": f"{name} {'seen before' if value == 'seen' else 'never seen before'}",
        "answer": f"{name}: {'no answer' if value == 'none' else text}",
        "confidence": f"{_whole(value)} confidence in {name}",
        "pattern": f"{name} printed like {text}",
        "lead_days": f"{name} {text} days after the case's day",
        "days": f"{text} days from {name.replace('..', ' to ')}",
    }.get(part, f"{column} {text}")


def p_text(p: float) -> str:
    """
    >>> p_text(1e-9), p_text(0.0004), p_text(0.024)
    ('p < 0.001', 'p < 0.001', 'p = 0.02')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.1g}"


def percent(share: float, digits: int = 0) -> str:
    """
    >>> percent(0.98), percent(0.9604, 1)
    ('98 %', '96.0 %')
    """
    return f"{share:.{digits}%}".replace("%", " %")


def promised(share: float) -> str:
    """A target, with all of its digits, at most four decimals of a mean.

    >>> promised(0.98), promised(0.995), promised(0.97 + 0.01 / 3)
    ('98 %', '99.5 %', '97.3333 %')
    """
    return exact_percent(round(share, 6)).replace("%", " %")


def percent_beside(share: float, target: float) -> str:
    """A share with as many digits as show on which side of the target it is.

    >>> percent_beside(0.979, 0.98), percent_beside(0.97990, 0.98), percent_beside(0.97999, 0.98)
    ('97.9 %', '97.99 %', '97.999 %')
    """
    digits = next(
        (digits for digits in range(1, 6) if share == target or round(share, 2 + digits) != round(target, 2 + digits)), 6
    )
    return percent(share, digits)


def finding_text(key: str) -> str:
    """What a finding's key says, in the words of the report.

    >>> finding_text("drift of advertiser.known"), finding_text("segment east")
    ('drift of “advertiser: seen before or new”', 'segment east')
    """
    column = key.removeprefix("drift of ")
    return key if column == key else f"drift of “{column_text(column)}”"


def day_text(day: Moment | None, form: str = "%d %B %Y") -> str:
    """
    >>> day_text(date(2026, 9, 1)), day_text(date(2026, 9, 1), "%d %b"), day_text(121), day_text(None)
    ('1 September 2026', '1 Sep', 'case 121', 'no day')
    """
    if isinstance(day, int):
        return f"case {day}"
    return f"{day:{form}}".lstrip("0") if day else "no day"


def segment_text(segment: str, since: Moment | None) -> str:
    """
    >>> segment_text("north", date(2026, 9, 1)), segment_text("north", None)
    ('north, since 1 September 2026', 'north')
    """
    return f"{segment}, since {day_text(since)}" if since else segment


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    """Capitalised, unless the first word is an identifier.

    >>> capital("advertiser precision"), capital("gross_amount precision")
    ('Advertiser precision', 'gross_amount precision')
    """
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def _whole(value: float | str) -> str:
    return percent(value) if isinstance(value, float) else value


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _lead(relation: str, value: float | str) -> str:
    days = float(value) if isinstance(value, float) else 0.0
    if days < 0:
        return f"{'at least' if relation == 'at most' else 'less than'} {-days:,.6g} days before"
    return f"{'more than' if relation == 'above' else 'at most'} {days:,.6g} days after"
