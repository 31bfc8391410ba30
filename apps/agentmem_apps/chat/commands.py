"""What may be typed in a chat beside what is said: one function for each command of the table `SLASHES`.

They print on stdout. With --json a command's text is printed as one object, so that each line of stdout is one.
"""

from __future__ import annotations

import difflib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentmem.errors import InvalidInput
from agentmem.export import whole_file
from agentmem.models.calls import money
from agentmem.models.choice import ModelChoice, Need
from agentmem.records import Record
from agentmem.values import now
from agentmem_apps.chat.agent import ChatStream
from agentmem_apps.chat.conversation import Conversation, conversation, conversations, mark, turns_of
from agentmem_apps.cli.chatting import SLASHES, Slash
from agentmem_apps.cli.output import clean, emit, emit_json, emit_table, local_time, one_line, short_id
from agentmem_apps.cli.reading import draw_hits, print_asked
from agentmem_apps.cli.wording import record_row

if TYPE_CHECKING:
    from agentmem_apps.chat.terminal import Chat

__all__ = ["OFF", "obey", "parsed", "print_conversations"]

OFF: Final = "off: nothing is read or kept until /on"
_ROLE: Final = "reply"
_WHOLE: Final = 1_000_000  # turns, or calls: all there are
_OVER: Final = "--over"


def parsed(line: str) -> tuple[Slash, str]:
    """The command that a line names and what stands after it. InvalidInput tells the nearest one, or its usage."""
    name, _, text = line.removeprefix("/").partition(" ")
    text = text.strip()
    known = {slash.name: slash for slash in SLASHES}
    slash = known.get(name.lower())
    if slash is None:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        meant = f"Did you mean /{near[0]}?" if near else "/help lists them."
        raise InvalidInput(
            f"there is no command /{name:.40}", way_out=f"{meant} Text that begins with a slash is typed with two."
        )
    if text and not slash.argument:
        raise InvalidInput(f"/{slash.name} takes nothing after it")
    if not text and slash.needs_argument:
        raise InvalidInput(f"/{slash.name} wants something after it", way_out=f"Write {slash.usage}.")
    return slash, text


def obey(chat: Chat, line: str) -> ChatStream | None:
    """Do what a line says; an answer that this began, if any. AgentMemError when it cannot be done."""
    slash, text = parsed(line)
    if slash.keeps and chat.agent.off:
        raise InvalidInput("it is off: nothing is read or kept", way_out="Type /on first.")
    if not chat.invocation.json:
        return _DO[slash.name](chat, text)
    with redirect_stdout(io.StringIO()) as printed:
        stream = _DO[slash.name](chat, text)
    if stream is None:
        emit_json({"command": slash.name, "text": printed.getvalue()})
    return stream


# ── memories ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _remember(chat: Chat, text: str) -> None:
    agent = chat.agent
    record = agent.memory.add(text, kind="note", role="user", speaker=agent.user, session=agent.session)
    chat.remembered.append(record.id)
    emit(f"remembered {short_id(record.id)}")


def _forget(chat: Chat, text: str) -> None:
    memory = chat.agent.memory
    if text == "last":
        live = [record.id for record in memory.host.ledger.get(chat.remembered) if record.state == "live"]
        if not live:
            raise InvalidInput("nothing was remembered in this chat", way_out="/undo takes back the last question.")
        text = live[-1]
    [record] = memory.forget(memory.find(text).id)
    emit(f"forgotten {_named(record)}")
    chat.aside(f"agentmem restore {short_id(record.id)} brings it back")


def _pin(chat: Chat, text: str) -> None:
    [record] = chat.agent.memory.pin(chat.agent.memory.find(text).id)
    emit(f"pinned {_named(record)}")


def _search(chat: Chat, text: str) -> None:
    hits = chat.agent.memory.recall(text)
    if hits:
        columns = ("score", "id", "when", "kind", "speaker", "text")
        emit_table(columns, [(f"{hit.score:.2f}", *record_row(hit.record)) for hit in hits])
    else:
        chat.aside("nothing fits")


