"""Importers: what is read from each format, that a second import adds nothing, and that a bad file adds nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import ImportFailed, InvalidInput
from agentmem.memory import Memory
from agentmem.records import Place, Record, Scope, Source, State
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.reading import Options
from agentmem_apps.importers.run import import_file
from tests import exports

SCOPE = Scope("user:ana")


def read(path: Path) -> list[Record]:
    return [item for item in FORMATS[detect(path)](path, Options(SCOPE)) if isinstance(item, Record)]


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", scope="user:ana", embedder="hash") as memory:
        yield memory


# JSON Lines

JSONL = [
    {"text": "Moved to Lyon.", "speaker": "Ana", "at": "2024-05-03T10:00:00+02:00", "tags": ["b", "a"], "mood": "glad"},
    {"text": "Moved to Lyon.", "id": "mine-1", "place": {"id": "Lyon", "coordinates": [45.7, 4.8]}, "meta": {"x": 1}},
    {"text": "Said so.", "sources": ["mine-1", {"file": "a.txt", "span": [0, 4]}], "strength": 2, "kind": "fact"},
]


def jsonl(path: Path, rows: list[Any]) -> Path:
    return written(path, "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")


def test_foreign_lines_become_records(tmp_path: Path) -> None:
    first, second, third = read(jsonl(tmp_path / "chat.jsonl", [JSONL[0], "", *JSONL[1:]]))
    assert (first.text, first.speaker, first.tags) == ("Moved to Lyon.", "Ana", ("a", "b"))
    assert first.at == datetime(2024, 5, 3, 8, tzinfo=UTC)
    assert first.meta == {"mood": "glad"}
    assert (second.id, second.place, second.meta) == ("mine-1", Place("Lyon", (45.7, 4.8)), {"x": 1})
    assert third.sources == (Source(record="mine-1"), Source(file="a.txt", span=(0, 4)))
    assert (third.strength, third.kind) == (2.0, "fact")


def test_caller_names_session_and_kind(tmp_path: Path, memory: Memory) -> None:
    import_file(
        memory,
        jsonl(tmp_path / "a.jsonl", [{"text": "one", "session": "s", "kind": "fact"}]),
        session="mine",
        kind="note",
    )
    import_file(memory, written(tmp_path / "b.txt", "CHAPTER I\n\nwords"), session="Book", kind="note")
    assert [(record.session, record.kind) for record in memory.records()] == [
        ("mine", "note"),
        ("Book/CHAPTER I", "note"),
    ]


def test_an_export_comes_back_without_loss(tmp_path: Path, memory: Memory) -> None:
    kept = memory.add("Kept.", speaker="Ana", place=Place("pier", (1.0, 2.0)), tags=["t"], meta={"k": [1, {"n": None}]})
    memory.edit(kept.id, text="Kept and edited.")
    gone = memory.add("Gone.")
    memory.forget(gone.id)
    long = memory.add("First. Second.", at="2020-01-01T00:00:00+00:00", session="s")
    memory.split(long.id, ["First.", "Second."])
    memory.pin(kept.id)
    path = tmp_path / "all.jsonl"
    memory.export(path)
    every: tuple[State, ...] = ("live", "forgotten", "replaced")

    with Memory.open(tmp_path / "copy.mem", scope="user:bo", embedder="hash") as copy:
        report = import_file(copy, path)
        there = list(copy.records(states=every))
        assert import_file(copy, path).added == 0
        copy.export(tmp_path / "again.jsonl")

    here = list(memory.records(states=every))
    assert report.added == len(here) == 5
    assert [record.to_json() | {"scope": 0} for record in there] == [record.to_json() | {"scope": 0} for record in here]
    assert {str(record.scope) for record in there} == {"user:bo"}
    assert import_file(memory, tmp_path / "again.jsonl").added == 0


def test_exported_lines_keep_their_state_without_the_header(tmp_path: Path, memory: Memory) -> None:
    memory.forget(memory.add("Forgotten.").id)
    memory.export(tmp_path / "all.jsonl")
    part = written(tmp_path / "part.jsonl", (tmp_path / "all.jsonl").read_text().splitlines()[-1])
    assert [record.state for record in read(part)] == ["forgotten"]


HEADER = {"agentmem": "export", "schema": 1}


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([JSONL[0], '{"text": "cut'], 2, "not JSON"),
        ([JSONL[0], "", "[1]"], 3, "must be a JSON object"),
        ([{"words": "none"}], 1, 'no "text"'),
        ([{"text": "  "}], 1, "the text is empty"),
        ([{"text": 5}], 1, "text must be text"),
        ([{"text": "x", "at": "2024-05-03"}], 1, "no time zone"),
        ([{"text": "x", "at": "yesterday"}], 1, "not an ISO 8601 time"),
        ([{"text": "x", "tags": "one"}], 1, "tags must be a list"),
        ([{"text": "x", "sources": [{"span": [0, 1]}]}], 1, "a source names either"),
        ([{"text": "x", "sources": 5}], 1, "sources"),
        ([{"text": "x", "meta": [1]}], 1, '"meta" must be an object'),
        ([{"text": "x", "place": {"coordinates": ["a"]}}], 1, "coordinates"),
        ([{"text": "x", "pinned": "yes"}], 1, "pinned must be"),
        ([{"text": "x", "id": ""}], 1, "cannot be an id"),
        ([{"text": "x\0y"}], 1, "NUL"),
        ([{"text": "x", "id": "a"}, {"text": "y", "id": "a"}], 2, "given on line 1"),
        (['{"text": "\\ud800"}'], 1, "surrogate"),
        (['{"text": "x", "n": NaN}'], 1, "NaN is no number"),
        (['{"text": "x", "text": "y"}'], 1, "'text' twice"),
        (['{"text": "x", "n": ' + "[" * 100_000], 1, "nested too deeply"),
        (['{"text": "x", "n": ' + "9" * 5000 + "}"], 1, "cannot be read"),
        ([HEADER, {"text": "foreign"}], 2, "no exported record"),
        ([{"agentmem": "export", "schema": 99}], 1, "schema 99"),
        ([{"agentmem": "other"}], 1, "no header"),
        ([HEADER | {"records": 2}], 1, "it was cut"),
        (
            [HEADER, {"id": "a", "scope": ["s"], "text": "t", "at": "2024-01-01T00:00:00Z", "stored_at": 5}],
            2,
            "stored_at",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(
    tmp_path: Path, memory: Memory, rows: list[Any], line: int, message: str
) -> None:
    path = jsonl(tmp_path / "bad.jsonl", rows)
    with pytest.raises(ImportFailed, match=message) as caught:
        import_file(memory, path)
    assert caught.value.line == line
    assert list(memory.records()) == []


def test_an_export_is_taken_as_it_is(tmp_path: Path, memory: Memory) -> None:
    memory.add("x")
    memory.export(tmp_path / "all.jsonl")
    with pytest.raises(InvalidInput, match="taken in as it was written"):
        import_file(memory, tmp_path / "all.jsonl", session="other")


def test_an_export_of_nothing_is_no_fault(tmp_path: Path, memory: Memory) -> None:
    memory.export(tmp_path / "none.jsonl")
    assert import_file(memory, tmp_path / "none.jsonl").added == 0


# LoCoMo and BEAM


def locomo_sample() -> dict[str, Any]:
    return {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Bo",
            "session_10_date_time": "12:05 am on 1 January, 2024",
            "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Happy new year!"}],
            "session_2_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [
                {"speaker": "Ana", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kite"},
                {"speaker": "Bo", "dia_id": "D2:2", "text": "Look!"},
                {"speaker": "Bo", "dia_id": "D2:3", "text": " "},
            ],
            "session_11_date_time": "1:00 pm on 2 January, 2024",
        },
        "qa": [{"question": "What did Ana share?", "answer": "a kite", "evidence": ["D2:1"], "category": 4}],
    }


def beam_chat() -> list[dict[str, Any]]:
    def say(id: int, role: str, content: str, **more: str) -> dict[str, Any]:
        return {"id": id, "role": role, "content": content, **more}

    first = [say(0, "user", "Hi there. ->-> 1,1", time_anchor="March-15-2024"), say(1, "assistant", "Hello ->-> 1,1")]
    second = [say(2, "user", "Bye. ->-> 2,22, 24"), say(3, "assistant", "  ")]
    third = [say(4, "user", "Back.", time_anchor="April-05-2024")]
    return [{"batch_number": 1, "turns": [first, second]}, {"batch_number": 2, "turns": [third]}]


def test_locomo_turns(tmp_path: Path, memory: Memory) -> None:
    path = written(tmp_path / "set.json", json.dumps([locomo_sample()]))
    report = import_file(memory, path)
    assert (report.format, report.added) == ("locomo", 3)
    assert report.skipped == (("conv-1, session_2, turn 3", "a turn without a word"),)
    first, second, third = memory.records()
    assert (first.session, first.speaker, first.text) == ("conv-1/session_2", "Ana", "Look! [shares a red kite]")
    assert first.meta == {"dia_id": "D2:1", "sample_id": "conv-1"}
    assert (first.at, second.at) == (
        datetime(2023, 5, 8, 13, 56, tzinfo=UTC),
        datetime(2023, 5, 8, 13, 56, 1, tzinfo=UTC),
    )
    assert (third.session, third.at) == ("conv-1/session_10", datetime(2024, 1, 1, 0, 5, tzinfo=UTC))
    assert "kite?" not in " ".join(record.text for record in memory.records()), "questions stay out"
    assert import_file(memory, written(tmp_path / "one.json", json.dumps(locomo_sample()))).added == 0


def test_beam_messages(tmp_path: Path, memory: Memory) -> None:
    folder = tmp_path / "chats" / "7"
    folder.mkdir(parents=True)
    written(folder / "chat.json", json.dumps(beam_chat()))
    written(folder / "probing_questions.json", '{"abstention": [{"question": "Secret?"}]}')
    report = import_file(memory, tmp_path / "chats")
    assert (report.format, report.added, report.skips) == ("beam", 4, 1)
    records = list(memory.records())
    assert [(record.text, record.role, record.session) for record in records] == [
        ("Hi there.", "user", "7/batch_1"),
        ("Hello ->-> 1,1", "assistant", "7/batch_1"),
        ("Bye.", "user", "7/batch_1"),
        ("Back.", "user", "7/batch_2"),
    ]
    assert [record.at.date().isoformat() for record in records] == ["2024-03-15"] * 3 + ["2024-04-05"]
    assert sorted(records, key=lambda record: record.at) == records
    assert records[0].meta == {"message_id": 0, "chat": "7"}
    for same in (folder, folder / "chat.json"):
        assert import_file(memory, same).added == 0


def _set(value: Any, path: list[Any], new: Any) -> Any:
    at = value
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    return value


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        (["sample_id"], 5, "'sample_id' must be text"),
        (["conversation"], [], "'conversation' must be an object"),
        (["conversation", "session_2"], "x", "'session_2' must be a list"),
        (["conversation", "session_2"], [5], "must be an object"),
        (["conversation", "session_2", 0, "text"], None, "'text' must be text"),
        (["conversation", "session_2", 0, "blip_caption"], 5, "'blip_caption' must be text"),
        (["conversation", "session_2", 0, "speaker"], True, "'speaker' must be text"),
        (["conversation", "session_2_date_time"], "noon", "not a time such as"),
        (["conversation", "session_2_date_time"], "1:56 pm on 31 June, 2023", "no date"),
        (["conversation", "session_10", 0, "text"], "a\0b", "NUL"),
    ],
)
def test_a_wrong_locomo_is_refused_whole(
    tmp_path: Path, memory: Memory, path: list[Any], new: Any, message: str
) -> None:
    file = written(tmp_path / "set.json", json.dumps([_set(locomo_sample(), path, new)]))
    with pytest.raises(ImportFailed, match=message):
        import_file(memory, file)
    assert list(memory.records()) == []


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ([0], 5, "must be an object"),
        ([0, "batch_number"], "1", "must be a whole number"),
        ([0, "turns"], {}, "must be a list"),
        ([0, "turns", 0], {}, "a turn must be a list"),
        ([0, "turns", 0, 0], "x", "must be an object"),
        ([1, "turns", 0, 0, "content"], 5, "'content' must be text"),
        ([1, "turns", 0, 0, "id"], True, "'id' must be a whole number"),
        ([1, "turns", 0, 0, "time_anchor"], "soon", "March-15-2024"),
    ],
)
def test_a_wrong_beam_is_refused_whole(tmp_path: Path, memory: Memory, path: list[Any], new: Any, message: str) -> None:
    written(tmp_path / "chat.json", json.dumps(_set(beam_chat(), path, new)))
    with pytest.raises(ImportFailed, match=message):
        import_file(memory, tmp_path)
    assert list(memory.records()) == []


# Any format


def _jsonl(folder: Path) -> Path:
    return jsonl(folder / "lines.jsonl", JSONL)


def _locomo(folder: Path) -> Path:
    return written(folder / "set.json", json.dumps([locomo_sample()], indent=1))


def _beam(folder: Path) -> Path:
    (folder / "7").mkdir()
    written(folder / "7" / "chat.json", json.dumps(beam_chat()))
    return folder / "7"


def _text(folder: Path) -> Path:
    return written(folder / "lamp.txt", "PART ONE\n\nIt was\ndark.\n\n* * *\n\nYes.\n\nYes.\n")


def _markdown(folder: Path) -> Path:
    return written(folder / "notes.md", "# A\n\none\n\none\n\n## B\ntwo")


def _document(format: str, folder: Path) -> Path:
    return written(folder / "export.json", json.dumps(exports.DOCUMENTS[format](), indent=1))


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "text": _text,
    "markdown": _markdown,
    "jsonl": _jsonl,
    "locomo": _locomo,
    "beam": _beam,
    **{format: partial(_document, format) for format in exports.DOCUMENTS},
}
STRUCTURED = [format for format in SAMPLES if format not in ("text", "markdown")]


def test_every_format_has_a_sample() -> None:
    assert SAMPLES.keys() == FORMATS.keys()


@pytest.mark.parametrize("format", SAMPLES)
def test_a_second_import_adds_nothing_and_one_undo_takes_it_back(tmp_path: Path, memory: Memory, format: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path = SAMPLES[format](tmp_path / "a")
    moved = tmp_path / "b" / path.name
    if path.is_dir():
        shutil.copytree(path, moved)
    else:
        shutil.copy(path, moved)

    plan = import_file(memory, path, dry_run=True)
    assert list(memory.records()) == []
    assert memory.log() == []
    first = import_file(memory, path)
    assert first.format == plan.format == format
    assert first.added == plan.added == len(list(memory.records())) > 0
    assert first.cause == memory.log(limit=1)[0].cause == f"import {path.name}"
    assert len({change.step for change in memory.log()}) == 1

    for again in (path, moved):
        plan, report = import_file(memory, again, dry_run=True), import_file(memory, again)
        assert (report.added, report.existing) == (plan.added, plan.existing) == (0, first.added)

    memory.forget(next(iter(memory.records())).id)
    assert import_file(memory, path).added == 0, "what was forgotten is not brought back"
    memory.undo(2)
    assert list(memory.records()) == []
    assert import_file(memory, path).added == first.added


@pytest.mark.parametrize("format", STRUCTURED)
def test_a_truncated_file_adds_nothing(tmp_path: Path, memory: Memory, format: str) -> None:
    path = SAMPLES[format](tmp_path)
    file = path / "chat.json" if path.is_dir() else path
    whole = file.read_bytes().rstrip()
    for length in sorted({*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}):
        cut = whole[:length]
        if format == "jsonl" and (cut.rsplit(b"\n", 1)[-1].endswith(b"}") or cut.endswith(b"\n")):
            continue  # cut between two lines: a shorter file, not a broken one
        file.write_bytes(cut)
        with pytest.raises(ImportFailed) as caught:
            import_file(memory, path, format=format)
        assert caught.value.file == str(file)
    assert list(memory.records()) == []


EMPTY = [b"", b"\n \r\n\n", b"\xef\xbb\xbf", b"\xff\xfet\x00", b"\0\0"]
VALUES = [b"null", b"[]", b'"x"', b"{}", b"[{}]", b"5"]


@pytest.mark.parametrize(
    ("format", "content"),
    [(format, content) for format in ("text", "markdown") for content in EMPTY]
    + [(format, content) for format in STRUCTURED for content in EMPTY + VALUES],
)
def test_a_file_with_nothing_of_use_is_refused(tmp_path: Path, memory: Memory, format: str, content: bytes) -> None:
    path = tmp_path / "chat.json"
    path.write_bytes(content)
    with pytest.raises(ImportFailed):
        import_file(memory, path, format=format)
    assert list(memory.records()) == []


@pytest.mark.parametrize("format", ["auto", *SAMPLES])
def test_paths_that_are_no_file(tmp_path: Path, memory: Memory, format: str) -> None:
    folder = tmp_path / "folder.txt"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (folder, tmp_path / "pipe.txt", tmp_path / "missing.txt"):
        with pytest.raises(ImportFailed) as caught:
            import_file(memory, path, format=format)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path, memory: Memory) -> None:
    path = written(tmp_path / "a.txt", "words")
    path.chmod(0)
    with pytest.raises(ImportFailed, match="cannot be read"):
        import_file(memory, path)


def test_an_unknown_format_lists_the_known(tmp_path: Path, memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="docx") as caught:
        import_file(memory, written(tmp_path / "a.txt", "words"), format="docx")
    assert all(name in caught.value.way_out for name in FORMATS)
    with pytest.raises(ImportFailed, match="cannot be told") as untold:
        import_file(memory, written(tmp_path / "a.bin", "PK\0\1"))
    assert all(name in untold.value.way_out for name in FORMATS)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.TXT", "{}", "text"),
        ("a.markdown", "x", "markdown"),
        ("a.ndjson", "{}", "jsonl"),
        ("a.json", '[{"sample_id": "c"}]', "locomo"),
        ("a.json", '{\n "sample_id": "c"}', "locomo"),
        ("a.json", '{"text": "x"}', "jsonl"),
        ("a", '\ufeff{"text": "x"}\n{"text": "y"}', "jsonl"),
        ("a", "# Title", "markdown"),
        ("a", "Dear diary", "text"),
    ],
)
def test_the_format_is_told_by_ending_then_by_content(tmp_path: Path, name: str, content: str, format: str) -> None:
    assert detect(written(tmp_path / name, content)) == format


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


def test_an_import_that_is_broken_off_is_taken_back(tmp_path: Path, memory: Memory) -> None:
    memory.add("before")
    path = jsonl(tmp_path / "many.jsonl", [{"text": f"line {i}"} for i in range(2_500)])

    def interrupt(done: int, total: int) -> None:
        if total and done >= 2_000:
            raise Interrupted

    with pytest.raises(Interrupted):
        import_file(memory, path, progress=interrupt)
    assert [record.text for record in memory.records()] == ["before"]
    assert import_file(memory, path).added == 2_500
    memory.undo()
    assert [record.text for record in memory.records()] == ["before"]


def test_a_report_names_a_hundred_skips_and_counts_all(tmp_path: Path, memory: Memory) -> None:
    path = written(tmp_path / "stars.txt", "words\n\n" + "* * *\n\n" * 130)
    report = import_file(memory, path)
    assert (report.added, report.skips, len(report.skipped)) == (1, 130, 100)
    assert report.to_json()["skips"] == 130
    json.dumps(report.to_json())


def test_scopes_hold_the_same_file_apart(tmp_path: Path, memory: Memory) -> None:
    path = _jsonl(tmp_path)
    other = memory.scope("user:bo")
    assert import_file(memory, path).added == import_file(other, path).added == 3
    assert {str(record.scope) for record in other.records()} == {str(other.bound)}
