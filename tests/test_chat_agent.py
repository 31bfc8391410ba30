"""The chat agent: what is said is kept first, the prompt is bounded, and a model is a guest that may fail."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from agentmem.errors import AgentMemError, InvalidInput, ModelError, RecordNotFound
from agentmem.memory import Memory
from agentmem.models.answer import text_of
from agentmem.models.pool import ModelPool
from agentmem.models.prompts import Prompts
from agentmem.models.question import tokens_of
from agentmem.models.scripted import Reply as Scripted
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import Privacy, Terms
from agentmem.values import now
from agentmem_apps.chat import ChatAgent, conversations, search
from agentmem_apps.chat.conversation import AFTER, path_of, turns_of
from agentmem_apps.chat.prompting import Room, Said, Shown, compose, shortened
from agentmem_apps.chat.tools import BY_AGENT


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", embedder="hash", scope=("user:ana",)) as opened:
        yield opened


def agent(memory: Memory, *answers: Any, **settings: Any) -> tuple[ChatAgent, ScriptedModel]:
    """An agent that thinks about nothing afterwards, and the model that it asks."""
    model = ScriptedModel(list(answers))
    return ChatAgent(memory, {"reply": model}, **{"user": "Ana", "background": False, **settings}), model


_REPLY = Prompts()["reply"]


def said(memory: Memory) -> list[tuple[str | None, str]]:
    return [(record.role, record.text) for record in memory.records() if record.kind == "turn"]


def call(name: str, **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args, id=f"call-{name}")


class TestTurn:
    def test_question_and_answer_are_kept_with_what_was_shown(self, memory: Memory) -> None:
        known = memory.add("Peanuts put me in hospital.", speaker="Ana", role="user")
        talking, model = agent(memory, "No peanuts.")
        reply = talking.reply("May I eat peanuts?")
        assert reply.text == "No peanuts."
        assert reply.question is not None
        assert reply.answer is not None
        assert (reply.question.speaker, reply.question.role) == ("Ana", "user")
        assert (reply.answer.speaker, reply.answer.role) == ("Assistant", "assistant")
        assert [hit.record.id for hit in reply.recalled] == [known.id]
        assert all(hit.parts and hit.verdict for hit in reply.recalled)
        assert reply.answer.meta == {
            "after": reply.question.id,
            "shown": [known.id],
            "prompt": "reply/1",
            "model": "scripted",
        }
        assert memory.get(reply.answer.id) == reply.answer
        assert [change.actor for change in memory.history(reply.answer.id)] == ["agent"]
        assert reply.line == "recalled 1 · /why"
        [shown] = model.asked
        assert "Peanuts put me in hospital." in text_of(shown[-1])
        assert text_of(shown[-1]).endswith("May I eat peanuts?")

    def test_a_reply_shows_both_decisions_of_the_router(self, memory: Memory) -> None:
        memory.add("The kitchen is cold.", place="kitchen", role="user")
        pool = ModelPool(
            {"reply": [ScriptedModel(["yes"]), "openai:far-away"]}, terms={"openai:far-away": Terms(local=False)}
        )
        talking = ChatAgent(memory, pool, background=False)
        reply = talking.reply("What was in the kitchen?")
        assert [one.store for one in reply.asked] == ["episodic"]
        assert reply.keeps.keys() >= {"working", "recognition"}
        assert [(one.model, one.refused) for one in reply.models] == [("scripted", False), ("openai:far-away", True)]
        assert (reply.model, reply.why) == ("scripted", "it stands first")
        assert reply.usage.tokens_in > 0
        assert reply.usage.tokens_out > 0

    def test_the_question_is_durable_before_any_model_is_asked(self, memory: Memory) -> None:
        seen: list[list[tuple[str | None, str]]] = []

        def look(messages: list[BaseMessage]) -> str:
            seen.append(said(memory))
            return "fine"

        ChatAgent(memory, {"reply": ScriptedModel(look)}, background=False).reply("I am here")
        assert seen == [[("user", "I am here")]]

    @pytest.mark.parametrize("error", [ModelError("401: wrong key"), ValueError("the model has a bug")])
    def test_a_model_that_fails_raises_and_the_question_stands(self, memory: Memory, error: Exception) -> None:
        talking, _ = agent(memory, error, "now it goes")
        with pytest.raises(ModelError):
            talking.reply("Hello?")
        assert said(memory) == [("user", "Hello?")]
        assert "".join(talking.retry()) == "now it goes"
        assert said(memory) == [("user", "Hello?"), ("assistant", "now it goes")]

    def test_a_stream_that_breaks_off_keeps_what_came_and_says_so(self, memory: Memory) -> None:
        talking, _ = agent(memory, Scripted("one two three four", breaks_after=2))
        pieces: list[str] = []
        with talking.stream("count") as stream:
            pieces.extend(stream)
        reply = stream.reply
        assert "".join(pieces) == reply.text == "one two"
        assert reply.cut
        assert reply.answer is not None
        assert (reply.answer.text, reply.answer.meta["cut"]) == ("one two", reply.cut)
        assert "cut short" in reply.line

    def test_a_stream_that_is_closed_keeps_what_was_shown(self, memory: Memory) -> None:
        talking, _ = agent(memory, "one two three four", "again")
        with talking.stream("count") as stream:
            assert next(iter(stream)) == "one"
        assert stream.reply.cut == "it was stopped"
        assert said(memory) == [("user", "count"), ("assistant", "one")]
        assert talking.reply("go on").text == "again"  # the next turn is not held up

    def test_nothing_of_an_answer_that_never_began_is_kept(self, memory: Memory) -> None:
        talking, _ = agent(memory, "one two")
        talking.stream("never begun").close()
        assert said(memory) == []

    def test_an_empty_answer_is_told_and_not_kept(self, memory: Memory) -> None:
        talking, _ = agent(memory, " \n ")
        reply = talking.reply("Hello?")
        assert (reply.answer, reply.cut) == (None, "the model said nothing")

    def test_what_no_database_holds_is_replaced_in_an_answer(self, memory: Memory) -> None:
        talking, _ = agent(memory, "a\0b \ud800 c")
        reply = talking.reply("Hello?")
        assert reply.answer is not None
        assert reply.answer.text == reply.text == "a\N{REPLACEMENT CHARACTER}b ? c"

    @pytest.mark.parametrize("text", ["", "  \n", "\0", 3])
    def test_a_text_that_is_none_is_refused_and_nothing_kept(self, memory: Memory, text: Any) -> None:
        talking, _ = agent(memory)
        with pytest.raises(InvalidInput):
            talking.reply(text)
        assert said(memory) == []

    def test_one_turn_at_a_time(self, memory: Memory) -> None:
        go, order = threading.Event(), []

        def slow(messages: list[BaseMessage]) -> Scripted:
            order.append(text_of(messages[-1]).rsplit("\n", 1)[-1])
            return Scripted("fine", before=lambda: go.wait(60))

        talking = ChatAgent(memory, {"reply": ScriptedModel(slow)}, background=False)
        threads = [threading.Thread(target=talking.reply, args=(text,)) for text in ("first", "second")]
        threads[0].start()
        while not order:
            continue
        threads[1].start()
        go.set()
        for thread in threads:
            thread.join()
        assert order == ["first", "second"]
        assert [text for _, text in said(memory)] == ["first", "fine", "second", "fine"]


class TestWithoutAModel:
    def test_it_tells_what_it_recalls_that_no_model_is_set_and_how_to_set_one(self, memory: Memory) -> None:
        """Pain 9: no key and no model are needed."""
        memory.add("We moved the launch to 3 May.", speaker="Bo", role="user")
        with ChatAgent(memory) as talking:
            reply = talking.reply("When is the launch?")
        assert "We moved the launch to 3 May." in reply.text
        assert "No language model is set" in reply.text
        assert "--model" in reply.text
        assert reply.answer is None
        assert [text for _, text in said(memory)] == ["We moved the launch to 3 May.", "When is the launch?"]

    def test_a_model_that_may_not_be_asked_is_told_with_the_reason(self, memory: Memory) -> None:
        pool = ModelPool("openai:gpt-4.1-mini", private=Privacy.of(scopes=["user:ana"]))
        reply = ChatAgent(memory, pool, background=False).reply("Hello?")
        assert reply.answer is None
        assert "AGENTMEM_OFFLINE" in reply.text
        assert "No language model is set" not in reply.text


class TestPrompt:
    def test_its_length_is_bounded_however_long_the_conversation(self, memory: Memory) -> None:
        long = "word " * 400
        talking, model = agent(memory, *[f"answer {n} {long}" for n in range(60)])
        bound = sum(getattr(talking.room, name) for name in Room.__slots__) + 1_000
        for n in range(60):
            talking.reply(f"question {n} {long}")
        lengths = [tokens_of(messages) for messages in model.asked]
        assert max(lengths) <= bound
        assert lengths[-1] > bound // 3  # it is filled, and cut off

    def test_a_question_that_is_too_long_is_kept_whole_and_shown_in_part(self, memory: Memory) -> None:
        text = "begin " + "middle " * 20_000 + "end"
        talking, model = agent(memory, "long")
        talking.reply(text)
        shown = text_of(model.asked[0][-1])
        assert "begin" in shown
        assert shown.endswith("end")
        assert "characters left out" in shown
        assert tokens_of(model.asked[0]) < 6_000
        assert said(memory)[0] == ("user", text)

    def test_turns_of_one_role_are_joined_and_a_person_speaks_first(self) -> None:
        recent = [Said("assistant", "hello"), Said("user", "a"), Said("user", "b"), Said("assistant", "c")]
        system, *window, last = compose(_REPLY, "P", "now?", Shown(now(), recent=recent), Room())
        assert isinstance(system, SystemMessage)
        assert [(type(one), text_of(one)) for one in window] == [(HumanMessage, "a\n\nb"), (AIMessage, "c")]
        assert isinstance(last, HumanMessage)

    def test_read_twice_shows_question_and_memories_twice(self, memory: Memory) -> None:
        memory.add("The launch is on 3 May.", role="user")
        talking, model = agent(memory, "3 May", read_twice=True)
        talking.reply("When is the launch?")
        shown = text_of(model.asked[0][-1])
        assert shown.count("The launch is on 3 May.") == 2
        assert shown.startswith("When is the launch?")
        assert shown.endswith("When is the launch?")

    def test_a_small_context_gets_less_and_says_so(self, memory: Memory) -> None:
        for n in range(50):
            memory.add(f"The launch number {n} was moved because of the weather on the coast.", role="user")
        model = ScriptedModel(["small"])
        pool = ModelPool({"reply": model}, terms={"scripted": Terms(context=2_300)})
        reply = ChatAgent(memory, pool, background=False, tools=False, read_twice=True).reply("Which launch was moved?")
        assert reply.text == "small"
        assert any("context is small" in note for note in reply.notes)
        assert reply.recalled
        assert tokens_of(model.asked[0]) + 1_024 <= 2_300

    def test_a_persona_is_shown_and_one_that_is_too_long_refused(self, memory: Memory) -> None:
        talking, model = agent(memory, "Arr.", persona="You are a pirate.")
        talking.reply("Hello?")
        assert text_of(model.asked[0][0]).startswith("You are a pirate.")
        with pytest.raises(InvalidInput, match="persona"):
            ChatAgent(memory, persona="word " * 2_000)

    def test_a_kind_that_never_leaves_is_left_out_when_only_remote_models_may_be_asked(self, memory: Memory) -> None:
        memory.add("I am afraid of the launch.", kind="diary", role="user")
        memory.add("The launch is on 3 May.", role="user")
        model = ScriptedModel(["3 May", "3 May"])
        for local in (False, True):
            pool = ModelPool(
                {"reply": model}, terms={"scripted": Terms(local=local)}, private=Privacy.of(kinds=["diary"])
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("AGENTMEM_OFFLINE")
                reply = ChatAgent(memory, pool, background=False).reply("Tell of the launch.")
            shown = text_of(model.asked[-1][-1])
            assert "3 May" in shown
            assert ("afraid" in shown) is local
            assert any("diary" in note for note in reply.notes) is not local

    @pytest.mark.parametrize("kind", ["turn", "diary"])
    def test_a_long_conversation_is_shown_in_short_if_it_is_made_of_turns_alone(
        self, memory: Memory, kind: str
    ) -> None:
        for n in range(60):
            memory.add(f"On day {n} we saw the lighthouse.", kind=kind, role="user", session="old")
        memory.add("And then we went home to our cats.", role="user", session="old")
        memory.consolidate("rolling")
        model = ScriptedModel(["I see."])
        ChatAgent(memory, {"reply": model}, session="old", room=Room(recent=60), background=False).reply("And now?")
        assert ("Earlier in this conversation, in short" in text_of(model.asked[0][-1])) is (kind == "turn")

    @pytest.mark.parametrize("tokens", [20, 50, 1_000])
    def test_what_is_shortened_fits(self, tokens: int) -> None:
        text = "One, two; three. " * 500
        assert tokens_of([HumanMessage(shortened(text, tokens))]) <= max(tokens, 15) + 8
        assert shortened("short", tokens) == "short"


class TestTools:
    def test_a_model_remembers_looks_notes_and_reminds(self, memory: Memory) -> None:
        due = now() + timedelta(hours=1)
        calls = [
            call("remember", text="Ana mag Tee."),
            call("recall", cue="tea"),
            call("note_place", text="The kettle stands here.", place="kitchen"),
            call("set_reminder", text="Buy tea.", when=due.isoformat()),
        ]
        talking, model = agent(memory, Scripted("Wait. ", tools=calls), "Done.")
        reply = talking.reply("Ich mag Tee, merk dir das.")
        assert reply.text == "Wait. Done."
        assert [(one.kind, one.text) for one in reply.written] == [
            ("note", "Ana mag Tee."),
            ("episode", "The kettle stands here."),
            ("reminder", "Buy tea."),
        ]
        assert reply.written[1].place is not None
        assert reply.question is not None
        for one in reply.written:
            assert BY_AGENT in one.tags
            assert [source.record for source in one.sources] == [reply.question.id]
            assert memory.history(one.id)[0].actor == "agent"
        assert "remembered 3" in reply.line
        answers = [text_of(one) for one in model.asked[1] if isinstance(one, ToolMessage)]
        assert len(answers) == 4
        assert answers[0].startswith("Done")
        assert {record.text for record in talking.undo()} >= {"Ana mag Tee.", "Buy tea.", "Wait. Done."}

    def test_arguments_are_checked_and_the_model_is_told(self, memory: Memory) -> None:
        calls = [
            call("remember"),
            call("remember", text=" "),
            call("remember", text="x", scope="user:bo"),
            call("remember", text="y" * 3_000),
            call("set_reminder", text="x", when="tomorrow"),
            call("set_reminder", text="x", when="2001-01-01T00:00:00Z"),
            call("fly", to="the moon"),
            call("note_place", text="here", place={"x": 1}),
            call("recall", cue="one too many"),
        ]
        talking, model = agent(memory, Scripted("", tools=calls), "Sorry.")
        reply = talking.reply("Do things")
        told = [text_of(one) for one in model.asked[1] if isinstance(one, ToolMessage)]
        assert len(told) == len(calls)
        assert all(one.startswith("Refused") for one in told)
        assert reply.written == ()
        assert [record.text for record in memory.records()] == ["Do things", "Sorry."]

    def test_a_call_without_an_id_is_answered_too(self, memory: Memory) -> None:
        nameless = ToolCall(name="recall", args={"cue": "tea"}, id=None)
        talking, _ = agent(memory, Scripted("", tools=[nameless]), "Done.")
        assert talking.reply("Look it up").text == "Done."

    def test_rounds_are_bounded(self, memory: Memory) -> None:
        talking, model = agent(memory, *[Scripted("", tools=[call("recall", cue="x")])] * 20)
        reply = talking.reply("Go")
        assert len(model.asked) == 5
        assert reply.cut == "the model said nothing"

    def test_a_tool_never_reaches_another_scope(self, memory: Memory, tmp_path: Path) -> None:
        with Memory.open(tmp_path / "notes.mem", embedder="hash") as other:
            other.scope("user:bo").add("Bo's pin is 4711.", role="user")
        talking, model = agent(memory, Scripted("", tools=[call("recall", cue="Bo's pin 4711")]), "I do not know.")
        talking.reply("What is Bo's pin?")
        assert "4711" not in "".join(text_of(one) for one in model.asked[1])

    def test_a_model_that_is_not_known_to_have_tools_is_offered_none(self, memory: Memory) -> None:
        calls: list[bool] = []

        class Watched(ScriptedModel):
            def bind_tools(self, tools: Any, **settings: Any) -> Any:
                calls.append(True)
                return super().bind_tools(tools, **settings)

        watched = Watched(["a", "b"])  # type: ignore[call-arg, arg-type]  # as the one it is made of
        watched.profile = None
        ChatAgent(memory, {"reply": watched}, background=False).reply("x")
        assert calls == []
        ChatAgent(memory, {"reply": watched}, background=False, tools=True).reply("x")
        assert calls == [True]

    def test_a_reminder_is_told_once_when_it_is_due(self, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        due = now() + timedelta(hours=1)
        talking, model = agent(
            memory,
            Scripted("", tools=[call("set_reminder", text="Buy tea.", when=due.isoformat())]),
            "ok",
            "x",
            "y",
            "z",
        )
        talking.reply("remind me")
        assert talking.reply("anything?").reminders == ()
        monkeypatch.setattr("agentmem_stores.sql.jobs.now", lambda: due)
        reply = talking.reply("and now?")
        assert [one.text for one in reply.reminders] == ["Buy tea."]
        assert "A reminder is due" in text_of(model.asked[-1][-1])
        assert talking.reply("once more").reminders == ()


class TestConversation:
    def test_a_session_goes_on_after_a_restart(self, memory: Memory, tmp_path: Path) -> None:
        talking, _ = agent(memory, "Hello Ana.")
        talking.reply("I am Ana.")
        with Memory.open(tmp_path / "notes.mem", embedder="hash", scope=("user:ana",)) as again:
            model = ScriptedModel(["Ana."])
            resumed = ChatAgent(again, {"reply": model}, session=talking.session, background=False)
            assert [turn.text for turn in resumed.path()] == ["I am Ana.", "Hello Ana."]
            resumed.reply("Who am I?")
            assert [text_of(one) for one in model.asked[0][1:3]] == ["I am Ana.", "Hello Ana."]

    def test_retry_makes_a_branch_and_both_answers_are_kept(self, memory: Memory) -> None:
        talking, model = agent(memory, "first", "second", "third")
        talking.reply("Say something")
        with talking.retry() as stream:
            list(stream)
        assert [turn.text for turn in talking.path()] == ["Say something", "second"]
        assert said(memory) == [("user", "Say something"), ("assistant", "first"), ("assistant", "second")]
        assert "first" not in "".join(map(text_of, model.asked[1]))
        talking.reply("And now?")
        assert "first" not in "".join(map(text_of, model.asked[2]))

    def test_going_back_to_a_turn_makes_a_branch_that_is_there_after_a_restart(self, memory: Memory) -> None:
        talking, _ = agent(memory, "a", "b", "c")
        first = talking.reply("1")
        talking.reply("2")
        assert first.answer is not None
        assert [turn.text for turn in talking.branch(first.answer.id[-8:])] == ["1", "a"]
        talking.reply("3")
        assert [turn.text for turn in talking.path()] == ["1", "a", "3", "c"]
        resumed = ChatAgent(memory, session=talking.session, background=False)
        assert [turn.text for turn in resumed.path()] == ["1", "a", "3", "c"]
        other = memory.add("elsewhere", role="user", session="another")
        with pytest.raises(RecordNotFound):
            talking.branch(other.id)

    def test_undo_takes_back_the_last_exchange_in_one_step(self, memory: Memory) -> None:
        talking, _ = agent(memory, "a", "b")
        talking.reply("1")
        talking.reply("2")
        assert [turn.text for turn in talking.undo()] == ["2", "b"]
        assert [turn.text for turn in talking.path()] == ["1", "a"]
        memory.undo()
        assert [text for _, text in said(memory)] == ["1", "a", "2", "b"]
        assert [turn.text for turn in talking.undo()] == ["1", "a"]
        assert talking.undo() == []

    def test_a_turn_that_was_erased_leaves_a_gap_and_nothing_else(self, memory: Memory) -> None:
        talking, _ = agent(memory, "a", "b")
        first = talking.reply("1")
        talking.reply("2")
        assert first.answer is not None
        memory.forget(first.answer.id, hard=True)
        resumed = ChatAgent(memory, session=talking.session, background=False)
        assert [turn.text for turn in resumed.path()] == ["1", "2", "b"]

    def test_what_a_person_edits_or_forgets_is_so_in_the_next_prompt(self, memory: Memory) -> None:
        talking, model = agent(memory, "a", "b")
        first = talking.reply("I live in Porto.")
        assert first.question is not None
        assert first.answer is not None
        memory.edit(first.question.id, text="I live in Lisbon.")
        memory.forget(first.answer.id)
        talking.reply("Where do I live?")
        [_, last] = model.asked[1]  # two messages of one role in a row are refused by some servers
        assert text_of(last).startswith("I live in Lisbon.")
        assert "Porto" not in "".join(map(text_of, model.asked[1]))

    def test_conversations_are_listed_and_searched(self, memory: Memory) -> None:
        for topic in ("tea from Assam", "the launch in May"):
            talking, _ = agent(memory, "I see.")
            talking.reply(f"Let us talk about {topic}.")
        memory.add("a note", kind="note", session="none")
        listed = conversations(memory)
        assert [one.title for one in listed] == [
            "Let us talk about the launch in May.",
            "Let us talk about tea from Assam.",
        ]
        assert [one.turns for one in listed] == [2, 2]
        assert search(memory, "Assam")[0].session == listed[1].session

    def test_imported_turns_follow_the_one_before_and_a_circle_ends(self, memory: Memory) -> None:
        memory.add_many([{"text": str(n), "role": "user", "session": "old"} for n in range(3)])
        turns = turns_of(memory, "old")
        assert [turn.text for turn in path_of(turns)] == ["0", "1", "2"]
        memory.edit(turns[0].id, meta={AFTER: turns[2].id})
        assert [turn.text for turn in path_of(turns_of(memory, "old"))] == ["0", "1", "2"]


class TestOff:
    def test_nothing_is_read_and_nothing_is_kept(self, memory: Memory) -> None:
        memory.add("The launch is on 3 May.", role="user")
        before = len(memory.log(1_000))
        talking, model = agent(memory, "I do not know.", "You said launch.", "3 May.")
        talking.off = True
        reply = talking.reply("When is the launch?")
        assert (reply.text, reply.question, reply.answer, reply.recalled) == ("I do not know.", None, None, ())
        talking.reply("What did I ask?")
        assert len(memory.log(1_000)) == before
        assert "3 May" not in "".join(text_of(one) for asked in model.asked for one in asked)
        assert [text_of(one) for one in model.asked[1][1:3]] == ["When is the launch?", "I do not know."]
        talking.off = False
        talking.reply("When is the launch?")
        shown = "".join(map(text_of, model.asked[2]))
        assert "3 May" in shown
        assert "What did I ask?" not in shown


class TestAfterwards:
    def test_what_was_said_is_thought_about_in_the_background(self, memory: Memory) -> None:
        with ChatAgent(memory, {"reply": ScriptedModel(["Nice."])}, user="Ana") as talking:
            talking.reply("I live in Porto.")
            talking.rest()
            assert [record.text for record in memory.records() if record.kind == "thought"] == ["Ana lives in Porto"]
            assert memory.jobs.counts() == {"done": 1}

    def test_without_a_background_it_is_left_as_a_job_once(self, memory: Memory) -> None:
        talking, _ = agent(memory, "a", "b")
        talking.reply("I live in Porto.")
        talking.reply("I like tea.")
        assert [job.kind for job in memory.jobs.listed("waiting")] == ["think"]

    def test_pain_11_no_answer_waits_for_thinking(self, memory: Memory) -> None:
        """Adding took 4 to 12 s each elsewhere: here the next answers come while a model still reads the first turn."""
        go = threading.Event()
        slow = ScriptedModel(lambda messages: Scripted('{"facts": []}', before=lambda: go.wait(60)))
        with ChatAgent(memory, {"reply": ScriptedModel(["a", "b", "c"]), "extract": slow}) as talking:
            assert [talking.reply(text).text for text in ("1", "2", "3")] == ["a", "b", "c"]
            assert not go.is_set()
            go.set()
            talking.rest()

    def test_a_store_that_fails_keeps_no_question_from_being_stored_and_no_answer_back(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> Any:
            raise RuntimeError("a store may raise anything")

        monkeypatch.setattr("agentmem_stores.working.WorkingMemory.held", fail)
        with ChatAgent(memory, {"reply": ScriptedModel(["a", "b"])}) as talking:
            assert [talking.reply(text).text for text in ("1", "2")] == ["a", "b"]
            talking.rest()
        assert [text for _, text in said(memory)] == ["1", "a", "2", "b"]

    def test_nobody_waits_for_a_background_that_broke(self, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        broken: list[str] = []
        monkeypatch.setattr(threading, "excepthook", lambda told: broken.append(str(told.exc_value)))
        monkeypatch.setattr("agentmem.worker.Worker.run", lambda *_: 1 // 0)
        with ChatAgent(memory, {"reply": ScriptedModel(["a", "b"])}) as talking:
            talking.reply("1")
            talking.rest()
            assert talking.reply("2").text == "b"
        assert broken == ["integer division or modulo by zero"]
        assert [job.kind for job in memory.jobs.listed("waiting")] == ["think"]  # for whoever comes next

    def test_closing_the_memory_ends_it_quietly(self, memory: Memory) -> None:
        talking = ChatAgent(memory, {"reply": ScriptedModel(["a"])})
        talking.reply("I live in Porto.")
        memory.close()
        talking.rest()
        talking.close()
        with pytest.raises(AgentMemError):
            talking.reply("Hello?")


_SPYING = """
import os, sys
os.environ.pop("AGENTMEM_OFFLINE", None)
seen = []
def spy(event, arguments):
    if event.startswith(("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostby", "urllib")):
        seen.append((event, str(arguments[1:])))
sys.addaudithook(spy)
from agentmem import Memory
from agentmem.models.scripted import ScriptedModel
from agentmem_apps.chat import ChatAgent
import agentmem.models.openai, agentmem_apps.langchain
with Memory.open(sys.argv[1], embedder="hash", models=ScriptedModel(lambda messages: "fine")) as memory:
    with ChatAgent(memory, user="Ana") as agent:
        for text in ("I live in Porto.", "Where do I live?"):
            agent.reply(text)
        agent.rest()
    memory.consolidate()
print(seen)
"""


def test_pain_10_nothing_is_told_to_anybody(tmp_path: Path) -> None:
    """Telemetry that was on by default, and blocked the program when it was off: here the interpreter itself watches,
    and no connection is opened and no name looked up."""
    environ = {**os.environ, "OPENAI_API_KEY": "sk-x"}
    ran = subprocess.run(
        [sys.executable, "-c", _SPYING, str(tmp_path / "spied.mem")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
