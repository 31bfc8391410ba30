"""How long ago something was, in few letters, and when it was, for lists."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final

from agentmem.values import moment

__all__ = ["age", "when"]

_UNITS: Final = (  # seconds in one, its name, and how many seconds are told in it
    (1, "s", 60),
    (60, "min", 3_600),
    (3_600, "h", 86_400),
    (86_400, "d", 60 * 86_400),
    (2_629_746, "mo", 24 * 2_629_746),  # a twelfth of a year of 365.2425 days
    (31_556_952, "y", float("inf")),
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def age(at: datetime, now: datetime) -> str:
    """`now`, `3 s`, `12 min`, `2 h`, `5 d`, `7 mo`, `3 y`, rounded down; `in 2 h` for what is to come."""
    seconds = int((moment(now, name="now") - moment(at)).total_seconds())
    if seconds == 0:
        return "now"
    one, name, _ = next(unit for unit in _UNITS if abs(seconds) < unit[2])
    return f"{'in ' if seconds < 0 else ''}{abs(seconds) // one} {name}"


def when(at: datetime, now: datetime) -> str:
    """The time if it is the day of `now`, the day too if it is that year, else the day: `14:02`, `3 May 14:02`,
    `2019-05-03`. In the zone of `now`; at most 12 characters."""
    moment(now, name="now")
    there = moment(at)
    with suppress(OverflowError):  # year 1 or 9999 moved over the edge: it stays in UTC
        there = there.astimezone(now.tzinfo)
    if there.date() == now.date():
        return f"{there:%H:%M}"
    if there.year == now.year:
        return f"{there.day} {_MONTHS[there.month - 1]} {there:%H:%M}"
    return there.date().isoformat()
