"""Plain text and Markdown: chapters, and in them paragraphs.

A paragraph is what blank lines or a heading part off; its hard-wrapped lines are joined by a space. Its session is
`TITLE/CHAPTER`, its source the file and the span of characters it came from. Streams: what is held at a time is one
paragraph, and the first thousand lines while the start of a Project Gutenberg book is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Final

from agentmem.errors import ImportFailed
from agentmem.records import Record, Source
from agentmem_apps.importers.decoding import LONGEST
from agentmem_apps.importers.headings import Heading, Outline, is_listing, printed_heading, underlined
from agentmem_apps.importers.reading import Ids, Line, Options, Skip, lines, made

__all__ = ["read_markdown", "read_text"]

_PREAMBLE = 1_000  # lines: the longest header before a START marker is about 400
_MOST_LINES = 1_000_000  # in a paragraph: 160 bytes each, however short
_START: Final = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK,? (.*?)\s*(?:\*\*\*)?")
_END: Final = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK.*")
_HASHES: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ENTRY: Final = re.compile(r"^\s*(?:[IVXLC]+|\d+)\b|\b(?:\d+|[ivxlc]+|page|PAGE)\s*$|\.{4}")  # in a table of contents
_SENTENCE: Final = re.compile(r"[^.][.!?][_”’\"']*\s*$")
_PICTURE: Final = re.compile(r"\[[^\]:]{0,40}illustration[^\]:]{0,40}\]", re.IGNORECASE)
_OWN_LINE: Final = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|[(\[]?[a-z0-9]{1,2}[)\]])\s+\S|\s*[|>]| {4,}|\t")


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines without a blank one between them; `gap` blank lines stood before. `fenced`: code, kept as it is."""

    lines: list[Line]
    gap: int
    fenced: bool = False

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def where(self) -> str:
        return _where(self.lines[0].number, self.lines[-1].number)


def read_text(path: Path, options: Options) -> Iterator[Record | Skip]:
    """The paragraphs of a plain-text book."""
    return _read(path, options, markdown=False)


def read_markdown(path: Path, options: Options) -> Iterator[Record | Skip]:
    """The paragraphs of a Markdown file; a fenced block of code is one of them."""
    return _read(path, options, markdown=True)


def _read(path: Path, options: Options, *, markdown: bool) -> Iterator[Record | Skip]:
    found, rest = _Preamble.of(lines(path), markdown)
    yield from found.skips
    title = found.title or path.stem
    ids, outline = Ids(), Outline()
    listing: _Listing | None = None
    begun = bool(found.skips)
    for block in _blocks(rest, str(path), markdown):
        if isinstance(block, Skip):
            yield block
            continue
        if listing is not None:
            if listing.takes(block):
                continue
            yield listing.skip
            listing = None
        if not markdown and is_listing(block.texts) and not block.fenced:
            listing, begun = _Listing(block), True
            listing.takes(block)
            continue
        heading, paragraph = _split(block, markdown)
        if heading is not None and heading.level == 1 and not (begun or found.title or printed_heading([heading.name])):
            title, heading = heading.name, None  # the H1 that opens a file is its title, unless it is "Chapter 1"
        begun = True
        if heading is not None and not outline.enter(heading):
            paragraph = block
        if paragraph is None:
            continue
        if heading is None and not paragraph.fenced and outline.take(paragraph.texts):
            continue
        yield _paragraph(paragraph, title, outline.path, ids, path, options, markdown)
    if listing is not None:
        yield listing.skip
    if not begun:
        raise ImportFailed("there is nothing in it", file=str(path))


def _paragraph(
    block: _Block, title: str, chapters: tuple[str, ...], ids: Ids, path: Path, options: Options, markdown: bool
) -> Record | Skip:
    raw = "\n".join(block.texts)
    text = raw if block.fenced else _flowed(block.texts, markdown)
    if not any(c.isalnum() for c in text):
        return Skip(block.where, "decoration without a word")
    if _PICTURE.fullmatch(text):
        return Skip(block.where, "a picture without a caption")
    start = block.lines[0].start + len(raw) - len(raw.lstrip())
    given = {
        "kind": "paragraph",
        "session": "/".join((options.session or title, *chapters)),
        "sources": [Source(file=path.name, span=(start, start + len(raw.strip())))],
    }
    key = ("book", title, *chapters, text)
    return made(text, given, id=ids.of(*key), options=options, file=str(path), line=block.lines[0].number)


def _flowed(block: list[str], markdown: bool) -> str:
    """One running line; where a list, table, quotation or Markdown's hard break sets a line apart, it stays apart."""
    out = block[0].strip()
    for previous, line in pairwise(block):
        apart = bool(_OWN_LINE.match(line)) or previous.endswith(("  ", "\\")) if markdown else False
        out += ("\n" if apart else " ") + (line.rstrip() if apart else line.strip())
    return out.strip()


