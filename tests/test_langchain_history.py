"""Messages of LangChain as memories: they come back as they went in, whatever a person did to their records."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from agentmem.aio import AsyncMemory
from agentmem.embedders.hashing import HashEmbedder
from agentmem.errors import InvalidInput, MemoryClosed
from agentmem.memory import Memory
from agentmem.values import Json
from agentmem_apps.langchain import AgentMemChatHistory


def run_all(works: Sequence[Callable[[], object]]) -> list[BaseException]:
    """What went wrong in any of these, each run on a thread of its own."""
    faults: list[BaseException] = []

    def caught(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # a thread's assertion would be lost
            faults.append(error)

    threads = [threading.Thread(target=caught, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────


def objects_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(plain, values, max_size=3)


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
jsons = st.recursive(scalars | plain, lambda inner: st.lists(inner, max_size=3) | objects_of(inner), max_leaves=6)


blocks = st.one_of(
    plain,
    plain.map(lambda text: {"type": "text", "text": text}),
    plain.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
    objects_of(jsons).map(lambda held: {**held, "type": "thinking"}),
)
contents = plain | st.lists(blocks, max_size=4)
named = {"id": st.none() | plain.filter(bool), "name": st.none() | plain, "response_metadata": objects_of(jsons)}
calls = st.builds(
    lambda name, args, id: {"name": name, "args": args, "id": id, "type": "tool_call"},
    plain, objects_of(jsons), st.none() | plain,
)  # fmt: skip
usage = st.just({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
messages = st.one_of(
    st.builds(HumanMessage, contents, additional_kwargs=objects_of(jsons), **named),
    st.builds(SystemMessage, contents, **named),
    st.builds(
        AIMessage, contents, tool_calls=st.lists(calls, max_size=2), usage_metadata=st.none() | usage, **named
    ),
    st.builds(
        ToolMessage, contents, tool_call_id=plain, artifact=jsons, status=st.sampled_from(["success", "error"]), **named
    ),
    st.builds(ChatMessage, contents, role=plain, **named),
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """For properties: each example takes a scope of its own."""
    with Memory.open(tmp_path_factory.mktemp("langchain") / "notes.mem", embedder=HashEmbedder()) as memory:
        yield memory


def fresh(memory: Memory) -> Memory:
    return memory.scope(f"example:{next(_numbers)}")


_numbers = count()


class TestMessages:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(listed=st.lists(messages, max_size=5, unique_by=lambda message: message.id or id(message)))
    def test_they_come_back_as_they_went_in(self, shared: Memory, listed: list[BaseMessage]) -> None:
        memory = fresh(shared)
        history = AgentMemChatHistory(memory, "s", user="Ana")
        history.add_messages(listed)
        assert history.messages == listed
        assert AgentMemChatHistory(memory, "s").messages == listed
        assert all(record.text.strip() for record in history.records())
        again = fresh(shared)
        again.add_many(history.records())
        assert AgentMemChatHistory(again, "s").messages == listed  # its records, taken elsewhere

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(message=messages, broken=jsons | st.fixed_dictionaries({"type": plain | st.just("ai"), "data": jsons}))
    def test_what_a_person_makes_of_the_meta_is_never_an_error(
        self, shared: Memory, message: BaseMessage, broken: object
    ) -> None:
        history = AgentMemChatHistory(fresh(shared), "s")
        [record] = history.remember([message])
        history.memory.edit(record.id, meta={"langchain": broken})  # type: ignore[dict-item]
        [found] = history.messages
        assert found.text == record.text

    @pytest.mark.parametrize("key", ["type", "data"])
    @pytest.mark.parametrize("value", [None, 3, [], {}, "human", {"content": 3}, {"name": []}, {"tool_calls": "x"}])
    def test_a_part_of_the_meta_may_be_broken(self, memory: Memory, key: str, value: Any) -> None:
        history = AgentMemChatHistory(memory, "s")
        [record] = history.remember([AIMessage([{"type": "text", "text": "It is blue."}], id="a")])
        kept = {**record.meta["langchain"], key: value}  # type: ignore[dict-item]
        memory.edit(record.id, meta={"langchain": kept})
        [found] = history.messages
        assert isinstance(found, AIMessage)
        assert found.text == "It is blue."

    @pytest.mark.parametrize("text", ["It is blue.", ""])
    def test_a_message_says_what_its_memory_says_whatever_is_in_the_meta(self, memory: Memory, text: str) -> None:
        history = AgentMemChatHistory(memory, "s")
        [record] = history.remember([HumanMessage([{"type": "text", "text": text}, {"type": "image_url"}])])
        kept: Json = {"type": "human", "data": {"content": "Obey everybody."}}
        memory.edit(record.id, meta={"langchain": kept})
        assert history.messages == [HumanMessage(record.text)]

    @pytest.mark.parametrize(
        ("role", "cls"),
        [("user", HumanMessage), (None, HumanMessage), ("assistant", AIMessage), ("system", SystemMessage),
         ("tool", ToolMessage), ("Ana's aunt", HumanMessage)],
        ids=str,
    )  # fmt: skip
    def test_what_was_added_by_other_means_is_a_plain_message(
        self, memory: Memory, role: str | None, cls: type[BaseMessage]
    ) -> None:
        record = memory.add("Tea?", session="s", role=role)
        memory.add("Tea is a plant.", session="s", role=role, kind="note")
        [found] = AgentMemChatHistory(memory, "s").messages
        assert (type(found), found.content, found.id) == (cls, "Tea?", record.id)

    def test_a_role_that_a_person_edits_is_the_messages_role(self, memory: Memory) -> None:
        history = AgentMemChatHistory(memory, "s")
        [record] = history.remember([SystemMessage("Say no more.")])
        memory.edit(record.id, role="user")
        assert history.messages == [HumanMessage("Say no more.", id=record.id)]

    def test_chunks_come_back_whole(self, memory: Memory) -> None:
        history = AgentMemChatHistory(memory, "s")
        history.add_messages([AIMessageChunk(content="It ", id="a") + AIMessageChunk(content="is.", id="a")])
        assert history.messages == [AIMessage("It is.", id="a")]

    def test_a_call_of_a_tool_is_told_in_words_and_recalled(self, memory: Memory) -> None:
        call = AIMessage("", tool_calls=[{"name": "timetable", "args": {"boat": "ferry"}, "id": "1"}])
        bad = AIMessage("", invalid_tool_calls=[{"name": None, "args": "{", "id": "2", "error": None}])
        image = HumanMessage([{"type": "image_url", "image_url": "x"}, {"type": "text", "text": ""}])
        history = AgentMemChatHistory(memory, "s")
        history.add_messages([call, bad, image, AIMessage("")])
        memory.add_many(["Which boat was late?", "The ferry has a bar."])
        texts = ['[calls timetable({"boat": "ferry"})]', "[calls a tool({)]", "[image_url]", "[no text]"]
        assert [record.text for record in history.records()] == texts
        assert history.messages == [call, bad, image, AIMessage("")]
        assert memory.recall("a boat of the timetable", k=1, engine="bm25")[0].record.text == texts[0]
        memory.edit(history.records()[0].id, text="I looked it up.")
        assert history.messages[0] == call.model_copy(update={"content": "I looked it up."})

    def test_speakers_are_the_names_or_those_given(self, memory: Memory) -> None:
        history = AgentMemChatHistory(memory, "s", user="Ana", assistant="Guide")
        said = [HumanMessage("a"), HumanMessage("b", name="Bo"), AIMessage("c"), SystemMessage("d")]
        history.add_messages(said)
        told = [(record.speaker, record.role, record.kind) for record in history.records()]
        assert told == [
            ("Ana", "user", "turn"), ("Bo", "user", "turn"), ("Guide", "assistant", "turn"), (None, "system", "turn"),
        ]  # fmt: skip
        assert [message.name for message in history.messages] == [None, "Bo", None, None]
        memory.edit(history.records()[1].id, speaker="Bodo")
        assert [message.name for message in history.messages] == [None, "Bodo", None, None]


class TestEditing:
    def test_the_edited_text_is_shown_and_the_rest_stays(self, memory: Memory) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://h/ferry.png"}}
        held = [
            HumanMessage("Nine.", id="a", name="Ana"),
            HumanMessage([image, "It is ", {"type": "text", "text": "blue."}, image], id="b"),
            HumanMessage([{"type": "text", "text": "It is red."}], id="c"),
            HumanMessage([image], id="d"),
        ]
        history = AgentMemChatHistory(memory, "s")
        for record in history.remember(held):
            memory.edit(record.id, text="Ten.")
        text = {"type": "text", "text": "Ten."}
        assert [message.content for message in history.messages] == [
            "Ten.",
            [image, text, image],
            "Ten.",
            [text, image],
        ]
        assert [(message.id, message.name) for message in history.messages] == [
            ("a", "Ana"), ("b", None), ("c", None), ("d", None),
        ]  # fmt: skip
        for _ in held:
            memory.undo()
        assert history.messages == held

    def test_forgotten_ones_are_not_shown_and_restored_ones_are(self, memory: Memory) -> None:
        history = AgentMemChatHistory(memory, "s")
        one, two, three = (record.id for record in history.remember([HumanMessage(text) for text in "abc"]))
        memory.forget(two)
        assert [message.content for message in history.messages] == ["a", "c"]
        memory.restore(two)
        memory.forget(three, hard=True)
        memory.edit(one, session="elsewhere")
        assert [message.content for message in history.messages] == ["b"]
        assert [message.content for message in AgentMemChatHistory(memory, "elsewhere").messages] == ["a"]
        memory.edit(two, kind="note")
        assert history.messages == []

    def test_clear_is_one_step_that_undo_takes_back(self, memory: Memory) -> None:
        history, other = AgentMemChatHistory(memory, "s"), AgentMemChatHistory(memory, "t")
        said: list[BaseMessage] = [HumanMessage("a", id="1"), AIMessage("b", id="2")]
        history.add_messages(said)
        other.add_messages(said)
        history.clear()
        assert (history.messages, other.messages) == ([], said)
        history.clear()
        memory.undo()
        assert history.messages == said
        assert str(history) == "Human: a\nAI: b"

    def test_adding_is_one_step_and_all_or_nothing(self, memory: Memory) -> None:
        history = AgentMemChatHistory(memory, "s")
        history.add_messages([HumanMessage("a"), AIMessage("b")])
        with pytest.raises(InvalidInput):
            history.add_messages([HumanMessage("c"), AIMessage("d\0")])
        assert [message.content for message in history.messages] == ["a", "b"]
        memory.undo()
        assert history.messages == []
        history.add_messages([])
        assert memory.redo()

    def test_a_message_is_added_once(self, memory: Memory) -> None:
        history, other = AgentMemChatHistory(memory, "s"), AgentMemChatHistory(memory, "t")
        one, two = HumanMessage("a", id="1"), HumanMessage("b", id="2")
        history.add_messages([one, one])
        history.add_messages([one, two])
        history.add_user_message("a")
        history.add_user_message("a")
        assert history.messages == [one, two, HumanMessage("a"), HumanMessage("a")]
        other.add_messages([one])
        assert other.messages == [one]
        memory.edit(history.records()[0].id, text="A")
        history.add_messages([one, AIMessage("another server's", id="1")])
        assert [message.text for message in history.messages] == ["A", "b", "a", "a", "another server's"]

    def test_a_history_may_be_cleared_and_written_anew(self, memory: Memory) -> None:
        """As programs do that keep a summary and the last turns."""
        history = AgentMemChatHistory(memory, "s")
        last = HumanMessage("a", id="1")
        for round in range(3):
            history.clear()
            history.add_messages([SystemMessage(f"summary {round}"), last])
            assert history.messages == [SystemMessage(f"summary {round}"), last]
        memory.forget(history.records()[1].id, hard=True)
        history.add_messages([last, last])
        assert history.messages == [SystemMessage("summary 2"), last]

    @pytest.mark.parametrize(
        "message",
        [
            ToolMessage("a", tool_call_id="1", artifact=object()),
            ToolMessage("a", tool_call_id="1", artifact={1: "one"}),
            HumanMessage("a", additional_kwargs={"at": float("nan")}),
            HumanMessage([{"type": "image", "base64": "x" * (8 * 2**20)}]),
            HumanMessage("a", id="\ud800"),
            HumanMessage([{"type": "text", "text": "\ud800"}]),
            HumanMessage("a\0"),
            RemoveMessage(id="1"),
            "a text",
        ],
        ids=lambda value: repr(value)[:20],
    )
    def test_what_cannot_be_kept_is_told_and_nothing_is(self, memory: Memory, message: Any) -> None:
        history = AgentMemChatHistory(memory, "s")
        with pytest.raises(InvalidInput, match="item 2") as caught:
            history.add_messages([HumanMessage("b"), message])
        assert caught.value.way_out
        assert history.messages == []
        assert memory.log() == []

    @pytest.mark.parametrize("session", ["", " ", None, 3])
    def test_a_session_has_a_name(self, memory: Memory, session: Any) -> None:
        with pytest.raises(InvalidInput, match="session"):
            AgentMemChatHistory(memory, session)

    def test_a_memory_is_an_open_one(self, memory: Memory) -> None:
        with pytest.raises(InvalidInput, match="open Memory"):
            AgentMemChatHistory("notes.mem", "s")  # type: ignore[arg-type]
        history = AgentMemChatHistory(memory, "s")
        memory.close()
        for verb in (history.clear, history.records, lambda: history.add_user_message("a")):
            with pytest.raises(MemoryClosed):
                verb()


class TestSessions:
    def test_another_process_and_another_opening_see_the_same(self, tmp_path: Path) -> None:
        said: list[BaseMessage] = [HumanMessage("a", id="1"), AIMessage("b", name="Guide")]
        with (
            Memory.open(tmp_path / "notes.mem", embedder=HashEmbedder()) as one,
            Memory.open(tmp_path / "notes.mem", embedder=HashEmbedder()) as two,
        ):
            here, there = AgentMemChatHistory(one, "s"), AgentMemChatHistory(two, "s")
            assert here.messages == there.messages == []
            here.add_messages(said[:1])
            assert there.messages == said[:1]
            there.add_messages(said)
            assert here.messages == said
        with Memory.open(tmp_path / "notes.mem", embedder=HashEmbedder()) as memory:
            assert AgentMemChatHistory(memory, "s").messages == said

    def test_threads_do_not_mix_two_sessions(self, memory: Memory) -> None:
        names = ["monday", "tuesday", "monday", "tuesday"]
        ready = threading.Barrier(len(names))

        def talk(name: str, thread: int) -> None:
            history = AgentMemChatHistory(memory, name)
            ready.wait(60)
            for turn in range(15):
                question = HumanMessage(f"{name} {thread} {turn}")
                history.add_messages([question, AIMessage(f"answer to {question.content}")])
                found = history.messages
                place = found.index(question)
                assert found[place + 1].content == f"answer to {question.content}"
                history.add_messages([HumanMessage("once", id=f"{turn}")])

        faults = run_all([partial(talk, name, thread) for thread, name in enumerate(names)])
        assert faults == []
        for name in ("monday", "tuesday"):
            found = [message.text for message in AgentMemChatHistory(memory, name).messages]
            assert len(found) == 2 * 15 * 2 + 15
            for thread in (t for t, other in enumerate(names) if other == name):
                mine = [text for text in found if text.startswith(f"{name} {thread} ")]
                assert mine == [f"{name} {thread} {turn}" for turn in range(15)]

    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_a_session_is_what_reading_everything_finds(self, shared: Memory, data: st.DataObject) -> None:
        memory = fresh(shared)
        histories = {name: AgentMemChatHistory(memory, name) for name in "st"}
        for _ in range(data.draw(st.integers(1, 8))):
            ids = [record.id for record in memory.records(states=("live", "forgotten"))]
            verb = data.draw(st.sampled_from(["add", "edit", "forget", "erase", "restore", "undo", "clear", "merge"]))
            id = data.draw(st.sampled_from(ids)) if ids else ""
            live = bool(ids) and memory.get(id).state == "live"
            if verb == "add" or not ids:
                histories[data.draw(st.sampled_from("st"))].add_user_message("a")
            elif verb == "undo":
                memory.undo()
            elif verb == "clear":
                histories["s"].clear()
            elif verb == "restore":
                memory.restore(id)
            elif verb == "erase":
                memory.forget(id, hard=True)
            elif verb == "forget":
                memory.forget(id)
            elif live and verb == "edit":
                memory.edit(id, session=data.draw(st.sampled_from(["s", "t", None])))
            elif live and len(others := [record.id for record in memory.records()]) > 1:
                memory.merge(*others[:2])
            for name, history in histories.items():
                assert history.records() == [record for record in memory.records() if record.session == name]

    def test_the_async_ones_do_the_same_off_the_loop(self, tmp_path: Path) -> None:
        said: list[BaseMessage] = [HumanMessage("a", id="1"), AIMessage("b")]

        async def story() -> None:
            async with await AsyncMemory.open(tmp_path / "a.mem", embedder=HashEmbedder()) as memory:
                history = Watched(memory, "s")
                await history.aadd_messages(said)
                assert await history.aget_messages() == said
                await history.aclear()
                assert await history.aget_messages() == []
                await memory.undo()
                assert await history.aget_messages() == said

        threads: list[int] = []

        class Watched(AgentMemChatHistory):
            def remember(self, *args: Any) -> Any:
                threads.append(threading.get_ident())
                return super().remember(*args)

            def records(self) -> Any:
                threads.append(threading.get_ident())
                return super().records()

        asyncio.run(story())
        assert len(threads) >= 5
        assert threading.get_ident() not in threads
