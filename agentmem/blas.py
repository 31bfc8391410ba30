"""Products of matrices on one thread. For ours a second one gains nothing, and spins on for milliseconds afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

__all__ = ["one_thread", "product"]


_lock = Lock()
_inside: list[Any] = []  # one for each that is in `one_thread`; the first is the limit that they share


@cache
def _blas() -> Any:
    """Found once: looking for the BLAS libraries costs 0.2 ms, setting their threads 9 us."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, BLAS has one thread, in the whole process. Those who are in it at once share it, and the last to leave
    gives back what the first found: each by itself would restore the other's one thread, for good."""
    with _lock:
        _inside.append(None if _inside else _blas().limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            if (limit := _inside.pop()) is not None:
                limit.restore_original_limits()


def product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """`left @ right`"""
    with one_thread():
        return cast("NDArray[np.float32]", left @ right)
