"""What a system under measure must be able to do, and what most of them share.

A system is made in the process that measures it and nowhere else. What it is given is prepared outside the clock, in
the form that it takes; what it answers is turned into keys outside the clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.turns import Question, Turn

__all__ = ["K", "System"]

K = 10  # results of every search
Floats = NDArray[np.float32]


class System(ABC):
    """`packages` name what is measured; `survives` what an acknowledged single add does: "power cut" (an fsync a
    commit), "process kill" or "nothing". `batched` says how a batch goes in; `note` what a reader must know besides.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    survives: ClassVar[str] = "nothing"
    batched: ClassVar[str] = ""
    note: ClassVar[str] = ""
    modes: ClassVar[tuple[str, ...]] = ("dense",)

    def __init__(self, folder: Path, dimension: int) -> None:
        self.folder = folder
        self.dimension = dimension
        self.given: dict[str, Any] = {}  # text → vector, for a system that asks an embedder; emptied after each block

    def offer(self, text: str, vector: Floats) -> None:
        """Have the vector ready in the form that embedders mostly answer with."""
        self.given[text] = vector.tolist()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The embedder that the system is handed: a look-up, for whatever it asks."""
        return [self.given[text] for text in texts]

    @abstractmethod
    def prepared(self, turn: Turn, vector: Floats) -> Any:
        """A turn as this system takes it."""

    @abstractmethod
    def add(self, item: Any) -> None:
        """One turn, acknowledged when this returns."""

    @abstractmethod
    def add_batch(self, items: list[Any]) -> None: ...

    def settle(self) -> None:  # noqa: B027  # most put nothing off
        """Do now what was put off until the system is idle; its CPU time is the add's."""

    @abstractmethod
    def asked(self, mode: str, question: Question, vector: Floats, conversation: str | None) -> Any:
        """A question as this system takes it; filtered to a conversation, or over everything."""

    @abstractmethod
    def search(self, asked: Any) -> Any:
        """The K best with their texts, in whatever form the system gives."""

    @abstractmethod
    def keys(self, found: Any) -> list[str]:
        """The turns' keys, best first."""

    def close(self) -> None:  # noqa: B027  # most have left it there already
        """Leave on disk whatever there is to be left."""
