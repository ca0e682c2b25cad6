"""The reasons beside a case, and the form in which a person answers, as HTML that needs nothing from elsewhere.

Everything that was read in a document is escaped: it is data, and a page of ours never runs what a document says.
"""

import html
from collections.abc import Iterable, Iterator, Sequence

from proveout.agent.wording import sureness
from proveout.documents.marked import AUTOMATED, OPEN
from proveout.journal import APPROVAL, INTENDED, LABEL, SETTLED, UNDOING
from proveout.journal.prose import ruled, told
from proveout.records import Decision, Output, Ruling
from proveout.review.approvals import Shown

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
    """A form's HTML, for `str.format`: the class, then each field with how sure the agent is of it below."""
    rows = (f"<div>{{{name}}}{_plain(sure(decision.fields.get(name), name in decision.automated))}</div>" for name in names)
    return f'<div style="display: grid; gap: .8rem"><div>{{class}}</div>{"".join(rows)}</div>'


def _plain(text: str) -> str:
    """Braces that a document holds are no placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def sure(value: Output | None, automated: bool) -> str:
    """How sure the agent is of one value, and why."""
    if value is None:
        return '<div class="sure"><strong>nothing found</strong></div>'
    word = "automated" if automated else "yours to check"
    place = f", page {value.place.page + 1}" if value.place else ""
    said = [f"<strong{_mark(automated)}>{sureness(value)}, {word}</strong>{place}"]
    said += [f"for: {html.escape('; '.join(value.speaks_for[:2]))}"] if value.speaks_for else []
    said += [f"against: {html.escape('; '.join(value.speaks_against[:2]))}"] if value.speaks_against else []
    return f'<div class="sure">{"<br>".join(said)}</div>'


def lines(said: Iterable[str]) -> str:
    return f'{STYLE}<div class="reasons">{"".join(f"<div>{html.escape(line)}</div>" for line in said)}</div>'


def follows(rulings: Sequence[Ruling], shown: Shown) -> str:
    """What an approval of the case as it is shown leads to, a line an action, before anybody approves."""
    said = [f"Approve → {ruled(one).removesuffix(' allowed')}" for one in rulings if one.verdict.allowed]
    said += [f"{ruled(one)}: {one.verdict.because}" for one in rulings if not one.verdict.allowed]
    return lines([*map(str, shown.effects), *(said or ["Approve → a label, and no further action"])])


def reasons(shown: Shown) -> str:
    """Why a person is asked, what was checked, which past cases are like it, what the control plane and people said."""
    decided, decision = shown.decided, shown.decided.decision
    since = [event for event in shown.events if event.kind in (APPROVAL, UNDOING, INTENDED, SETTLED, LABEL)]
    like = (f"{case.similarity:.2f}  {', '.join(case.fields.values())}" for case in decision.similar[:3])
    actions = ((f"{ruled(one)}: {one.verdict.because}", one.verdict.allowed) for one in decided.rulings)
    parts = [
        _list("Why you are asked", ((said, True) for said in decision.because)),
        _list("Checks", ((f"{check.name}: {check.because}", check.passed is not False) for check in decision.checks)),
        _list("Similar cases", ((said, True) for said in like)),
        _list("Actions", actions),
        _list("Since then, UTC", ((f"{event.at[:16].replace('T', ' ')} {told(event)}", True) for event in since)),
    ]
    return f'{STYLE}<div class="reasons">{"".join(parts)}</div>'


def _list(title: str, lines: Iterable[tuple[str, bool]]) -> str:
    items = "".join(_items(lines))
    return f"<h4>{title}</h4><ul>{items}</ul>" if items else ""


def _items(lines: Iterable[tuple[str, bool]]) -> Iterator[str]:
    for said, good in lines:
        yield f"<li{'' if good else ' class=bad'}>{html.escape(said)}</li>"


def _mark(automated: bool) -> str:
    return ' class="automated"' if automated else ""
