"""What follows from a finding at once, by the rules of alerts.yaml. Entry points: `rule_for`, `urgency` and `act`.

    rules:
      - {finding: "precision of *", severity: critical, owner: ada, then: review only}
      - {finding: "*"}

The first rule whose pattern fits a finding's key counts; without one, a finding is a warning and nothing follows. A rule can
send the finding's cases to a person, ask for more confidence, or stop all effects. Each is a restriction in the journal, which
a person lifts (`control.restrictions`).
Covered: a report that finds the same again changes nothing; what a person lifted stays lifted while the finding lasts.
Not covered: a finding that is there for one report and gone in the next; its restriction stays until a person lifts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from proveout.control.restrictions import Kind, Restriction, Restrictions
from proveout.journal import LIFTED, RESTRICTED, Journal
from proveout.mission import Mission
from proveout.monitoring.alerts import SEVERITIES, Alerts, QuietAlerts, Rule
from proveout.monitoring.labelling import scope
from proveout.monitoring.signing import FiledReport

BY = "alerts.yaml"  # who imposes what a rule says
OVERDUE = "signature overdue"  # key of that alarm, for a rule to fit


def rule_for(key: str, alerts: Alerts) -> Rule:
    """The first rule that fits a finding's key; the default if none does.

    >>> alerts = Alerts(rules=(Rule(finding="precision of *", severity="critical"), Rule(finding="drift *", severity="info")))
    >>> [rule_for(key, alerts).severity for key in ("precision of total", "drift of pages", "segment east")]
    ['critical', 'info', 'warning']
    """
    return next((rule for rule in alerts.rules if fnmatchcase(key, rule.finding)), Rule(finding="*"))


def urgency(keys: Iterable[str], alerts: Alerts) -> tuple[str, tuple[str, ...]]:
    """The highest severity among findings, and who owns them.

    >>> urgency(["drift of pages", "precision of total"], Alerts(rules=(Rule(finding="p*", severity="critical", owner="ada"),)))
    ('critical', ('ada',))
    """
    rules = [rule_for(key, alerts) for key in keys]
    severity = max((rule.severity for rule in rules), key=SEVERITIES.index, default=SEVERITIES[0])
    return severity, tuple(dict.fromkeys(rule.owner for rule in rules if rule.owner))


def is_quiet(settings: QuietAlerts, now: datetime) -> bool:
    """Whether alarms wait now, unless they are critical. Hours run over midnight where they end before they begin.

    >>> from datetime import UTC
    >>> night = QuietAlerts(start="20:00", end="07:00", days=("sat", "sun"))
    >>> [is_quiet(night, datetime(2026, 11, 30 - back, hour, tzinfo=UTC)) for back, hour in ((0, 6), (0, 7), (0, 21), (1, 12))]
    [True, False, True, True]
    """
    local = now.astimezone(ZoneInfo(settings.zone))
    if local.strftime("%a").lower() in settings.days:
        return True
    start, end, time = settings.start, settings.end, local.strftime("%H:%M")
    if start <= end:
        return start <= time < end
    return time >= start or time < end


def act(
    reports: Sequence[FiledReport], data: Mapping[str, Any], journal: Journal, restrictions: Restrictions, mission: Mission
) -> list[Restriction]:
    """Impose what the rules say follows from the newest report's findings. Returns what is new.

    `reports`: the newest first, which `data` belongs to.
    """
    alerts, report, imposed = Alerts.model_validate(data["alerts"]), reports[0], []
    before = {one.id for one in restrictions.active()}
    for key, sentence in report.findings.items():
        rule = rule_for(key, alerts)
        if rule.then == "nothing" or _lifted(key, reports[1:], journal):
            continue
        field, segment = scope(data, key, mission)
        kind = Kind(rule.then)
        because = f"report {report.id[:12]}: {sentence}"
        if kind is Kind.STOP:
            field = segment = ""
        wanted = Restriction(kind, because[:500], BY, field, segment, rule.at_least or 0.0, report.id, key)
        one = restrictions.impose(wanted, mission)
        if one.id not in before:
            imposed.append(one)
            before.add(one.id)
    return imposed


def _lifted(key: str, earlier: Sequence[FiledReport], journal: Journal) -> bool:
    """Whether a person lifted what a rule imposed for this finding, and every report since then has had it."""
    imposed, lifted = "", ""
    for event in journal.of_kind(RESTRICTED, LIFTED):
        if event.kind == RESTRICTED and event.payload["by"] == BY and event.payload["finding"] == key:
            imposed, lifted = event.key, ""
        elif event.kind == LIFTED and event.key == imposed:
            lifted = event.at
    return bool(lifted) and all(key in report.findings for report in earlier if report.at > lifted)
