"""The commands: what they print, write and refuse, run inside this process on memories of their own."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from agentmem import errors, registry
from agentmem.cues import Hit
from agentmem.memory import Memory
from agentmem.records import Change, Record
from agentmem_apps.cli.app import SECTIONS, program
from agentmem_apps.cli.exits import ExitCode, exit_code_for
from agentmem_apps.cli.wording import reasons
from agentmem_apps.importers.formats import FORMATS

A = "00000000-0000-7000-8000-00008c02f1aa"
B = "00000000-0000-7000-8000-000051d0be77"


class Ran:
    """What a run of the command line gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        told = json.loads(self.out)
        assert told["schema"] == 1
        return told

    @property
    def error(self) -> Any:
        return json.loads(self.err.splitlines()[-1])["error"]


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`agentmem` in a folder of its own, with the hash embedder and a memory at notes.mem that is not made yet."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("AGENTMEM_MEMORY", str(tmp_path / "notes.mem"))
    monkeypatch.setenv("AGENTMEM_EMBEDDER", "hash")

    def call(*argv: str, stdin: str | bytes = "") -> Ran:
        result = CliRunner().invoke(program, list(argv), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # an error that should have become a message and a status
        return Ran(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    """The same, with two memories in it, A and B."""
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add_many(
            [
                {"id": A, "text": "We moved the launch to 3 May. The venue is in Lisbon.", "speaker": "Ana"},
                {"id": B, "text": "Bo likes sourdough bread.", "tags": ["food"], "at": "2024-05-03T12:00:00+00:00"},
            ]
        )
    return run


def standing(folder: Path) -> tuple[int, list[Record]]:
    """The journal's head and every record, whatever its state."""
    with Memory.open(folder / "notes.mem", embedder="hash", create=False) as memory:
        return memory.stats().head, list(memory.records(states=("live", "forgotten", "replaced")))


def test_a_memory_lives_through_the_command_line(run: Run, tmp_path: Path) -> None:
    added = run("add", "We moved the launch to 3 May.", "--speaker", "Ana", "--tag", "launch", "--meta", "page=7")
    id = added.out.strip()
    assert added.code == 0
    assert f"making a new memory at {tmp_path / 'notes.mem'}" in added.err
    assert len(run("add", "-", stdin="Bo bakes bread.\n").out.strip()) == 36

    hits = [Hit.from_json(hit) for hit in run("recall", "when is the launch?", "--json").json["hits"]]
    assert (hits[0].record.id, hits[0].record.meta) == (id, {"page": "7"})
    assert run("recall", "launch", "--ids", "-k", "1").out == f"{id}\n"
    line, parts = run("recall", "launch", "-k", "1").out.splitlines()
    head, _, verdict, *bars = run("recall", "launch", "-k", "1", "--why").out.splitlines()
    assert id[-8:] in head
    assert "words: launch" in verdict
    assert re.fullmatch(r"      \w+ +[+-]\d+\.\d\d(  [█░]+)?", bars[0])
    assert any("below the cut" in line for line in bars)  # those that fell, after it
    assert re.fullmatch(
        rf" ?1  -?\d+\.\d\d  {id[-8:]}  [\d-]{{10}} [\d:]{{5}}  Ana  We moved the launch to 3 May\.", line
    )
    assert re.fullmatch(r"\s+(\w+ [+-]\d+\.\d(, )?)+", parts)

    edited = run("edit", id[-8:], "--text", "We moved the launch to 4 May.", "--tag", "")
    assert edited.out == f"{id[-8:]}  We moved the launch to [-3-]{{+4+}} May.\n"
    shown = run("show", id[-8:]).out
    assert "We moved the launch to 4 May." in shown
    assert "revision:    2" in shown
    assert "tags" not in shown
    assert "[-3-]{+4+}" in run("history", id).out
    assert "[-4-]{+3+}" in run("undo").out
    assert "[-3-]{+4+}" in run("redo").out
    assert run("redo").err == "there is nothing to redo\n"
    changes = [Change.from_json(change) for change in run("history", id, "--json").json["changes"]]
    assert [change.verb for change in changes] == ["add", "edit", "undo", "redo"]


def test_pin_tag_merge_split_forget_and_restore(filled: Run, tmp_path: Path) -> None:
    assert filled("pin", A[-8:], B[-8:]).out == f"{A}\n{B}\n"
    assert filled("pin", "--off", B).code == 0
    assert filled("tag", A, B, "--add", "x", "--remove", "food", "--json").json["records"][1]["tags"] == ["x"]
    parts = filled("split", A, "--at", "The venue").out.split()
    _, records = standing(tmp_path)
    by_id = {record.id: record for record in records}
    assert [by_id[id].text for id in parts] == ["We moved the launch to 3 May.", "The venue is in Lisbon."]
    assert by_id[A].pinned
    assert not by_id[B].pinned
    assert by_id[A].state == "replaced"
    (merged,) = filled("merge", *parts, "--text", "All of it.").out.split()
    forgotten = filled("forget", parts[0])
    assert f"1 memory made from what you forgot stay: {merged[-8:]}" in forgotten.err
    assert filled("forget", B).out == f"{B}\n"
    assert B[-8:] in filled("show", "--state", "forgotten").out
    assert B[-8:] not in filled("show").out
    assert filled("restore", B).code == 0
    assert B[-8:] in filled("show").out


def test_a_cut_must_stand_once_and_leave_two_parts(filled: Run) -> None:
    assert "stands in the text nowhere" in filled("split", A, "--at", "Porto").err
    assert "stands in the text 2 times" in filled("split", A, "--at", "ve").err
    assert "empty part" in filled("split", A, "--at", "We moved").err
    assert filled("split", A).code == ExitCode.USAGE
    assert filled("split", A, "--part", "one", "--part", "two").code == 0


def test_erasing_lists_what_goes_and_needs_a_yes(filled: Run, tmp_path: Path) -> None:
    merged = filled("merge", A, B).out.strip()
    before = standing(tmp_path)
    refused = filled("forget", "--hard", A)
    assert refused.code == ExitCode.USAGE
    assert "--yes" in refused.err
    assert [id[-8:] in refused.err for id in (A, merged)] == [True, True]
    rehearsed = filled("forget", "--hard", "--dry-run", A)
    assert ("dry run" in rehearsed.err, "erased 2 memories" in rehearsed.err) == (True, True)
    assert merged[-8:] in rehearsed.err
    assert standing(tmp_path) == before
    erased = filled("forget", "--hard", "--yes", A)
    assert {A, merged} <= set(erased.out.split())
    assert A not in {record.id for record in standing(tmp_path)[1]}
    assert "erased for good" in filled("history", A).out


def test_the_log_shows_steps_and_undo_takes_back_what_it_is_told(filled: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("\n\n".join(f"Paragraph {n}." for n in range(60)))
    assert "60 added" in filled("import", "notes.txt").out
    filled("edit", B, "--speaker", "Bo")
    steps = filled("log", "--json").json["steps"]
    assert [(step["verb"], step["count"]) for step in steps] == [("edit", 1), ("add", 60), ("add", 2)]
    assert "60 memories" in filled("log").out
    undone = filled("undo", "--step", str(steps[1]["step"])).out
    assert undone.startswith(f"undid step {steps[1]['step']}: 60 memories\n")
    assert undone.endswith("… and 55 more\n")
    blocked = filled("undo", "--step", str(steps[2]["step"]), "--json")
    assert (blocked.code, blocked.error["type"]) == (ExitCode.CONFLICT, "UndoBlocked")
    assert filled("undo", "--step", str(steps[2]["step"]), "--force", B[-8:]).code == 0
    assert standing(tmp_path)[1] == []
    assert "removed:" in filled("history", B).out
    assert len(filled("log", "-n", "2").out.splitlines()) == 2


def test_several_steps_are_undone_and_redone_at_once(filled: Run, tmp_path: Path) -> None:
    before = standing(tmp_path)[1]
    filled("tag", A, "--add", "one")
    filled("tag", A, "--add", "two")
    told = filled("undo", "2").out
    assert re.findall(r"^undid step", told, re.M) == ["undid step"] * 2
    assert [(r.id, r.tags) for r in standing(tmp_path)[1]] == [(r.id, r.tags) for r in before]
    filled("redo", "2")
    assert standing(tmp_path)[1][0].tags == ("one", "two")
    assert filled("undo", "2", "--step", "1").code == ExitCode.USAGE


WRITES = {
    "init": ("init", "other.mem"),
    "add": ("add", "something new", "--pin"),
    "edit": ("edit", A, "--text", "other words"),
    "pin": ("pin", A),
    "tag": ("tag", A, "--add", "x"),
    "merge": ("merge", A, B),
    "split": ("split", A, "--at", "The venue"),
    "forget": ("forget", A),
    "fade": ("fade", "--keep", "0.5"),
    "doctor": ("doctor", "--fix"),
    "restore": ("restore", A),
    "undo": ("undo",),
    "redo": ("redo",),
    "import": ("import", "notes.txt"),
    "reindex": ("reindex",),
    "working": ("working", "--first", A),
    "sleep": ("sleep",),
    "review": ("review", A, "--accept"),
}


def test_every_command_that_can_rehearse_is_tested() -> None:
    listed = [name for _, names in SECTIONS for name in names]
    context = click.Context(program)
    commands = {name: program.get_command(context, name) for name in listed}
    assert {n for n, c in commands.items() if c and any("--dry-run" in p.opts for p in c.params)} == set(WRITES)


@pytest.mark.parametrize("argv", [*WRITES.values(), ("forget", "--hard", A)], ids=" ".join)
def test_a_dry_run_says_what_it_would_do_and_changes_nothing(
    filled: Run, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    (tmp_path / "notes.txt").write_text("A paragraph.")
    before = standing(tmp_path)
    ran = filled(*argv, "--dry-run")
    assert ran.code == 0
    assert ran.err.startswith("dry run: nothing was written\n")
    assert ran.out or argv[0] == "redo"
    assert standing(tmp_path) == before
    assert not (tmp_path / "other.mem").exists()


@pytest.mark.parametrize("argv", [("add", "x", "--dry-run"), ("import", "notes.txt", "--check")])
def test_a_dry_run_makes_no_memory(run: Run, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "notes.txt").write_text("A paragraph.")
    assert run(*argv).code == 0
    assert not (tmp_path / "notes.mem").exists()


def test_global_options_stand_before_or_after_the_command(filled: Run, tmp_path: Path) -> None:
    before, after = filled("--json", "--scope", "default", "show"), filled("show", "--scope", "default", "--json")
    assert before.json == after.json
    assert len(before.json["records"]) == 2
    assert filled("--scope", "user:bo", "show", "--json").json["records"] == []
    assert filled("--scope", "user:bo", "show", "--scope", "default", "--json").json == before.json
    assert filled("config", "--scope", "a", "show", "--scope", "b", "--json").json["settings"]["scope"]["value"] == "b"
    assert filled("show", "--memory", str(tmp_path / "none.mem")).code == ExitCode.UNREACHABLE
    assert filled("add", "x", "--quiet", "--memory", str(tmp_path / "quiet.mem")).err == ""


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("show",), ExitCode.DONE),
        (("recall", "zebra", "--speaker", "nobody"), ExitCode.DONE),
        (("recall", "zebra", "--speaker", "nobody", "--fail-empty"), ExitCode.NOTHING_FOUND),
        (("show", "ffffffff"), ExitCode.FAILED),
        (("import", "absent.txt"), ExitCode.FAILED),
        (("recal", "x"), ExitCode.USAGE),
        (("recall",), ExitCode.USAGE),
        (("recall", " "), ExitCode.USAGE),
        (("recall", "x", "--since", "yesterday"), ExitCode.USAGE),
        (("add", "   "), ExitCode.USAGE),
        (("add", "x", "--kind", "Not A Kind"), ExitCode.USAGE),
        (("add", "x", "--meta", "novalue"), ExitCode.USAGE),
        (("show", "--embedder", "absent"), ExitCode.USAGE),
        (("--scope", "a//b", "show"), ExitCode.USAGE),
        (("show", "--memory", "elsewhere.mem"), ExitCode.UNREACHABLE),
        (("edit", A, "--text", "x", "--revision", "7"), ExitCode.CONFLICT),
        (("edit", A), ExitCode.USAGE),
        (("tag", A), ExitCode.USAGE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name,
)
def test_the_exit_code_says_what_happened(filled: Run, argv: tuple[str, ...], code: ExitCode) -> None:
    ran = filled("--quiet", *argv)
    assert ran.code == code
    if code not in (ExitCode.DONE, ExitCode.NOTHING_FOUND):
        assert ran.out == ""
        title, message, *_ = ran.err.splitlines()
        assert title
        assert message.startswith("  ")
        error = filled("--json", *argv).error
        assert set(error) >= {"type", "title", "message", "way_out"}
        assert error["title"] == title


def test_every_error_has_its_code() -> None:
    codes = {
        "AgentMemError": ExitCode.FAILED,
        "BadOutput": ExitCode.UNREACHABLE,
        "BudgetReached": ExitCode.EXHAUSTED,
        "ConfigError": ExitCode.USAGE,
        "Conflict": ExitCode.CONFLICT,
        "EmbeddingError": ExitCode.UNREACHABLE,
        "ImportFailed": ExitCode.FAILED,
        "IndexUnavailable": ExitCode.UNREACHABLE,
        "InvalidInput": ExitCode.USAGE,
        "LedgerError": ExitCode.UNREACHABLE,
        "MemoryClosed": ExitCode.FAILED,
        "ModelError": ExitCode.UNREACHABLE,
        "NoModel": ExitCode.USAGE,
        "PluginError": ExitCode.USAGE,
        "RecordNotFound": ExitCode.FAILED,
        "UndoBlocked": ExitCode.CONFLICT,
    }
    assert set(codes) == set(errors.__all__)
    for name, code in codes.items():
        kind = getattr(errors, name)
        error = kind("x", file="f") if name == "ImportFailed" else kind("x")
        assert exit_code_for(error) == code
    assert exit_code_for(TimeoutError()) == ExitCode.EXHAUSTED
    assert exit_code_for(KeyboardInterrupt()) == ExitCode.INTERRUPTED
    assert exit_code_for(PermissionError()) == ExitCode.FAILED


def test_an_edit_that_came_too_late_shows_both_versions(filled: Run) -> None:
    filled("edit", A, "--text", "theirs")
    error = filled("edit", A, "--text", "mine", "--revision", "1", "--json").error
    assert Record.from_json(error["current"]).text == "theirs"
    assert Record.from_json(error["yours"]).text == "mine"
    assert filled("edit", A, "--text", "theirs").err == "nothing changed\n"


def test_a_missing_memory_is_named_with_the_way_out_and_a_command_with_its_neighbour(run: Run, tmp_path: Path) -> None:
    missing = run("recall", "x")
    assert f"agentmem init {tmp_path / 'notes.mem'}" in missing.err
    assert not (tmp_path / "notes.mem").exists()
    assert "Did you mean recall?" in run("recal").err


def test_text_comes_from_stdin_as_utf8(run: Run, tmp_path: Path) -> None:
    assert run("add", stdin="\ufeffÇa va?\nOui.\r\n").code == 0
    assert standing(tmp_path)[1][0].text == "Ça va?\nOui."
    refused = run("add", stdin=b"caf\xe9")
    assert (refused.code, "byte 3 is 0xe9" in refused.err) == (ExitCode.USAGE, True)
    assert run("edit", "--text", "-", standing(tmp_path)[1][0].id, stdin="Non.").code == 0
    assert standing(tmp_path)[1][0].text == "Non."


@pytest.fixture
def lisbon_summer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock on the wall that is an hour ahead of UTC in May."""
    monkeypatch.setenv("TZ", "WET0WEST-1,M3.5.0,M10.5.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("lisbon_summer")
def test_a_time_without_a_zone_is_local(run: Run, tmp_path: Path) -> None:
    for at in ("2024-05-03T14:00", "2024-05-03T14:00+02:00", "2024-05-03"):
        assert run("add", at, "--at", at).code == 0
    assert [record.at for record in standing(tmp_path)[1]] == [
        datetime(2024, 5, 3, 13, tzinfo=UTC),
        datetime(2024, 5, 3, 12, tzinfo=UTC),
        datetime(2024, 5, 2, 23, tzinfo=UTC),
    ]
    found = run("recall", "2024", "--since", "2024-05-03T13:30", "--json").json["hits"]
    assert [hit["record"]["text"] for hit in found] == ["2024-05-03T14:00"]


def test_init_makes_a_memory_once(run: Run, tmp_path: Path) -> None:
    made = run("init", str(tmp_path / "my notes.mem"))
    assert made.out == f"{tmp_path / 'my notes.mem'}\n"
    assert "hash" in made.err
    assert f"--memory '{tmp_path}/my notes.mem'" in made.err
    again = run("init", str(tmp_path / "my notes.mem"), "--json").json
    assert again["made"] is False
    assert run("init", "a.mem", "--memory", "b.mem").code == ExitCode.USAGE


def test_import_reports_and_a_bad_file_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "bad.jsonl").write_text('{"text": "one"}\nnot json\n')
    assert run("import", "good.jsonl", "absent.jsonl").code == ExitCode.FAILED
    assert not (tmp_path / "notes.mem").exists()
    refused = run("import", "bad.jsonl")
    assert (refused.code, "bad.jsonl, line 2" in refused.err) == (ExitCode.FAILED, True)
    assert run("import", "good.jsonl").out == "good.jsonl: 2 added, 0 there already, 0 skipped\n"
    assert run("import", "good.jsonl", "--json").json["files"][0]["existing"] == 2
    half = run("import", "good.jsonl", "bad.jsonl")  # what was taken in before the bad one is said
    assert (half.code, half.out) == (ExitCode.FAILED, "good.jsonl: 0 added, 2 there already, 0 skipped\n")
    choice = next(p for p in program.get_command(click.Context(program), "import").params if p.name == "format_")  # type: ignore[union-attr]
    assert isinstance(choice.type, click.Choice)
    assert set(choice.type.choices) == {"auto", *FORMATS}


def test_an_export_is_the_same_on_stdout_and_in_a_file_and_overwrites_only_when_told(
    filled: Run, tmp_path: Path
) -> None:
    assert filled("export", "all.jsonl", "--json").json["lines"] == 2
    written = (tmp_path / "all.jsonl").read_text()
    assert filled("export", "-").out == written
    assert filled("export", "all.jsonl").code == ExitCode.USAGE
    assert filled("export", "all.jsonl", "--yes").code == 0


def test_stats_and_reindex_count_the_memories(filled: Run) -> None:
    assert filled("stats", "--json").json["stats"]["records"]["live"] == 2
    assert filled("reindex", "--json").json["count"] == 2
    assert "live" in filled("stats").out
    assert filled("reindex", "moon").code == filled("reindex", "moon", "--dry-run").code == ExitCode.USAGE


def test_the_doctor_finds_open_doors_and_damage(filled: Run, tmp_path: Path) -> None:
    assert filled("doctor").code == 0
    (tmp_path / "notes.mem").chmod(0o755)
    ajar = filled("doctor", "--json")
    assert (ajar.code, ajar.json["sound"]) == (ExitCode.FAILED, False)
    assert [check["name"] for check in ajar.json["checks"] if check["fault"]] == ["permissions"]
    (tmp_path / "notes.mem").chmod(0o700)
    for path in (tmp_path / "notes.mem").iterdir():
        path.write_bytes(b"not a database at all" * 500)
    damaged = filled("doctor")
    assert damaged.code == ExitCode.FAILED
    assert "FAULT" in damaged.out


def test_config_says_where_each_value_comes_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / "agentmem.toml").write_text('actor = "ana"\n')
    told = run("config", "show", "--scope", "user:bo", "--json").json["settings"]
    assert told["scope"] == {"value": "user:bo", "origin": "flag --scope"}
    assert told["embedder"] == {"value": "hash", "origin": "AGENTMEM_EMBEDDER"}
    assert str(tmp_path / "agentmem.toml") in told["actor"]["origin"]
    assert told["index"]["origin"] == "default"
    assert f"present  {tmp_path / 'agentmem.toml'}" in run("config", "path").out
    run("add", "hello")
    assert run("log", "--json").json["steps"][0]["actor"] == "ana"
    (tmp_path / "agentmem.toml").write_text('akteur = "ana"\n')
    wrong = run("config", "validate")
    assert (wrong.code, "Did you mean actor?" in wrong.err) == (ExitCode.USAGE, True)


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution that registers a command, one that does not load, and one that is no command."""
    site = tmp_path / "site"
    metadata = site / "stranger-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: stranger\nVersion: 1\n")
    points = "[agentmem.commands]\nhello = stranger_commands:hello\nbroken = absent_module:x\nodd = json:dumps\n"
    (metadata / "entry_points.txt").write_text(points)
    (site / "stranger_commands.py").write_text(
        "import click\n@click.command()\n@click.pass_obj\ndef hello(invocation):\n"
        "    click.echo(f'hello {invocation.settings.scope} {invocation.json}')\n"
    )
    monkeypatch.syspath_prepend(str(site))
    registry.forget_cached()
    yield
    monkeypatch.undo()
    registry.forget_cached()


@pytest.mark.usefixtures("strangers")
def test_a_strangers_command_is_found_listed_and_given_the_global_options(run: Run) -> None:
    listed = run("--help").out
    assert re.search(r"Installed by others:\s+broken hello odd", listed)
    assert "stranger_commands" not in sys.modules
    assert run("hello", "--scope", "user:bo", "--json").out == "hello user:bo True\n"
    broken = run("broken")
    assert (broken.code, "absent_module" in broken.err) == (ExitCode.USAGE, True)
    assert "not a click command" in run("odd").err


@pytest.mark.usefixtures("strangers")
def test_completion_offers_commands_and_options_whatever_is_installed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "_AGENTMEM_COMPLETE=zsh_complete" in run("completion", "zsh").out
    monkeypatch.setenv("_AGENTMEM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("COMP_WORDS", "agentmem re")
    assert run().out.split() == [
        "plain,recall",
        "plain,review",
        "plain,restore",
        "plain,redo",
        "plain,repeats",
        "plain,reindex",
    ]
    monkeypatch.setenv("COMP_WORDS", "agentmem b")
    assert run().out.strip() == ""
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("COMP_WORDS", "agentmem recall --fail")
    assert run().out.split() == ["plain,--fail-empty"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"dense": 0.04, "lexical": 1.26, "role": -2.0, "late": -0.04}, "role -2.0, lexical +1.3"),
        ({"dense": -0.05001}, "dense -0.1"),
        ({"dense": 0.01}, "nothing"),
        ({}, "nothing"),
    ],
)
def test_what_added_next_to_nothing_is_not_listed(parts: dict[str, float], said: str) -> None:
    assert reasons(parts) == said
