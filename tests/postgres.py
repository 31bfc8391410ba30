"""A throw-away Postgres server for the tests, from the programs on this machine, reached by a socket in its own folder.

Postgres refuses to run as root, so a root's tests run it as an unprivileged user. Without its programs the tests that
need it are skipped, and the summary says so; where the variable CI is set they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL

from agentmem import Memory
from agentmem.ledger import ScopedLedger, Transaction
from agentmem.opened import open_ledger
from agentmem_stores.sql.ledger import SqlLedger
from tests.fakes import TinyEmbedder

PATIENCE_S = 60.0  # for a server to start, on a machine that is busy with other work
USER, GUARDED, PASSWORD = "agentmem", "guarded", "s3cret-p@ss/word"
DATABASE = "agentmem"
MISSING = "PostgreSQL's server programs are not installed (Debian, Ubuntu: apt-get install postgresql)"

# Off: what guards against a power cut or a crash of the machine, which no general test is about.
_HASTY = {"fsync": "off", "full_page_writes": "off"}
# As some hosts have it: a commit is told before it is written anywhere, unless the session asks for more.
_LAZY = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
_HBA = f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"

skipped: list[str] = []


def programs() -> Path | None:
    """The folder that holds initdb and postgres; None when they are not installed."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"):
        folders += sorted(Path("/").glob(pattern[1:]), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _unprivileged() -> dict[str, Any]:
    """Arguments of `subprocess` that drop root's rights; none when there are none to drop."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    chosen = names.get("postgres") or names["nobody"]
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


class Server:
    """A server with one database. `durable` is one that keeps what it promised, if it is made to promise."""

    def __init__(self, *, durable: bool = False) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._durable = durable
        self._process: subprocess.Popen[Any] | None = None
        self._runs_as = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="agentmem-pg-"))
        self._log = self.folder / "log"
        if self._runs_as:
            os.chown(self.folder, self._runs_as["user"], self._runs_as["group"])
        initdb = [found / "initdb", "--pgdata", self._data, "--username", USER, "--encoding=UTF8", "--no-locale"]
        self._run([*initdb, "--no-sync", "--no-instructions"])
        (self._data / "pg_hba.conf").write_text(_HBA)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, argv: list[Any]) -> None:
        done = subprocess.run(argv, cwd=self.folder, env=self._env, capture_output=True, check=False, **self._runs_as)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}

    def start(self) -> None:
        """Returns once it takes connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": "60"}
        settings |= _LAZY if self._durable else _HASTY
        # A server does not outlive a test run that is killed, where the system can see to that.
        tied = ["setpriv", "--pdeathsig", "INT", "--"] if shutil.which("setpriv") else []
        argv = [*tied, str(self._programs / "postgres"), "-D", str(self._data)]
        argv += [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                argv, cwd=self.folder, env=self._env, stdout=log, stderr=log, **self._runs_as
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, self._log.read_text()
            else:
                raise AssertionError(self._log.read_text())

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1", database="postgres")
        except psycopg.OperationalError:
            return False
        return True

    def connection(self, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        """As the server's owner."""
        where = {"host": str(self.folder), "dbname": database, "user": USER}
        return psycopg.connect(**where, autocommit=True)  # type: ignore[arg-type]

    def execute(self, *statements: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run statements as the server's owner; the rows of the last one."""
        with self.connection(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL to the server and every process of it, as the kernel does when memory runs out."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it begets no more, and reaps none
        deadline = time.monotonic() + PATIENCE_S
        while children := self._children():  # until none holds the shared memory any more
            assert time.monotonic() < deadline
            for pid in children:
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def _children(self) -> list[int]:
        """The server's processes that are still alive."""
        assert self._process is not None
        argv = ["ps", "-A", "-o", "pid=,ppid=,stat="]
        listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, parent, state in rows if int(parent) == self._process.pid and state[0] != "Z"]

    def disconnect_all(self) -> None:
        """End every connection but our own, as a restart or a firewall does."""
        others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        self.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {others}")

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast": open transactions are rolled back
            self._process.wait(PATIENCE_S)

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, schema: str | None = None, *, user: str = USER, password: str | None = None, **query: str) -> str:
        asked = {"host": str(self.folder), **({} if schema is None else {"schema": schema}), **query}
        return URL.create("postgresql+psycopg", user, password, database=DATABASE, query=asked).render_as_string(
            hide_password=False
        )


def opened(url: str, **more: Any) -> Memory:
    return Memory.open(url, embedder=TinyEmbedder(), **more)


def schema_of(url: str) -> str:
    return url.partition("schema=")[2].partition("&")[0]


@contextmanager
def holding_open(scoped: ScopedLedger) -> Iterator[None]:
    """A write transaction of this scope is open meanwhile, in a thread of its own."""
    begun, end = threading.Event(), threading.Event()

    def work(transaction: Transaction) -> None:
        transaction.head()
        begun.set()
        end.wait()

    thread = threading.Thread(target=scoped.transact, args=[work])
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A server with an empty database, gone at the end."""
    if programs() is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        skipped.append(MISSING)
        pytest.skip(MISSING)
    server = Server(durable=durable)
    try:
        server.start()
        server.execute(f"CREATE DATABASE {DATABASE}", database="postgres")
        server.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
        server.execute(f"GRANT CREATE ON DATABASE {DATABASE} TO {GUARDED}")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests. It must be up, and its settings as they were, when a test ends."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[Server]:
    """A server that may be killed."""
    with running(durable=True) as server:
        yield server


@pytest.fixture
def postgres_urls(postgres: Server) -> Iterator[Callable[[], str]]:
    """Each call names a place where no ledger is yet, and no other test comes by."""
    schemas: list[str] = []

    def new() -> str:
        schemas.append(f"t{uuid4().hex}")
        return postgres.url(schemas[-1])

    yield new
    postgres.execute("SELECT 1", *(f"DROP SCHEMA IF EXISTS {schema} CASCADE" for schema in schemas))


@pytest.fixture
def postgres_url(postgres_urls: Callable[[], str]) -> str:
    return postgres_urls()


@pytest.fixture
def postgres_ledger(postgres_url: str) -> Iterator[SqlLedger]:
    made = cast(SqlLedger, open_ledger(postgres_url))
    yield made
    made.close()
