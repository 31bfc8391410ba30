"""Other services' exports: what becomes a memory, in which session, said by whom and when, and what is left out."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem.errors import ImportFailed
from agentmem.memory import Memory
from agentmem.records import Record, Scope
from agentmem_apps.cli.app import program
from agentmem_apps.cli.exits import ExitCode
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.reading import Options, Skip
from agentmem_apps.importers.run import import_file
from tests import exports

SCOPE = Scope("user:ana")
LYON, PARIS = "Trip to Lyon (6995e870)", "untitled (68c13686)"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", scope="user:ana", embedder="hash") as memory:
        yield memory


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    return path


def items(path: Path, **options: Any) -> tuple[list[Record], list[Skip]]:
    read = list(FORMATS[detect(path)](path, Options(SCOPE, **options)))
    return [i for i in read if isinstance(i, Record)], [i for i in read if isinstance(i, Skip)]


def taken(folder: Path, value: Any, **options: Any) -> tuple[list[Record], list[Skip]]:
    return items(written(folder / "export.json", value), **options)


def told(record: Record) -> tuple[str, str | None, str | None, str | None]:
    return record.text, record.session, record.speaker, record.role


# ChatGPT


def test_chatgpt_takes_the_branch_that_the_app_shows(tmp_path: Path) -> None:
    records, skips = taken(tmp_path, exports.chatgpt())
    assert [told(record) for record in records] == [
        ("When does the train leave?", LYON, "user", "user"),
        ("At seven.", LYON, "assistant", "assistant"),
        ("Is this it?\nAnd by ferry?", LYON, "user", "user"),
        ("Hallo?", PARIS, "user", "user"),
        ("Hallo!", PARIS, "assistant", "assistant"),
    ]
    assert [skip.why for skip in skips] == [
        "an instruction of the service",
        "the model's thoughts",
        "a call of the tool python",
        "what a tool answered",
        "nothing but a picture",
        "a message without a word",
        "replaced by another answer or wording",
    ]
    assert skips[-1].where == f"{LYON}, message a0"
    assert {record.kind for record in records} == {"turn"}
    first, answer, asked, *_ = records
    assert first.at == datetime(2024, 5, 3, 10, 20, 1, 250_000, tzinfo=UTC)
    assert asked.at == answer.at, "a message without a time has that of the one before"
    assert first.meta == {"conversation": exports.LYON, "message": "q1"}
    assert answer.meta["model"] == "gpt-4o"
    assert asked.meta["attachments"] == ["map.png"]
    assert records[3].at == records[4].at == datetime(2023, 5, 13, 17, 46, 40, tzinfo=UTC), "else the conversation's"


def test_without_a_current_node_the_newest_answer_ends_the_conversation(tmp_path: Path) -> None:
    nodes = exports.tree(
        {
            "r": (None, None),
            "q": ("r", exports.said("user", "Well?", 1.0)),
            "new": ("q", exports.said("assistant", "Yes.", 3.0)),
            "old": ("q", exports.said("assistant", "No.", 2.0)),
        }
    )
    for current in (None, "nobody"):
        records, skips = taken(tmp_path, [{"id": "c", "title": "T", "mapping": nodes, "current_node": current}])
        assert [record.text for record in records] == ["Well?", "Yes."]
        assert [skip.where for skip in skips] == ["T (c), message old"]


def test_what_chatgpt_hides_or_keeps_to_itself_is_no_memory(tmp_path: Path) -> None:
    hidden = {"is_visually_hidden_from_conversation": True}
    about = {"content_type": "user_editable_context", "user_profile": "I am Ana."}
    nodes = exports.tree(
        {
            "h": (None, exports.said("assistant", "Unseen.", metadata=hidden)),
            "u": ("h", exports.said("user", None, content=about)),
            "n": ("u", exports.said("user", None, content={"content_type": "a new kind", "parts": ["Seen."]})),
        }
    )
    records, skips = taken(tmp_path, [{"id": "c", "mapping": nodes, "current_node": "n"}, {"id": "d", "mapping": {}}])
    assert [record.text for record in records] == ["Seen."]
    assert [skip.why for skip in skips] == [
        "hidden in the app",
        "custom instructions",
        "a conversation without a message",
    ]


def test_one_conversation_alone_and_one_that_comes_twice(tmp_path: Path, memory: Memory) -> None:
    lyon, paris = exports.chatgpt()
    alone = import_file(memory, written(tmp_path / "one.json", lyon))
    assert (alone.format, alone.added) == ("chatgpt", 3)
    twice = import_file(memory, written(tmp_path / "twice.json", [lyon, paris, lyon]))
    assert (twice.added, twice.existing) == (2, 3)
    assert [skip.why for skip in twice.skipped].count("it came before") == 3


def test_an_answer_made_again_later_is_added_and_the_old_one_stays(tmp_path: Path, memory: Memory) -> None:
    nodes = {"q": (None, exports.said("user", "Well?", 1.0)), "a": ("q", exports.said("assistant", "No.", 2.0))}
    conversation = {"id": "c", "title": "T", "mapping": exports.tree(nodes), "current_node": "a"}
    import_file(memory, written(tmp_path / "monday.json", [conversation]))
    nodes["b"] = ("q", exports.said("assistant", "Yes.", 3.0))
    conversation |= {"title": "Renamed", "mapping": exports.tree(nodes), "current_node": "b"}
    report = import_file(memory, written(tmp_path / "friday.json", [conversation]))
    assert (report.added, report.existing) == (1, 1)
    assert [record.text for record in memory.records()] == ["Well?", "No.", "Yes."]


@given(st.integers(1, 30), st.randoms(use_true_random=False))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_message_is_on_the_path_or_skipped(tmp_path: Path, size: int, random: Any) -> None:
    """Against an oracle: whatever the tree, the turns are the ancestors of the leaf, oldest first; all else is told."""
    above: dict[str, str | None] = {f"n{i}": None if i == 0 else f"n{random.randrange(i)}" for i in range(size)}
    leaf = f"n{random.randrange(size)}"
    shuffled = random.sample(list(above), size)
    nodes = exports.tree({key: (above[key], exports.said("user", key, float(key[1:]))) for key in shuffled})
    records, skips = taken(tmp_path, [{"id": "c", "mapping": nodes, "current_node": leaf}])
    path: list[str] = []
    at: str | None = leaf
    while at is not None:
        path.insert(0, at)
        at = above[at]
    assert [record.text for record in records] == path
    assert {skip.where.split()[-1] for skip in skips} == set(above) - set(path)


# Claude


def test_claude_takes_the_branch_that_was_spoken_last(tmp_path: Path) -> None:
    records, skips = taken(tmp_path, exports.claude())
    assert [told(record) for record in records] == [
        ("When does it leave?", LYON, "human", "user"),
        ("Coach 7, seat 12.", LYON, "human", "user"),
        ("At seven.\n\nFrom Perrache.", LYON, "assistant", "assistant"),
        ("Thanks.", LYON, "human", "user"),
        ("Hallo?", PARIS, "human", "user"),
        ("Hallo!", PARIS, "assistant", "assistant"),
    ]
    assert [record.kind for record in records] == ["turn", "note", "turn", "turn", "turn", "turn"]
    assert skips == [
        (f"{LYON}, message 3", "left out of it: thinking, tool_use"),
        (f"{LYON}, message 4", "a message without a word"),
        (f"{LYON}, message 2", "replaced by another answer or wording"),
    ]
    question, file, _, thanks, *old = records
    assert question.at == file.at == datetime(2024, 5, 3, 10, 0, 1, 504_762, tzinfo=UTC)
    assert file.meta == {"conversation": exports.LYON, "message": "m1", "file": "ticket.txt"}
    assert thanks.meta["files"] == ["b.png"]
    assert [record.at for record in old] == [datetime(2023, 5, 3, 8, tzinfo=UTC)] * 2


def test_claude_follows_the_leaf_that_an_export_names(tmp_path: Path) -> None:
    chosen = exports.claude()[0] | {"current_leaf_message_uuid": "m2"}
    assert [record.text for record in taken(tmp_path, [chosen])[0]] == [
        "When does it leave?",
        "Coach 7, seat 12.",
        "At six.",
    ]


def test_an_attachment_without_a_text_is_named(tmp_path: Path) -> None:
    conversation = exports.claude()[1]
    conversation["chat_messages"][0]["attachments"] = [{"file_name": "scan.pdf", "extracted_content": ""}]
    _, skips = taken(tmp_path, [conversation])
    assert skips == [(f"{PARIS}, message 1, scan.pdf", "an attachment without a word")]


# Either service's archive


@pytest.mark.parametrize("make", [exports.chatgpt, exports.claude])
def test_zip_folder_and_numbered_parts_give_what_the_one_file_gives(
    tmp_path: Path, make: Callable[[], Any], memory: Memory
) -> None:
    first, second = make()
    plain = written(tmp_path / "conversations.json", [first, second])
    whole = import_file(memory, plain)
    rest: dict[str, str | bytes] = {
        "user.json": "{}",
        "chat.html": "<html>",
        "file-1.png": b"\x89PNG",
        "__MACOSX/._conversations.json": b"\0",
    }
    one = exports.zipped(tmp_path / "one.zip", {**rest, "conversations.json": plain.read_text()})
    parts = {"out/conversations-010.json": json.dumps([second]), "out/conversations-002.json": json.dumps([first])}
    many = exports.zipped(tmp_path / "many.zip", {**rest, **parts})
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name, content in parts.items():
        (folder / Path(name).name).write_text(content)
    expected = [record.text for record in memory.records()]
    for path in (one, many, folder):
        assert detect(path) == whole.format
        assert [record.text for record in items(path)[0]] == expected
        again = import_file(memory, path)
        assert (again.added, again.existing, again.skips) == (0, whole.added, whole.skips)


def test_the_caller_names_session_and_kind(tmp_path: Path) -> None:
    for make in (exports.chatgpt, exports.claude):
        records, _ = taken(tmp_path, make(), session="old chats", kind="episode")
        assert {record.session for record in records} == {f"old chats/{LYON}", f"old chats/{PARIS}"}
        assert {record.kind for record in records} == {"episode"}


# mem0, Letta, SillyTavern


def test_mem0_facts(tmp_path: Path, memory: Memory) -> None:
    records, skips = taken(tmp_path, exports.mem0())
    bread, lyon = records
    assert told(bread) == ("Likes rye bread", "run-1", "ana", "user")
    assert told(lyon) == ("Recommended Lyon", None, "guide", "assistant")
    assert (bread.kind, bread.tags) == ("fact", ("food",))
    assert bread.at == datetime(2024, 7, 26, 17, 29, 36, 630_547, tzinfo=UTC)
    assert bread.meta == {
        "id": "0bd5e4e6-8d1a-4a8b-9d69-6a7b7f0d9a11",
        "hash": "5a3b",
        "metadata": {"source": "chat"},
        "user_id": "ana",
        "agent_id": "guide",
    }
    assert [skip.why for skip in skips] == ["a memory without a word", "relations between entities are no memories"]
    assert import_file(memory, tmp_path / "export.json").added == 2
    listed = exports.mem0()["results"]
    for same in (listed, {"count": 3, "next": None, "previous": None, "results": listed}, {"memories": listed}):
        assert import_file(memory, written(tmp_path / "same.json", same)).added == 0
    listed[0] |= {"memory": "Likes white bread", "updated_at": "2025-01-01T00:00:00Z"}
    updated = import_file(memory, written(tmp_path / "later.json", [*listed, listed[0]]))
    assert (updated.added, updated.existing) == (1, 1), "a memory that says something else now is another one"
    assert ("memory 4", "it came before") in updated.skipped


def test_letta_agents_speak_and_their_blocks_are_notes(tmp_path: Path) -> None:
    records, skips = taken(tmp_path, exports.letta())
    assert [told(record) for record in records] == [
        ('{"not": "an envelope"}', "Evie", "user", "user"),
        ("Braces!", "Evie", "Evie", "assistant"),
        ("Hi there.", "Sam", "Chad", "user"),
        ("Hello!", "Sam", "Sam", "assistant"),
        ("First name: Chad", None, None, None),
    ]
    assert [skip.why for skip in skips] == [
        "an instruction",
        "left out of it: reasoning",
        "what a tool answered",
        "an event, login",
        "left out of it: a call of memory_insert, thoughts",
        "left out of it: thoughts",
        "a block without a word",
    ]
    block = records[-1]
    assert (block.kind, block.tags) == ("note", ("human",))
    assert block.meta == {"block": "human", "description": "The user."}
    assert block.at == datetime(2025, 10, 31, 22, 56, 8, 459_100, tzinfo=UTC), "as new as the newest message"
    assert records[0].meta == {"id": "message-1", "model": "gpt-4o"}


@pytest.mark.parametrize("key", ["agents", "blocks", "passages"])
@pytest.mark.parametrize("value", [{"text": 5}, {"1": {"value": "x", "text": "x"}}, 5, "x"])
def test_a_list_of_letta_that_is_none_says_so(tmp_path: Path, key: str, value: object) -> None:
    file = written(tmp_path / "export.json", {**exports.letta(), key: value})
    with pytest.raises(ImportFailed, match=f"'{key}' must be a list"):
        list(FORMATS["letta"](file, Options(SCOPE)))


def test_the_first_agent_file_and_passages(tmp_path: Path) -> None:
    records, _ = taken(tmp_path, exports.letta_first())
    assert [record.text for record in records] == ["Hi there.", "Hello!", "Chad"]
    assert records[-1].at == datetime(2025, 4, 2, 3, 47, 27, tzinfo=UTC)
    (tmp_path / "export.json").rename(tmp_path / "agent.af")
    assert [record.id for record in items(tmp_path / "agent.af")[0]] == [record.id for record in records]
    for passages in (exports.passages(), {"passages": exports.passages()}):
        ((passage,), _) = taken(tmp_path, passages)
        assert (passage.text, passage.kind, passage.tags) == (
            "The ferry runs on Sundays.",
            "note",
            ("archival", "trip"),
        )
        assert passage.at == datetime(2025, 10, 31, 22, 56, 56, tzinfo=UTC)
        assert passage.meta == {"archive_id": "archive-1", "metadata": {"page": 2}, "id": "passage-1"}


def test_world_info_and_a_card_s_book_are_settings(tmp_path: Path) -> None:
    ((forest,), skips) = taken(tmp_path, exports.world())
    assert (forest.text, forest.kind, forest.session) == ("A forest where time stands still.", "setting", "export")
    assert forest.tags == ("eldoria", "glade", "wood")
    assert forest.meta == {"title": "Eldoria", "uid": 0, "constant": False, "order": 100, "position": 0}
    assert skips == [("entry 1", "disabled"), ("entry 2 (Void)", "an entry without a word")]
    assert taken(tmp_path, exports.world() | {"name": "Isle"})[0][0].session == "Isle"
    book = exports.card()["data"]["character_book"]
    for value, session in (
        (exports.card(), "Maren"),
        ({"spec": "lorebook_v3", "data": book | {"name": "Lamps"}}, "Lamps"),
        (book, "export"),
    ):
        ((lamp,), skips) = taken(tmp_path, value)
        assert (lamp.text, lamp.tags, lamp.session) == ("The lamp never goes out.", ("lamp",), session)
        assert lamp.meta == {"title": "The lamp", "constant": True, "insertion_order": 10}
        assert skips == [("entry 2", "disabled")]


# Which format it is


@pytest.mark.parametrize(
    ("make", "format"),
    [
        *((make, format) for format, make in exports.DOCUMENTS.items()),
        (exports.letta_first, "letta"),
        (exports.passages, "letta"),
        (exports.card, "sillytavern"),
    ],
)
@pytest.mark.parametrize("name", ["export.json", "export", "stdin"])
@pytest.mark.parametrize("indent", [None, 1])
def test_the_content_tells_the_format_whatever_the_file_is_called(
    tmp_path: Path, make: Callable[[], Any], format: str, name: str, indent: int | None
) -> None:
    (tmp_path / name).write_text(json.dumps(make(), indent=indent))
    assert detect(tmp_path / name) == format


def test_a_sign_beyond_the_first_glance_is_found_and_words_are_no_signs(tmp_path: Path) -> None:
    lyon = exports.chatgpt()[0]
    late = {"title": '"chat_messages": [{', "safe_urls": ["x" * 200_000], **lyon}
    assert detect(written(tmp_path / "late.json", [late])) == "chatgpt"
    (tmp_path / "lines").write_text('{"note": "a \\"mapping\\": {", "more": 1}\n{"text": "x"}\n')
    assert detect(tmp_path / "lines") == "jsonl"


@pytest.mark.parametrize("value", [[], {}, [1], [[]], {"foo": 1}, [{"foo": {"mapping": 1}}], {"results": []}])
def test_an_unknown_document_names_the_formats(tmp_path: Path, memory: Memory, value: Any) -> None:
    with pytest.raises(ImportFailed, match="cannot be told") as untold:
        import_file(memory, written(tmp_path / "a.json", value))
    assert all(name in untold.value.way_out for name in FORMATS)


def test_a_check_reports_and_writes_nothing(tmp_path: Path) -> None:
    path = exports.zipped(tmp_path / "export.zip", {"conversations.json": json.dumps(exports.chatgpt())})
    ran = CliRunner().invoke(
        program, ["import", str(path), "--check", "--json", "--memory", str(tmp_path / "m"), "--embedder", "hash"]
    )
    (report,) = json.loads(ran.stdout)["files"]
    assert ran.exit_code == ExitCode.DONE
    assert report["format"] == "chatgpt"
    assert (report["added"], report["existing"], report["skips"], report["dry_run"]) == (5, 0, 7, True)
    assert {"where": f"{LYON}, message a0", "why": "replaced by another answer or wording"} in report["skipped"]
    assert not (tmp_path / "m").exists()


# Breaking off, going on, and pipes


def cli(folder: Path, *argv: str, stdin: bytes = b"") -> tuple[int, str, str]:
    named = ["--memory", str(folder / "m"), "--embedder", "hash"]
    ran = CliRunner().invoke(program, [*argv, *named], input=stdin)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


KILLED = """
import os, signal, sys
from agentmem.memory import Memory
from agentmem_apps.importers.run import import_file

