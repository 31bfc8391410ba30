"""The chunks of all sessions, and the chunks of chunks above them: what there is to attend to, and at which height.

A session's chunks are the lowest level; every `fan_out` of them in a row make one of the next, as often as it takes
until one holds the session, and the sessions stand under one root. Levels above the lowest are not kept: they follow
from it. Nothing here knows a ledger, a text or a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentmem.embedding import unit_rows
from agentmem.values import Json, plain_text
from agentmem_stores.chunking import ITEM, Rows, Rule, Stream, print_of

__all__ = ["Forest", "Node", "Side"]

Session: TypeAlias = "str | None"


class Node(NamedTuple):
    """Chunks `first` to `last`, exclusive, of a session: one chunk at level 0."""

    session: Session
    level: int
    first: int
    last: int


class Side:
    """All chunks side by side, made once for the recalls between two changes.

    Chunk j holds the items `bounds[j]` to `bounds[j + 1]`; `keys[j]` is its mean at length 1, float32[chunks,
    dimension]. Sessions stand in the order of their first records: whatever order they came in, ties fall alike.
    """

    def __init__(self, streams: Mapping[Session, Stream], dimension: int) -> None:
        self.sessions = sorted(streams, key=lambda session: int(streams[session].items["position"][0]))
        listed, none = [streams[session] for session in self.sessions], Stream(dimension)
        self.items: NDArray[Any] = np.concatenate([none.items, *(stream.items for stream in listed)])
        begin = np.cumsum([0, *(len(stream.items) for stream in listed)])
        starts = [stream.starts + start for stream, start in zip(listed, begin, strict=False)]
        self.bounds = np.concatenate([none.starts, *starts, begin[-1:]])
        self.keys = unit_rows(np.concatenate([none.keys, *(stream.keys for stream in listed)]))
        self._first = np.cumsum([0, *(len(stream) for stream in listed)])

    @cached_property
    def prints(self) -> list[str]:
        """What tells each chunk's content from any other."""
        pairs = zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)
        return [print_of(self.items["mark"][start:end]) for start, end in pairs]

    def of(self, chunk: int) -> NDArray[Any]:
        """The chunk's items."""
        return self.items[self.bounds[chunk] : self.bounds[chunk + 1]]

    def place(self, chunk: int) -> tuple[Session, int]:
        """The chunk's session, and its number there."""
        stream = int(np.searchsorted(self._first, chunk, side="right")) - 1
        return self.sessions[stream], chunk - int(self._first[stream])


