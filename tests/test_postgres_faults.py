"""What Postgres has in its way: addresses that cannot be right, refusals, time-outs, connections that are lost.

Each is told in words, with a way out, and never with the password.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from agentmem import Memory, verbs
from agentmem.errors import LedgerError
from agentmem.ledger import ScopedLedger, Transaction
from agentmem.opened import open_ledger
from agentmem.records import DEFAULT_SCOPE, Record, Scope
from agentmem_stores.sql import engine as engine_module
from agentmem_stores.sql.ledger import SqlLedger
from tests.postgres import GUARDED, PASSWORD, Server, holding_open, opened, schema_of


def added(scoped: ScopedLedger, text: str) -> Record:
    record = Record.create(text, scope=scoped.scope)
    scoped.transact(lambda transaction: transaction.write([verbs.add(record, fresh=True)], actor="ana"))
    return record


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────


NOBODY = "127.0.0.1:1"  # where no server is


@pytest.mark.parametrize(
    ("given_url", "shown"),
    [
        ("postgresql://ana:pw@HERE/notes", "postgresql://HERE/notes"),
        ("postgres://ana:pw@HERE/notes?connect_timeout=5", "postgresql://HERE/notes"),
        ("postgresql+psycopg://ana@HERE/notes?schema=agentmem", "postgresql://HERE/notes"),
        ("postgresql://ana:p%40w@HERE/notes?schema=mine&password=pw", "postgresql://HERE/notes?schema=mine"),
        ("postgresql:///notes?host=/nowhere&user=ana&password=pw", "postgresql:///notes?host=%2Fnowhere"),
    ],
)
def test_an_address_is_shown_without_credentials(given_url: str, shown: str) -> None:
    with pytest.raises(LedgerError, match="no server answers") as caught:
        open_ledger(given_url.replace("HERE", NOBODY))
    assert str(caught.value).startswith(shown.replace("HERE", NOBODY) + ": ")
    assert caught.value.way_out


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://ana:s3cret-p@ss/word@host/notes",
        "postgresql://ana:s3cret-p@ss@host/notes",
        "postgresql://ana:s3cret@host:port/notes",
        "postgresql+asyncpg://ana:s3cret@host/notes",
        "postgresql://ana:s3cret@host/notes?schema=My-Schema",
        "postgresql://ana:s3cret@host/notes?schema=a&schema=b",
        "postgresql://ana:s3cret@host/notes?schema=" + "a" * 64,
        "postgresql://ana:s3cret@127.0.0.1:1/notes?no_such_option=1",
    ],
)
def test_an_address_that_cannot_be_right_is_refused_without_its_password(bad: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(bad)
    told = "".join(traceback.format_exception(caught.value)) + caught.value.way_out
    assert "s3cret" not in told
    assert caught.value.way_out or "no_such_option" in str(caught.value)


def test_without_its_driver_the_error_says_how_to_get_it() -> None:
    said = """
import sys
sys.modules["psycopg"] = None
from agentmem.opened import open_ledger
from agentmem.errors import PluginError
try:
    open_ledger("postgresql://ana@host/notes")
except PluginError as error:
    print(error.way_out)
