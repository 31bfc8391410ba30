"""What was lived, as a tree: sessions, chunks of chunks, chunks, turns; read from the memory as it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final, NamedTuple, TypeAlias, cast

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Static, Tree
from textual.widgets.tree import TreeNode

from agentmem.aio import AsyncMemory
from agentmem.errors import RecordNotFound
from agentmem.memory import Memory
from agentmem.models.calls import money
from agentmem.models.estimating import Estimating
from agentmem.recall.pack import estimate_tokens
from agentmem.records import Record
from agentmem.store import Foreseen, Report
from agentmem_apps.cli.output import clean, local_time, one_line, plural
from agentmem_stores.chunks import Chunk, ChunkMemory
from agentmem_tui.actions import bindings
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.asking import asked, reading
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.screens.stepping import Ask

__all__ = ["ChunkTree", "ChunksScreen"]

_PAGE: Final = 200  # sessions that are listed at once, and turns that are shown of a chunk
_STALE: Final = "◇"
_NOTHING: Final = """\
Nothing was lived here yet.

Chunks are made of turns as they are told, session by session:

  agentmem add "We moved the launch." --session planning"""


class Branch(NamedTuple):
    """A chunk, and the words that stand for it: those of its summary, of one that is stale, or of its first turn."""

    chunk: Chunk
    words: str
    stale: bool


class More(NamedTuple):
    """So many sessions are not listed yet."""

    left: int


Leaf: TypeAlias = Branch | Record | More | None


class ChunkTree(Tree[Leaf]):
    """Branches know how many tokens they have once they were seen."""

    class Seen(Message):
        """Other lines are seen than before."""

    def __init__(self) -> None:
        super().__init__("")
        self.show_root = False
        self.guide_depth = 2
        self.tokens: dict[str, int] = {}

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Seen())

    def on_resize(self) -> None:
        for node in every(self.root):
            self.label(node)
        self.post_message(self.Seen())

    def seen(self) -> list[TreeNode[Leaf]]:
        """What stands on the screen now."""
        top = int(self.scroll_offset.y)
        lines = range(top, top + self.size.height + 1)
        return [node for line in lines if (node := self.get_node_at_line(line)) is not None]

    def label(self, node: TreeNode[Leaf]) -> None:
        """Say of it what there is room for: its numbers, then words."""
        leaf, deep = node.data, 0
        above = node.parent
        while above is not None:
            deep, above = deep + 1, above.parent
        room = max(self.scrollable_content_region.width - self.guide_depth * deep - 2, 20)
        if isinstance(leaf, Branch):
            node.set_label(_of_branch(leaf, self.tokens.get(leaf.chunk.id), room, top=node.parent is self.root))
        elif isinstance(leaf, Record):
            said = Text(f"{one_line(leaf.speaker, 20)}: " if leaf.speaker else "", style="dim")
            said.append(one_line(leaf.text, room))
            said.truncate(room, overflow="ellipsis")
            node.set_label(said)
        elif isinstance(leaf, More):
            node.set_label(Text(f"{plural(leaf.left, 'more session')}: enter lists them", style="italic"))


class ChunksScreen(Acting[None]):
    """The tree, and beside it the turns of what is pointed at."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["source"], shown=["source"], priority=True),  # the tree would fold
        *bindings(["summarise", "history", "back"], shown=["summarise", "history", "back"]),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self._limit = _PAGE
        self._opened: set[str] = set()
        self._stale = 0

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(Text(_NOTHING), classes="nothing")
        with Horizontal(classes="panes"):
            yield ChunkTree()
            with VerticalScroll(classes="source"):
                yield Static(classes="source-before")
                yield Static(classes="source-here")
                yield Static(classes="source-after")
        yield Footer(show_command_palette=False)

    @property
    def tree_shown(self) -> ChunkTree:
        return self.query_one(ChunkTree)

    def on_mount(self) -> None:
        self.query_one(".nothing").display = self.query_one(".source").display = False
        self.tree_shown.focus()
        self.act(self.follow, "reading", alone=True)

    async def follow(self) -> None:
        """The tree as it is now; what was opened stays open, and the cursor where it was."""
        sessions = await asked(self.memory, "chunks", lambda store: store.below())
        shown = sessions[: self._limit]
        below = {"": await self._branches(shown)}
        waiting = list(below[""])
        turns: dict[str, list[Record]] = {}
        while waiting:
            chunk = waiting.pop().chunk
            if chunk.id not in self._opened:
                continue
            branches, turns[chunk.id] = await self._inside(chunk)
            below[chunk.id] = branches
            waiting += branches
        if not self.query(ChunkTree):  # it was left meanwhile
            return
        tree = self.tree_shown
        at, scrolled = _key(tree.cursor_node), tree.scroll_offset.y
        tree.tokens.clear()
        tree.clear()
        self._fill(tree.root, below[""], [], below, turns)
        if len(sessions) > len(shown):
            tree.label(tree.root.add_leaf("", More(len(sessions) - len(shown))))
        tree.root.expand()
        self._opened &= below.keys()
        self.query_one(".nothing").display, self.query_one(".panes").display = not sessions, bool(sessions)
        stands = [node for node in every(tree.root) if _key(node) == at] or list(tree.root.children[:1])
        for node in stands:
            self.call_after_refresh(tree.move_cursor, node)
        self.call_after_refresh(tree.scroll_to, y=scrolled, animate=False)
        self._tell(len(sessions))
        self.post_message(ChunkTree.Seen())
        self._show_source(tree.cursor_node)

    async def _inside(self, chunk: Chunk) -> tuple[list[Branch], list[Record]]:
        """What it is made of: chunks, or turns."""
        try:
            if chunk.level:
                return await self._branches(await asked(self.memory, "chunks", lambda store: store.below(chunk.id))), []
            return [], await asked(self.memory, "chunks", lambda store: store.replay(chunk.id))
        except RecordNotFound:  # it changed meanwhile; the next look has the new one
            return [], []

    async def _branches(self, chunks: Sequence[Chunk]) -> list[Branch]:
        return await reading(self.memory, partial(_branches, chunks=chunks))

    def _fill(
        self,
        node: TreeNode[Leaf],
        branches: Sequence[Branch],
        turns: Sequence[Record],
        below: dict[str, list[Branch]],
        inside: dict[str, list[Record]],
    ) -> None:
        tree = self.tree_shown
        for branch in branches:
            child = node.add("", branch)
            tree.label(child)
            id = branch.chunk.id
            if id in below:
                self._fill(child, below[id], inside.get(id, ()), below, inside)
                child.expand()
        for record in turns:
            tree.label(node.add_leaf("", record))

    def _tell(self, sessions: int) -> None:
        leaves = [node.data for node in every(self.tree_shown.root)]
        head = Text("chunks ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        head.append(f" ▸ {plural(sessions, 'session')}")
        if any(isinstance(leaf, Branch) and leaf.stale for leaf in leaves):
            head.append(f"   {_STALE} out of date", style="italic")
        self.query_one(".top", Static).update(head)

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Tree.NodeExpanded)
    def _open(self, event: Tree.NodeExpanded[Leaf]) -> None:
        branch = event.node.data
        if isinstance(branch, Branch):
            self._opened.add(branch.chunk.id)
            if not event.node.children:
                self.act(partial(self._load, event.node, branch.chunk), f"opening {branch.chunk.id}", alone=True)

    @on(Tree.NodeCollapsed)
    def _close(self, event: Tree.NodeCollapsed[Leaf]) -> None:
        if isinstance(event.node.data, Branch):
            self._opened.discard(event.node.data.chunk.id)

    async def _load(self, node: TreeNode[Leaf], chunk: Chunk) -> None:
        branches, turns = await self._inside(chunk)
        if self.query(ChunkTree) and not node.children:
            self._fill(node, branches, turns, {}, {})
            self.post_message(ChunkTree.Seen())

    @on(Tree.NodeSelected)
    def _choose(self, event: Tree.NodeSelected[Leaf]) -> None:
        leaf = event.node.data
        if isinstance(leaf, Record):
            self.app.push_screen(HistoryScreen(self.memory, leaf))
        elif isinstance(leaf, More):
            self._limit += _PAGE
            self.act(self.follow, "reading", alone=True)

    @on(Tree.NodeHighlighted)
    def _point(self, event: Tree.NodeHighlighted[Leaf]) -> None:
        self._show_source(event.node)

    @on(ChunkTree.Seen)
    def _count_seen(self) -> None:
        self.act(self._count, "counting", alone=True)

    async def _count(self) -> None:
        """The tokens of the branches that are seen."""
        tree = self.tree_shown
        for node in tree.seen():
            branch = node.data
            if isinstance(branch, Branch) and branch.chunk.id not in tree.tokens:
                try:
                    count = await asked(self.memory, "chunks", partial(_tokens, chunk_id=branch.chunk.id))
                except RecordNotFound:  # it changed meanwhile
                    continue
                tree.tokens[branch.chunk.id] = count
                tree.label(node)

    # ── the source ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_source(self) -> None:
        pane = self.query_one(".source")
        pane.display = not pane.display
        self._show_source(self.tree_shown.cursor_node)

    def _show_source(self, node: TreeNode[Leaf] | None) -> None:
        if self.query_one(".source").display and node is not None:
            self.act(partial(self._source, node), "source", alone=True)

    async def _source(self, node: TreeNode[Leaf]) -> None:
        """The turns of a chunk, or of that in which a turn stands, which is marked."""
        branch = _branch_of(node)
        if branch is None:
            return
        turns = (await self._turns(branch.chunk))[: _PAGE + 1]
        at = node.data.id if isinstance(node.data, Record) else ""
        before, here, after = Text(), Text(), Text()
        if branch.stale:
            before.append(f"{_STALE} its turns changed since this was written; r summarises them anew\n", "italic")
        if branch.stale or branch.chunk.summary is not None:
            before.append(f"{clean(branch.words)}\n\n")
        for turn in turns[:_PAGE]:
            text = here if turn.id == at else after if here else before
            text.append(f"{'▸' if turn.id == at else ' '} {local_time(turn.at)} ", style="dim")
            text.append(f"{one_line(turn.speaker, 30)}: " if turn.speaker else "", style="dim")
            text.append(clean(turn.text), style="bold reverse" if turn.id == at else "")
            text.append("\n" if turn.id != at else "")
        if len(turns) > _PAGE:
            after.append(f"\nand {branch.chunk.records - _PAGE:,} more", style="italic")
        if not self.query(".source"):  # it was left meanwhile
            return
        for part, said in (("before", before), ("here", here), ("after", after)):
            static = self.query_one(f".source-{part}", Static)
            said.rstrip()
            static.update(said)
            static.display = bool(said)
        pane = self.query_one(".source")
        if here:
            self.call_after_refresh(pane.scroll_to_widget, self.query_one(".source-here"), animate=False, center=True)
        else:
            pane.scroll_home(animate=False)

    async def _turns(self, chunk: Chunk) -> list[Record]:
        try:
            found: list[Record] = await asked(self.memory, "chunks", lambda store: store.replay(chunk.id))
        except RecordNotFound:
            return []
        return found

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_history(self) -> None:
        """Of the turn, or of the summary."""
        self.act(self._history)

    async def _history(self) -> None:
        node = self.tree_shown.cursor_node
        leaf = None if node is None else node.data
        if isinstance(leaf, Branch) and leaf.chunk.summary is not None:
            leaf = await self.memory.get(leaf.chunk.summary)
        if isinstance(leaf, Record):
            self.app.push_screen(HistoryScreen(self.memory, leaf))

    def action_summarise(self) -> None:
        self.act(self._summarise)

    async def _summarise(self) -> None:
        """Say what it would write and cost, and do it after a yes."""
        branch = _branch_of(self.tree_shown.cursor_node)
        if branch is None:
            return
        chunk = branch.chunk
        foreseen = await reading(self.memory, partial(_foreseen, chunk_id=chunk.id))
        number = foreseen.report.counts["written"] + foreseen.report.counts["renewed"]
        if not number and not foreseen.calls:
            self.notify("There is nothing to summarise: it stands as it would be, or has fewer than four turns.")
            return
        question = f"Summarise {plural(chunk.records, 'turn')} anew?"
        if not await self.app.push_screen_wait(Ask(question, [_cost(foreseen)], note="z takes it back")):
            return
        self.notify("It is being summarised.", timeout=3)
        report = await reading(self.memory, partial(_summarised, chunk_id=chunk.id))
        fault = report.fault is not None or bool(report.counts["unusable"])
        self.notify(one_line(report.summary, 300), severity="warning" if fault else "information", markup=False)
        await self.follow()

    def action_back(self) -> None:
        self.app.pop_screen()