class Forest:
    """`home` tells the session of each item by its position."""

    def __init__(self, dimension: int, fan_out: int) -> None:
        self.streams: dict[Session, Stream] = {}
        self.home: dict[int, Session] = {}
        self._dimension = dimension
        self._fan_out = fan_out
        self._side: Side | None = None

    @property
    def side(self) -> Side:
        if self._side is None:
            self._side = Side(self.streams, self._dimension)
        return self._side

    def alter(
        self, gone: Iterable[int], put: Mapping[Session, Sequence[tuple[Any, ...]]], rows: Rows, rule: Rule
    ) -> None:
        """Take items out by their positions, then put others in, each as `ITEM` has it. The same again alters nothing,
        so one that failed half-way (vectors that could not be read) is done by doing it once more."""
        out: dict[Session, set[int]] = {}
        for position in gone:
            if position in self.home:
                out.setdefault(self.home[position], set()).add(position)
        self._side = None
        for session in dict.fromkeys([*out, *put]):
            stream = self.streams.get(session) or Stream(self._dimension)
            stream.alter(out.get(session, ()), np.array(put.get(session, []), ITEM), rows, rule)
            if len(stream):
                self.streams[session] = stream
            else:
                self.streams.pop(session, None)
        for position in set().union(*out.values()):
            del self.home[position]
        self.home |= {item[0]: session for session, items in put.items() for item in items}

    # ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────

    def top(self, session: Session) -> int:
        """The level at which a session is one chunk."""
        level, span = 0, 1
        while span < len(self.streams[session]):
            level, span = level + 1, span * self._fan_out
        return level

    def nodes(self, session: Session, level: int) -> list[Node]:
        """The session's chunks of a level, in order; its highest, if it does not reach so high."""
        level, number = min(level, self.top(session)), len(self.streams[session])
        span = self._fan_out**level
        return [Node(session, level, first, min(first + span, number)) for first in range(0, number, span)]

    def below(self, node: Node) -> list[Node]:
        """What a chunk of a level above the lowest is made of."""
        span = self._fan_out ** (node.level - 1)
        starts = range(node.first, node.last, span)
        return [Node(node.session, node.level - 1, first, min(first + span, node.last)) for first in starts]

    def node_of(self, position: int) -> Node:
        """The lowest chunk that holds an item, which must be here."""
        session = self.home[position]
        number = self.streams[session].chunk(position)
        return Node(session, 0, number, number + 1)

    def items(self, node: Node) -> NDArray[Any]:
        stream = self.streams[node.session]
        bounds = stream.bounds
        return stream.items[bounds[node.first] : bounds[node.last]]

    def key(self, node: Node) -> NDArray[np.float64]:
        """The mean of its items' unit vectors."""
        stream = self.streams[node.session]
        sizes = np.diff(stream.bounds[node.first : node.last + 1])
        mean: NDArray[np.float64] = np.average(stream.keys[node.first : node.last], axis=0, weights=sizes)
        return mean

    def closed(self, node: Node) -> bool:
        stream = self.streams[node.session]
        whole = node.last - node.first == self._fan_out**node.level
        return whole and not (stream.open and node.last == len(stream))

    def id_of(self, node: Node) -> str:
        return f"{node.session or ''}/{node.level}/{self.items(node)['position'][0]}"

    def found(self, id: str) -> Node | None:
        """The chunk that bears the id; None when none does."""
        name, _, position = id.rpartition("/")
        level = name.rpartition("/")[2]
        if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in (level, position)):
            return None
        if int(position) not in self.home:
            return None
        low = self.node_of(int(position))
        nodes = self.nodes(low.session, int(level))
        node = nodes[low.first // self._fan_out ** nodes[0].level]
        return node if self.id_of(node) == id else None

    # ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> tuple[dict[str, Json], dict[str, NDArray[Any]]]:
        streams, none = self.streams.values(), Stream(self._dimension)
        return {"sessions": list(self.streams), "open": [stream.open for stream in streams]}, {
            "lengths": np.array([[len(s.items), len(s)] for s in streams], np.int64).reshape(-1, 2),
            "items": np.concatenate([none.items, *(stream.items for stream in streams)]),
            "starts": np.concatenate([none.starts, *(stream.starts for stream in streams)]),
            "keys": np.concatenate([none.keys, *(stream.keys for stream in streams)]),
        }

    def restore(self, told: Any, arrays: Mapping[str, NDArray[Any]], labels: int) -> None:
        """From what `dump` gave; ValueError, KeyError or TypeError when it is not that."""
        items, starts, keys, lengths = (arrays[name] for name in ("items", "starts", "keys", "lengths"))
        shapes = ((items, ITEM, 1), (starts, np.int64, 1), (lengths, np.int64, 2), (keys, np.float32, 2))
        if any(array.dtype != dtype or array.ndim != ndim for array, dtype, ndim in shapes):
            raise ValueError("its arrays are not those of chunks")
        if keys.shape[1] != self._dimension or len(starts) != len(keys) or lengths.shape[1] != 2:
            raise ValueError("its arrays do not fit each other")
        if bool((lengths < 1).any()) or [len(items), len(keys)] != lengths.sum(axis=0).tolist():
            raise ValueError("its streams do not fill its arrays")
        cuts = np.cumsum(lengths, axis=0)[:-1]
        pieces = (np.split(items, cuts[:, 0]), np.split(starts, cuts[:, 1]), np.split(keys, cuts[:, 1]))
        if not len(told["sessions"]) == len(told["open"]) == len(lengths):
            raise ValueError("its sessions do not fit its streams")
        for session, opened, *parts in zip(told["sessions"], told["open"], *pieces, strict=bool(len(lengths))):
            stream = Stream(self._dimension)
            stream.items, stream.starts, stream.keys = parts
            stream.open = bool(opened)
            stream.check(labels)
            self.streams[None if session is None else plain_text(session, "session")] = stream
            self.home |= dict.fromkeys(stream.items["position"].tolist(), session)
        if len(self.streams) != len(lengths) or len(self.home) != len(items):
            raise ValueError("a session or a record of it is there twice")
