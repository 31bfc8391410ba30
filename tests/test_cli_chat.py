"""`agentmem chat` through a pipe: answers on stdout, talk on stderr, every command, and what goes wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agentmem.memory import Memory
from agentmem.models.calls import PICO
from agentmem.records import Record
from agentmem_apps.chat.commands import _DO, parsed
from agentmem_apps.cli.app import program
from agentmem_apps.cli.chatting import SLASHES
from agentmem_apps.cli.exits import ExitCode
from tests.chat_client import bare_environment
from tests.chat_server import ChatServer

__all__ = ["bare_environment"]
AGENTMEM = str(Path(sys.executable).with_name("agentmem"))
HOSTILE = "\x1b]0;owned\x07\x1b[2Jred \x9b5malarm\u202e\x1b]8;;http://x"
ECHO = ("--model", "scripted:echo")


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> list[Any]:
        told = [json.loads(line) for line in self.out.splitlines()]
        assert all(one["schema"] == 1 for one in told)
        return told


Talk = Callable[..., Ran]


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """`agentmem chat ARGV` with these lines piped in, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("AGENTMEM_MEMORY", str(tmp_path / "notes.mem"))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "hash")

    def call(*lines: str | bytes, argv: tuple[str, ...] = ()) -> Ran:
        stdin = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
        result = CliRunner().invoke(program, ["chat", *argv], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def asks(server: ChatServer) -> tuple[str, str]:
    return "--model", f"{server.url}#any"


def says(folder: Path, *answers: str) -> tuple[str, str]:
    """A model that gives these answers in turn, and none after them."""
    (folder / "script.txt").write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")
    return "--model", f"scripted:{folder / 'script.txt'}"


def kept(folder: Path, *states: Any) -> list[Record]:
    with Memory.open(folder / "notes.mem", embedder="hash", create=False) as memory:
        return list(memory.records(states=states or ("live",)))


def texts(folder: Path) -> list[str]:
    return [record.text for record in kept(folder)]


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_line_gets_its_answer_and_nothing_else_is_on_stdout(talk: Talk, tmp_path: Path) -> None:
    ran = talk(
        "I am Ana.", "", "  ", "When is it?", argv=("--plain", "--user", "Ana", *says(tmp_path, "Hi.", "On Monday."))
    )
    assert (ran.code, ran.out) == (0, "Hi.\nOn Monday.\n")
    assert "making a new memory" in ran.err
    assert ran.err.count("/why") == 2
    turns = kept(tmp_path)
    assert [(turn.speaker, turn.text) for turn in turns] == [
        ("Ana", "I am Ana."),
        ("Assistant", "Hi."),
        ("Ana", "When is it?"),
        ("Assistant", "On Monday."),
    ]
    assert len({turn.session for turn in turns}) == 1


def test_quiet_leaves_the_answers_alone(talk: Talk, tmp_path: Path) -> None:
    ran = talk("Hi", argv=("-q", *says(tmp_path, "Hello.")))
    assert (ran.out, ran.err) == ("Hello.\n", "")


def test_a_text_that_begins_with_a_slash_is_typed_with_two(talk: Talk, tmp_path: Path) -> None:
    assert talk("//etc/hosts is empty", argv=says(tmp_path, "Oh.")).code == 0
    assert texts(tmp_path) == ["/etc/hosts is empty", "Oh."]


def test_without_a_model_the_answer_is_what_is_recalled_and_how_to_set_one(talk: Talk, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("The launch is on 3 May.", speaker="Ana")
    ran = talk("When is the launch?")
    assert ran.code == 0
    assert "Ana: The launch is on 3 May." in ran.out
    assert "--model" in ran.out


def test_a_server_answers_in_pieces_and_a_reply_is_one_object_with_all_of_it(
    talk: Talk, tmp_path: Path, server: ChatServer
) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        known = memory.add("The launch is on 3 May.", speaker="Ana")
    server.reply = lambda messages: "It is on 3 May."
    [told] = talk("When is the launch?", argv=("--json", *asks(server))).json
    assert told["text"] == "It is on 3 May."
    [hit] = [hit for hit in told["recalled"] if hit["record"]["id"] == known.id]
    assert hit["verdict"]
    assert hit["parts"]
    assert told["keeps"]["working"]
    assert {"asked", "in_mind", "reminders", "passed_over", "notes"} < set(told)
    assert [(one["model"], one["refused"]) for one in told["models"]] == [(f"{server.url}#any", False)]
    assert told["model"] == f"{server.url}#any"
    assert told["why"] == told["models"][0]["why"]
    assert (told["usage"]["tokens_out"], told["cut"], told["written"]) == (5, "", [])
    question, answer = kept(tmp_path)[1:]
    assert (told["question"], told["answer"], told["session"]) == (question.id, answer.id, question.session)


def test_what_a_model_writes_by_its_tools_is_told(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    def reply(messages: list[dict[str, Any]]) -> Any:
        if messages[-1]["role"] == "tool":
            return "Noted."
        return [{"name": "remember", "arguments": {"text": "Ana likes tea."}}]

    server.reply = reply
    ran = talk("I like tea.", "/forget last", argv=(*asks(server), "--tools"))
    assert ran.out.splitlines()[0] == "Noted."
    assert "remembered 1" in ran.err
    assert "forgotten" in ran.out.splitlines()[1]
    assert "Ana likes tea." not in texts(tmp_path)


def test_options_reach_the_model(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("The launch is on 3 May.")
    (tmp_path / "pirate.txt").write_text("You are a pirate.\n")
    argv = (*asks(server), "--persona", "@pirate.txt", "--read-twice", "--no-tools")
    assert talk("When is the launch?", argv=argv).code == 0
    assert talk("Hi", argv=(*asks(server), "--persona", "You are a cook.", "--tools")).code == 0
    pirate, cook = (asked.body for asked in server.asked)
    assert pirate["messages"][0]["content"].startswith("You are a pirate.\n")
    assert pirate["messages"][-1]["content"].count("When is the launch?") == 2
    assert "tools" not in pirate
    assert cook["messages"][0]["content"].startswith("You are a cook.")
    assert {tool["function"]["name"] for tool in cook["tools"]} >= {"recall", "remember"}


def test_what_a_model_says_cannot_speak_to_the_terminal(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    server.reply = lambda messages: HOSTILE
    ran = talk("Hi " + HOSTILE, "/branch", "/why", "/undo", "/retry", argv=asks(server))
    assert ran.out.startswith("red alarm\n")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", ran.out + ran.err)
    assert "owned" not in ran.out + ran.err
    assert kept(tmp_path, "forgotten")[1].text == HOSTILE  # as it was said


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_that_gets_no_answer_is_told_and_the_next_ones_are_answered(
    talk: Talk, tmp_path: Path, server: ChatServer
) -> None:
    said = iter(["one two three four", "whole", "", "four"])
    server.reply = lambda messages: next(said)
    server.faults = iter(["half"])
    ran = talk("a", "b", "c", "d", argv=asks(server))
    assert ran.code == ExitCode.UNREACHABLE
    assert len(re.findall("cut short: .", ran.err)) == 2
    first, *rest = ran.out.splitlines()
    assert first
    assert "one two three four".startswith(first)
    assert rest == ["whole", "four"]
    assert "cut short: the model said nothing" in ran.err
    assert [text for text in texts(tmp_path) if len(text) == 1] == ["a", "b", "c", "d"]


def test_with_json_what_goes_wrong_is_an_object_too(talk: Talk, tmp_path: Path) -> None:
    ran = talk("a", "b", "/nonsense", argv=("--json", *says(tmp_path, "One.")))
    assert ran.code == ExitCode.UNREACHABLE  # of the first
    assert [one["text"] for one in ran.json] == ["One."]
    errors = [json.loads(line)["error"] for line in ran.err.splitlines() if line.startswith("{")]
    assert [error["type"] for error in errors] == ["ModelError", "InvalidInput"]


def test_a_model_that_was_passed_over_is_told(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    server.faults = iter(["429"] * 9)
    _, scripted = says(tmp_path, "From me.")
    (tmp_path / "agentmem.toml").write_text(f'[models.roles]\nreply = ["{server.url}#any", "{scripted}"]\n')
    ran = talk("Hi", "/why", argv=())
    assert ran.out.startswith("From me.\n")
    assert re.search(rf"{re.escape(server.url)}#any did not answer: .*; asked {re.escape(scripted)}\n", ran.err)
    assert re.search(rf"{re.escape(scripted)}\s+answered: ", ran.out)


def test_bytes_that_are_no_text_are_told_by_line(talk: Talk, tmp_path: Path) -> None:
    ran = talk("\ufeffa", b"caf\xe9", "b", argv=says(tmp_path, "A.", "B."))
    assert (ran.code, ran.out) == (ExitCode.USAGE, "A.\nB.\n")
    assert "line 2 is not UTF-8 text: byte 3 is 0xe9" in ran.err
    assert texts(tmp_path)[0] == "a"


def test_a_spent_budget_is_told_with_its_status(talk: Talk, tmp_path: Path) -> None:
    _, spec = says(tmp_path, "One.")
    (tmp_path / "agentmem.toml").write_text(f'model = "{spec}"\n[models.budgets]\n"*" = {{ tokens = 10 }}\n')
    assert talk("Hi").code == ExitCode.EXHAUSTED


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (("-c", "--list"), ExitCode.USAGE, "give one of"),
        (("--resume", "x", "--search", "y"), ExitCode.USAGE, "give one of"),
        (("--resume", "x"), ExitCode.FAILED, "no conversation 'x'"),
        (("--resume", " "), ExitCode.USAGE, "no conversation was named"),
        (("--persona", "@absent.txt"), ExitCode.USAGE, "'absent.txt' cannot be read: No such file"),
        (("--persona", "x " * 5_000), ExitCode.USAGE, "persona takes more than"),
        (("--persona", "@~nobody-here/x"), ExitCode.USAGE, "cannot be read"),
        (("--list", "--memory", "absent.mem"), ExitCode.UNREACHABLE, "absent.mem"),
        (("--wrong",), ExitCode.USAGE, "No such option"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_wrong_command_line_begins_no_chat(
    talk: Talk, tmp_path: Path, argv: tuple[str, ...], code: ExitCode, told: str
) -> None:
    ran = talk("Hi", argv=argv)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert not (tmp_path / "notes.mem").exists() or texts(tmp_path) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_keeps_what_was_said_by_then(
    talk: Talk, tmp_path: Path, server: ChatServer, stop: signal.Signals
) -> None:
    server.pause = threading.Event()
    server.reply = lambda messages: "half of it"
    heed = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", heed, AGENTMEM, "chat", *asks(server)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"Hi\n")
        child.stdin.flush()
        assert child.stdout.read(len("half of")) == b"half of"  # it was flushed
        child.send_signal(stop)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, b"Traceback" in err) == (ExitCode.INTERRUPTED, False)
    question, answer = kept(tmp_path)
    assert (question.text, answer.text, answer.meta["cut"]) == ("Hi", "half of", "it was stopped")


# ── conversations ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(talk: Talk, tmp_path: Path) -> list[str]:
    """Two conversations, by session, the older first."""
    assert talk("I keep bees.", argv=says(tmp_path, "How many hives?")).code == 0
    assert talk("I sail.", "Every summer.", argv=says(tmp_path, "Where?", "Fine.")).code == 0
    return list(dict.fromkeys(str(record.session) for record in kept(tmp_path)))


def test_conversations_are_listed_and_searched(talk: Talk, two: list[str]) -> None:
    bees, sails = two
    ran = talk(argv=("--list",))
    assert [line.split()[0] for line in ran.out.splitlines()] == [sails[-8:], bees[-8:]]
    assert [line.split()[3] for line in ran.out.splitlines()] == ["4", "2"]
    assert [line.split("  ")[-1] for line in ran.out.splitlines()] == ["I sail.", "I keep bees."]
    [told] = talk(argv=("--list", "--json")).json
    assert [(one["session"], one["turns"]) for one in told["conversations"]] == [(sails, 4), (bees, 2)]
    [found, *_] = talk(argv=("--search", "bees", "--json")).json[0]["conversations"]
    assert (found["session"], found["title"]) == (bees, "I keep bees.")
    assert talk(argv=("--search", "bees")).out.startswith(bees[-8:])


def test_a_list_of_nothing_says_so(talk: Talk, tmp_path: Path) -> None:
    assert talk().code == 0  # the memory is made
    for argv in (("--list",), ("--search", "bees")):
        ran = talk(argv=argv)
        assert (ran.code, ran.out) == (0, "")
        assert "no conversation" in ran.err


def test_the_last_conversation_goes_on(talk: Talk, tmp_path: Path, server: ChatServer, two: list[str]) -> None:
    assert talk("Where was I?", argv=("-c", *asks(server))).code == 0
    shown = [message["content"] for message in server.asked[0].body["messages"][1:]]
    assert shown[:4] == ["I sail.", "Where?", "Every summer.", "Fine."]
    assert {record.session for record in kept(tmp_path)[-2:]} == {two[1]}


def test_the_first_conversation_begins_where_there_is_none_to_go_on_with(talk: Talk, tmp_path: Path) -> None:
    ran = talk("Hi", argv=("-c", *says(tmp_path, "Hello.")))
    assert (ran.code, ran.out) == (0, "Hello.\n")
    assert "a new one begins" in ran.err


def test_a_conversation_is_named_by_the_end_of_its_id(talk: Talk, tmp_path: Path, two: list[str]) -> None:
    assert talk("Two.", argv=("--resume", two[0][-8:], *says(tmp_path, "Good."))).code == 0
    assert {record.session for record in kept(tmp_path)[-2:]} == {two[0]}
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("Hi", role="user", session="a trip")
        memory.add("Hi", role="user", session="round trip")
        memory.add("Hi", role="user", session="trip")
    ambiguous = talk("Hi", argv=("--resume", " trip"))
    assert ambiguous.code == ExitCode.USAGE
    assert "several" in ambiguous.err
    assert talk("/branch", argv=("--resume", "trip")).out.split()[1:] == ["Hi"]  # the whole name goes before an ending


# ── what is typed beside ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_command_of_the_table_is_done_and_shown(talk: Talk) -> None:
    names = [slash.name for slash in SLASHES]
    assert sorted(names) == sorted(_DO)
    shown = [talk("/help").out, talk(argv=("--help",)).out.partition("In the chat")[2]]
    for text in shown:
        assert re.findall(r"^ *(/\w+)", text, re.M) == [f"/{name}" for name in names]
    for slash in SLASHES:
        assert all(slash.usage in text for text in shown)
        assert parsed(f"{slash.usage}")[0] is slash


WRONG = (
    ("/rember x", "Did you mean /remember?"),
    ("/", "/help lists them"),
    ("/xyzzy", "/help lists them"),
    ("/etc/hosts is empty", "typed with two"),
    ("/remember", "Write /remember TEXT."),
    ("/remember   ", "Write /remember TEXT."),
    ("/undo all", "/undo takes nothing after it"),
    ("/save", "Write /save [--over] FILE."),
    ("/save --over", "wants the name of a file"),
    ("/save ~nobody-here/x", "cannot be a file's name"),
    ("/save x.md", "nothing was said yet"),
    ("/forget last", "nothing was remembered"),
    ("/forget abcdef", "no memory 'abcdef'"),
    ("/pin abcdef", "no memory 'abcdef'"),
    ("/undo", "no question to take back"),
    ("/retry", "no question to answer anew"),
    ("/edit x", "no question to put in other words"),
    ("/branch abcdef", "no memory 'abcdef'"),
    ("/resume abcdef", "no conversation 'abcdef'"),
    ("/why", "nothing was answered yet"),
    ("/model nothing:x", "'nothing'"),
    ("/model http://localhost:1/v1", "names no model"),
    ("/model openai:gpt-4.1-mini", "may not be asked: it is not on this machine"),
    ("/model scripted:absent.txt", "absent.txt"),
)


def test_what_cannot_be_done_is_told_and_the_chat_goes_on(talk: Talk, tmp_path: Path) -> None:
    ran = talk(*(line for line, _ in WRONG), "Hi", argv=("--json", *says(tmp_path, "Hello.")))
    errors = [json.loads(line)["error"] for line in ran.err.splitlines() if line.startswith("{")]
    assert len(errors) == len(WRONG)
    for error, (line, told) in zip(errors, WRONG, strict=True):
        assert told in error["message"] + " " + error["way_out"], line
    assert [one["text"] for one in ran.json] == ["Hello."]
    assert ran.code == ExitCode.USAGE


def test_what_is_not_there_is_said_beside(talk: Talk) -> None:
    ran = talk("/search bees", "/working", "/list", "/branch", "/cost", "/model")
    assert (ran.code, ran.out) == (0, "")
    assert len(ran.err.splitlines()) == 1 + 6  # that a memory is made, and these


def test_notes_are_taken_pinned_found_and_forgotten(talk: Talk, tmp_path: Path) -> None:
    ran = talk("/remember  I keep bees.", "/search bees", argv=("--user", "Ana"))
    [note] = kept(tmp_path)
    assert (note.text, note.kind, note.role, note.speaker) == ("I keep bees.", "note", "user", "Ana")
    assert note.session
    assert ran.out.splitlines()[0] == f"remembered {note.id[-8:]}"
    assert re.fullmatch(rf"\S+  {note.id[-8:]}  .*note  Ana  I keep bees\.", ran.out.splitlines()[1])
    assert talk(f"/PIN {note.id[-8:]}").out == f"pinned {note.id[-8:]}: I keep bees.\n"
    assert kept(tmp_path)[0].pinned
    ran = talk(
        f"/forget {note.id[-8:]}", "/remember two", "/remember three", "/forget last", "/forget last", "/forget last"
    )
    assert ran.code == ExitCode.USAGE  # the third time there was nothing
    assert re.findall(r"^forgotten \w+: (.*)$", ran.out, re.M) == ["I keep bees.", "three", "two"]
    assert kept(tmp_path) == []
    assert f"agentmem restore {note.id[-8:]}" in ran.err


def test_why_shows_memories_stores_and_models_of_the_last_answer(talk: Talk, tmp_path: Path) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        known = memory.add("The launch is on 3 May in Lisbon.", speaker="Ana")
    _, spec = says(tmp_path, "On 3 May.")
    out = talk("When is the launch?", "/why", argv=("--model", spec)).out
    assert re.search(rf"^ 1 +\S+  {known.id[-8:]} ", out, re.M)
    assert re.search(r"^      \w+ +\+\d+\.\d\d  █+$", out, re.M)
    assert "words: launch" in out
    assert re.search(r"^kept by working +\w", out, re.M)
    assert re.search(rf"^{re.escape(spec)} +answered: it stands first$", out, re.M)


def test_what_is_held_in_mind_is_shown(talk: Talk, tmp_path: Path) -> None:
    out = talk("I keep bees.", "/working", argv=says(tmp_path, "Oh.")).out
    assert "I keep bees." in out
    assert kept(tmp_path)[0].id[-8:] in out


def test_off_reads_nothing_and_keeps_nothing_until_on(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("The launch is on 3 May.")
    closed = ("/remember x", "/search launch", "/retry", "/list", "/save x.md")
    lines = ("When is the launch?", *closed, "/why", "And the party?", "/on", "When is the launch?", "/off", "Hm?")
    ran = talk(*lines, argv=("--off", *asks(server)))
    first, second, third, last = ([m["content"] for m in asked.body["messages"][1:]] for asked in server.asked)
    assert "3 May" not in "".join(first + second)
    assert second[0] == "When is the launch?"  # what was said while off is in the prompt
    assert "3 May" in third[-1]
    assert "party" not in "".join(third + last)  # with /on it is gone
    assert [record.text for record in kept(tmp_path)][1:] == ["When is the launch?", "hello there"]
    assert ran.err.count("Type /on first.") == len(closed)
    assert ran.err.count("off: nothing was read or kept") == 3
    assert ran.out.splitlines()[-2] == "off: nothing is read or kept until /on"


def test_another_model_is_asked_and_what_must_stay_here_still_does(
    talk: Talk, tmp_path: Path, server: ChatServer
) -> None:
    _, spec = says(tmp_path, "From the script.")
    (tmp_path / "agentmem.toml").write_text('[models.budgets]\n"*" = { tokens = 5000 }\n')
    ran = talk("Hi", "/model nothing:x", "Hi", f"/model {spec}", "/model", "Hi", "/cost", argv=asks(server))
    lines = ran.out.splitlines()
    assert lines[:2] == ["hello there"] * 2  # the old one stays when the new one cannot be opened
    assert lines[2:5] == [f"{spec}  it stands first"] * 2 + ["From the script."]
    assert lines[-1].endswith(" of 5,000 tokens")


def test_costs_are_shown_by_conversation_and_day(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    terms = f'[models.terms."{server.url}#any"]\ninput = 1.0\noutput = 2.0\n'
    (tmp_path / "agentmem.toml").write_text(f'{terms}[models.budgets]\n"*" = {{ money = 3.0 }}\ndefault = {{}}\n')
    assert talk("Hi", argv=asks(server)).code == 0
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        [used] = memory.calls.usage()
    ran = talk("Hi", "/cost", argv=asks(server))
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[1][:3] == ["this", "conversation", "1"]
    assert rows[2][:2] == ["today", "2"]
    assert (rows[1][4], rows[2][3]) == ("2", "4")  # tokens out
    assert float(rows[1][5]) == pytest.approx(used.picos / PICO, rel=0.2)
    assert float(rows[2][4]) == pytest.approx(float(rows[1][5]) + used.picos / PICO)
    first = talk("/cost", argv=("--resume", str(kept(tmp_path)[0].session))).out.splitlines()[0]
    assert first.split()[:3] == ["this", "conversation", "1"]  # the other one came after it began
    assert "of 3" in ran.out
    assert "today in default: no limit" in ran.out


def test_undo_retry_edit_and_branch_walk_the_tree(talk: Talk, tmp_path: Path, server: ChatServer) -> None:
    numbers = iter(range(1, 9))
    server.reply = lambda messages: f"answer {next(numbers)}"
    talk("first", "second", argv=asks(server))
    first = kept(tmp_path)[1]
    lines = ("/retry", "/edit other words", "/branch", "/undo", f"/branch {first.id[-8:]}", "third", "/branch")
    out = talk(*lines, argv=("-c", *asks(server))).out
    again, other, *rest = out.splitlines()
    assert (again, other) == ("answer 3", "answer 4")
    words = [line.split("  ")[-1].strip() for line in rest]
    assert words[:4] == ["first", "answer 1", "other words", "answer 4"]
    assert [word.split(": ")[1] for word in words[4:6]] == ["other words", "answer 4"]
    assert words[6] == f"back at {first.id[-8:]}: answer 1"
    assert words[7:] == ["answer 5", "first", "answer 1", "third", "answer 5"]
    said = [[m["content"] for m in asked.body["messages"][1:-1]] for asked in server.asked]
    assert said[2:] == [["first", "answer 1"]] * 3  # each without what was said on another branch
    assert texts(tmp_path) == ["first", "answer 1", "second", "answer 2", "answer 3", "third", "answer 5"]


def test_the_last_but_one_conversation_is_gone_on_with(talk: Talk, tmp_path: Path, two: list[str]) -> None:
    ran = talk("/list", f"/resume {two[0][-8:]}", "/why", "Two.", "/branch", argv=says(tmp_path, "Good."))
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == [two[1][-8:], two[0][-8:]]
    assert lines[2] == f"went on with {two[0][-8:]}: I keep bees."
    assert [line.split("  ")[-1].strip() for line in lines[4:]] == ["I keep bees.", "How many hives?", "Two.", "Good."]


def test_a_conversation_is_saved_whole_and_over_nothing(talk: Talk, tmp_path: Path) -> None:
    ran = talk("I keep\tbees. " + HOSTILE, "/save out.md", argv=says(tmp_path, "# Hives?"))
    assert ran.out.splitlines()[-1] == "wrote 2 turns to out.md"
    text = (tmp_path / "out.md").read_text()
    assert re.fullmatch(
        r"# I keep bees\. red alarm\n\n## User, \S+ \S+\n\nI keep\tbees\. red alarm\n\n"
        r"## Assistant, \S+ \S+\n\n# Hives\?\n",
        text,
    )
    (tmp_path / "own.md").write_text("mine")
    ran = talk("/save own.md", "/save absent/x.md", argv=("-c",))
    assert "own.md is there already" in ran.err
    assert "/save --over own.md replaces it." in ran.err
    assert "cannot write absent/x.md" in ran.err
    assert (tmp_path / "own.md").read_text() == "mine"
    assert talk("/save --over own.md", argv=("-c",)).code == 0
    assert (tmp_path / "own.md").read_text() == text


def test_quit_leaves_what_comes_after_it(talk: Talk, tmp_path: Path) -> None:
    assert talk("Hi", "/quit", "Hi", argv=says(tmp_path, "One.", "Two.")).out == "One.\n"


def test_with_json_a_command_is_one_object_and_its_answer_a_turn(talk: Talk, tmp_path: Path) -> None:
    help_, first, again, note = talk(
        "/help", "Hi", "/retry", "/remember x", argv=("--json", *says(tmp_path, "1.", "2."))
    ).json
    assert (help_["command"], "/remember TEXT" in help_["text"]) == ("help", True)
    assert (first["text"], again["text"], again["question"]) == ("1.", "2.", first["question"])
    assert note["text"].startswith("remembered ")


def test_a_memory_that_was_forgotten_meanwhile_is_no_turn_any_more(talk: Talk, tmp_path: Path) -> None:
    talk("first", "second", argv=says(tmp_path, "1.", "2."))
    second = kept(tmp_path)[2]
    out = talk(f"/forget {second.id}", "/branch", argv=("-c",)).out
    assert "second" not in out.split("\n", 1)[1]
