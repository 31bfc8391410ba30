"""Where a record is from, and what came of it: a tree that is read as it is opened.

Nothing is walked to its end: a level is read when it is opened, a hundred at a time, and what stands above is not
opened again, so that neither circles nor thousands can hang it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Static, Tree
from textual.widgets.tree import TreeNode

from agentmem.aio import AsyncMemory
from agentmem.errors import PluginError, RecordNotFound
from agentmem.export import ALL_STATES
from agentmem.filters import Filter
from agentmem.models.calls import Call, money
from agentmem.records import Record, Source
from agentmem_apps.cli.output import local_time, plural, short_id
from agentmem_apps.cli.wording import why
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.plain import one_line
from agentmem_tui.lineage import asked_for, made_by, question_of, quoted, shown_ids
from agentmem_tui.screens.acting import Acting, stands

__all__ = ["OriginScreen"]

_PAGE: Final = 100  # records that are listed at once
_READ: Final = 1_000  # records that are read at once, to count them
_CALLS: Final = 10_000  # the newest, among which those are looked for that a record came of
_LABEL: Final = 90  # cells
_STATES: Final = {"live": "", "forgotten": " (in the trash)", "replaced": " (replaced)"}


@dataclass(frozen=True)
class Branch:
    """A node: a `record`, as the `source` of the one above it or by itself; or words.

    `key` tells it from its neighbours. `inside` reads what is in it; None for a leaf.
    """

    key: str
    label: Text
    inside: Inside | None = None
    record: Record | None = None
    source: Source | None = None
    told: str = ""


Inside: TypeAlias = Callable[[], Awaitable[list[Branch]]]
Node: TypeAlias = TreeNode[Branch]


class OriginTree(Tree[Branch]):
    """Opens to the right and closes to the left."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(
        ["up", "down", "first", "last", "unfold", "fold", "centre"], shown=["unfold", "centre"]
    )
    auto_expand = False
    show_root = True

    def go_to(self, node: Node) -> None:
        """Move the cursor to a node, if the tree has not been read anew since."""
        if (
            _line_of(node)[-1] is self.root and self.last_line >= 0
        ):  # counted, the lines are there, and it knows its own
            self.move_cursor(node)

    def action_up(self) -> None:
        self.action_cursor_up()

    def action_down(self) -> None:
        self.action_cursor_down()

    def action_first(self) -> None:
        self.cursor_line = 0

    def action_last(self) -> None:
        self.cursor_line = self.last_line

    def action_centre(self) -> None:
        self.action_select_cursor()

    def action_unfold(self) -> None:
        if (node := self.cursor_node) is not None and node.allow_expand:
            node.expand()

    def action_fold(self) -> None:
        """Close it; what is closed already, the one above it."""
        node = self.cursor_node
        if node is not None and node.is_expanded:
            node.collapse()
        elif node is not None and node.parent is not None:
            self.move_cursor(node.parent)