def _split(block: _Block, markdown: bool) -> tuple[Heading | None, _Block | None]:
    """The heading a block begins with, and the paragraph that is left of it."""
    if block.fenced:
        return None, block
    if markdown:
        if match := _HASHES.fullmatch(block.lines[0].text):  # always a block of its own
            return Heading(len(match[1]), " ".join((match[2] or "").split())), None
        if heading := underlined(block.texts):
            return heading, None
    printed = printed_heading(block.texts)
    if printed is None:
        return None, block
    heading, taken = printed
    rest = block.lines[taken:]
    return heading, _Block(rest, 0) if rest else None


def _blocks(source: Iterable[Line | Skip], file: str, markdown: bool) -> Iterator[_Block | Skip]:
    current: list[Line] = []
    size, gap, before, fence = 0, 0, 0, ""
    for line in source:
        if isinstance(line, Skip):
            yield line
            continue
        mark = _FENCE.fullmatch(line.text) if markdown else None
        if fence:
            current.append(line)
            size += len(line.text)
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                yield _Block(current, before, fenced=True)
                current, size, gap, fence = [], 0, 0, ""
        elif mark or (markdown and _HASHES.fullmatch(line.text)):
            if current:
                yield _Block(current, before)
                gap = 0
            current, size, before = [line], len(line.text), gap
            if mark:
                fence = mark[1]
            else:
                yield _Block(current, before)
                current, size, gap = [], 0, 0
        elif line.text.strip():
            if not current:
                before, gap = gap, 0
            current.append(line)
            size += len(line.text)
        else:
            gap += 1
            if current:
                yield _Block(current, before)
                current, size = [], 0
        if size > LONGEST or len(current) > _MOST_LINES:
            what = f"a paragraph of more than 32 MiB or {_MOST_LINES:,} lines"
            raise ImportFailed(what, file=file, line=line.number)
    if current:
        yield _Block(current, before, fenced=bool(fence))


class _Listing:
    """A table of contents: numerals and page numbers in plenty, none of which opens a chapter or says anything."""

    def __init__(self, heading: _Block) -> None:
        self._first, self._last = heading, heading
        self._entries = -1  # the heading itself is taken first
        self._headings: set[str] = set()

    def takes(self, block: _Block) -> bool:
        """False once the list is over: a wide gap, a chapter named for the second time, or no numeral in sight."""
        texts = block.texts
        printed = printed_heading(texts)
        name = printed[0].name.split(":")[0] if printed else ""
        if self._entries >= 0:
            entry = bool(name) or (not _SENTENCE.search(texts[-1]) and any(_ENTRY.search(text) for text in texts))
            if not entry or name in self._headings or (block.gap >= 3 and self._entries > 0):
                return False
        self._headings.update(filter(None, [name]))
        self._entries += 1 + (self._entries < 0 and len(texts) > 1)  # heading and list may be one block
        self._last = block
        return True

    @property
    def skip(self) -> Skip:
        return Skip(_where(self._first.lines[0].number, self._last.lines[-1].number), "a table of contents")


@dataclass(frozen=True, slots=True)
class _Preamble:
    """What comes before the text: Project Gutenberg's header, or the front matter of a Markdown file."""

    title: str | None
    skips: list[Skip]

    @classmethod
    def of(cls, source: Iterator[Line], markdown: bool) -> tuple[_Preamble, Iterator[Line | Skip]]:
        head = list(islice(source, _PREAMBLE))
        for i, line in enumerate(head):
            if match := _START.fullmatch(line.text.strip()):
                named = (_field(before.text, "Title") for before in head[:i])
                skip = Skip(_where(1, line.number), "Project Gutenberg's header")
                title = next(filter(None, named), None) or match[1].strip("* ") or None
                return cls(title, [skip]), _until_end(chain(head[i + 1 :], source))
        if markdown and head and head[0].text.rstrip() == "---":
            for i, line in enumerate(head[1:], start=1):
                if line.text.rstrip() in ("---", "..."):
                    title = next(filter(None, (_field(before.text, "title") for before in head[1:i])), None)
                    return cls(title, [Skip(_where(1, line.number), "front matter")]), chain(head[i + 1 :], source)
        return cls(None, []), chain(head, source)


def _where(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"


def _field(line: str, name: str) -> str | None:
    return line.removeprefix(f"{name}:").strip().strip("\"'") or None if line.startswith(f"{name}:") else None


def _until_end(source: Iterator[Line]) -> Iterator[Line | Skip]:
    for line in source:
        if _END.fullmatch(line.text.strip()):
            last = line.number
            for after in source:
                last = after.number
            yield Line(line.number, line.start, "")  # the marker parts off what stands before it
            yield Skip(_where(line.number, last), "Project Gutenberg's licence")
            return
        yield line
