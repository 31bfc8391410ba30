"""Times as data files write them: ISO 8601, seconds since 1970, or with the month's name.

One without a zone is read as UTC. Months are written out here, because `strptime` follows the locale of the process.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta

from agentmem.errors import ImportFailed
from agentmem_apps.importers.reading import Spot

__all__ = ["epoch_time", "iso_time", "written_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def epoch_time(value: object, spot: Spot, *, name: str) -> datetime | None:
    """Seconds since 1970 as a time; None for None, and ImportFailed for anything else."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(seconds=value)
        except (OverflowError, ValueError) as error:  # beyond the year 9999; not a number
            raise spot.fault(f"{name!r} is no time: {value!r:.40}") from error
    raise spot.fault(f"{name!r} must be seconds since 1970")


def iso_time(value: object, spot: Spot, *, name: str) -> datetime | None:
    """`2024-05-03T10:00:00Z` as a time; None for None, and ImportFailed for anything else."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None:
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise spot.fault(f"{name!r} is no time: {value!r:.40}") from error
    raise spot.fault(f"{name!r} must be a time such as '2024-05-03T10:00:00Z'")


def written_time(
    value: object, pattern: re.Pattern[str], *, example: str, file: str, where: str, line: int | None = None
) -> datetime | None:
    """The time that `pattern` finds, None for None, and ImportFailed for anything else.

    `pattern` names the groups year, month, day and, if there is a time of day, hour, minute and half (a or p).
    """
    if value is None:
        return None
    match = pattern.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        part = {"hour": "12", "minute": "0", "half": "a", **match.groupdict()}
        hour = int(part["hour"]) % 12 + (12 if part["half"] in "pP" else 0)
        try:
            month = _MONTHS.index(part["month"].lower()) + 1
            when = datetime(int(part["year"]), month, int(part["day"]), hour, int(part["minute"]), tzinfo=UTC)
            if when.year == MAXYEAR:
                raise ValueError("it leaves no room for the seconds that keep turns in order")
            return when
        except ValueError as error:
            raise ImportFailed(f"{where}: {value!r} is no date: {error}", file=file, line=line) from error
    raise ImportFailed(f"{where}: {value!r} is not a time such as {example!r}", file=file, line=line)
