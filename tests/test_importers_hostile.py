"""Files that are broken, or made to break us: always records or ImportFailed with its place, and nothing by halves.

Damage is dealt at random to good exports of every format; the large ones are read in a process of their own, whose
memory is measured.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem.errors import ImportFailed
from agentmem.memory import Memory
from agentmem.records import Record, Scope
from agentmem.values import LONGEST_TEXT
from agentmem_apps.importers.decoding import LONGEST, MOST_VALUES
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.pieces import pieces
from agentmem_apps.importers.reading import Options, Skip
from agentmem_apps.importers.run import import_file
from tests import exports

Json = Any
FOLDER = [HealthCheck.function_scoped_fixture]
DOCUMENTS: dict[str, tuple[str, Callable[[], Json]]] = {
    **{format: (format, make) for format, make in exports.DOCUMENTS.items()},
    "letta_first": ("letta", exports.letta_first),
    "passages": ("letta", exports.passages),
    "card": ("sillytavern", exports.card),
}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", scope="user:ana", embedder="hash") as memory:
        yield memory


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def outcome(path: Path, format: str = "auto") -> tuple[list[Record | Skip], ImportFailed | None]:
    """What was read of a file, and why no more; any other exception is a failure of the test."""
    items: list[Record | Skip] = []
    try:
        items.extend(FORMATS[detect(path) if format == "auto" else format](path, Options(Scope("a"))))
    except ImportFailed as error:
        return items, error
    return items, None


def refused(path: Path, format: str = "auto") -> ImportFailed:
    _, error = outcome(path, format)
    assert error is not None
    assert str(error).startswith(str(path))
    return error


# Damage at random

ODD: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from([None, True, 0, -1, 2.5, 10**30, 1e308, "", " ", "\0", "\ud800", "nowhere", [], {}, [[]], [None]]),
    st.sampled_from(["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", {"text": 5}, {"type": "text"}, ["x"]]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
        max_leaves=4,
    ),
)


def places(value: Json) -> Iterator[tuple[Json, Any]]:
    """Every (holder, key) of the document."""
    listed = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in list(listed):
        yield value, key
        yield from places(inside)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, bytes]:
    """(format, a document of it in which something was replaced, taken out or cut off)."""
    format, make = draw(st.sampled_from(sorted(DOCUMENTS.values(), key=lambda known: known[1].__name__)))
    value = make()
    for _ in range(draw(st.integers(0, 3))):
        if not (known := list(places(value))):
            break
        holder, key = known[draw(st.integers(0, len(known) - 1))]
        if draw(st.booleans()):
            holder[key] = deepcopy(draw(ODD))  # a later round may change what is inside
        else:
            del holder[key]
    indent = draw(st.sampled_from([None, 1]))
    raw = json.dumps(value, indent=indent, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        raw = raw[: draw(st.integers(0, len(raw)))]
    if draw(st.booleans()) and raw:
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return format, raw


@given(spoiled(), st.booleans())
@settings(max_examples=400, suppress_health_check=FOLDER)
def test_a_spoiled_document_gives_records_or_says_where_it_is_wrong(
    tmp_path: Path, document: tuple[str, bytes], auto: bool
) -> None:
    format, raw = document
    path = written(tmp_path / "export.json", raw)
    items, error = outcome(path, "auto" if auto else format)
    for item in items:
        if isinstance(item, Record):
            item.admitted(Scope("a"))
    if error is not None:
        assert error.file == str(path)
        assert error.line is None or 1 <= error.line <= raw.count(b"\n") + 1
        assert str(error).startswith(str(path))
        assert not any(word in str(error) for word in ("Expecting", "delimiter", "codec", "NoneType")), "Python's words"


@given(document=spoiled())
@settings(max_examples=60, suppress_health_check=FOLDER)
def test_a_spoiled_document_is_taken_in_whole_or_not_at_all(
    tmp_path: Path, memory: Memory, document: tuple[str, bytes]
) -> None:
    format, raw = document
    path = written(tmp_path / "export.json", raw)
    before, log = list(memory.records()), memory.log(limit=1)
    try:
        report = import_file(memory, path, format=format)
    except ImportFailed:
        assert list(memory.records()) == before
        assert memory.log(limit=1) == log
    else:
        assert len(list(memory.records())) == len(before) + report.added
        assert import_file(memory, path, format=format).added == 0


@given(st.data())
@settings(max_examples=150, suppress_health_check=FOLDER)
def test_a_spoiled_zip_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    document = json.dumps(exports.claude())
    packed = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    path = exports.zipped(tmp_path / "a.zip", {"conversations.json": document, "b.png": b"png"}, compression=packed)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(4, len(raw)))])
    _, error = outcome(path, "claude")
    assert error is None or error.file.startswith(str(path))


# The pieces of a document, against Python's own decoder

values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


class Trickle(io.BytesIO):
    """A file that hands out a few bytes at a time, so that every piece is cut somewhere."""

    def __init__(self, raw: bytes, size: int) -> None:
        super().__init__(raw)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._size)


@given(
    st.lists(values) | st.dictionaries(st.text(), values),
    st.integers(1, 9),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200)
def test_pieces_are_what_a_whole_decoder_finds(
    value: Json, size: int, indent: int | None, bom: bool, plain: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=plain).encode()
    stream = Trickle(b"\xef\xbb\xbf" * bom + raw, size)
    if isinstance(value, list):
        found = list(pieces(stream, "f", into=["x"]))
        assert [(piece.path, piece.value) for piece in found] == [((i,), item) for i, item in enumerate(value)]
        return
    names = [key for key, inside in value.items() if isinstance(inside, list | dict)]
    found = list(pieces(stream, "f", into=names))
    if not names:
        assert [(piece.path, piece.value) for piece in found] == [((), value)]
        return
    again: dict[Any, Any] = {key: type(inside)() if key in names else inside for key, inside in value.items()}
    for _, path, inside in found:
        if len(path) == 1:
            again[path[0]] = inside
        elif isinstance(again[path[0]], list):
            again[path[0]].append(inside)
        else:
            again[path[0]][path[1]] = inside
    assert again == value


@given(st.lists(values, min_size=1), st.integers(1, 9), st.sampled_from([None, 1]), st.data())
@settings(max_examples=200)
def test_a_document_cut_anywhere_is_refused_at_its_end(
    value: Json, size: int, indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(ImportFailed) as caught:
        list(pieces(Trickle(cut.encode(), size), "f"))
    assert caught.value.line is not None
    assert caught.value.line <= cut.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ('[{"a": 1},\n {"b": }]', 2, 8, "a value is missing"),
        ('[{"a": 1},\n {"b" 1}]', 2, 7, "a colon is missing"),
        ('[{"a": 1}\n {"b": 1}]', 2, 2, "a comma or a closing bracket is missing"),
        ('[{"a": 1},\n\n  {b: 1}]', 3, 4, "a name in double quotes is missing"),
        ('[{"a": "é", "b": "x\ny"}]', 1, 20, "a control character"),
        ('["é", "\\q"]', 1, 8, "a backslash"),
        ("[1, 2,]", 1, 7, "a value is missing"),
        ("[1, 2]\n]", 2, 1, "something after its end"),
        ('{"a": 1} {"a": 2}', 1, 10, "something after its end"),
        ('[{"a": 1', 1, 9, "it ends here"),
        ('[{"a": 1},', 1, 11, "it ends here"),
        ('[\n"abc', 2, 1, "has no end"),
        ("[1, 2", 1, 6, "it ends here"),
        ("[", 1, 2, "it ends here"),
        ("[}", 1, 2, "a value is missing"),
        ("[nul]", 1, 2, "a value is missing"),
        ('"text"', 1, 1, "a list or an object"),
        ("['a']", 1, 2, "a value is missing"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_fault_is_told_by_line_and_column(text: str, line: int, column: int, what: str, size: int) -> None:
    with pytest.raises(ImportFailed, match=what) as caught:
        list(pieces(Trickle(text.encode(), size), "f"))
    assert caught.value.line == line
    assert caught.value.what.endswith(f"column {column}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"a": 1, "b": 2, "a": 3}]', "'a' twice"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        (f"[{'9' * 5000}]", "thousands of digits"),
        ('["\\u12"]', "four hexadecimal digits"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 300 + "]" * 300, "nested too deeply"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested too deeply"),
    ],
)
def test_what_a_decoder_would_let_pass_or_fall_over(text: str, what: str) -> None:
    with pytest.raises(ImportFailed, match=what) as caught:
        list(pieces(io.BytesIO(text.encode()), "f"))
    assert caught.value.line == 1


# Encodings, and characters that cannot be kept


@pytest.mark.parametrize(
    ("raw", "what", "way_out"),
    [
        ('[{"memory": "x"}]'.encode("utf-16"), "this is UTF-16", "iconv -f utf-16 -t utf-8"),
        ('[{"memory": "x"}]'.encode("utf-16-le"), "NUL byte", ""),
        ('[{"memory": "café"}]'.encode("latin-1"), "byte 16 (0xe9) is not UTF-8", "iconv -f windows-1252"),
        (b'[\n{"memory": "\xed\xa0\x80"}]', "byte 14 (0xed) is not UTF-8", "iconv"),
        (b'[{"memory": "\xf0\x9f\x98', "it was cut", ""),
        (b'[{"memory": "a\0b"}]', "NUL byte", ""),
        (rb'[{"memory": "a\u0000b"}]', "NUL character", "Remove it"),
        (rb'[{"memory": "half \ud83d of it"}]', "half of a surrogate pair", r"Write \ufffd"),
        (rb'[{"memory": "x", "user_id": "\ude00"}]', "half of a surrogate pair", r"Write \ufffd"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path: Path, raw: bytes, what: str, way_out: str) -> None:
    error = refused(written(tmp_path / "a.json", raw), "mem0")
    assert what in error.what
    assert way_out in error.way_out
    assert error.line == raw.count(b"\n", 0, 5) + 1


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", rb'[{"memory": "\ud83d\ude00"}]')
    (record,) = FORMATS["mem0"](path, Options(Scope("a")))
    assert isinstance(record, Record)
    assert record.text == "😀"


def test_the_encoding_of_lines_is_told_too(tmp_path: Path) -> None:
    assert "UTF-16" in refused(written(tmp_path / "a.txt", "words".encode("utf-16"))).what
    assert "UTF-16" in refused(written(tmp_path / "a", "words".encode("utf-16"))).what
    error = refused(written(tmp_path / "a.jsonl", b'{"text": "x"}\n{"text": "\xe9"}\n'))
    assert (error.line, "byte 24 (0xe9)" in error.what) == (2, True)


def test_messages_that_answer_each_other_in_a_circle(tmp_path: Path) -> None:
    nodes = exports.tree({"a": ("b", exports.said("user", "x")), "b": ("a", exports.said("user", "y"))})
    for current in ("a", None):
        path = written(tmp_path / "a.json", json.dumps([{"id": "c", "mapping": nodes, "current_node": current}]))
        assert "in a circle" in refused(path).what


# Zips


def test_members_that_are_not_the_export_s_are_left_alone(tmp_path: Path) -> None:
    for members in (
        {"../conversations.json": "[]", "a.txt": "x"},
        {"x/../../conversations.json": "[]"},
        {"inner.zip": exports.zipped(tmp_path / "inner.zip", {"conversations.json": "[]"}).read_bytes()},
        {"conversations.json/": ""},
        {},
    ):
        error = refused(exports.zipped(tmp_path / "a.zip", members), "chatgpt")
        assert "no conversations.json" in error.what or "nothing in it" in error.what
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "inner.zip"], "nothing is unpacked"


def test_a_member_that_is_encrypted_or_oddly_packed(tmp_path: Path) -> None:
    plain = exports.zipped(tmp_path / "plain.zip", {"conversations.json": "[]"})
    locked = bytearray(plain.read_bytes())
    locked[6] |= 1  # the flag in the member's own header, and in the list
    locked[locked.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in refused(written(tmp_path / "locked.zip", bytes(locked)), "claude").what
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        odd = exports.zipped(tmp_path / "odd.zip", {"conversations.json": "[]"}, compression=packing)
        assert "unusual way" in refused(odd, "claude").what


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    honest = exports.zipped(tmp_path / "a.zip", {"conversations.json": json.dumps(exports.claude())}).read_bytes()
    whole = [item for item in FORMATS["claude"](tmp_path / "a.zip", Options(Scope("a"))) if isinstance(item, Record)]
    for claimed in (0, 10, 2**31):
        raw = bytearray(honest)
        listing = raw.index(b"PK\1\2")
        raw[22:26] = raw[listing + 24 : listing + 28] = struct.pack("<I", claimed)
        written(tmp_path / "a.zip", bytes(raw))
        if claimed < len(honest):
            refused(tmp_path / "a.zip", "claude")
        else:  # all of it is there all the same
            items = FORMATS["claude"](tmp_path / "a.zip", Options(Scope("a")))
            assert [item.id for item in items if isinstance(item, Record)] == [record.id for record in whole]


def test_a_bomb_is_given_up_early(tmp_path: Path) -> None:
    content = b'[{"mapping": {}, "id": "c"}' + b" " * (300 * 2**20) + b"]"
    exports.zipped(tmp_path / "a.zip", {"conversations.json": content})
    assert (tmp_path / "a.zip").stat().st_size < 2**19
    assert "200 times its size" in refused(tmp_path / "a.zip", "chatgpt").what


def test_a_list_of_members_without_end(tmp_path: Path) -> None:
    raw = bytearray(exports.zipped(tmp_path / "a.zip", {"conversations.json": "[]"}).read_bytes())
    end = raw.index(b"PK\5\6")
    raw[end + 12 : end + 16] = struct.pack("<I", 2**31)
    refused(written(tmp_path / "a.zip", bytes(raw)), "chatgpt")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(9_000):
            archive.writestr(zipfile.ZipInfo(f"{number:0990}"), b"")
    assert "list of members is too long" in refused(tmp_path / "many.zip", "chatgpt").what


# Size: read in a process of its own, so that its memory can be measured

READ = """
import sys
from pathlib import Path
from agentmem.errors import ImportFailed
from agentmem.records import Scope
from agentmem_apps.importers.formats import FORMATS
from agentmem_apps.importers.reading import Options, Skip

