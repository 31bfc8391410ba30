"""Where a record is from, as far as it tells: what it quotes, which model made it, and what asking that took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rich.text import Text

from agentmem.models.calls import Call
from agentmem.records import Record, Source
from agentmem_tui.drawing.plain import visible

__all__ = ["Made", "asked_for", "made_by", "question_of", "quoted", "shown_ids"]

_AROUND: Final = 1_500  # characters that are shown before a quote, of it at each of its ends, and behind it
_EXTRACT: Final = "extract"  # who made a summary without a model
_BEGINS, _ENDS = "[[", "]]"


class Made(NamedTuple):
    """The model that made a record, "" for none, and by which prompt; `by_rule`: it says that no model was asked."""

    model: str
    prompt: str
    by_rule: bool = False


def made_by(record: Record) -> Made:
    """Of what stores and chats keep in a record's meta; a person may have written anything there."""
    told = {name: record.meta.get(name) for name in ("by", "model", "prompt")}
    said = {name: value if isinstance(value, str) else "" for name, value in told.items()}
    if said["by"] == _EXTRACT:
        return Made("", "", by_rule=True)
    return Made(said["by"] or said["model"], said["prompt"])


def asked_for(record: Record, calls: Iterable[Call]) -> list[Call]:
    """The calls that it came of: to its model, by its prompt, and for something it was made from."""
    made = made_by(record)
    ids = {source.record for source in record.sources if source.record}
    ids |= {question} if (question := question_of(record)) else set()
    return [
        call
        for call in calls
        if made.model
        and call.model == made.model
        and (not made.prompt or made.prompt in call.prompt.split())
        and not ids.isdisjoint(call.cause.split())
    ]


def question_of(record: Record) -> str:
    """The id of the turn that an answer, or any turn of a chat, came after; "" where none is told."""
    from agentmem_apps.chat.conversation import AFTER  # with LangChain's messages: 0.3 s of the first paint

    after = record.meta.get(AFTER)
    return after if isinstance(after, str) else ""


def shown_ids(record: Record) -> tuple[str, ...] | None:
    """What an answer of a chat was shown; None for a record that is none."""
    shown = record.meta.get("shown")
    if not isinstance(shown, list):
        return None
    return tuple(dict.fromkeys(id for id in shown if isinstance(id, str) and id))


def quoted(text: str, source: Source | None) -> Text:
    """A source's text, with what was quoted of it between brackets; of a long one, what stands around that.

    Where the words are not those that were quoted any more, that is told.
    """
    if source is None or source.span is None:
        return Text(visible(text[: 4 * _AROUND]) + "…" * (len(text) > 4 * _AROUND))
    start, end = source.span
    body, quote = text[start:end], source.extra.get("quote")
    told = Text()
    if end > len(text) or (isinstance(quote, str) and quote != body):
        said = f"“{visible(quote[:_AROUND])}”" if isinstance(quote, str) else f"characters {start:,} to {end:,}"
        told.append(f"! it was changed since; quoted was {said}\n", style="bold")
    head, tail = text[max(start - _AROUND, 0) : start], text[end : end + _AROUND]
    if len(body) > 2 * _AROUND:
        body = f"{body[:_AROUND]} … {body[-_AROUND:]}"
    told.append("…" * (start > _AROUND) + visible(head))
    told.append(_BEGINS + visible(body) + _ENDS, style="bold reverse")
    return told.append(visible(tail) + "…" * (end + _AROUND < len(text)))