def _working(chat: Chat, text: str) -> None:
    held = chat.agent.memory.working()
    rows = [
        (f"{one.strength:.2f}", " ".join(short_id(r.id) for r in one.records), " / ".join(r.text for r in one.records))
        for one in held
    ]
    if held:
        emit_table(("strength", "id", "text"), rows, notes=[one.why for one in held])
    else:
        chat.aside("nothing is held in mind")


def _why(chat: Chat, text: str) -> None:
    reply = chat.last
    if reply is None:
        raise InvalidInput("nothing was answered yet", way_out="/search QUERY finds memories.")
    if reply.recalled:
        draw_hits(reply.recalled)
    else:
        emit("nothing was recalled")
    for left in reply.context.left_out:
        emit(f"left out: {one_line(left)}")
    for record in reply.in_mind:
        emit(f"in mind: {_named(record)}")
    print_asked(chat.invocation, reply.asked)
    if reply.keeps:
        emit()
        emit_table(("store", "because"), [(f"kept by {store}", why) for store, why in reply.keeps.items()])
    if reply.models:
        emit()
        emit_table(("model", "decision"), [(one.model, _decided(one, reply.model)) for one in reply.models])


def _decided(choice: ModelChoice, answered: str) -> str:
    if choice.refused:
        return f"not asked: {choice.why}"
    return f"answered: {choice.why}" if choice.model == answered else choice.why


# ── what is read and kept ────────────────────────────────────────────────────────────────────────────────────────────


def _off(chat: Chat, text: str) -> None:
    chat.agent.off = True
    emit(OFF)


def _on(chat: Chat, text: str) -> None:
    chat.agent.off = False
    chat.agent.unkept.clear()
    emit("on: what is said is kept, and what is kept is read")


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _undo(chat: Chat, text: str) -> None:
    gone = chat.agent.undo()
    if not gone:
        raise InvalidInput("there is no question to take back")
    for record in gone:
        emit(f"took back {_named(record)}")


def _retry(chat: Chat, text: str) -> ChatStream:
    return chat.agent.retry()


def _edit(chat: Chat, text: str) -> ChatStream:
    return chat.agent.edit(text)


def _branch(chat: Chat, text: str) -> None:
    if text:
        turn = chat.agent.branch(text)[-1]
        emit(f"back at {_named(turn)}")
        return
    path = chat.agent.path()
    if path:
        emit_table(("id", "who", "text"), [(short_id(t.id), t.speaker or "", t.text + mark(t)) for t in path])
    else:
        chat.aside("nothing was said yet")


def _list(chat: Chat, text: str) -> None:
    found = conversations(chat.agent.memory)
    if found:
        print_conversations(found)
    else:
        chat.aside("there is no conversation yet")


def print_conversations(found: Iterable[Conversation]) -> None:
    rows = [(short_id(one.session), local_time(one.last), f"{one.turns:,}", one.title) for one in found]
    emit_table(("id", "last", "turns", "begins"), rows)


def _resume(chat: Chat, text: str) -> None:
    found = conversation(chat.agent.memory, text)
    turns = chat.agent.resume(found.session)
    chat.last = None
    emit(f"went on with {short_id(found.session)}: {one_line(found.title)}")
    if chat.shown:
        chat.show(turns)


def _save(chat: Chat, text: str) -> None:
    first, _, rest = text.partition(" ")
    over = first == _OVER
    name = rest.strip() if over else text
    if not name:
        raise InvalidInput("/save wants the name of a file", way_out=f"Write /save {_OVER} FILE.")
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # no such person, or no home folder
        raise InvalidInput(f"{text!r:.80} cannot be a file's name: {error}") from error
    turns = chat.agent.path(_WHOLE)
    if not turns:
        raise InvalidInput("nothing was said yet: there is nothing to write")
    if not over and path.exists():
        raise InvalidInput(f"{path} is there already", way_out=f"/save {_OVER} {text} replaces it.")
    with whole_file(path) as file:
        file.write(_markdown(turns))
    emit(f"wrote {len(turns):,} turns to {one_line(str(path))}")


