"""Bars of one line: what a score is made of, who takes the budget of a prompt, a score, a row of numbers.

Each is exactly as wide as asked. A part of a bar bears a letter and a pattern, which its legend repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import accumulate, chain
from string import ascii_uppercase, digits
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from agentmem.errors import InvalidInput
from agentmem.values import number, whole_number
from agentmem_tui.drawing.plain import one_line

__all__ = [
    "ORIGINS",
    "Legend",
    "Mark",
    "budget_bar",
    "budget_legend",
    "score_bar",
    "sparkline",
    "stacked",
]


class Mark(NamedTuple):
    """How a part is drawn: its letter on its first cell, its pattern on the others."""

    letter: str
    pattern: str
    style: str = ""

    def drawn(self, cells: int) -> tuple[str, str]:
        return (self.letter + self.pattern * (cells - 1))[:cells], self.style


_LOOKS: Final = (("▉", "cyan"), ("▓", "magenta"), ("▒", "yellow"), ("░", "green"), ("╱", "blue"))
_OTHER: Final = "other"
_OTHERS: Final = Mark("+", "·", "dim")
_TINY: Final = 0.02  # of all that there is to show: less than a cell of most bars


class Legend:
    """The marks of the signals of some rows, the largest first, and how far their bars reach.

    One for all rows of a table, so that a signal looks the same in each, and the bars can be compared.
    """

    def __init__(self, rows: Iterable[Mapping[str, float]]) -> None:
        """InvalidInput for a contribution that is no finite number."""
        listed = [{name: number(part, name) for name, part in row.items()} for row in rows]
        most = max((abs(part) for row in listed for part in row.values()), default=0.0)
        self._most = most or 1.0  # all is measured by it, lest a sum be too large for a number
        totals: dict[str, float] = {}
        for row in listed:
            for name, part in row.items():
                totals[name] = totals.get(name, 0.0) + abs(part / self._most)
        ranked = sorted(totals, key=lambda name: (-totals[name], name))
        least = _TINY * sum(totals.values())
        shown = [name for name in ranked[: len(_LOOKS)] if totals[name] > least]
        letters = _letters(shown)
        self.marks = {name: Mark(letters[name], *look) for name, look in zip(shown, _LOOKS, strict=False)}
        self.others = tuple(name for name in ranked if name not in self.marks and totals[name])
        self.left, self.right = self._reach(listed)

    def reaching(self, rows: Sequence[Mapping[str, float]]) -> Legend:
        """The same marks for bars that reach as far as those of other rows."""
        other = copy(self)
        other.left, other.right = self._reach(rows)
        return other

    def _reach(self, rows: Sequence[Mapping[str, float]]) -> tuple[float, float]:
        parts = [[part for _, part in self.parts(row)] for row in rows]
        against = max((-sum(part for part in row if part < 0) for row in parts), default=0.0)
        return against, max((sum(part for part in row if part > 0) for row in parts), default=0.0)

    def mark(self, name: str) -> Mark:
        """How a signal is drawn: by itself, or as one of the others."""
        return self.marks.get(name, _OTHERS)

    def parts(self, row: Mapping[str, float]) -> list[tuple[Mark, float]]:
        """The marks of a row with their contributions, the largest of the rows being 1; the largest first, and last
        what the others come to."""
        shares = {name: number(part, name) / self._most for name, part in row.items()}
        known = [(mark, shares[name]) for name, mark in self.marks.items() if shares.get(name)]
        rest = [share for name, share in shares.items() if name not in self.marks]
        signed = (sum(part for part in rest if part > 0), sum(part for part in rest if part < 0))
        return [*sorted(known, key=lambda one: -abs(one[1])), *((_OTHERS, part) for part in signed if part)]

    def text(self, width: int, row: Mapping[str, float] | None = None) -> Text:
        """The marks and their names, and with a row what each of its signals contributes, on lines of `width`."""
        named = [(mark, name, [name]) for name, mark in self.marks.items()]
        if self.others:
            named.append((_OTHERS, _OTHER, list(self.others)))
        text = Text(no_wrap=True)
        used = 0
        for mark, name, of in named:
            value = "" if row is None else f" {_signed(sum(row.get(one, 0.0) for one in of))}"
            item = Text.assemble(mark.drawn(2), " ", one_line(name, min(24, width - 3 - len(value))), value)
            fits = 0 < used <= width - 2 - item.cell_len
            text.append("  " if fits else "\n" if used else "").append_text(item)
            used = item.cell_len + (used + 2 if fits else 0)
        return text


def stacked(row: Mapping[str, float], width: int, legend: Legend | None = None) -> Text:
    """The parts of a score, the largest next to the axis: what speaks for it right of it, what against it left."""
    legend = Legend([row]) if legend is None else legend
    room, reach = width - 1, legend.left + legend.right
    if room < 0:
        return Text()
    left = round(room * legend.left / reach) if reach else 0
    parts = legend.parts(row)
    against = list(_run([(mark, -part) for mark, part in parts if part < 0], legend.left, left))
    behind = list(_run([(mark, part) for mark, part in parts if part > 0], legend.right, room - left))
    text = Text(" " * (left - sum(cells for _, cells in against)), no_wrap=True)
    for mark, cells in reversed(against):
        text.append(*mark.drawn(cells))
    text.append("│")
    for mark, cells in behind:
        text.append(*mark.drawn(cells))
    text.append(" " * (width - len(text)))
    return text


ORIGINS: Final[Mapping[str, Mark]] = {
    "system": Mark("S", "▉", "blue"),
    "persona": Mark("P", "▚", "bright_blue"),
    "pinned": Mark("★", "▓", "yellow"),
    "recalled": Mark("R", "▒", "green"),
    "in mind": Mark("M", "░", "cyan"),
    "recent": Mark("E", "╱", "magenta"),
    "summary": Mark("U", "╲", "bright_magenta"),
    "question": Mark("Q", "╳", "bright_cyan"),
}
_FREE: Final = Mark("·", "·", "dim")
_LIMIT: Final = ("┃", "bold red")


def budget_bar(tokens: Mapping[str, int], budget: int, width: int) -> Text:
    """What each origin takes of a prompt's budget, in the order of `ORIGINS`, and what is free; with more than the
    budget, `┃` stands where it ends."""
    taken = _by_origin(tokens, budget)
    total = sum(taken.values())
    room = width - (total > budget)
    if room < 1:
        return Text("!" * max(width, 0), _LIMIT[1]) if total > budget else Text()
    parts = [(ORIGINS[name], float(count)) for name, count in taken.items()]
    parts.append((_FREE, float(max(budget - total, 0))))
    text = Text(no_wrap=True)
    for mark, cells in _run(parts, float(max(total, budget)), room):
        text.append(*mark.drawn(cells))
    text.append(" " * (room - len(text)))
    if total > budget:
        end = math.floor(room * budget / total)
        text = Text.assemble(text[:end], _LIMIT, text[end:], no_wrap=True)
    return text


def budget_legend(tokens: Mapping[str, int], budget: int) -> Text:
    """A line for each origin that takes something, with its tokens and its share of the budget, and for the rest."""
    taken = _by_origin(tokens, budget)
    total = sum(taken.values())
    rows = [(ORIGINS[name], name, count) for name, count in taken.items() if count]
    rows.append(
        (_FREE, "free", budget - total) if total <= budget else (Mark("┃", "!", _LIMIT[1]), "over", total - budget)
    )
    long = max(len(f"{count:,}") for _, _, count in rows)
    lines = [
        Text.assemble(
            mark.drawn(2),
            f" {name:<8} ",
            (f"{count:>{long},}  {_percent(count, budget):>5}", "bold" * (name == "over")),
        )
        for mark, name, count in rows
    ]
    return Text("\n").join(lines)


def score_bar(score: float, width: int, most: float = 1.0) -> Text:
    """`score` of `most` in eighths of a cell; a dash for what is no number."""
    if width < 1:
        return Text()
    if math.isnan(score) or math.isnan(most):
        return Text("–".ljust(width), "dim", no_wrap=True)
    share = 0.0 if score <= 0 else 1.0 if score >= most else score / most
    whole, eighths = divmod(round(min(share, 1.0) * width * 8), 8)
    return Text(("█" * whole + " ▏▎▍▌▋▊▉"[eighths] * (eighths > 0)).ljust(width), no_wrap=True)


def sparkline(values: Sequence[float], width: int) -> Text:
    """Numbers from left to right, the highest of each stretch where there are more than cells: from the lowest `▁` to
    the highest `█`; `↑` and `↓` where they are infinite, `·` for what is no number."""
    if width < 1:
        return Text()
    count = min(len(values), width)
    told = [
        _highest(values[len(values) * at // count : len(values) * (at + 1) // count]) for at in range(count)
    ]  # halved below, lest the distance of two be too large for a number
    finite = [value / 2 for value in told if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return Text("".join(_height(value, low, high) for value in told).ljust(width), no_wrap=True)


def _run(parts: Sequence[tuple[Mark, float]], full: float, room: int) -> Iterator[tuple[Mark, int]]:
    """The cells of each part, of `room` that `full` would fill: rounded where the parts end, so that they add up."""
    ends = [round(room * min(end / full, 1.0)) for end in accumulate(part for _, part in parts)] if full else []
    for (mark, _), start, end in zip(parts, chain((0,), ends), ends, strict=False):
        if end > start:
            yield mark, end - start


def _letters(names: Iterable[str]) -> dict[str, str]:
    """A letter of its own for each: the first of its name that is free, else any."""
    found: dict[str, str] = {}
    for name in names:
        wanted = (letter for letter in name.upper() if letter.isalpha() and cell_len(letter) == 1)
        free = (letter for letter in chain(wanted, ascii_uppercase, digits) if letter not in found.values())
        found[name] = next(free)
    return found


def _by_origin(tokens: Mapping[str, int], budget: int) -> dict[str, int]:
    """The tokens in the order of `ORIGINS`."""
    whole_number(budget, "the budget")
    for name, count in tokens.items():
        if name not in ORIGINS:
            raise InvalidInput(
                f"{name!r:.40} is no origin of a prompt's part", way_out=f"Origins: {', '.join(ORIGINS)}."
            )
        whole_number(count, name)
    return {name: tokens[name] for name in ORIGINS if name in tokens}


def _signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) < 1_000 else f"{value:+.1e}"


def _percent(count: int, budget: int) -> str:
    if not budget:
        return "–"
    share = 100 * count / budget
    return "<1 %" if 0 < share < 0.5 else f"{share:.0f} %"


def _highest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _height(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "·"
    if math.isinf(value):
        return "↑" if value > 0 else "↓"
    return "▄" if low == high else "▁▂▃▄▅▆▇█"[round(7 * ((value / 2 - low) / (high - low)))]
