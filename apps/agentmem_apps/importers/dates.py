"""Dates as people write them in data files: with the month's name, and without a zone.

They are read as UTC. Months are written out here, because `strptime` follows the locale of the process.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from agentmem.errors import ImportFailed

__all__ = ["written_time"]

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def written_time(value: object, pattern: re.Pattern[str], *, example: str, file: str, where: str) -> datetime | None:
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
            return datetime(int(part["year"]), month, int(part["day"]), hour, int(part["minute"]), tzinfo=UTC)
        except ValueError as error:
            raise ImportFailed(f"{where}: {value!r} is no date: {error}", file=file) from error
    raise ImportFailed(f"{where}: {value!r} is not a time such as {example!r}", file=file)
