"""The chat on a real terminal: what streams, what Ctrl-C stops and keeps, how lines are typed."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from itertools import pairwise, repeat
from pathlib import Path
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmem.memory import Memory
from agentmem.models.scripted import ScriptedModel
from agentmem.records import Record
from agentmem_apps.chat import ChatAgent, streamed, terminal
from agentmem_apps.chat.streamed import Cleaner
from agentmem_apps.cli.invocation import Invocation
from agentmem_apps.cli.output import clean
from tests.chat_server import ChatServer
from tests.terminal import _ADOPT

AGENTMEM = str(Path(sys.executable).with_name("agentmem"))
_PATIENCE_S = 60.0
_AGAIN_S = 1.0


class Typist:
    """`agentmem chat` on a pseudo-terminal: types, and waits for what is shown."""

    def __init__(self, folder: Path, *argv: str, **environ: str) -> None:
        self._mine, self._theirs = pty.openpty()
        self._seen = ""
        self._at = 0
        home = str(folder / "home")
        self._child = subprocess.Popen(
            [sys.executable, "-c", _ADOPT, os.ttyname(self._theirs), AGENTMEM, "chat", *argv],
            cwd=folder,
            env={
                **{"PATH": os.environ["PATH"], "HOME": home, "XDG_CONFIG_HOME": home, "LANG": "C.UTF-8"},
                **{"TERM": "xterm-256color", "COLUMNS": "200", "AGENTMEM_OFFLINE": "on", "OMP_NUM_THREADS": "1"},
                **{"AGENTMEM_MEMORY": str(folder / "notes.mem"), "AGENTMEM_EMBEDDER": "hash", **environ},
            },
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._mine)
        os.close(self._theirs)

    def type(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def until(self, text: str, again: str = "") -> str:
        """What is shown up to this text, since the last one. The keys in `again` are typed again each second: a Ctrl-C
        between readline's look for signals and its wait for a key is noticed at the next key only."""
        ends, typed = monotonic() + _PATIENCE_S, monotonic()
        while (found := self._seen.find(text, self._at)) < 0:
            ready, _, _ = select.select([self._mine], [], [], 0.05)
            if ready:
                self._seen += os.read(self._mine, 65536).decode(errors="replace")
            assert monotonic() < ends, f"{text!r} is not shown; there is {self._seen[self._at :]!r}"
            assert ready or self._child.poll() is None, f"it ended, having shown {self._seen!r}"
            if again and monotonic() > typed + _AGAIN_S:
                typed = monotonic()
                self.type(again)
        before, self._at = self._seen[self._at : found], found + len(text)
        return before

    def leave(self, keys: str = "\x04") -> int:
        """The exit status, after these keys."""
        self.type(keys)
        return self._child.wait(_PATIENCE_S)

    def signal(self, number: int) -> int:
        """The exit status, after a signal, which is sent again each second as keys are typed again."""
        ends = monotonic() + _PATIENCE_S
        while monotonic() < ends:
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                return self._child.wait(_AGAIN_S)
        raise AssertionError("it goes on")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def kept(folder: Path) -> list[Record]:
    with Memory.open(folder / "notes.mem", embedder="hash", create=False) as memory:
        return [record for record in memory.records() if record.kind == "turn"]


def only(server: ChatServer, folder: Path) -> None:
    """This server answers, and thinks about nothing."""
    (folder / "agentmem.toml").write_text(f'[models.roles]\nreply = "{server.url}#any"\n')


def test_an_answer_streams_and_ctrl_c_stops_it_and_keeps_what_came(tmp_path: Path, server: ChatServer) -> None:
    only(server, tmp_path)
    server.pause = threading.Event()
    server.reply = lambda messages: "bees live in \x1b[31mhives\x1b]0;owned\x07 always"
    with Typist(tmp_path, "--user", "Ana") as typist:
        typist.until("Ana> ")
        typist.type("Where do bees live?\n")
        shown = typist.until("hives")  # while the last word is still to come
        assert shown.endswith("Assistant> bees live in ")
        typist.type("\x03")
        typist.until("(stopped)")
        typist.until("/why")
        typist.until("Ana> ")
        server.pause = None
        server.reply = lambda messages: "In hives."
        typist.type("Where?\n")
        typist.until("In hives.")
        typist.until("Ana> ")
        assert typist.leave() == 0
    question, answer, *_ = kept(tmp_path)
    assert question.text == "Where do bees live?"
    assert answer.text.startswith("bees live in \x1b[31mhives")
    assert "always" not in answer.text
    assert answer.meta["cut"] == "it was stopped"
    told = [message["content"] for message in server.asked[1].body["messages"]]
    assert answer.text in told  # and is known to the next turn
    with Typist(tmp_path, "-c") as typist:
        shown = typist.until("> In hives.")
        typist.until("User> ")
        assert typist.leave("/quit\n") == 0
    assert "\x1b[2mAna> Where do bees live?\x1b[0m" in shown  # dimmed
    assert "Assistant> bees live in hives (stopped)" in shown
    assert "owned" not in shown


