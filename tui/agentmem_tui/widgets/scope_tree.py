"""What there is to look at: scopes, kinds, the pinned, the trash; with how many of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from rich.text import Text
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from agentmem.filters import Counted
from agentmem.records import Scope
from agentmem_apps.cli.output import one_line

__all__ = ["Place", "ScopeTree"]


_NONE: Final[Mapping[str, str]] = {}


class Place(NamedTuple):
    """A scope, and what of it is looked at, as a filter is typed."""

    scope: Scope
    typed: str = ""


class ScopeTree(Tree[Place]):
    """Scopes as they lie in each other. Choosing a node narrows the list to it."""

    class Chosen(Message):
        def __init__(self, place: Place) -> None:
            super().__init__()
            self.place = place

    def __init__(self, name: str, bound: Scope) -> None:
        super().__init__(Text(one_line(name, 40)), Place(bound))
        self._bound = bound
        self.guide_depth = 2
        self.show_root = False

    def show(self, counted: Iterable[Counted], searches: Mapping[str, str] = _NONE) -> None:
        """The counts as they are now, and the searches that were saved, by name. What was opened stays open, and the
        cursor where it was."""
        found = list(counted)
        opened = {node.data for node in self._every() if node.is_expanded}
        at = self.cursor_node.data if self.cursor_node is not None else None
        scopes = sorted({*(one.scope for one in found), self._bound})
        self.clear()
        nodes: dict[Scope, TreeNode[Place]] = {}
        for scope in scopes:
            above = next(
                (nodes[up] for up in (Scope(scope[:n]) for n in range(len(scope) - 1, 0, -1)) if up in nodes), None
            )
            mine = [one for one in found if one.scope == scope]
            live = sum(one.n for one in mine if one.state == "live")
            inside = str(scope) if above is None or above.data is None else "/".join(scope[len(above.data.scope) :])
            node = (self.root if above is None else above).add(_label(inside, live), Place(scope))
            nodes[scope] = node
            kinds: dict[str, int] = {}
            for one in mine:
                if one.state == "live":
                    kinds[one.kind] = kinds.get(one.kind, 0) + one.n
            for kind, n in sorted(kinds.items(), key=lambda item: -item[1]):
                node.add_leaf(_label(kind, n), Place(scope, f'kind:"{kind}"'))
            node.add_leaf(Text("★ pinned"), Place(scope, "pin:yes"))
            gone = sum(one.n for one in mine if one.state == "forgotten")
            node.add_leaf(_label("trash", gone), Place(scope, "in:trash"))
            if Place(scope) in opened or scope == self._bound:
                node.expand()
        for name, typed in searches.items():
            self.root.add_leaf(Text(f"⌕ {one_line(name, 40)}"), Place(self._bound, typed))
        self.root.expand()
        stood = next((one for one in self._every() if one.data == at and one is not self.root), None)
        if stood is not None:
            self.call_after_refresh(self.move_cursor, stood)

    def _every(self) -> list[TreeNode[Place]]:
        waiting, found = [self.root], []
        while waiting:
            node = waiting.pop(0)
            found.append(node)
            waiting[:0] = node.children
        return found

    def on_tree_node_selected(self, event: Tree.NodeSelected[Place]) -> None:
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(event.node.data))


def _label(name: str, n: int) -> Text:
    label = Text(one_line(name, 40))
    label.append(f" {n:,}", style="dim")
    return label
