"""The reasons beside a case, and the form for a person's answer, as self-contained HTML.

All text from a document is escaped: it is data, and no page runs it.
"""

import html
from collections.abc import Iterable, Iterator, Sequence

from proveout.agent.wording import sureness
from proveout.documents.marked import AUTOMATED, OPEN
from proveout.journal import APPROVAL, INTENDED, LABEL, SETTLED, UNDOING
from proveout.journal.prose import event_line, ruling_line
from proveout.records import Decision, Output, Ruling
from proveout.review.approvals import CaseView

STYLE = f"""<style>
.reasons {{ font: 13px/1.45 system-ui, sans-serif; color: #3b4754; }}
.reasons h4 {{ margin: .9rem 0 .2rem; font-size: 12px; letter-spacing: .04em; text-transform: uppercase; color: #6b7785; }}
.reasons ul {{ margin: 0; padding-left: 1.1rem; }}
.reasons .bad {{ color: {OPEN}; }}
.sure {{ font: 13px/1.4 system-ui, sans-serif; color: #3b4754; }}
.sure strong {{ color: {OPEN}; }}
.sure strong.automated {{ color: {AUTOMATED}; }}
</style>"""


def template(decision: Decision, names: list[str]) -> str:
    """The form's HTML, for `str.format`: the class, then each field with the agent's confidence in its value."""
    notes = {name: _plain(_confidence(decision.fields.get(name), name in decision.automated)) for name in names}
    rows = (f"<div>{{{name}}}{note}</div>" for name, note in notes.items())
    return f'<div style="display: grid; gap: .8rem"><div>{{class}}</div>{"".join(rows)}</div>'


def _plain(text: str) -> str:
    """Escape the braces of a document's text, which are not placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def _confidence(value: Output | None, automated: bool) -> str:
    """The agent's confidence in one value, with the evidence."""
    if value is None:
        return '<div class="sure"><strong>no value found</strong></div>'
    word = "automated" if automated else "to review"
    place = f", page {value.place.page + 1}" if value.place else ""
    rows = [f"<strong{_mark(automated)}>{sureness(value)}, {word}</strong>{place}"]
    rows += [f"for: {html.escape('; '.join(value.speaks_for[:2]))}"] if value.speaks_for else []
    rows += [f"against: {html.escape('; '.join(value.speaks_against[:2]))}"] if value.speaks_against else []
    return f'<div class="sure">{"<br>".join(rows)}</div>'


def lines(texts: Iterable[str]) -> str:
    """Plain text as HTML, one line each."""
    return f'{STYLE}<div class="reasons">{"".join(f"<div>{html.escape(text)}</div>" for text in texts)}</div>'


def follows(rulings: Sequence[Ruling], view: CaseView) -> str:
    """The effects so far, then what an approval of this view would lead to, one line per action."""
    texts = [f"Approve → {ruling_line(ruling).removesuffix(' allowed')}" for ruling in rulings if ruling.verdict.allowed]
    texts += [f"{ruling_line(ruling)}: {ruling.verdict.because}" for ruling in rulings if not ruling.verdict.allowed]
    return lines([*map(str, view.effects), *(texts or ["Approve → a label, no action"])])


def reasons(view: CaseView) -> str:
    """Why the case needs review, its checks and similar cases, the rulings on its actions, and the events since then."""
    decided, decision = view.decided, view.decided.decision
    since = [event for event in view.events if event.kind in (APPROVAL, UNDOING, INTENDED, SETTLED, LABEL)]
    similar = (f"{case.similarity:.2f}  {', '.join(case.fields.values())}" for case in decision.similar[:3])
    actions = ((f"{ruling_line(ruling)}: {ruling.verdict.because}", ruling.verdict.allowed) for ruling in decided.rulings)
    parts = [
        _list("Why this needs review", ((text, True) for text in decision.because)),
        _list("Checks", ((f"{check.name}: {check.because}", check.passed is not False) for check in decision.checks)),
        _list("Similar cases", ((text, True) for text in similar)),
        _list("Actions", actions),
        _list("Since then (UTC)", ((f"{event.at[:16].replace('T', ' ')} {event_line(event)}", True) for event in since)),
    ]
    return f'{STYLE}<div class="reasons">{"".join(parts)}</div>'


def _list(title: str, lines: Iterable[tuple[str, bool]]) -> str:
    items = "".join(_items(lines))
    return f"<h4>{title}</h4><ul>{items}</ul>" if items else ""


def _items(lines: Iterable[tuple[str, bool]]) -> Iterator[str]:
    for text, good in lines:
        yield f"<li{'' if good else ' class=bad'}>{html.escape(text)}</li>"


def _mark(automated: bool) -> str:
    return ' class="automated"' if automated else ""
