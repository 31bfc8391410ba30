"""Ledgers of every schema there ever was open, keep all they held, and end with the tables of a new one.

The files in `fixtures/ledgers` are made by `python -m tests.fixtures.make_ledger`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

import agentmem
from agentmem import Memory
from agentmem.errors import LedgerError
from agentmem.records import Place, Scope, Source
from agentmem_apps.doctor.salvage import salvage
from agentmem_stores.sql import migrations
from agentmem_stores.sql.ledger import FILE_NAME
from tests.fakes import DigestEmbedder, given_vector
from tests.fixtures.make_ledger import CURRENT, LEDGERS, make
from tests.postgres import Server, schema_of

SCHEMAS = sorted(LEDGERS.glob("*.sqlite3"))  # each bears the name of its last migration


def copied(file: Path, tmp_path: Path) -> Path:
    """A memory's folder that holds a copy of this ledger."""
    folder = tmp_path / "old.mem"
    folder.mkdir()
    shutil.copy(file, folder / FILE_NAME)
    return folder


@pytest.fixture(params=SCHEMAS, ids=[file.stem for file in SCHEMAS])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copied(request.param, tmp_path)


def in_postgres(file: Path, server: Server, url: str) -> None:
    """The same tables with the same rows, as that version would have made them in Postgres."""
    schema = schema_of(url)
    with closing(sqlite3.connect(file)) as source, server.connection() as target:
        target.execute(f"CREATE SCHEMA {schema}")
        target.execute(f"SET search_path TO {schema}")
        made = source.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        # What refers to a table comes after it.
        for kind, name, sql in sorted(made, key=lambda one: (one[0] == "index", "REFERENCES" in one[2])):
            counted = kind == "table" and name in ("roots", "scopes", "embedders")
            sql = sql.replace("BLOB", "BYTEA").replace("WITHOUT ROWID", "").replace('key" INTEGER', 'key" BIGINT')
            target.execute(sql.replace("id INTEGER NOT NULL", "id SERIAL NOT NULL", 1) if counted else sql)
            if kind == "index":
                continue
            rows = source.execute(f"SELECT * FROM {name}").fetchall()
            columns = [column for _, column, *_ in source.execute(f"PRAGMA table_info({name})")]
            if rows:
                listed = ", ".join(f'"{column}"' for column in columns)
                asked = ", ".join("%s::int::bool" if column == "pinned" else "%s" for column in columns)
                with target.cursor() as cursor:
                    cursor.executemany(f"INSERT INTO {name} ({listed}) VALUES ({asked})", rows)
            if counted:
                target.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")


@pytest.mark.parametrize("file", SCHEMAS[:-1], ids=[file.stem for file in SCHEMAS[:-1]])
def test_a_ledger_of_any_older_schema_in_postgres_becomes_current(
    file: Path, postgres: Server, postgres_urls: Callable[[], str]
) -> None:
    old, new = postgres_urls(), postgres_urls()
    in_postgres(file, postgres, old)
    with Memory.open(old, embedder=DigestEmbedder(), scope="user:ana", actor="ana", create=False) as ana:
        test_its_records_are_as_they_were(ana)
        test_its_history_and_its_erasures_are_as_they_were(ana)
        test_it_is_asked_and_written_and_taken_back_like_a_new_one(ana)
        assert ana.verify() == []
    with Memory.open(new, embedder=DigestEmbedder()) as memory:
        memory.add("here")
    names = "SELECT tablename, indexname, replace(indexdef, '{0}', '') FROM pg_indexes WHERE schemaname = '{0}'"
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = '{0}'"
    )
    for said in (names, columns):
        told = [set(postgres.execute(said.format(schema_of(url)))) for url in (old, new)]
        assert told[0] == told[1] != set()


@pytest.fixture
def ana(old: Path) -> Iterator[Memory]:
    with Memory.open(old, embedder=DigestEmbedder(), scope="user:ana", actor="ana", create=False) as memory:
        yield memory


