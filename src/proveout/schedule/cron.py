"""When a job is due: five cron fields in a time zone.

Entry point: `Cron.due`. However many ticks have passed, one is due, because one run takes everything in the inbox.
Covered: changes to and from summer time, expressions that never match, the system's own zone by its name.
Not covered: seconds. A tick is a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

from proveout.errors import BadInput

EXPECTED = (
    'expected five fields (minute hour day month weekday), such as "*/15 * * * *" (every 15 minutes), '
    '"0 6 * * *" (every day at 06:00) or "30 8 * * mon-fri" (08:30 on workdays)'
)
LATE = timedelta(minutes=1)  # cron's own resolution: a tick that waited longer was missed
MAX_COUNT = 1000  # missed ticks: counting a year of quarter hours would take seconds


@dataclass(frozen=True)
class Due:
    """A tick for which a job should run now."""

    tick: datetime  # the newest that has passed, UTC
    missed: int  # ticks, this one included, for which nothing ran within a minute


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields, in a time zone."""

    text: str
    zone: tzinfo = UTC

    @classmethod
    def of(cls, text: str, zone: tzinfo, option: str = "") -> Cron:
        """A checked expression. Raises BadInput, which names `option`, if it is not a cron expression or never matches.

        >>> Cron.of("*/15 * * * *", UTC).next(datetime(2026, 11, 22, 10, 15, tzinfo=UTC)).isoformat()
        '2026-11-22T10:30:00+00:00'
        """
        cron = cls(text, zone)
        try:
            if len(text.split()) != 5:
                raise ValueError(f"it has {len(text.split())} fields")
            cron.next(datetime.now(UTC))
        except (ValueError, KeyError) as error:  # croniter's own errors are ValueErrors
            raise BadInput(f'{option} "{text}": not a cron expression ({error}); {EXPECTED}'.strip()) from error
        return cron

    def next(self, moment: datetime) -> datetime:
        """The first tick after `moment`, UTC."""
        return self._from(moment).get_next(datetime).astimezone(UTC)  # type: ignore[no-any-return]

    def due(self, since: datetime, now: datetime) -> Due | None:
        """The newest tick in (since, now], and how many were missed (`MAX_COUNT` at most); None if there is none.

        >>> quarter = Cron("*/15 * * * *")
        >>> ten = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
        >>> quarter.due(since=ten, now=ten + timedelta(minutes=50)).missed
        3
        >>> quarter.due(since=ten, now=ten + timedelta(minutes=15, seconds=1)).missed
        0
        """
        passed = list(islice(self._back(since, now), MAX_COUNT))
        if not passed:
            return None
        return Due(passed[0], sum(now - tick > LATE for tick in passed))

    def _back(self, since: datetime, now: datetime) -> Iterator[datetime]:
        """Ticks from `now` back to `since`, newest first."""
        ticks = self._from(now.replace(microsecond=0) + timedelta(seconds=1))
        while (tick := ticks.get_prev(datetime).astimezone(UTC)) > since:  # UTC: within a zone Python compares local times
            yield tick

    def _from(self, moment: datetime) -> Any:
        from croniter import croniter  # type: ignore[import-untyped]

        return croniter(self.text, moment.astimezone(self.zone))


def zone_named(name: str | None) -> tzinfo:
    """The zone with this name, or the system's own without a name. Raises BadInput for an unknown name."""
    import difflib
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    if not name:
        return _local()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(name, available_timezones(), n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else "expected a name such as `Europe/Berlin` or `UTC`"
        raise BadInput(f"--timezone {name}: no such time zone; {hint}") from error


def _local() -> tzinfo:
    """The system's zone by name, which includes summer time; if the system has no name for it, today's offset from UTC."""
    from zoneinfo import ZoneInfo

    name = os.environ.get("TZ", "").removeprefix(":") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def zone_name(zone: tzinfo) -> str:
    """A name that `zone_named` takes, if the zone has one."""
    return str(getattr(zone, "key", zone))
