"""Where things happened: the places on a map with the ways between them, and beside it the same as a plain list.

A replay goes through the visits in the order in which they happened; the map shows what was known by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentmem.aio import AsyncMemory
from agentmem.records import Record
from agentmem_apps.cli.output import local_time, one_line, plural
from agentmem_stores.atlas import Stay
from agentmem_stores.episodic import EpisodicMemory
from agentmem_tui.actions import bindings
from agentmem_tui.drawing.place_map import Direction, Drawing, Edges, Node, drawn, neighbour, placed
from agentmem_tui.screens.acting import Acting
from agentmem_tui.screens.asking import asked
from agentmem_tui.screens.history import HistoryScreen
from agentmem_tui.widgets.record_view import RecordView

__all__ = ["EpisodesScreen", "MapView", "PlacesScreen"]

_DRAWN: Final = 300  # places on the map, those with the most episodes; an arrow looks at each pair of them
_LISTED: Final = 2_000  # places in the list, likewise
_EPISODES: Final = 1_000  # the last of one place
_NOTHING: Final = """\
No place is known here yet.

A memory tells where it happened when it is given a place: a name or a path, as harbour/pier 3.

  agentmem add "The ferry is late." --place "harbour/pier 3"
  memory.add("The ferry is late.", place="harbour/pier 3")"""


class MapView(Static, can_focus=True):
    """Draws the places as large as it is."""

    class Drawn(Message):
        """It was drawn anew."""

        def __init__(self, drawing: Drawing) -> None:
            super().__init__()
            self.drawing = drawing

    def __init__(self) -> None:
        super().__init__(classes="map")
        self._places: Sequence[Node] = ()
        self._ways: Edges = ()
        self._pointed: str | None = None

    def show(self, places: Sequence[Node], ways: Edges, pointed: str | None) -> None:
        self._places, self._ways, self._pointed = places, ways, pointed
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        drawing = drawn(self._places, self._ways, self.content_size.width, self.content_size.height, self._pointed)
        self.update(drawing.canvas)
        self.post_message(self.Drawn(drawing))


class PlacesScreen(Acting[None]):
    """The map and the list point at one place; what one of them walks to, the other shows."""

    AUTO_FOCUS = ""  # which has the keys depends on what there is room for
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(["episodes"], shown=["episodes"], priority=True),  # or help would not tell of it
        *bindings(["left", "right"], priority=True),  # the list would scroll
        *bindings(["above", "below", "replay", "visit-back", "visit-on"], shown=["replay"]),
        *bindings(["back"], shown=["back"]),
    ]

    def __init__(self, memory: AsyncMemory) -> None:
        super().__init__(memory)
        self._spots: list[Node] = []  # where they are, and as they are now
        self._ways: Edges = ()
        self._stays: list[Stay] = []
        self._known = 0  # places, also those that are not listed
        self._marks: dict[str, str] = {}  # on the map, for what has no room for its name
        self._pointed = ""
        self._visit: int | None = None  # the number of the stay that is shown

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        yield Static(Text(_NOTHING), classes="nothing")
        with Horizontal(classes="panes"):
            yield MapView()
            with Vertical(classes="listed"):
                yield Static(Text("episodes  place"), classes="said")
                yield OptionList(classes="places lines")
        yield Static(classes="slider")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        for which in (".nothing", ".panes", ".slider"):
            self.query_one(which).display = False
        self.act(self.follow, "reading", alone=True)

    async def follow(self) -> None:
        found = await asked(self.memory, "episodic", _read)
        if not self.query(OptionList):  # it was left meanwhile
            return
        self._spots, self._ways, self._stays, self._known = found
        if self._visit is not None:
            self._visit = min(self._visit, len(self._stays) - 1) if self._stays else None
        names = [spot.name for spot in self._spots]
        if self._pointed not in names:
            self._pointed = max(self._spots, key=lambda spot: spot.episodes).name if names else ""
        listed = self.query_one(OptionList)
        nothing, panes = self.query_one(".nothing"), self.query_one(".panes")
        nothing.display, panes.display = not names, bool(names)
        if [option.id for option in listed.options] != [str(number) for number in range(len(names))]:
            listed.clear_options()
            listed.add_options(Option("", id=str(number)) for number in range(len(names)))
        self._show()
        self.call_after_refresh(self._give_keys)

    def on_resize(self) -> None:
        self.call_after_refresh(self._give_keys)

    def _give_keys(self) -> None:
        """To the map where it is shown, else to the list."""
        view, listed = self.query_one(MapView), self.query_one(OptionList)
        if self.focused is None or not self.focused.region.area:
            (view if view.region.area else listed).focus()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    def _then(self) -> list[Node]:
        """The places as they are, or as they were at the visit that is shown."""
        return self._spots if self._visit is None else _lived(self._spots, self._stays[: self._visit + 1])

    def _show(self) -> None:
        then = self._then()
        drawable = [spot for spot in then if spot.x is not None]
        pointed = self._pointed if self._pointed in {spot.name for spot in drawable} else None
        self.query_one(MapView).show(drawable, self._ways, pointed)
        self._label(then)
        head = Text("places ▸ ", style="dim")
        head.append(one_line(str(self.memory.bound), 60), style="bold")
        if self._spots:
            episodes = sum(spot.episodes for spot in then)
            head.append(f" ▸ {plural(self._known, 'place')}, {plural(episodes, 'episode')}")
        if self._known > len(self._spots):
            head.append(f"; the {len(self._spots):,} with the most")
        self.query_one(".top", Static).update(head)
        slider = self.query_one(".slider", Static)
        slider.display = self._visit is not None
        if self._visit is not None:
            slider.update(_slider(self._visit, self._stays))

    def _label(self, then: Sequence[Node]) -> None:
        listed = self.query_one(OptionList)
        for number, spot in enumerate(then):
            label = Text(f"{spot.episodes:>8,}  ", style="dim" if not spot.episodes else "")
            label.append(one_line(spot.name, 120), style="bold" if spot.name == self._pointed else "")
            if mark := self._marks.get(spot.name):
                label.append(f" ({mark})", style="italic")
            if listed.get_option_at_index(number).prompt != label:
                listed.replace_option_prompt_at_index(number, label)
            if spot.name == self._pointed:
                listed.highlighted = number

    @on(MapView.Drawn)
    def _marked(self, event: MapView.Drawn) -> None:
        marks = {name: mark for mark, name in event.drawing.beside if mark}
        if marks != self._marks:
            self._marks = marks
            self._label(self._then())

    @on(OptionList.OptionHighlighted)
    def _point(self, event: OptionList.OptionHighlighted) -> None:
        spot = self._spots[event.option_index]
        if spot.name != self._pointed and self.focused is event.option_list:
            self._pointed = spot.name
            self._show()

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def action_left(self) -> None:
        self._walk("left") if self._visit is None else self._go_on(-1)

    def action_right(self) -> None:
        self._walk("right") if self._visit is None else self._go_on(1)

    def action_above(self) -> None:
        self._walk("up")

    def action_below(self) -> None:
        self._walk("down")

    def _walk(self, direction: Direction) -> None:
        drawable = [spot for spot in self._spots if spot.x is not None]
        if drawable:
            here = self._pointed in {spot.name for spot in drawable}
            self._pointed = neighbour(drawable, self._pointed, direction) if here else drawable[0].name
            self._show()

    def action_replay(self) -> None:
        """From the last visit, which is how it is now; or back to that."""
        if self._visit is None and not self._stays:
            self.notify("Nothing that happened at a place is in memory.")
            return
        self._visit = len(self._stays) - 1 if self._visit is None else None
        self._go_on(0)

    def action_visit_back(self) -> None:
        self._go_on(-1)

    def action_visit_on(self) -> None:
        self._go_on(1)

    def _go_on(self, steps: int) -> None:
        if self._visit is not None:
            self._visit = min(max(self._visit + steps, 0), len(self._stays) - 1)
            if self._stays[self._visit].place in {spot.name for spot in self._spots}:
                self._pointed = self._stays[self._visit].place
        self._show()

    @on(OptionList.OptionSelected)
    def action_episodes(self) -> None:
        if self._pointed:
            self.app.push_screen(EpisodesScreen(self.memory, self._pointed))

    def action_back(self) -> None:
        if self._visit is not None:
            self.action_replay()
        else:
            self.app.pop_screen()


class EpisodesScreen(Acting[None]):
    """What happened at one place, or inside it, in the order of time; enter shows how each came to be."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(["history", "back"], shown=["history", "back"])

    def __init__(self, memory: AsyncMemory, place: str) -> None:
        super().__init__(memory)
        self._place = place
        self._episodes: list[Record] = []

    def compose(self) -> ComposeResult:
        yield Static(classes="top")
        with Horizontal(classes="panes"):
            yield OptionList(classes="versions lines")
            yield RecordView()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.act(self.follow, "reading", alone=True)

    async def follow(self) -> None:
        found = await asked(self.memory, "episodic", lambda store: store.at(self._place, last=_EPISODES))
        if not self.query(OptionList) or (found and found == self._episodes):  # it was left, or is as it was
            return
        listed = self.query_one(OptionList)
        before = self._episodes[listed.highlighted or 0].id if self._episodes else ""
        self._episodes = found
        listed.clear_options()
        for one in found:
            line = Text(f"{local_time(one.at)}  ", style="dim")
            line.append(f"{one_line(one.speaker, 12)}: " if one.speaker else "")
            line.append(one_line(one.text, 200))
            listed.add_option(Option(line))
        if found:
            listed.highlighted = next((number for number, one in enumerate(found) if one.id == before), 0)
        told = Text("places ▸ ", style="dim")
        told.append(one_line(self._place, 60), style="bold")
        told.append(f" ▸ {plural(len(found), 'episode')}")
        told.append(f", the last {_EPISODES:,}" if len(found) == _EPISODES else "")
        self.query_one(".top", Static).update(told)
        if not found:
            self.query_one(RecordView).show(None)

    @on(OptionList.OptionHighlighted)
    def _point(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one(RecordView).show(self._episodes[event.option_index])

    @on(OptionList.OptionSelected)
    def action_history(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.app.push_screen(HistoryScreen(self.memory, self._episodes[at]))

    def action_back(self) -> None:
        self.app.pop_screen()


# ── from the atlas to the map ────────────────────────────────────────────────────────────────────────────────────────


def _read(store: EpisodicMemory) -> tuple[list[Node], Edges, list[Stay], int]:
    """The places in the order of their names, those with coordinates that are drawn; the ways between these; the stays;
    and how many places there are."""
    atlas = store.atlas()
    most = sorted(atlas.spots, key=lambda spot: -spot.episodes)[:_LISTED]
    nodes = []
    for spot in sorted(most, key=lambda spot: (spot.place.casefold(), spot.place)):
        x, y = (*(spot.coordinates or (None, None)), 0.0)[:2]
        nodes.append(Node(spot.place, x, y, spot.episodes))
    busiest = {node.name for node in sorted(nodes, key=lambda node: -node.episodes)[:_DRAWN]}
    ways = [way for way in atlas.ways if busiest.issuperset(way)]
    drawable = {node.name: node for node in placed([node for node in nodes if node.name in busiest], ways)}
    spots = [drawable.get(node.name, replace(node, x=None, y=None)) for node in nodes]
    return _lived(spots, atlas.stays), ways, atlas.stays, len(atlas.spots)


def _lived(spots: Sequence[Node], stays: Sequence[Stay]) -> list[Node]:
    """The places with what these stays left in them, and how lately each was visited, by its rank."""
    episodes: dict[str, int] = {}
    last: dict[str, None] = {}
    for stay in stays:
        episodes[stay.place] = episodes.get(stay.place, 0) + stay.episodes
        last.pop(stay.place, None)
        last[stay.place] = None
    recency = {place: (rank + 1) / len(last) for rank, place in enumerate(last)}
    return [replace(spot, episodes=episodes.get(spot.name, 0), recency=recency.get(spot.name, 0.0)) for spot in spots]


def _slider(visit: int, stays: Sequence[Stay]) -> Text:
    """Which visit it is of how many, when, and where; and how far along that is."""
    stay, wide = stays[visit], 12
    mark = round(visit * (wide - 1) / max(len(stays) - 1, 1))
    told = Text("━" * mark + "●" + "─" * (wide - 1 - mark), no_wrap=True, overflow="ellipsis")
    told.append(f" {visit + 1:,} of {len(stays):,}", style="bold")
    told.append(f"  {local_time(stay.since)}  ")
    told.append(one_line(stay.place, 80), style="bold")
    told.append(f" ({plural(stay.episodes, 'episode')})")
    return told
