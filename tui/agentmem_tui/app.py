"""The program: opens the memory, watches whether it changes, and shows the screens.

Screens ask the memory and nobody else. What takes long runs as a task with a named group, and never on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.screen import Screen

from agentmem.aio import AsyncMemory
from agentmem.config import Settings
from agentmem.errors import AgentMemError
from agentmem.memory import Memory
from agentmem_tui.actions import ACTIONS, bindings
from agentmem_tui.preferences import Preferences
from agentmem_tui.remembered import Remembered
from agentmem_tui.screens.acting import Acting, begin, stands, tell
from agentmem_tui.screens.browse import BrowseScreen
from agentmem_tui.screens.chunks import ChunksScreen
from agentmem_tui.screens.help import HelpScreen
from agentmem_tui.screens.journal import JournalScreen
from agentmem_tui.screens.live import LiveScreen
from agentmem_tui.screens.neural import NeuralScreen
from agentmem_tui.screens.places import PlacesScreen
from agentmem_tui.screens.slots import SlotsScreen
from agentmem_tui.screens.stepping import Step, StepScreen
from agentmem_tui.screens.thoughts import ThoughtsScreen
from agentmem_tui.screens.trouble import Trouble, TroubleScreen

__all__ = ["MemoryApp"]

_THREADS: Final = 4
_LOOKS_EVERY_S: Final = 0.5  # one read of the journal's head, 0.03 ms


class MemoryApp(App[None]):
    """`place` is how the memory is called; `opens` opens it, and is asked again when it fails and the user wants so,
    with `create` when a memory that is not there yet is to be made."""

    TITLE = "agentmem"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  # as App declares it
        (0, "-one"),
        (80, "-two"),
        (120, "-three"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = bindings(
        ["help", "undo", "redo", "journal", "slots", "places", "chunks", "thoughts", "live", "health", "neural"],
        shown=["help", "undo"],
    )

    def __init__(
        self,
        place: str,
        opens: Callable[..., Memory],
        settings: Settings | None = None,
        remembered: Path | None = None,
    ) -> None:
        """ConfigError for a table `[tui]` that is not understood. `remembered`: the file of what was typed."""
        super().__init__()
        self._settings = Settings(memory=place) if settings is None else settings
        self._remembered = Remembered.load(remembered)
        self._preferences = Preferences.read(*self._settings.tui, self.available_themes)
        self.place = place
        self._opens = opens
        self._memory: AsyncMemory | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="agentmem-tui")
        self._head = ("", -1)  # of the scope that is looked at: each root has a journal of its own

    @property
    def memory(self) -> AsyncMemory:
        """The memory as it was opened; there is one once the first screen stands."""
        assert self._memory is not None
        return self._memory

    def on_mount(self) -> None:
        self.set_keymap(dict(self._preferences.keys))
        if self._preferences.theme:
            self.theme = self._preferences.theme
        begin(self, self._begin, "opening", alone=True)

    async def on_unmount(self) -> None:
        if self._memory is not None:
            await self._memory.close()
        self._threads.shutdown(wait=False)

    async def _begin(self, *, create: bool = False) -> None:
        while self._memory is None:
            try:
                memory = await asyncio.to_thread(self._opens, create=create)
                self._memory = AsyncMemory(memory, self._threads)
                self._head = (str(self._memory.bound), await self._memory.head())
            except (AgentMemError, OSError) as error:
                self._memory = None
                answer = await self.push_screen_wait(TroubleScreen(Trouble.of(error, self.place)))
                if answer == "leave":
                    self.exit(return_code=1)
                    return
                create = answer == "make"
        await self.push_screen(BrowseScreen(self._memory, self._remembered))
        self.set_interval(_LOOKS_EVERY_S, self._look)

    def _look(self) -> None:
        """Unless what was seen last is still being shown: broken off, it would not be shown again."""
        mine = (worker for worker in self.workers if worker.node is self and worker.group == "looking")
        if all(worker.is_finished for worker in mine):
            begin(self, self._looked, "looking")

    async def _looked(self) -> None:
        """Tell the screens when anybody wrote something."""
        try:
            memory = self.scoped
            head = (str(memory.bound), await memory.head())
        except AgentMemError as error:  # locked for a moment, or gone: the next look tells
            self.log.warning(str(error))
            return
        if head != self._head:
            self._head = head
            await self.changed()

    async def changed(self) -> None:
        """Let every screen that stands show what is there now."""
        for screen in self.screen_stack:
            if isinstance(screen, Acting):
                try:
                    await screen.follow()
                except AgentMemError as error:
                    tell(self, error)
                except NoMatches:
                    if stands(screen):
                        raise  # else it was left meanwhile

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every action that can be done here."""
        for _, binding, enabled, _ in screen.active_bindings.values():
            action = ACTIONS.get(binding.id or "")
            if action is not None and enabled:
                yield SystemCommand(action.title, action.help, lambda name=binding.action: self._do(name))
        yield SystemCommand("Theme", "Change the colours.", self.action_change_theme)

    def _do(self, action: str) -> None:
        begin(self, partial(self._done, action), "palette")

    async def _done(self, action: str) -> None:
        for node in (self.screen.focused, self.screen, self):
            if node is not None and hasattr(node, f"action_{action}"):
                await self.run_action(action, default_namespace=node)
                return

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.of(self.screen))

    def action_journal(self) -> None:
        if self._memory is not None and not isinstance(self.screen, JournalScreen):
            self.push_screen(JournalScreen(self.scoped))

    def action_slots(self) -> None:
        self._view(SlotsScreen, SlotsScreen)

    def action_places(self) -> None:
        self._view(PlacesScreen, PlacesScreen)

    def action_chunks(self) -> None:
        self._view(ChunksScreen, ChunksScreen)

    def action_thoughts(self) -> None:
        self._view(ThoughtsScreen, ThoughtsScreen)

    def action_live(self) -> None:
        self._view(LiveScreen, LiveScreen)

    def action_health(self) -> None:
        from agentmem_tui.screens.health import HealthScreen  # with the doctor: 0.3 s of the first paint

        self._view(HealthScreen, partial(HealthScreen, settings=self._settings))

    def action_neural(self) -> None:
        self._view(NeuralScreen, NeuralScreen)

    def _view(self, kind: type[Acting[None]], make: Callable[[AsyncMemory], Acting[None]]) -> None:
        """Show a view of the scope that is looked at; one that stands already is gone back to."""
        if self._memory is None or not isinstance(self.screen, Acting):
            return
        if not any(isinstance(screen, kind) for screen in self.screen_stack):
            self.push_screen(make(self.scoped))
            return
        for screen in reversed(self.screen_stack):
            if isinstance(screen, kind):
                break
            self.pop_screen()

    @property
    def scoped(self) -> AsyncMemory:
        """The memory of the scope that is looked at."""
        return next((one.memory for one in reversed(self.screen_stack) if isinstance(one, Acting)), self.memory)

    def action_undo(self) -> None:
        self._take_back("undo")

    def action_redo(self) -> None:
        self._take_back("redo")

    def _take_back(self, verb: str) -> None:
        if self._memory is not None and isinstance(self.screen, Acting):
            self.screen.act(partial(self._step, verb), alone=True)

    async def _step(self, verb: str) -> None:
        """Say what would be taken back, and do it after a yes."""
        memory = self.scoped
        changes = await (memory.undo(dry_run=True) if verb == "undo" else memory.redo(dry_run=True))
        if not changes:
            self.notify(f"There is nothing to {verb}.")
            return
        step = await Step.of(memory, verb, changes)
        if await self.push_screen_wait(StepScreen(step)):
            await memory.undo(step=step.undoes)
            self.notify(step.done, markup=False)
            await self.changed()