"""
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'agentmem-framework[postgres]'"


# ── faults in words ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_stands_in_the_way_of_opening_is_told_without_the_password(
    postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "not-the-" + PASSWORD
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0", database="postgres")
    here = postgres.url(user=GUARDED, password=wrong)
    cases = {
        here: "refuses this user or password",
        postgres.url(user=GUARDED): "refuses this user or password",
        postgres.url(user="stranger", password=wrong): "knows no such user",
        postgres.url(password=wrong).replace("/agentmem?", "/nowhere?"): "has no such database",
        postgres.url(password=wrong).replace("/agentmem?", "/latin?"): "LATIN1",
        here.replace("agentmem-pg-", "agentmem-none-"): "no server answers",
        f"postgresql://ana:{wrong.replace('@', '%40').replace('/', '%2F')}@127.0.0.1:1/a": "no server answers",
    }
    for url, message in cases.items():
        with pytest.raises(LedgerError, match=message) as caught:
            open_ledger(url)
        assert caught.value.way_out
        told = "".join(traceback.format_exception(caught.value))
        for spelling in (wrong, wrong.replace("@", "%40").replace("/", "%2F")):
            assert spelling not in told + repr(caught.value) + caplog.text
    postgres.execute("DROP DATABASE latin", database="postgres")


def test_the_password_is_in_nothing_that_is_shown(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.url("guarded_notes", user=GUARDED, password=PASSWORD)
    with opened(url) as memory:
        memory.add("here")
        memory.recall("here")
        shown = f"{memory!r} {memory.url} {memory.stats()} {memory._opened.ledger.bind(DEFAULT_SCOPE)!r}"
        postgres.execute("ALTER ROLE guarded CONNECTION LIMIT 0")
        postgres.disconnect_all()
        with pytest.raises(LedgerError) as caught:
            memory.add("more")
        postgres.execute("ALTER ROLE guarded CONNECTION LIMIT -1")
    shown += "".join(traceback.format_exception(caught.value))
    for spelling in (PASSWORD, PASSWORD.replace("@", "%40").replace("/", "%2F")):
        assert spelling not in shown + caplog.text


def test_a_database_without_a_memory_is_left_as_it_is_unless_one_may_be_made(
    postgres: Server, postgres_url: str
) -> None:
    schema = schema_of(postgres_url)
    with pytest.raises(LedgerError, match="no memory") as caught:
        opened(postgres_url, create=False)
    assert "agentmem init" in caught.value.way_out
    assert postgres.execute(f"SELECT to_regnamespace('{schema}')") == [(None,)]
    opened(postgres_url).close()
    opened(postgres_url, create=False).close()
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_a_memory_of_a_newer_version_is_refused_untouched(postgres: Server, postgres_url: str) -> None:
    opened(postgres_url).close()
    postgres.execute(f"INSERT INTO {schema_of(postgres_url)}.migrations VALUES ('m777_from_the_future', 0)")
    with pytest.raises(LedgerError, match=r"newer agentmem .*m777_from_the_future"):
        opened(postgres_url)


def test_a_user_without_the_right_is_told(postgres: Server, postgres_url: str) -> None:
    with opened(postgres_url) as memory:
        memory.add("theirs")
    schema = schema_of(postgres_url)
    stranger = postgres.url(schema, user=GUARDED, password=PASSWORD)
    with pytest.raises(LedgerError, match=r"no memory|may not"):
        opened(stranger, create=False)
    postgres.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {GUARDED}", f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {GUARDED}"
    )
    with opened(stranger, create=False) as memory:
        assert [record.text for record in memory.records()] == ["theirs"]
        with pytest.raises(LedgerError, match="may not do that") as caught:
            memory.add("mine")
        assert caught.value.way_out


def test_a_server_that_takes_no_writes_is_told_and_read(postgres_url: str) -> None:
    with opened(postgres_url) as memory:
        memory.add("the launch")
    with opened(postgres_url + "&options=-cdefault_transaction_read_only%3Don", create=False) as memory:
        assert memory.recall("launch")[0].record.text == "the launch"
        with pytest.raises(LedgerError, match="takes no writes"):
            memory.add("more")


def test_a_statement_that_takes_too_long_is_told(postgres: Server, postgres_url: str) -> None:
    schema = schema_of(postgres_url)
    with opened(postgres_url + "&options=-cstatement_timeout%3D50") as memory:
        record = memory.add("here")
        where = {"host": str(postgres.folder), "dbname": "agentmem", "user": "agentmem"}
        with psycopg.connect(**where) as other:  # type: ignore[arg-type]
            other.execute(f"LOCK TABLE {schema}.records IN ACCESS EXCLUSIVE MODE")
            tried: list[Callable[[], object]] = [lambda: memory.add("more"), lambda: memory.get(record.id)]
            for verb in tried:
                with pytest.raises(LedgerError, match="took too long") as caught:
                    verb()
                assert "statement_timeout" in caught.value.way_out
        assert memory.add("after").text == "after"
        assert [record.text for record in memory.records()] == ["here", "after"]
        assert memory.verify() == []


def test_a_lock_that_is_never_let_go_is_told_as_what_it_is(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(postgres_url) as holder:
        early = holder.add("early")
        monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_S", 0.05)
        with opened(postgres_url) as memory, holding_open(holder._opened.ledger.bind(DEFAULT_SCOPE)):
            with pytest.raises(LedgerError, match="locked") as caught:
                memory.add("now")
            assert caught.value.way_out
            assert memory.recall("early")[0].record == early  # readers do not wait for writers
            assert memory.scope("user:bea").add("elsewhere").position == 1  # nor do writers of another root
        assert memory is not holder
        assert holder.add("after").position == 2


# ── lost connections ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_connections_that_were_lost_while_idle_are_made_anew_unseen(postgres: Server, memory: Memory) -> None:
    record = memory.add("before")
    with ThreadPoolExecutor(6) as pool:  # several connections in the pool
        list(pool.map(lambda _: memory.get(record.id), range(60)))
    verbs_of: list[Callable[[], object]] = [
        lambda: memory.add("after"),
        lambda: memory.get(record.id),
        lambda: list(memory.records()),
        lambda: memory.recall("before"),
        lambda: memory.log(),
        lambda: list(memory.export_lines()),
        lambda: memory.stats(),
    ]
    memory.flush()
    for verb in verbs_of:
        postgres.disconnect_all()
        verb()
    postgres.restart()
    assert memory.add("last").position == 3
    assert memory.verify() == []


def test_a_memory_whose_server_went_away_closes_without_a_word(
    postgres: Server, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = opened(postgres_url)
    record = memory.add("here")
    memory.flush()
    memory.get(record.id)
    postgres.disconnect_all()
    memory.close()
    assert caplog.records == []


def test_a_connection_lost_in_the_middle_fails_its_work_alone_and_nothing_of_it_is_kept(
    postgres: Server, postgres_ledger: SqlLedger
) -> None:
    ana = postgres_ledger.bind(Scope("user:ana"))
    kept = added(ana, "kept")

    def work(transaction: Transaction) -> None:
        record = Record.create("never", scope=ana.scope)
        transaction.write([verbs.add(record, fresh=True)], actor="ana")
        postgres.disconnect_all()
        transaction.write([verbs.add(Record.create("never", scope=ana.scope), fresh=True)], actor="ana")

    with pytest.raises(LedgerError, match="connection to the server was lost") as caught:
        ana.transact(work)
    assert "look first" in caught.value.way_out
    assert [record.id for record in ana.scan()] == [kept.id]
    added(ana, "after")
    assert ([record.text for record in ana.scan()], ana.head(), ana.verify()) == (["kept", "after"], 2, [])


def test_a_snapshot_whose_connection_is_lost_says_so(postgres: Server, postgres_ledger: SqlLedger) -> None:
    ana = postgres_ledger.bind(Scope("user:ana"))
    added(ana, "here")
    with pytest.raises(LedgerError, match="lost"), ana.snapshot() as reader:  # noqa: PT012
        assert reader.head() == 1
        postgres.disconnect_all()
        reader.scan()
    assert len(ana.scan()) == 1