class OriginScreen(Acting[None]):
    """Of one record, and then of any in its tree."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["previous", "back"], shown=["previous", "back"])

    def __init__(self, memory: AsyncMemory, record: Record) -> None:
        super().__init__(memory)
        self._record_id = record.id
        self._trail: list[str] = []  # the records that it was gone through, the first one first
        self._opened: set[tuple[str, ...]] = set()
        self._at: tuple[str, ...] = ()  # the node pointed at
        self._wanted: tuple[str, ...] = ()  # that which is to be pointed at as soon as it is read again
        self._calls: list[Call] | None = None

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        with Horizontal(classes="panes"):
            yield OriginTree(Text("…"), classes="origins")
            with VerticalScroll(classes="aside", can_focus=False):
                yield Static(classes="origin-text")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.origins.guide_depth = 3
        self.origins.focus()
        self.act(self.follow, "reading", alone=True)

    @property
    def origins(self) -> OriginTree:
        return self.query_one(OriginTree)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self) -> None:
        """Read it anew; what was opened stays open, and the cursor where it was."""
        id = self._record_id
        branch = await self._named(id, Source(record=id))
        branch = replace(branch, source=None, inside=None)
        groups = [] if branch.record is None else await self._groups(branch.record)
        if id != self._record_id or not stands(self):
            return
        self._calls = None
        head = Text("where from ▸ ", style="dim")
        head.append(branch.label.plain, style="bold")
        head.append(f"   {plural(len(self._trail), 'step')} back: backspace" if self._trail else "", style="dim")
        self.query_one(".top", Static).update(head)
        tree, self._wanted = self.origins, self._at
        tree.reset(branch.label, branch)
        tree.root.expand()
        tree.cursor_line = 0
        self._add(tree.root, groups)
        self._show(tree.root)

    async def _groups(self, record: Record) -> list[Branch]:
        """What the tree of a record begins with: those it was made from opened, the others with their number."""
        groups = list[Branch]()
        if not record.sources and not question_of(record) and not shown_ids(record):
            groups.append(Branch("first", Text("made from nothing here: it was told", "dim"), told=_FIRST_HAND))
        groups += await self._sources(record)
        made = await self._positions(
            Filter(source=record.id, states=ALL_STATES), lambda one: _is_source(record.id, one)
        )
        groups.append(_group("made", f"made from it: {len(made):,}", partial(self._page, made) if made else None))
        if record.replaced_by:
            inside = partial(self._by_id, [Source(record=id) for id in record.replaced_by])
            groups.append(_group("replaced", f"replaced by {len(record.replaced_by):,}", inside))
        shown = await self._positions(Filter(shown=record.id, states=ALL_STATES), lambda one: True)
        told = f"shown in {plural(len(shown), 'answer')}"
        groups.append(_group("shown in", told, partial(self._page, shown) if shown else None))
        return groups

    async def _sources(self, record: Record) -> list[Branch]:
        """What a record was made from, in groups; of an answer, what was asked, and what it was shown."""
        groups = []
        if record.sources:
            inside = partial(self._by_id, record.sources)
            groups.append(_group("from", f"◂ made from {len(record.sources):,}", inside))
        if question := question_of(record):
            groups.append(_group("after", "◂ said after", partial(self._by_id, [Source(record=question)])))
        if shown := shown_ids(record):
            inside = partial(self._by_id, [Source(record=id) for id in shown])
            groups.append(_group("shown", f"◂ was shown {plural(len(shown), 'memory', 'memories')}", inside))
        return groups

    async def _inside(self, record: Record) -> list[Branch]:
        """What is in a record's node below the first: where that one is from, without groups where there is one."""
        groups = await self._sources(record)
        if len(groups) == 1 and groups[0].inside is not None:
            return await groups[0].inside()
        return groups or [Branch("first", Text("told, and made from nothing here", "dim"), told=_FIRST_HAND)]

    async def _positions(self, which: Filter, meant: Callable[[Record], bool]) -> list[int]:
        """Of those that a filter finds the meant ones: it takes a part of a name for the name."""
        found = list[int]()
        listed = await self.memory.listing(which, descending=False)
        for start in range(0, len(listed), _READ):
            records = await self.memory.listed(listed[start : start + _READ])
            found += [record.position for record in records if meant(record)]
        return found

    async def _page(self, positions: Sequence[int]) -> list[Branch]:
        """What came of a record: each opens to what came of it."""
        branches = [self._onward(record) for record in await self.memory.listed(positions[:_PAGE])]
        return [*branches, *_more(positions, self._page)]

    def _onward(self, record: Record) -> Branch:
        return Branch(record.id, _label(record), partial(self._made_of, record), record)

    async def _made_of(self, record: Record) -> list[Branch]:
        found = await self._positions(
            Filter(source=record.id, states=ALL_STATES), lambda one: _is_source(record.id, one)
        )
        return await self._page(found) if found else [Branch("none", Text("nothing was made from it", "dim"))]

    async def _by_id(self, sources: Sequence[Source]) -> list[Branch]:
        branches = [await self._source(source) for source in sources[:_PAGE]]
        return [*branches, *_more(sources, self._by_id)]

    async def _source(self, source: Source) -> Branch:
        if source.record is not None:
            return await self._named(source.record, source)
        file = one_line(source.file or "", _LABEL)
        where = f", characters {source.span[0]:,} to {source.span[1]:,}" if source.span else ""
        told = f"The file {one_line(source.file or '', 300)}{where}. It is not kept here: what was taken from it is."
        return Branch(f"file {source.file} {source.span}", Text(f"file {file}{where}"), source=source, told=told)

    async def _named(self, id: str, source: Source) -> Branch:
        key = f"{id} {source.span}"
        try:
            record = await self.memory.get(id)
        except RecordNotFound:
            told = await self._missing(id)
            return Branch(key, Text(f"✗ {one_line(short_id(id), 40)}: {told}"), source=source, told=told)
        return Branch(key, _label(record), partial(self._inside, record), record, source)

    async def _missing(self, id: str) -> str:
        try:
            last = (await self.memory.history(id))[-1]
        except RecordNotFound:
            return "not in this memory, or in another scope of it"
        return f"{'erased for good' if last.erased else 'taken back'}, {local_time(last.at)}"

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _add(self, node: Node, branches: Iterable[Branch]) -> None:
        """Put them into a node; those that were open before open again, and the cursor goes where it was."""
        above = {data.record.id for data in map(_data, _line_of(node)) if data is not None and data.record is not None}
        for branch in branches:
            circle = branch.record is not None and branch.record.id in above
            label = Text.assemble(branch.label, "  ↺ stands above") if circle else branch.label
            opens = branch.inside is not None and not circle
            made = node.add(label, branch, allow_expand=opens)
            path = _path(made)
            if opens and (path in self._opened or (node.is_root and branch.key in _OPEN_AT_FIRST)):
                made.expand()
            if path == self._wanted:
                self.call_after_refresh(self.origins.go_to, made)

    @on(Tree.NodeExpanded)
    def _expanded(self, event: Tree.NodeExpanded[Branch]) -> None:
        self._opened.add(_path(event.node))
        if event.node.data is not None and event.node.data.inside is not None and not event.node.children:
            self.act(partial(self._open, event.node, event.node.data.inside), "opening")

    async def _open(self, node: Node, inside: Inside) -> None:
        branches = await inside()
        if stands(self) and not node.children and _line_of(node)[-1] is self.origins.root:
            self._add(node, branches)

    @on(Tree.NodeCollapsed)
    def _collapsed(self, event: Tree.NodeCollapsed[Branch]) -> None:
        self._opened.discard(_path(event.node))

    @on(Tree.NodeHighlighted)
    def _pointed_at(self, event: Tree.NodeHighlighted[Branch]) -> None:
        path = _path(event.node)
        if path or not self._wanted:  # a tree that is read anew begins at its root
            self._at, self._wanted = path, ()
        self._show(event.node)

    # ── beside it ────────────────────────────────────────────────────────────────────────────────────────────────

    def _show(self, node: Node | None) -> None:
        if node is not None and node.data is not None:
            self.act(partial(self._tell, node.data), "telling", alone=True)

    async def _tell(self, branch: Branch) -> None:
        told = Text(branch.told)
        if branch.record is not None:
            told = _about(branch.record)
            told.append_text(quoted(branch.record.text, branch.source)).append("\n")
            told.append_text(await self._made(branch.record))
        if stands(self):
            self.query_one(".origin-text", Static).update(told)
            self.query_one(".aside", VerticalScroll).scroll_home(animate=False)

    async def _made(self, record: Record) -> Text:
        """Who made it: the model, its prompt and what asking took, and what the journal says of its beginning."""
        made, told = made_by(record), Text()
        if made.by_rule:
            told.append("\nmade without a model")
        if made.model:
            told.append(f"\nmade by {one_line(made.model, 60)}", style="bold")
            told.append(f", prompt {one_line(made.prompt, 60)}" if made.prompt else "")
            told.append(f"\n{_took(asked_for(record, await self._known_calls()))}")
        first = (await self.memory.history(record.id))[0]
        told.append(f"\n{one_line(first.verb, 20)} by {one_line(first.actor, 30)}, {local_time(first.at)}", style="dim")
        told.append(f": {one_line(reason, 200)}" if (reason := why(first)) else "", style="dim")
        return told.append(f"\nid {one_line(record.id, 200)}", style="dim")

    async def _known_calls(self) -> list[Call]:
        if self._calls is None:
            with suppress(PluginError):  # a ledger that keeps no account
                self._calls = await asyncio.to_thread(lambda: self.memory.sync.calls.listed(_CALLS))
        return self._calls or []

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Tree.NodeSelected)
    def _selected(self, event: Tree.NodeSelected[Branch]) -> None:
        """A record's own origin; of anything else, what is in it."""
        branch = event.node.data
        if branch is None or event.node.is_root:
            return
        if branch.record is None:
            self.origins.action_toggle_node()
        else:
            self._trail.append(self._record_id)
            self._go_to(branch.record.id)

    def _go_to(self, id: str) -> None:
        self._record_id, self._at = id, ()
        self._opened.clear()
        self.act(self.follow, "reading", alone=True)

    def action_previous(self) -> None:
        if self._trail:
            self._go_to(self._trail.pop())
        else:
            self.app.pop_screen()

    def action_back(self) -> None:
        self.action_previous()


