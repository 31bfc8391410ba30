"""Plain text and Markdown: chapters, paragraphs and spans as they were written, and what is left out on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem.errors import ImportFailed
from agentmem.memory import Memory
from agentmem.records import Record, Scope
from agentmem_apps.importers.formats import FORMATS, detect
from agentmem_apps.importers.headings import Outline, printed_heading
from agentmem_apps.importers.reading import Options, Skip
from agentmem_apps.importers.run import import_file


def read(path: Path) -> list[Record]:
    items = FORMATS[detect(path)](path, Options(Scope("user:ana")))
    return [item for item in items if isinstance(item, Record)]


def skipped(path: Path) -> list[Skip]:
    items = FORMATS[detect(path)](path, Options(Scope("user:ana")))
    return [item for item in items if isinstance(item, Skip)]


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "notes.mem", scope="user:ana", embedder="hash") as memory:
        yield memory


words = st.lists(
    st.sampled_from(["alas", "été", "naïve", "sea", "ship", "𝔸lpha", "“storm”", "o'clock"]), min_size=1, max_size=9
)
paragraphs = st.lists(st.lists(words.map(" ".join), min_size=1, max_size=3), min_size=1, max_size=4)
chapters = st.lists(paragraphs, min_size=1, max_size=4)


@given(chapters, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.integers(1, 4), st.booleans())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_book_is_read_as_it_was_composed(
    tmp_path: Path, book: list[list[list[str]]], end: str, bom: bool, gap: int, markdown: bool
) -> None:
    """Whatever line ends, byte order mark and gaps: the same chapters, paragraphs and order; spans point at them."""
    rows, expected = [], []
    for number, chapter in enumerate(book, start=1):
        rows += [f"## Part {number}" if markdown else f"     CHAPTER {number}", ""]
        for lines in chapter:
            rows += [*lines[:-1], f"{lines[-1]}.", *[""] * gap]
            expected.append((f"book/{'Part' if markdown else 'CHAPTER'} {number}", f"{' '.join(lines)}."))
    path = tmp_path / ("book.md" if markdown else "book.txt")
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + end.join(rows).encode())

    records = read(path)

    assert [(record.session, record.text) for record in records] == expected
    text = path.read_text(encoding="utf-8-sig")
    for record in records:
        (source,) = record.sources
        assert source.file == path.name
        assert source.span is not None
        raw = text[source.span[0] : source.span[1]]
        assert raw == raw.strip()
        assert " ".join(raw.split()) == record.text
    assert len({record.id for record in records}) == len(records)
    assert [record.id for record in read(path)] == [record.id for record in records]


GUTENBERG = """\
The Project Gutenberg eBook of The Lamp
Title: The Lamp

*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***

THE LAMP

[Illustration]

CONTENTS

CHAPTER                PAGE
I  THE SEA               1

II  THE SHORE            9



CHAPTER I

THE SEA

It was dark
and still.

* * *

“Who goes there?”

[Illustration: A ship.]

CHAPTER II
THE SHORE

I went home.

*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***

