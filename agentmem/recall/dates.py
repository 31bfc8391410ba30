"""Days, months and years that a question names, as spans of time: "last week", "3 May", "in July 2023", "before 2022",
and "two weeks after the trip", when it can be told when the trip was.

Phrases are found by their shape, in English and in figures, and read by dateparser, which is imported when there
is one. Nothing here is a filter: a date raises what happened then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["Span", "spans_in"]

_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_NUMBER: Final = r"(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d{1,2})"
_YEAR: Final = r"(?:19|20)\d\d"
_PHRASE: Final = re.compile(
    rf"""(?<![\w.-])(?:
      (?P<figures>{_YEAR}-\d\d(?:-\d\d)?|\d{{1,2}}[./]\d{{1,2}}[./]{_YEAR})
    | (?P<dated>\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s*{_YEAR})?
        | {_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:,?\s*{_YEAR})?
        | {_MONTH},?\s+(?:of\s+)?{_YEAR})
    | (?P<relative>yesterday|today|tomorrow|(?:last|this|next)\s+(?:week|month|year|{_DAY}|{_MONTH})
        | {_NUMBER}\s+(?:day|week|month|year)s?\s+ago)
    | (?:in|of|on|during|since|until|by|before|after)\s+(?P<month>{_MONTH})(?!,?\s*(?:of\s+)?\d)
    | (?P<name>(?-i:January|February|April|June|July|August|September|October|November|December))
    | (?P<year>{_YEAR})
    )(?![\w-]|\.\d)""",
    re.IGNORECASE | re.VERBOSE,
)
# "two weeks after the trip to Lisbon", "the day before we moved": up to a sign, or so many characters.
_ANCHORED: Final = re.compile(
    rf"""\b(?P<number>{_NUMBER}|the)\s+(?P<unit>day|week|month|year)s?\s+(?P<side>before|after|prior\s+to|following)
    \s+(?P<event>[^?.!,;:\n]{{3,80}})""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_UNITS: Final = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_BEFORE: Final = re.compile(r"\b(before|until|till|prior to)\s+$", re.I)
_AFTER: Final = re.compile(r"\b(after|since)\s+$", re.I)
_LONGEST: Final = 16_000  # characters of a cue that are read
_MOST: Final = 8  # phrases of a cue
_YEARS: Final = 20  # in which a month without a year is looked for
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


class Span(NamedTuple):
    """From `start` on and before `end`; `phrase` is what named it."""

    start: datetime
    end: datetime
    phrase: str


def spans_in(
    text: str,
    now: datetime,
    held: tuple[datetime, datetime],
    happened: Callable[[str], datetime | None] = lambda event: None,
) -> list[Span]:
    """The times that the text names, seen from `now`. A month or a day without a year is looked for in each year of
    what is `held`, from the first to the last that happened. `happened` says when an event was that the text names."""
    now, held = now.astimezone(UTC), (held[0].astimezone(UTC), held[1].astimezone(UTC))
    found: list[Span] = []
    text = text[:_LONGEST]
    for match in list(_ANCHORED.finditer(text))[:_MOST]:
        told: list[datetime | None] = [span.start for span in spans_in(match["event"], now, held)]
        if not told:
            told = [happened(match["event"])]
        spans = [span for at in told if at is not None and (span := _away(match, at.astimezone(UTC))) is not None]
        if spans:  # its words name no other time
            found += spans
            text = text[: match.start()] + " " * len(match[0]) + text[match.end() :]
    for match in list(_PHRASE.finditer(text))[:_MOST]:
        kind = str(match.lastgroup)
        phrase = match[kind]
        lead = text[: match.start(kind)]
        for start, end in _read(kind, phrase.strip(" ."), now, held):
            if _BEFORE.search(lead):
                start, end = _FIRST, start
            elif _AFTER.search(lead):
                start, end = end, _LAST
            found.append(Span(start, end, match[0].strip()))
    return found


def _away(anchored: re.Match[str], at: datetime) -> Span | None:
    """So many days, weeks, months or years from then, give or take half a one; of days that day. None when that is
    outside the calendar."""
    number, unit = anchored["number"].lower(), anchored["unit"].lower()
    count = int(number) if number.isdecimal() else _NUMBERS.index(number) + 1 if number in _NUMBERS else 1
    days = count * _UNITS[unit] * (1 if anchored["side"].lower() in ("after", "following") else -1)
    try:
        middle = at + timedelta(days=days)
        if unit == "day":
            start = middle.replace(hour=0, minute=0, second=0, microsecond=0)
            return Span(start, start + timedelta(days=1), anchored[0].strip())
        half = timedelta(days=_UNITS[unit] / 2)
        return Span(middle - half, middle + half, anchored[0].strip())
    except OverflowError:
        return None


def _read(
    kind: str, phrase: str, now: datetime, held: tuple[datetime, datetime]
) -> Iterator[tuple[datetime, datetime]]:
    year = re.search(_YEAR, phrase)
    if kind == "relative":
        # dateparser knows the last Friday, and no last May: it is the one before this month's, or next year's.
        named = re.fullmatch(rf"(last|this|next)\s+({_MONTH})", phrase, re.I)
        if named is None:
            yield from _span(phrase, now)
            return
        for start, end in _span(f"{named[2]} {now.year}", now):
            past = start < now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            step = {"last": 0 if past else -1, "this": 0, "next": 1 if past or end <= now else 0}[named[1].lower()]
            yield from _span(f"{named[2]} {now.year + step}", now)
    elif year is not None or kind == "figures":
        yield from _span(phrase, now)
    else:
        first, last = held[0].year, held[1].year
        for each in range(max(first, last - _YEARS + 1), last + 1):
            yield from _span(f"{phrase} {each}", now)


def _span(phrase: str, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The day, week, month or year that it names; none when it names none, as 31 June."""
    told = _parsed(phrase, now.replace(tzinfo=None, minute=0, second=0, microsecond=0))
    if told is None:
        return
    at, period = told
    start = at.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    try:
        if period == "year":
            yield start.replace(month=1, day=1), start.replace(year=start.year + 1, month=1, day=1)
        elif period == "month":
            start = start.replace(day=1)
            yield start, (start + timedelta(days=32)).replace(day=1)
        elif period == "week":
            start -= timedelta(days=start.weekday())
            yield start, start + timedelta(days=7)
        else:
            yield start, start + timedelta(days=1)
    except (ValueError, OverflowError):  # at the end of the calendar
        return


def _parsed(phrase: str, base: datetime) -> tuple[datetime, str] | None:
    """What dateparser reads, and how long the period is that is meant."""
    try:
        told = _parser(base).get_date_data(phrase)
    except (ValueError, OverflowError):  # of a day that no calendar has
        return None
    return None if told.date_obj is None else (told.date_obj, str(told.period))


@lru_cache(maxsize=8)
def _parser(base: datetime) -> Any:
    from dateparser.date import DateDataParser

    settings = {
        "RELATIVE_BASE": base,
        "PREFER_DATES_FROM": "past",
        "PREFER_DAY_OF_MONTH": "first",
        "DATE_ORDER": "DMY",
        "RETURN_AS_TIMEZONE_AWARE": False,
        "TIMEZONE": "UTC",  # it would look at the machine's, and fail where that has no name
    }
    return DateDataParser(languages=["en"], settings=settings)