def tables(folder: Path) -> set[tuple[str, str, str]]:
    """(kind, name, table) of everything in the file, and each table's columns as they are declared."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        found = set(connection.execute("SELECT type, name, tbl_name FROM sqlite_master"))
        names = [name for kind, name, _ in found if kind == "table"]
        for name in names:
            columns = connection.execute(f"PRAGMA table_xinfo({name})")
            found |= {("column", name, repr(tuple(column)[1:])) for column in columns}
            for _, index, *rest in connection.execute(f"PRAGMA index_list({name})"):
                on = [column for *_, column in connection.execute(f"PRAGMA index_info({index})")]
                found.add(("index on", name, repr((index, on, rest))))
    return found


def test_there_is_a_ledger_of_every_schema() -> None:
    assert [file.stem for file in SCHEMAS] == migrations.known()


def test_an_old_ledger_ends_with_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    for folder in (old, tmp_path / "new.mem"):
        with Memory.open(folder, embedder=DigestEmbedder()) as memory:
            memory.add("here")
    assert tables(old) == tables(tmp_path / "new.mem")


def test_the_newest_fixture_is_what_the_code_makes_today(tmp_path: Path) -> None:
    """Else the schema changed: append a migration and make its fixture."""
    made = tmp_path / "made"
    made.mkdir()
    make(made / FILE_NAME)
    kept = copied(CURRENT, tmp_path)
    assert tables(kept) == tables(made)


def test_its_records_are_as_they_were(ana: Memory) -> None:
    assert ana.verify() == []
    states = {record.id: record.state for record in ana.records(states=("live", "forgotten", "replaced"))}
    [merged] = [id for id in states if len(id) > 30]
    assert states == {
        "launch": "live",
        "office": "live",
        "ferry": "replaced",
        "hotel": "replaced",
        "doubt": "forgotten",
        merged: "live",
        "plan": "live",
    }
    launch, plan = ana.get("launch"), ana.get("plan")
    assert (launch.text, launch.speaker, launch.pinned) == ("We moved the launch to 4 May.", "Ana", True)
    assert ana.get("office").tags == ("place", "work")
    assert (plan.text, plan.kind, plan.strength) == ("Everybody meets on the terrace.", "plan", 2.5)
    assert plan.place == Place("Lisbon/office/terrace", (38.72, -9.14))
    assert plan.sources == (Source(record="office", span=(0, 17)), Source(file="plan.md"))
    assert plan.meta == {"certain": True, "seats": 12}
    assert plan.at.isoformat() == "2024-05-07T12:00:00+00:00"
    assert [source.record for source in ana.get(merged).sources] == ["ferry", "hotel"]
    assert ana.get("ferry").replaced_by == (merged,)


def test_its_history_and_its_erasures_are_as_they_were(ana: Memory) -> None:
    assert [(change.verb, change.actor) for change in ana.history("launch")] == [
        ("add", "ana"),
        ("edit", "ana"),
        ("pin", "ana"),
    ]
    assert [change.cause for change in ana.history("hotel")] == ["first words", ""]
    assert [change.verb for change in ana.history("plan")] == ["add", "edit", "undo"]
    assert all(change.erased for change in ana.history("wrong"))


def test_what_a_wreck_of_its_schema_holds_is_salvaged_unmigrated(old: Path, tmp_path: Path) -> None:
    out = tmp_path / "rescued.jsonl"
    found = salvage(str(old), Scope("user:ana"), out, lambda done, total: None)
    assert (found.unread, found.lost, found.others) == (0, (), ("user:bea",))
    rescued = {line["id"]: line for line in map(json.loads, out.read_text(encoding="utf-8").splitlines()[1:])}
    with Memory.open(old, embedder=DigestEmbedder(), scope="user:ana") as ana:
        held = {record.id: record.to_json() for record in ana.records(states=("live", "forgotten", "replaced"))}
    assert rescued == held
    assert found.written == len(held) == 7


def test_its_scopes_are_still_apart(ana: Memory, old: Path) -> None:
    with Memory.open(old, embedder=DigestEmbedder(), scope="user:bea") as bea:
        assert [record.text for record in bea.records()] == ["Bea knows of no launch."]
        assert [hit.record.text for hit in bea.recall("launch")] == ["Bea knows of no launch."]


def test_it_is_asked_and_written_and_taken_back_like_a_new_one(ana: Memory) -> None:
    assert ana.recall("when is the launch?", 1)[0].record.id == "launch"
    given = agentmem.Cue(vector=tuple(given_vector("Everybody meets on the terrace.")))
    assert ana.recall(given, 1)[0].record.id == "plan"  # its vector was given, and is not the embedder's
    before = ana.get("launch")
    added = ana.add("The launch is in the harbour.")
    assert added.position > max(record.position for record in ana.records() if record != added)
    ana.edit("launch", text="We moved the launch to 5 May.", revision=before.revision)
    assert ana.undo(2)
    assert ana.get("launch").text == before.text
    # Beyond what was done here: steps that the old version wrote.
    assert ana.restore("doubt")[0].state == "live"
    ana.undo()
    assert ana.undo(step=ana.history("office")[-1].step)
    assert ana.get("office").tags == ()
    assert ana.redo()
    assert ana.get("office").tags == ("place", "work")
    assert ana.verify() == []


# ── the rules of migrating ───────────────────────────────────────────────────────────────────────────────────────────


def m998_greeting(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE greetings (word TEXT)")


def m999_failing(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE unfinished (word TEXT)")
    connection.exec_driver_sql("INSERT INTO missing VALUES (1)")


def content(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return list(connection.iterdump())


def applied(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY name")]


def test_a_migration_is_applied_once_and_recorded(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = migrations.known()
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, m998_greeting])
    for _ in range(2):
        with Memory.open(old, embedder=DigestEmbedder(), scope="user:ana") as memory:
            assert memory.get("launch").text
        assert applied(old) == [*current, "m998_greeting"]
    assert ("table", "greetings", "greetings") in tables(old)


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(old)
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, m998_greeting, m999_failing])
        with pytest.raises(LedgerError):
            Memory.open(old, embedder=DigestEmbedder())
    assert content(old) == before
    with Memory.open(old, embedder=DigestEmbedder(), scope="user:ana") as memory:
        assert memory.get("launch").text


@pytest.mark.parametrize("create", [True, False])
def test_a_ledger_of_a_newer_version_is_refused_untouched(create: bool, tmp_path: Path) -> None:
    folder = tmp_path / "newer.mem"
    with Memory.open(folder, embedder=DigestEmbedder()) as memory:
        memory.add("from the future")
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES ('m777_from_the_future', 0)")
    before = (folder / FILE_NAME).read_bytes()
    with pytest.raises(LedgerError, match=r"newer agentmem .*m777_from_the_future") as caught:
        Memory.open(folder, embedder=DigestEmbedder(), create=create)
    assert "Upgrade" in caught.value.way_out
    assert (folder / FILE_NAME).read_bytes() == before
    assert [file.name for file in folder.iterdir()] == [FILE_NAME]
