"""The beginning of commits, whoever asks for them: SQLAlchemy, or the code that goes straight to SQLite's driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


def tell_commits(call: Callable[[], None]) -> Callable[[], None]:
    """`call` as each commit begins, on SQLite over connections made from now on; returns what ends it."""

    def connected(driver: Any, _: object) -> None:
        if hasattr(driver, "set_trace_callback"):
            driver.set_trace_callback(lambda statement: call() if statement == "COMMIT" else None)

    def committing(connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            call()

    event.listen(Engine, "connect", connected)
    event.listen(Engine, "commit", committing)

    def end() -> None:
        event.remove(Engine, "connect", connected)
        event.remove(Engine, "commit", committing)

    return end


@contextmanager
def commits() -> Iterator[list[int]]:
    """Counts the commits of what is opened inside: read the list's length."""
    seen: list[int] = []
    end = tell_commits(lambda: seen.append(1))
    try:
        yield seen
    finally:
        end()