def _markdown(turns: Sequence[Record]) -> str:
    parts = [f"# {one_line(turns[0].text, 60)}"]
    for turn in turns:
        who = one_line(turn.speaker or turn.role or "")
        parts.append(f"## {who}, {local_time(turn.at)}{mark(turn)}\n\n{clean(turn.text).strip()}")
    return "\n\n".join(parts) + "\n"


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _model(chat: Chat, text: str) -> None:
    agent = chat.agent
    if text:
        settings = agent.memory.models.pool.settings
        roles = {role: specs for role, specs in settings.roles.items() if role != _ROLE}
        trial = agent.memory.with_models(replace(settings, default=(text,), roles=roles))
        trial.models.pool.opened(text)
        [choice] = trial.router.models(Need(_ROLE, kinds=frozenset({"turn"})))
        if choice.refused:
            raise InvalidInput(f"{text:.80} may not be asked: {choice.why}")
        before = agent.memory.models.pool
        agent.use(trial.models.pool)
        before.close()  # its weights and connections; it opens them again if asked
    choices = agent.memory.router.models(Need(_ROLE))
    if choices:
        emit_table(("model", "why"), [(c.model, f"not asked: {c.why}" if c.refused else c.why) for c in choices])
    else:
        chat.aside("no model is set; /model SPEC sets one, such as http://localhost:11434/v1#llama3.2")


def _cost(chat: Chat, text: str) -> None:
    memory = chat.agent.memory
    turns = turns_of(memory, chat.agent.session)
    ids = {turn.id for turn in turns}
    since = min((turn.stored_at for turn in turns), default=now())
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for call in memory.calls.listed(_WHOLE, since=since):
        if call.cause in ids:
            _count(rows["this conversation", call.model], 1, call.tokens_in, call.tokens_out, call.picos)
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for used in memory.calls.usage(since=today):
        _count(rows["today", used.model], used.calls, used.tokens_in, used.tokens_out, used.picos)
    if not rows:
        chat.aside("no model was asked")
    columns = ("when", "calls", "tokens in", "out", "money", "model")
    if rows:
        emit_table(
            columns,
            [(when, *(f"{n:,}" for n in sums[:3]), f"{money(sums[3]):g}", m) for (when, m), sums in rows.items()],
        )
    for limit in memory.models.limits():
        spent = memory.calls.spent(limit)
        where = "the whole memory" if limit.scope is None else str(limit.scope)
        told = [f"{spent.tokens:,} of {limit.tokens:,} tokens"] if limit.tokens is not None else []
        told += [f"{money(spent.picos):g} of {money(limit.picos):g}"] if limit.picos is not None else []
        emit(f"today in {where}: {', '.join(told) or 'no limit'}")


def _count(sums: list[int], *more: int) -> None:
    sums[:] = [one + other for one, other in zip(sums, more, strict=True)]


# ── the chat ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _help(chat: Chat, text: str) -> None:
    emit_table(("command", "does"), [(slash.usage, slash.help) for slash in SLASHES])


def _quit(chat: Chat, text: str) -> None:
    chat.over = True


def _named(record: Record) -> str:
    return f"{short_id(record.id)}: {one_line(record.text, 80)}"


_DO: Final[Mapping[str, Callable[[Chat, str], ChatStream | None]]] = {
    "remember": _remember,
    "forget": _forget,
    "pin": _pin,
    "search": _search,
    "working": _working,
    "why": _why,
    "off": _off,
    "on": _on,
    "undo": _undo,
    "retry": _retry,
    "edit": _edit,
    "branch": _branch,
    "list": _list,
    "resume": _resume,
    "model": _model,
    "cost": _cost,
    "save": _save,
    "help": _help,
    "quit": _quit,
}
