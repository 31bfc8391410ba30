"""Products of matrices on one thread. For ours a second one gains nothing, and spins on for milliseconds afterwards."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

__all__ = ["one_thread", "product"]


@cache
def _blas() -> Any:
    """Found once: looking for the BLAS libraries costs 0.2 ms, setting their threads 9 us."""
    return ThreadpoolController().select(user_api="blas")


def one_thread() -> AbstractContextManager[object]:
    """Within it, BLAS has one thread, in the whole process."""
    return cast("AbstractContextManager[object]", _blas().limit(limits=1))


def product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """`left @ right`"""
    with one_thread():
        return cast("NDArray[np.float32]", left @ right)
