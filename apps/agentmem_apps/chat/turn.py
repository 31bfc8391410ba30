"""One turn: the question stored, the memories looked up, the models asked, the answer stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.messages import BaseMessage, ToolMessage

from agentmem.cues import Hit
from agentmem.errors import AgentMemError, NoModel
from agentmem.jobs import Job
from agentmem.models.choice import ModelChoice, Need
from agentmem.models.prompts import Prompt
from agentmem.models.question import tokens_of
from agentmem.recall.pack import pack
from agentmem.records import Record
from agentmem.values import Json, now, storable
from agentmem_apps.chat.conversation import AFTER, STOPPED
from agentmem_apps.chat.prompting import Said, Shown, compose
from agentmem_apps.chat.ready import looked_up
from agentmem_apps.chat.reply import Reply, Usage
from agentmem_apps.chat.tools import REMIND, Toolbox, described

if TYPE_CHECKING:
    from agentmem.models.answer import Answer
    from agentmem_apps.chat.agent import ChatAgent

__all__ = ["Turn"]

ROLE: Final = "reply"
_ROUNDS: Final = 4  # of tools
_SHARES: Final = (1.0, 0.5, 0.25, 0.0)  # of the room for what is remembered, until some model has a context for it
_REMINDERS: Final = 5
_LONGEST: Final = 200_000  # characters of an answer
_NO_MODEL: Final = "No language model is set: I can tell what I remember, and no more."
_NOTHING: Final = "Nothing that I remember fits."
_HOW: Final = (
    "For answers set one: --model openai:gpt-4.1-mini, or --model http://localhost:11434/v1#llama3.2 for one that runs "
    "on this machine."
)
_TOLD: Final = 5  # memories that an answer without a model tells


class Turn:
    """`text` is asked; `again` is the question as it stands, when it is asked anew. `reply` is there at the end."""

    def __init__(self, agent: ChatAgent, text: str, again: Record | None) -> None:
        self._agent = agent
        self._memory = agent.memory
        self._text = text
        self._question = again
        self._shown = Shown(now())
        self._slipped = False  # whether turns before stand outside the prompt
        self._reminders: list[Job] = []
        self._toolbox: Toolbox | None = None
        self._choices: Sequence[ModelChoice] = ()
        self._prompt: Prompt | None = None  # that models are asked by
        self._told: list[str] = []  # the pieces that were given out
        self._answer: Answer | None = None  # of the last round
        self._usage = Usage()
        self._notes: list[str] = []
        self.keeping = False  # whether the answer is about to be stored, and must not be interrupted any more
        self.reply: Reply | None = None

    def pieces(self) -> Iterator[str]:
        """The answer, piece by piece. Broken off from outside, what was given out by then is kept."""
        cut = ""
        try:
            if not self._agent.off:
                self._look()
            elif self._question is None:
                self._shown = replace(self._shown, recent=tuple(self._agent.unkept))
            yield from self._spoken()
            self.keeping = True
        except NoModel as error:
            yield from self._without(error)
            return
        except (GeneratorExit, KeyboardInterrupt):
            self.keeping = True
            self._end(STOPPED)
            raise
        except AgentMemError as error:
            if not self._told:
                raise  # the question stands, and may be put again
            self.keeping = True
            cut = str(error)
        self._end(cut)

    # ── before ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Store the question, then look up what goes with it."""
        agent, memory = self._agent, self._memory
        begun = agent.known()  # before the question: to store it is to write to the memory
        if self._question is None:
            self._question = memory.add(
                self._text, role="user", speaker=agent.user, session=agent.session, meta={AFTER: agent.last}
            )
        if begun is None:  # after it: nothing that is read can keep it from being stored
            begun = agent.ready()
        agent.said(self._question)
        self._shown, self._slipped = looked_up(
            memory,
            begun,
            self._text,
            agent.room,
            self._shown.now,
            question=self._question,
            abandoned=agent.abandoned(),
        )
        if begun.reminds:
            self._shown = replace(self._shown, reminders=self._due())

    def _due(self) -> list[Record]:
        """The reminders that are due, held until the turn has ended; those that were forgotten are done with."""
        due: list[Record] = []
        jobs = self._memory.jobs
        while len(due) < _REMINDERS and (job := jobs.take(self._agent.worker, kinds=[REMIND])) is not None:
            self._reminders.append(job)
            due += [r for r in self._memory.host.ledger.get([str(job.payload.get("record"))]) if r.state == "live"]
        return due

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _spoken(self) -> Iterator[str]:
        models = self._memory.models
        if not models.serves(ROLE):
            raise NoModel(_NO_MODEL, way_out=_HOW)
        told = self._prompt = models.prompt(ROLE)
        messages = self._fitting(told)
        tools = self._tools()
        kinds, cause = self._kinds(), self._question.id if self._question is not None else ""
        for rounds in range(_ROUNDS + 1):
            offered = tools if rounds < _ROUNDS else ()
            with models.stream(
                ROLE, messages, tools=offered, kinds=kinds, cause=cause, prompt=told.id, most_out=self._agent.most_out
            ) as stream:
                length = 0
                try:
                    for piece in stream:
                        if text := storable(piece.text):
                            self._told.append(text)
                            yield text
                            if (length := length + len(text)) > _LONGEST:
                                self._notes.append(f"the answer was broken off after {_LONGEST:,} characters")
                                break
                finally:
                    stream.close()
                    self._account(stream.answer)
            calls = stream.answer.message.tool_calls
            if not calls or self._toolbox is None or not offered:
                return
            messages = [*messages, stream.answer.message, *self._called(calls)]

    def _account(self, answer: Answer) -> None:
        self._answer = answer
        self._usage += Usage(answer.call.tokens_in, answer.call.tokens_out, answer.cost, answer.call.ms)

    def _called(self, calls: Sequence[Any]) -> list[BaseMessage]:
        box = cast(Toolbox, self._toolbox)
        with self._memory.step("by the agent's own tools", actor="agent"):
            return [ToolMessage(box.run(call["name"], call["args"]), tool_call_id=call["id"] or "") for call in calls]

    def _fitting(self, told: Prompt) -> list[BaseMessage]:
        """The prompt, with as much of what is remembered as some model has room for, and without what may not leave
        this machine when no model on it may be asked."""
        agent, router = self._agent, self._memory.router
        self._withhold()
        read_twice, messages = agent.read_twice, []
        for share in _SHARES:
            room = agent.room.scaled(share)
            shown = self._shown
            if share < 1:
                shown = replace(
                    shown,
                    recalled=replace(pack(shown.recalled.hits, room.recalled), asked=shown.recalled.asked),
                    in_mind=pack(shown.in_mind.hits, room.in_mind),
                )
            for twice in (True, False) if read_twice else (False,):
                messages = compose(told, agent.persona, self._text, shown, room, read_twice=twice)
                need = Need(ROLE, tokens_of(messages), agent.most_out, frozenset(self._kinds()))
                self._choices = router.models(need)
                if any(not choice.refused for choice in self._choices):
                    if share < 1:
                        self._notes.append("the model's context is small: less was recalled, and fewer turns shown")
                    self._shown = shown
                    return messages
        return messages  # whoever is asked says what is wrong

    def _withhold(self) -> None:
        router = self._memory.router

        def allowed(*kinds: str) -> bool:
            return any(not choice.refused for choice in router.models(Need(ROLE, kinds=frozenset(kinds))))

        if not allowed():
            return
        shown = self._shown
        hits = [*shown.recalled.hits, *shown.in_mind.hits]
        private = {kind for kind in {hit.record.kind for hit in hits} if not allowed(kind)}
        if not private:
            return
        room = self._agent.room

        def kept(hits: Sequence[Hit]) -> list[Hit]:
            return [hit for hit in hits if hit.record.kind not in private]

        n = len(hits) - len(kept(hits))
        self._notes.append(
            f"{n} memories of kind {', '.join(sorted(private))} were left out: they stay on this machine"
        )
        self._shown = replace(
            shown,
            recalled=replace(pack(kept(shown.recalled.hits), room.recalled), asked=shown.recalled.asked),
            in_mind=pack(kept(shown.in_mind.hits), room.in_mind),
        )

    def _kinds(self) -> set[str]:
        hits = [*self._shown.recalled.hits, *self._shown.in_mind.hits]
        return {"turn", *(hit.record.kind for hit in hits), *(record.kind for record in self._shown.reminders)}

    def _tools(self) -> tuple[Any, ...]:
        agent = self._agent
        if agent.off or self._question is None or agent.tools is False:
            return ()
        if agent.tools == "auto":
            first = next((choice.model for choice in self._choices if not choice.refused), None)
            try:
                profile = getattr(self._memory.models.pool.opened(first), "profile", None) if first else None
            except AgentMemError:  # it cannot be opened, which asking will tell
                profile = None
            if not (profile or {}).get("tool_calling"):
                return ()
        self._toolbox = Toolbox(self._memory, agent.session, self._question)
        return described()

    # ── after ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, cut: str) -> None:
        """Store the answer, and make the reply of it."""
        try:
            self._kept(cut)
        finally:
            self.keeping = False

    def _kept(self, cut: str) -> None:
        agent, text = self._agent, "".join(self._told)
        answer: Record | None = None
        if not text.strip() and not cut:
            cut = "the model said nothing"
        if agent.off:
            agent.unkept += [Said("user", self._text), *([Said("assistant", text)] if text.strip() else [])]
        elif text.strip() and self._question is not None:
            with self._memory.step("an answer", actor="agent"):
                answer = self._memory.add(
                    text, role="assistant", speaker=agent.name, session=agent.session, meta=self._meta(cut)
                )
            agent.said(answer)
        self._finish(text, answer, cut)

    def _meta(self, cut: str) -> dict[str, Json]:
        question, answer = cast(Record, self._question), self._answer
        shown = [hit.record.id for hit in (*self._shown.recalled.hits, *self._shown.in_mind.hits)]
        meta: dict[str, Json] = {
            AFTER: question.id,
            "shown": [*shown, *(self._toolbox.shown if self._toolbox is not None else ())],
        }
        if self._prompt is not None:
            meta["prompt"] = self._prompt.id
        if answer is not None:
            meta["model"] = answer.model
        if cut:
            meta["cut"] = storable(cut)
        return meta

    def _finish(self, text: str, answer: Record | None, cut: str) -> None:
        for job in self._reminders:
            self._memory.jobs.done(job.id, self._agent.worker)
        last, question = self._answer, self._question
        self.reply = Reply(
            text,
            question=question,
            answer=answer,
            context=self._shown.recalled,
            in_mind=tuple(hit.record for hit in self._shown.in_mind.hits),
            written=tuple(self._toolbox.written) if self._toolbox is not None else (),
            reminders=tuple(self._shown.reminders),
            keeps=self._memory.router.keeps(question) if question is not None else {},
            models=tuple(self._choices),
            model=last.model if last is not None else "",
            why=last.why if last is not None else "",
            passed_over=last.passed_over if last is not None else (),
            usage=self._usage,
            cut=cut,
            notes=tuple(self._notes),
        )
        if question is not None and not self._agent.off:
            self._agent.ended(slipped=self._slipped)

    def _without(self, error: NoModel) -> Iterator[str]:
        """What is recalled stands in for an answer. It is no turn of anybody, and is not kept."""
        if self._question is not None:  # what was said a moment ago counts too: there is nobody who has it in mind
            without: list[str | Record] = [self._question, *self._agent.abandoned()]
            found = self._memory.context(self._text, self._agent.room.recalled, without=without)
            self._shown = replace(self._shown, recalled=found)
        best = sorted(self._shown.recalled.hits, key=lambda hit: -hit.score)[:_TOLD]
        lines = [" ".join([f"- {hit.record.at:%Y-%m-%d}", *self._who(hit.record), hit.record.text]) for hit in best]
        told = "\n".join(lines) if lines else "" if self._agent.off else _NOTHING
        way_out = error.way_out if str(error) == _NO_MODEL else f"{error}. {error.way_out}"
        text = "\n\n".join(part for part in (told, _NO_MODEL if str(error) == _NO_MODEL else "", way_out) if part)
        self._finish(text, None, "")
        yield text

    @staticmethod
    def _who(record: Record) -> list[str]:
        return [f"{record.speaker}:"] if record.speaker else []
