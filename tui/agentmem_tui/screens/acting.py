"""A screen that asks a memory: what takes long is a task, and what goes wrong is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias, TypeVar

from textual.app import App
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.screen import Screen

from agentmem.aio import AsyncMemory
from agentmem.errors import AgentMemError

__all__ = ["Acting", "begin", "stands", "tell"]

T = TypeVar("T")
Doing: TypeAlias = Callable[[], Coroutine[Any, Any, None]]  # begun when its turn comes, or never


class Acting(Screen[T]):
    """`memory` is that of the scope that is looked at."""

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__()
        self.memory = memory

    async def follow(self) -> None:
        """Show what is there now: something was written, here or elsewhere."""

    def act(self, doing: Doing, group: str = "acting", *, alone: bool = False) -> None:
        """Do it; with `alone`, in place of what is done in this group."""
        begin(self, partial(self._told, doing), group, alone=alone)

    async def _told(self, doing: Doing) -> None:
        try:
            await doing()
        except AgentMemError as error:
            tell(self.app, error)
        except NoMatches:
            if stands(self):
                raise  # else it was left meanwhile


def stands(screen: Screen[Any]) -> bool:
    """Whether it is shown, or another above it. One that is left loses its parts before its tasks end, and so does the
    program."""
    return screen.is_attached and screen.app.is_running and screen in screen.app.screen_stack


def begin(node: DOMNode, doing: Doing, group: str, *, alone: bool = False) -> None:
    """Let it be done as a task, which ends with the node."""
    work: Any = doing  # Textual's own type says a coroutine function and any function at once
    node.run_worker(work, group=group, exclusive=alone)


def tell(app: App[Any], error: AgentMemError) -> None:
    """An error that the user can do something about."""
    app.notify(f"{error}\n{error.way_out}".strip(), title=error.title, severity="error", timeout=12, markup=False)
