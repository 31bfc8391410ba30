"""What most tests start from: a memory on a real file, with an embedder that needs nothing, or on a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from hypothesis import settings

from agentmem.memory import Memory
from agentmem.opened import open_ledger
from agentmem_stores.sql.ledger import SqlLedger
from tests.fakes import TinyEmbedder
from tests.postgres import durable_postgres, postgres, postgres_ledger, postgres_url, postgres_urls, skipped

__all__ = ["durable_postgres", "postgres", "postgres_ledger", "postgres_url", "postgres_urls"]

# No test reaches a network, nor does any program that one starts: servers are on loopback, models are made here.
os.environ["AGENTMEM_OFFLINE"] = "on"

# No deadline: a busy machine is no failure. No database: a test must not depend on an earlier run.
settings.register_profile("agentmem", deadline=None, database=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("agentmem")

DATABASES = ["sqlite", "postgres"]
# Where a file's tests have their memory, if not on SQLite alone. What a verb does must not depend on it.
PLACES = {
    "test_undo": DATABASES,
    "test_verbs": DATABASES,
    "test_calls": DATABASES,
    "test_jobs": DATABASES,
    "test_postgres": ["postgres"],
    "test_postgres_faults": ["postgres"],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames and (databases := PLACES.get(metafunc.module.__name__)):
        metafunc.parametrize("place", databases, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a memory can be made: a folder, or by parameter another database."""
    if getattr(request, "param", "sqlite") == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / "notes.mem")


@pytest.fixture(params=DATABASES)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """On each database, as many places as asked for."""
    if request.param == "postgres":
        made: Callable[[], str] = request.getfixturevalue("postgres_urls")
        return made
    numbers = count()
    return lambda: str(tmp_path / f"{next(numbers)}.mem")


@pytest.fixture
def ledger(place: str) -> Iterator[SqlLedger]:
    opened = cast(SqlLedger, open_ledger(place))
    yield opened
    opened.close()


@pytest.fixture
def memory(place: str) -> Iterator[Memory]:
    with Memory.open(place, embedder=TinyEmbedder()) as memory:
        yield memory


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in sorted(set(skipped)):
        terminalreporter.write_line(f"NOT TESTED ON POSTGRES: {reason}", red=True, bold=True)