count, told = 0, ""
try:
    for _ in FORMATS[sys.argv[2]](Path(sys.argv[1]), Options(Scope("a"))):
        count += 1
except ImportFailed as error:
    told = f"line {error.line}: {error.what}"
# Not ru_maxrss: that begins with what the process it was forked from had taken.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) // 1024, count, told)
"""
SMALL, BOUND = 100, 700  # MiB of a whole process: for any export of ordinary conversations, and for the worst file


def measured(path: Path, format: str, bound: int) -> str:
    """What the reading said: the number of items, then the fault; it must have stayed below `bound` MiB."""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    run = subprocess.run(
        [sys.executable, "-c", READ, str(path), format], capture_output=True, text=True, check=True, timeout=300
    )
    peak, told = run.stdout.split(" ", 1)
    assert int(peak) < bound, f"{peak} MiB"
    return told.strip()


def test_a_line_of_50_megabytes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"text": "x"}\n{"text": "' + b"x" * 50_000_000 + b'"}\n')
    assert measured(path, "jsonl", SMALL) == "1 line 2: a line of more than 32 MiB"
    path = written(tmp_path / "a.txt", b"x" * 50_000_000)
    assert measured(path, "text", SMALL) == "0 line 1: a line of more than 32 MiB"


def test_a_piece_of_50_megabytes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", b'[{"mapping": {}, "id": "c"},\n{"a": "' + b"x" * 50_000_000 + b'"}]')
    assert measured(path, "chatgpt", BOUND) == "1 line 2: a piece of JSON of more than 32 MiB"


def test_an_export_much_larger_than_the_memory_for_it(tmp_path: Path) -> None:
    conversation = json.dumps(
        {
            "title": "T",
            "mapping": exports.tree(
                {f"n{i}": (f"n{i - 1}" if i else None, exports.said("user", "word " * 2_000, 1.0)) for i in range(100)}
            ),
            "current_node": "n99",
            "conversation_id": "ID",
        }
    )
    path = tmp_path / "conversations.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(60):
            file.write("," * bool(number) + conversation.replace("ID", f"{number}"))
        file.write("]")
    assert path.stat().st_size > 60e6
    assert measured(path, "chatgpt", SMALL) == "6000"
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(path, "conversations.json")
    assert measured(archive, "chatgpt", SMALL) == "6000"


WORST: dict[str, tuple[str, str, Callable[[], str]]] = {
    "many objects": ("chatgpt", "values", lambda: '[{"mapping": [' + "{}," * (LONGEST // 4) + "1]}]"),
    "as many values as may be": (
        "chatgpt",
        "must be an object",
        lambda: '[{"mapping": {' + ",".join(f'"{i:07}":0' for i in range(MOST_VALUES - 10)) + "}}]",
    ),
    "a wide text": ("jsonl", "", lambda: '{"text": "' + "x" * (LONGEST_TEXT - 100) + '😀"}'),
    "a text of escapes": ("jsonl", "", lambda: '{"text": "' + '\\"' * (LONGEST_TEXT - 100) + '"}'),
    "a text of escapes without an end": ("mem0", "has no end", lambda: '[{"memory": "' + '\\"' * (LONGEST // 2 - 100)),
    "quotes": ("mem0", "is missing", lambda: '[{"memory": "' + '"' * (LONGEST - 100)),
    "brackets": ("letta", "nested too deeply", lambda: "[" * LONGEST),
    "lines of one letter": ("text", "lines", lambda: "x\n" * (LONGEST // 4)),
    "digits": ("sillytavern", "digits", lambda: '{"entries": ' + "9" * (LONGEST - 100) + "}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_the_worst_files_stay_within_bounds(tmp_path: Path, name: str) -> None:
    format, what, make = WORST[name]
    told = measured(written(tmp_path / "worst", make()), format, BOUND)
    assert what in told
    assert bool(what) == ("line" in told)


def test_large_records_are_not_gathered_into_one_batch(tmp_path: Path, memory: Memory) -> None:
    lines = (json.dumps({"text": f"{number} " + "word " * 600_000}) for number in range(8))
    path = written(tmp_path / "a.jsonl", "\n".join(lines))
    done: list[int] = []
    import_file(memory, path, progress=lambda so_far, total: done.append(so_far) if total else None)
    assert done == [3, 6, 8], "3 MB each, and a batch of 1,000 is cut at 8 MiB"