# ── of the store ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _store(memory: Memory) -> ChunkMemory:
    return cast(ChunkMemory, memory.stores["chunks"])


def _branches(memory: Memory, chunks: Sequence[Chunk]) -> list[Branch]:
    """With the words of each: of its summary, else of a stale one, else of its first turn."""
    stale = _store(memory).stale()
    firsts = {record.position: record for record in memory.listed([_first(chunk) for chunk in chunks])}
    found = []
    for chunk in chunks:
        if chunk.summary is not None:
            words = memory.get(chunk.summary).text
        elif chunk.id in stale and not chunk.level:
            words = stale[chunk.id].text
        else:
            words = firsts[_first(chunk)].text if _first(chunk) in firsts else ""
        found.append(Branch(chunk, words, chunk.id in stale))
    return found


def _first(chunk: Chunk) -> int:
    """The position of its first record, in which its id ends."""
    return int(chunk.id.rpartition("/")[2])


def _tokens(store: ChunkMemory, chunk_id: str) -> int:
    return sum(estimate_tokens(record.text) for record in store.replay(chunk_id))


def _foreseen(memory: Memory, chunk_id: str) -> Foreseen:
    """What summarising it would write, and ask a model; nothing is asked, and nothing written."""
    estimating = Estimating(memory.models) if memory.models else None
    with memory.rehearse():
        report = _store(memory).summarise(chunk_id, estimating)
    return Foreseen(report, () if estimating is None else tuple(estimating.calls))