def test_what_is_typed_at_the_prompt(tmp_path: Path) -> None:
    pytest.importorskip("readline")
    with Typist(tmp_path, "--model", "scripted:echo") as typist:
        typist.until("User> ")
        typist.type("\x03")
        typist.until("to leave: Ctrl-D, or /quit", again="\x03")
        typist.until("User> ")
        typist.type("one \\\n")
        typist.until("… ")
        typist.type("two\n")
        typist.until("two")  # as it was typed
        typist.until("one \r\ntwo")  # as it is answered
        typist.until("User> ")
        typist.type("/off\n")
        typist.until("off: nothing is read or kept until /on")
        typist.until("User (off)> ")
        typist.type("/hepl\x1b[D\x1b[Dx\x7f\n")  # a slip is put right with arrows and keys, but not this one
        typist.until("there is no command /hepl")
        typist.until("User (off)> ")
        typist.type("\x1b[A\x7f\x7f\x7felp\n")  # the line before, with another end
        typist.until("/remember TEXT")
        typist.until("User (off)> ")
        assert typist.leave("/quit\n") == 0
    assert kept(tmp_path)[0].text == "one \ntwo"


def test_a_model_that_fails_is_told_and_a_stop_from_outside_ends_the_chat(tmp_path: Path, server: ChatServer) -> None:
    only(server, tmp_path)
    server.faults = repeat("429")
    with Typist(tmp_path, NO_COLOR="1") as typist:
        typist.until("User> ")
        typist.type("Hi\n")
        typist.until("Rate limit reached")
        typist.until("User> ")
        assert typist.signal(signal.SIGTERM) == 130
    assert [record.text for record in kept(tmp_path)] == ["Hi"]


CHAT = str(Path(terminal.__file__).parent)
WORDS = ["one", " two", " three", " four"]


def interrupted(memory: Memory, at: int | str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, list[Record]]:
    """A turn with a Ctrl-C at one call of a function of the chat, by its number or name: how many there are, what was
    shown, what is kept."""
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        code = frame.f_code
        heeded = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        if heeded and event == "call" and code.co_filename.startswith(CHAT) and not code.co_name.startswith("<"):
            calls += 1
            if at in (calls, code.co_name):
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n/quit\n"))
    agent = ChatAgent(memory, {"reply": ScriptedModel(["".join(WORDS)])}, background=False)
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        try:
            sys.setprofile(profile)
            terminal.Chat(agent, Invocation({}), shown=True).run()
        finally:
            sys.setprofile(None)
    shown = out.getvalue().partition("Assistant> ")[2].partition("\n")[0]
    return calls, shown, [record for record in memory.records() if record.session == agent.session]


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_a_ctrl_c_at_any_moment_keeps_what_was_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        calls, shown, _ = interrupted(memory, 0, monkeypatch)
        assert shown == "".join(WORDS)
        stopped = 0
        storing = ("_end", "_kept", "_meta", "said", "_finish", "ended")
        for at in (*range(1, calls + 1, every), *storing):
            _, shown, turns = interrupted(memory, at, monkeypatch)
            said = shown.removesuffix(" (stopped)")
            assert [turn.role for turn in turns] in (["user", "assistant"], ["user"], [])
            answer = turns[1].text if len(turns) > 1 else ""
            assert answer.startswith(said)
            assert answer.removeprefix(said) in ("", *WORDS)  # the piece that was just about to be shown
            if said and said == shown:
                assert (answer, turns[1].meta.get("cut")) == ("".join(WORDS), None)
            stopped += answer not in ("", "".join(WORDS))
        assert stopped


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


@given(st.text("\x1b\x90\x98\x9b\x9d\x9e\x9f\x9c\x07\\][PX^_m0;? /ab\r\n\t\u202e"), st.lists(st.integers(0, 60)))
@example("\x1b]abc\x1b[31mred", [6, 7, 8])
@example("\x1b]0;title\x07shown", [1, 2, 5])
@example("\x1b]\x90\x07shown", [3])
@example("\x1bP\x1b]\x07shown\x1b\\", [2, 5])
def test_pieces_are_cleaned_as_the_whole_is(text: str, cuts: list[int]) -> None:
    cleaner = Cleaner()
    shown = "".join(cleaner.feed(piece) for piece in pieces(text, cuts))
    assert shown + cleaner.rest() == clean(text)


@given(st.text(max_size=20), st.text("\x1b[0;31m", max_size=6))
def test_what_is_decided_is_not_held_back(text: str, begun: str) -> None:
    plain = re.sub(r"[\x1b\x90\x98\x9b\x9d\x9e\x9f]", "", text)
    assert Cleaner().feed(plain) == clean(plain)
    assert Cleaner().feed(plain + "\x1b[31m" + plain) == 2 * clean(plain)


def test_a_sequence_without_an_end_is_looked_at_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    decided = streamed._decided

    def counted(text: str) -> tuple[str, str]:
        looks.append(len(text))
        return decided(text)

    monkeypatch.setattr(streamed, "_decided", counted)
    cleaner = Cleaner()
    assert {cleaner.feed(piece) for piece in ["\x1b]", *["abcd"] * 50_000]} == {""}
    assert sum(looks) < 5_000_000  # characters; with a look at each piece it would be 5,000,000,000
    assert cleaner.feed("\x07" + "shown" * 50_000).startswith("shown")
