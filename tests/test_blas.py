"""One BLAS thread for our products, and as many as before for everybody else's afterwards."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from agentmem.blas import one_thread, product


def threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_two_at_once_leave_as_many_threads_as_they_found() -> None:
    with threadpool_limits(2, user_api="blas"):
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        assert threads() == {1}
        first.__exit__(None, None, None)  # the first to come is the first to go, as of two threads of a program
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}
        assert product(np.eye(3, dtype=np.float32), np.ones(3, np.float32)).tolist() == [1, 1, 1]
        assert threads() == {2}