def _summarised(memory: Memory, chunk_id: str) -> Report:
    return _store(memory).summarise(chunk_id, memory.models if memory.models else None)


def _cost(foreseen: Foreseen) -> str:
    calls = foreseen.calls
    if not calls:
        return "No language model is asked, for none is set for this: its own sentences stand for it. It costs nothing."
    tokens, cost = sum(call.tokens for call in calls), money(sum(call.picos for call in calls))
    names = ", ".join(sorted({one_line(call.model, 40) for call in calls}))
    return f"{plural(len(calls), 'question')} to {names}: at most {plural(tokens, 'token')}, {cost:.4f}, as estimated."


# ── of the tree ──────────────────────────────────────────────────────────────────────────────────────────────────────


def every(root: TreeNode[Leaf]) -> list[TreeNode[Leaf]]:
    """What is below it."""
    found: list[TreeNode[Leaf]] = []
    waiting = list(root.children)
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].children
    return found


def _key(node: TreeNode[Leaf] | None) -> str:
    leaf = None if node is None else node.data
    return leaf.chunk.id if isinstance(leaf, Branch) else leaf.id if isinstance(leaf, Record) else ""


def _branch_of(node: TreeNode[Leaf] | None) -> Branch | None:
    """The chunk pointed at, or in which the turn stands."""
    while node is not None and not isinstance(node.data, Branch):
        node = node.parent
    return None if node is None or not isinstance(node.data, Branch) else node.data


def _of_branch(branch: Branch, tokens: int | None, room: int, *, top: bool) -> Text:
    chunk = branch.chunk
    since, until = local_time(chunk.since), local_time(chunk.until)
    if room < 90:
        since, until = since[:10], until[:10]
    span = since if since == until else f"{since} – {until[11:] if since[:10] == until[:10] else until}"
    counted = "…" if tokens is None else f"{tokens:,}"
    numbers = f"  {span} · {plural(chunk.records, 'turn')} · {counted} tokens"
    label = Text(f"{_STALE} " if branch.stale else "", style="bold")
    if top:
        label.append(one_line(chunk.session, 30) if chunk.session else "(no session)", style="bold")
        label.append("  ")
    label.append(one_line(branch.words, 400))
    label.truncate(max(room - len(numbers), 12), overflow="ellipsis")
    label.append(numbers, style="dim")
    return label