_FIRST_HAND: Final = "Nothing that is kept here stands before it: somebody told it, or it was taken in from elsewhere."
_OPEN_AT_FIRST: Final = frozenset({"from", "after"})


def _group(key: str, told: str, inside: Inside | None) -> Branch:
    """A node of several; a leaf where there are none."""
    return Branch(key, Text(told, "dim" if inside is None else "bold"), inside)


def _more(listed: Sequence[Any], page: Callable[[Any], Awaitable[list[Branch]]]) -> list[Branch]:
    rest = listed[_PAGE:]
    return [Branch("more", Text(f"… {len(rest):,} more", "dim"), partial(page, rest))] if rest else []


def _label(record: Record) -> Text:
    by = f" by {one_line(record.speaker, 20)}" if record.speaker else ""
    label = Text().append(f"{one_line(record.kind, 20)}{by}{_STATES[record.state]}: ", style="dim")
    return label.append(one_line(record.text, _LABEL))


def _about(record: Record) -> Text:
    by = f" by {one_line(record.speaker, 40)}" if record.speaker else ""
    told = f"{one_line(record.kind, 40)}{by}, {local_time(record.at)}{_STATES[record.state]}"
    return Text().append(f"{told}\n\n", style="dim")


def _took(calls: Sequence[Call]) -> str:
    """What the calls took, in words."""
    if not calls:
        return f"what asking took is not among the last {_CALLS:,} calls here"
    tokens, cost = sum(call.tokens for call in calls), money(sum(call.picos for call in calls))
    causes = {id for call in calls for id in call.cause.split()}
    several = len(causes) > 1 and "to" not in causes  # "ID to ID" is a stretch, and tells no number
    others = f", for {len(causes)} memories together" if several else ""
    return f"{plural(len(calls), 'call')}, {tokens:,} tokens, cost {cost:.6g}{others}"


def _is_source(id: str, record: Record) -> bool:
    return any(source.record == id for source in record.sources)


def _line_of(node: Node) -> list[Node]:
    """The node and those above it, up to the root."""
    found = [node]
    while (above := found[-1].parent) is not None:
        found.append(above)
    return found


def _data(node: Node) -> Branch | None:
    return node.data


def _path(node: Node) -> tuple[str, ...]:
    return tuple(one.data.key for one in reversed(_line_of(node)[:-1]) if one.data is not None)
