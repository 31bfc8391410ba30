"""`ChatAgent`: a turn is stored, answered from what is recalled, and thought about afterwards.

What a person says is durable before anything else happens, so that no model, no network and no crash can lose it.
The model is a guest: it sees a prompt of bounded length, and what it says is stored as what it said.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from agentmem.errors import InvalidInput
from agentmem.jobs import Bookkeeping, leave
from agentmem.memory import Memory
from agentmem.models.asking import MOST_OUT
from agentmem.models.pool import AnyModels
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Record
from agentmem.values import new_id, plain_text, whole_number
from agentmem_apps.chat.afterwards import Afterwards
from agentmem_apps.chat.conversation import path_of, turns_of
from agentmem_apps.chat.prompting import Room, Said
from agentmem_apps.chat.ready import WINDOW, Ready, ready, standing
from agentmem_apps.chat.reply import Reply
from agentmem_apps.chat.turn import Turn

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PERSONA", "ChatAgent", "ChatStream"]

PERSONA: Final = "You are a helpful companion who speaks plainly and is brief unless asked for more."
_LOOKED_AT: Final = 200
_TO_SUM_UP: Final = 5  # questions with their answers, that slipped out of the prompt: a model is asked once for them
Tools: TypeAlias = bool | Literal["auto"]


class ChatAgent:
    """An agent that remembers: `reply(text)`, or `stream(text)` piece by piece.

    `models` are as in `Memory.open`; None: the memory's own. `session` names the conversation, and one that there was
    before goes on; None begins a new one. `user` and `name` are who speaks, in the memory. `tools`: whether the model
    may look, remember, note and remind by itself; `auto`: if it is known to know tools. `read_twice` shows what is
    recalled twice, for small models. `most_out` is the most tokens of an answer. `background` thinks about what was
    said, on a thread of its own, after each answer; without it that is left as jobs, for `agentmem sleep`. While `off`
    is set, nothing is read from the memory and nothing is kept.

    One turn at a time: a second one waits. In an event loop, `await asyncio.to_thread(agent.reply, text)`.
    """

    def __init__(
        self,
        memory: Memory,
        models: AnyModels | None = None,
        *,
        persona: str = PERSONA,
        session: str | None = None,
        user: str = "User",
        name: str = "Assistant",
        room: Room | None = None,
        tools: Tools = "auto",
        read_twice: bool = False,
        most_out: int = MOST_OUT,
        background: bool = True,
    ) -> None:
        self.memory = memory if models is None else memory.with_models(models)
        self.persona = plain_text(persona, "persona")
        self.session = _session(new_id() if session is None else session)
        self.user = plain_text(user, "user")
        self.name = plain_text(name, "name")
        self.room = Room() if room is None else room
        if estimate_tokens(self.persona) > self.room.persona:
            raise InvalidInput(
                f"the persona takes more than {self.room.persona:,} tokens", way_out="Say it in fewer words."
            )
        if tools not in (True, False, "auto"):
            raise InvalidInput(f"tools must be True, False or 'auto', not {tools!r:.40}")
        self.tools: Tools = tools
        self.read_twice = read_twice
        self.most_out = whole_number(most_out, "most_out", 1)
        self.off = False
        self.unkept: list[Said] = []  # what was said while off
        self.worker = f"chat:{new_id()}"  # the name under which it takes reminders
        self._one_at_a_time = threading.Lock()
        self._path: list[str] = []  # the turns of the branch that is spoken in, by id
        self._abandoned: set[str] = set()  # those of other branches
        if session is not None:
            self._stand_at(turns_of(memory, self.session))
        self._slipped = 0  # turns, since it was last summed up
        self._ready: Ready | None = None
        self._after = Afterwards(self.memory, self.ready) if background else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thinking in the background: at its next job, and what is left of the jobs stays in the memory."""
        if self._after is not None:
            self._after.close()

    def use(self, models: AnyModels) -> None:
        """Ask these models from the next turn on."""
        self.memory = self.memory.with_models(models)
        if self._after is not None:
            self._after.close()
            self._after = Afterwards(self.memory, self.ready)

    # ── a turn ───────────────────────────────────────────────────────────────────────────────────────────────────

    def reply(self, text: str) -> Reply:
        """Answer. The text is stored first: it is kept, whatever is raised. See `stream`."""
        with self.stream(text) as stream:
            for _ in stream:
                continue
            return stream.reply

    def stream(self, text: str) -> ChatStream:
        """Answer piece by piece; `reply` of the stream is there when it has ended or was closed.

        InvalidInput for a blank text. Without a model the answer tells what is recalled. A ModelError when no model
        gives an answer; one that breaks off in the middle leaves an answer that says so (`Reply.cut`).
        """
        if not plain_text(text, "text").strip():
            raise InvalidInput("there is nothing to answer: the text is blank")
        return ChatStream(self, text)

    def retry(self) -> ChatStream:
        """Answer the last question anew: a branch beside the answer that there was. InvalidInput when none was put."""
        asked = self._last_question()
        if asked is None or self.off:
            raise InvalidInput("there is no question to answer anew")
        path, at = asked
        self._abandoned.update(turn.id for turn in path[at + 1 :])
        self._go_back_to(path[at])
        return ChatStream(self, path[at].text, path[at])

    def edit(self, text: str) -> ChatStream:
        """Put the last question in other words: a branch beside it. InvalidInput when none was put, and as `stream`."""
        stream = self.stream(text)
        asked = self._last_question()
        if asked is None or self.off:
            raise InvalidInput("there is no question to put in other words")
        path, at = asked
        self._abandoned.update(turn.id for turn in path[at:])
        self._go_back_to(path[at])
        return stream

    def resume(self, session: str) -> list[Record]:
        """Go on with another conversation, or begin it; its turns."""
        self.session = _session(session)
        self._stand_at(turns_of(self.memory, self.session))
        return self.path()

    def branch(self, turn: str) -> list[Record]:
        """Go back to a turn, by the end of its id: what is said next comes after it, beside what came before. The turns
        that lead to it. RecordNotFound."""
        self._stand_at(turns_of(self.memory, self.session), self.memory.find(turn).id)
        return self.path()

    def undo(self) -> list[Record]:
        """Take back the last question with its answers in this branch and what the tools wrote: one step, into the
        trash. [] when there is none."""
        asked = self._last_question()
        if asked is None:
            return []
        path, at = asked
        made = [one for one in self.memory.descendants(path[at].id) if one.session == self.session]
        with self.memory.step("taken back in the chat"):
            gone = self.memory.forget(*dict.fromkeys(one.id for one in [*path[at:], *made] if one.state == "live"))
        self._go_back_to(path[at])
        return gone

    def path(self, most: int = _LOOKED_AT) -> list[Record]:
        """The turns of this conversation as they stand, in the branch that is spoken in: the last, oldest first."""
        return standing(self.memory, tuple(self._path[-most:]))

    def rest(self) -> None:
        """Wait until what is thought about in the background is done."""
        if self._after is not None:
            self._after.wait()

    # ── for its turns ────────────────────────────────────────────────────────────────────────────────────────────

    def said(self, turn: Record) -> None:
        """A turn was stored."""
        self._path.append(turn.id)

    def ended(self, *, slipped: bool) -> None:
        """A turn has ended; `slipped`: others stand outside the prompt by now."""
        self._slipped += slipped
        kinds = ["think"]
        if self._slipped >= _TO_SUM_UP:
            self._slipped = 0
            kinds.append("summarise")
        if self._after is not None:
            self._after.begin(kinds)
        elif isinstance(self.memory.host.ledger, Bookkeeping):
            for kind in kinds:
                leave(self.memory.jobs, kind)

    def abandoned(self) -> set[str]:
        """The turns of other branches, by id: here they were not said."""
        return self._abandoned

    def ready(self) -> Ready:
        """What the next turn begins with."""
        found = self.known()
        if found is None:
            found = self._ready = ready(self.memory, self.session, self._last())
        return found

    def known(self) -> Ready | None:
        """What the next turn begins with, if it was read already and is so still."""
        found = self._ready
        return found if found is not None and found.holds(self.memory, self.session, self._last()) else None

    @property
    def last(self) -> str | None:
        """The id of the turn that the next one comes after; None for the first."""
        return self._path[-1] if self._path else None

    def _last(self) -> tuple[str, ...]:
        return tuple(self._path[-WINDOW - 1 :])

    def pieces(self, turn: Turn) -> Generator[str, None, None]:
        """The pieces of a turn, which waits for the one before it."""
        with self._one_at_a_time:
            yield from turn.pieces()

    def _last_question(self) -> tuple[list[Record], int] | None:
        """The path, and where on it the last question stands."""
        path = self.path()
        return next(((path, at) for at in range(len(path) - 1, -1, -1) if path[at].role == "user"), None)

    def _go_back_to(self, question: Record) -> None:
        """What is said next comes before this, which is left."""
        del self._path[self._path.index(question.id) :]

    def _stand_at(self, turns: list[Record], leaf: str | None = None) -> None:
        path = path_of(turns, leaf)
        self._path = [turn.id for turn in path]
        self._abandoned = {turn.id for turn in turns} - set(self._path)


def _session(name: str) -> str:
    if not plain_text(name, "session").strip():
        raise InvalidInput("a session needs a name", way_out="Leave it out to begin a new one.")
    return name


class ChatStream:
    """An answer as it comes: iterate it for its pieces; `reply` is what it came to.

    Closing it early, also by leaving its `with`, stops the model, and what came is kept as an answer cut short.
    """

    def __init__(self, agent: ChatAgent, text: str, again: Record | None = None) -> None:
        self._turn = Turn(agent, text, again)
        self._pieces = agent.pieces(self._turn)

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, if it has not ended; twice is fine."""
        self._pieces.close()

    @property
    def keeping(self) -> bool:
        """Whether what was said is being stored right now: a program that would interrupt should wait until it is."""
        return self._turn.keeping

    @property
    def reply(self) -> Reply:
        """InvalidInput while it is still coming."""
        if self._turn.reply is None:
            raise InvalidInput("the answer has not ended", way_out="Read the stream to its end, or close it.")
        return self._turn.reply