def at(done, total):
    if total and done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with Memory.open(sys.argv[1], embedder="hash") as memory:
    import_file(memory, sys.argv[2], progress=at)
"""


def long_chat(turns: int) -> list[Any]:
    nodes = {f"n{i}": (f"n{i - 1}" if i else None, exports.said("user", f"turn {i}", float(i))) for i in range(turns)}
    return [{"id": "c", "title": "Long", "mapping": exports.tree(nodes), "current_node": f"n{turns - 1}"}]


def test_a_killed_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.json", long_chat(3_500))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "m"), str(path), "2000"], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        there = [record.text for record in memory.records()]
        assert there == [f"turn {i}" for i in range(len(there))], "what was acknowledged, in order, and no more"
        assert 2_000 <= len(there) < 3_500

    code, out, err = cli(tmp_path, "import", str(path))
    assert code == ExitCode.DONE
    assert f"{3_500 - len(there):,} added, {len(there):,} there already" in out
    assert f"an undo takes back the {3_500 - len(there):,} added now" in err

    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        assert [record.text for record in memory.records()] == [f"turn {i}" for i in range(3_500)]
        assert import_file(memory, path).added == 0
        memory.undo()
        assert [record.text for record in memory.records()] == there
        memory.undo()
        assert list(memory.records()) == []


def test_a_pipe_is_taken_in_like_a_file(tmp_path: Path) -> None:
    document = json.dumps(exports.claude()).encode()
    assert cli(tmp_path, "import", "-", stdin=document)[:2] == (0, "stdin: 6 added, 0 there already, 3 skipped\n")
    assert "0 added, 6 there already" in cli(tmp_path, "import", "-", stdin=document)[1]
    archive = exports.zipped(tmp_path / "a.zip", {"conversations.json": document})
    assert "0 added, 6 there already" in cli(tmp_path, "import", "-", stdin=archive.read_bytes())[1]
    assert "1 added" in cli(tmp_path, "import", "-", "--format", "text", stdin=b"# Words")[1]
    with Memory.open(tmp_path / "m", embedder="hash") as memory:
        assert memory.log(limit=1)[0].cause == "import stdin"


def test_a_fault_in_a_pipe_is_told_without_its_file(tmp_path: Path) -> None:
    for content, told in (
        (b'{"text": "one"}\nnot json\n', "stdin, line 2: "),
        (b"", "stdin: there is nothing in it"),
        (b"[1, 2]", "stdin: its format cannot be told"),
    ):
        code, _, err = cli(tmp_path, "import", "-", stdin=content)
        assert code == ExitCode.FAILED
        assert told in err
        assert "agentmem-" not in err
    assert cli(tmp_path, "import", "-", "-")[0] == ExitCode.USAGE


def test_the_heading_of_a_failure_is_true_of_files_that_went_in_before(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good.json", exports.mem0()), written(tmp_path / "bad.json", {"results": [{}]})
    code, out, err = cli(tmp_path, "import", str(good), str(bad))
    assert code == ExitCode.FAILED
    assert "good.json: 2 added" in out
    assert "This file cannot be taken in" in err
    assert "bad.json" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_pipe_that_finds_no_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = tmp_path / "full"
    full.mkdir(mode=0o500)
    monkeypatch.setattr("tempfile.tempdir", str(full))
    assert cli(tmp_path, "import", "-", stdin=b"words")[0] == ExitCode.FAILED


@pytest.mark.parametrize("make", exports.DOCUMENTS.values())
def test_ids_do_not_depend_on_the_file_s_name_or_layout(tmp_path: Path, make: Callable[[], Any]) -> None:
    value = make()
    plain = written(tmp_path / "export.json", value)
    (tmp_path / "other").mkdir()
    packed = tmp_path / "other" / "export.json"
    packed.write_text(json.dumps(copy.deepcopy(value), separators=(",", ":")))
    ids = [record.id for record in items(plain)[0]]
    assert ids == [record.id for record in items(packed)[0]]
    assert len(set(ids)) == len(ids) > 0


def test_a_conversation_of_thousands_keeps_its_order(tmp_path: Path, memory: Memory) -> None:
    import_file(memory, written(tmp_path / "chat.json", long_chat(2_300)))
    records = list(memory.records())
    assert [record.text for record in records] == [f"turn {i}" for i in range(2_300)]
    assert records[-1].at - records[0].at == timedelta(seconds=2_299)