Most people start at our website.
"""


def test_a_gutenberg_book_loses_its_frame_and_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "pg1.txt", GUTENBERG)
    assert [(record.session, record.text) for record in read(path)] == [
        ("The Lamp", "THE LAMP"),
        ("The Lamp/CHAPTER I: THE SEA", "It was dark and still."),
        ("The Lamp/CHAPTER I: THE SEA", "“Who goes there?”"),
        ("The Lamp/CHAPTER I: THE SEA", "[Illustration: A ship.]"),
        ("The Lamp/CHAPTER II: THE SHORE", "I went home."),
    ]
    assert skipped(path) == [
        ("lines 1 to 4", "Project Gutenberg's header"),
        ("line 8", "a picture without a caption"),
        ("lines 10 to 15", "a table of contents"),
        ("line 26", "decoration without a word"),
        ("lines 37 to 39", "Project Gutenberg's licence"),
    ]


def test_a_list_under_contents_is_kept_unless_it_names_pages(tmp_path: Path) -> None:
    path = written(tmp_path / "shopping.txt", "CONTENTS\n\n3 apples\n\npears\n\nplums\n")
    assert [record.text for record in read(path)] == ["pears", "plums"]
    path = written(tmp_path / "tale.txt", "CONTENTS\n\nChapter 1\n\nChapter 2\n\nChapter 1\n\nWords.\n")
    assert [(record.session, record.text) for record in read(path)] == [("tale/Chapter 1", "Words.")]


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ("CHAPTER I", "CHAPTER I"),
        ("   Chapter 12.", "Chapter 12"),
        ("Chapter 1. A Title", "Chapter 1: A Title"),
        ("CHAPTER XL — THE END OF IT", "CHAPTER XL: THE END OF IT"),
        ("PART ONE", "PART ONE"),
        ("Book Twenty-First", "Book Twenty-First"),
        ("CHAPTER I\nBLASTING FIRE", "CHAPTER I: BLASTING FIRE"),
        ("Chapter XII\nTea with Lapping", "Chapter XII: Tea with Lapping"),
        ("PREFACE", "PREFACE"),
        ("Author’s Note", "Author’s Note"),
        ("IV.", "IV"),
        ("I. A SCANDAL IN BOHEMIA", "I: A SCANDAL IN BOHEMIA"),
    ],
)
def test_headings_of_printed_books(block: str, name: str) -> None:
    found = printed_heading(block.splitlines())
    assert found is not None
    heading, taken = found
    assert (heading.name, taken) == (name, len(block.splitlines()))


@pytest.mark.parametrize(
    "block",
    [
        "Chapter Thirty? Now you have been and gone and spoilt my holiday,",
        "Part of the plan was mine.",
        "Part one of the plan was mine.",
        "Book of Hours",
        "CHAPTER IIX",
        "I nodded.",
        "Notes on the sea were all he had.",
        "“Yes.”",
        "Letter to My Father",
    ],
)
def test_prose_is_no_heading(block: str) -> None:
    assert printed_heading([block]) is None


def test_a_numeral_opens_a_section_only_in_sequence() -> None:
    outline = Outline()

    def enters(text: str) -> bool:
        found = printed_heading([text])
        assert found is not None
        return outline.enter(found[0])

    assert not enters("57"), "a page number before any chapter"
    assert enters("CHAPTER 3")
    assert enters("1")
    assert list(outline.path) == ["CHAPTER 3", "1"]
    assert not enters("58")
    assert enters("2")
    assert list(outline.path) == ["CHAPTER 3", "2"]
    assert enters("CHAPTER 4")
    assert not enters("II")
    assert list(outline.path) == ["CHAPTER 4"]


def test_markdown_keeps_code_lists_and_levels(tmp_path: Path) -> None:
    text = (
        "# My notes\n\nIntro\nwrapped.\n\n## Tools ##\nRight below.\n- one\n- two\n  more\n\n```sh\n# no heading\n\n"
        "run\n```\nDeeper\n------\n\n***\n\n| a |\n|---|\n\n# Second\nlast  \nbreak"
    )
    path = written(tmp_path / "notes.md", text)
    assert [(record.session, record.text) for record in read(path)] == [
        ("My notes", "Intro wrapped."),
        ("My notes/Tools", "Right below.\n- one\n- two more"),
        ("My notes/Tools", "```sh\n# no heading\n\nrun\n```"),
        ("My notes/Deeper", "| a |\n|---|"),
        ("My notes/Second", "last\nbreak"),
    ]
    assert skipped(path) == [Skip("line 20", "decoration without a word")]


def test_front_matter_gives_the_title_and_an_open_fence_ends_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "n.md", '---\ntitle: "Sea diary"\n---\nDay one.\n\n~~~\nkept\n\n# kept too')
    assert [(record.session, record.text) for record in read(path)] == [
        ("Sea diary", "Day one."),
        ("Sea diary", "~~~\nkept\n\n# kept too"),
    ]


def test_an_edited_book_adds_only_what_changed(tmp_path: Path, memory: Memory) -> None:
    path = written(tmp_path / "lamp.txt", GUTENBERG.replace("I went home.", "Yes.\n\nYes.\n\nI went home."))
    assert import_file(memory, path).added == 7
    path.write_text(
        path.read_text().replace("It was dark", "It was bright").replace("Yes.\n\nYes.", "Yes.\n\nYes.\n\nYes.")
    )
    report = import_file(memory, path)
    assert (report.added, report.existing) == (2, 6)
    texts = [record.text for record in memory.records()]
    assert texts.count("Yes.") == 3
    assert "It was bright and still." in texts


def test_invalid_bytes_are_named_by_line_and_offset(tmp_path: Path, memory: Memory) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("première\n".encode() + b"caf\xe9 noir\n")
    with pytest.raises(ImportFailed, match=r"line 2: byte 13 \(0xe9\) is not UTF-8") as caught:
        import_file(memory, path)
    assert (caught.value.line, caught.value.file) == (2, str(path))
    assert "iconv" in caught.value.way_out
    assert list(memory.records()) == []
