"""A user's own prompts: every question is put by them, what comes of it says so, and a mistake in one is told early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from agentmem import Memory
from agentmem.config import Settings
from agentmem.errors import ConfigError, InvalidInput
from agentmem.models.answer import text_of
from agentmem.models.pool import ModelPool
from agentmem.models.prompts import Prompts
from agentmem.models.scripted import ScriptedModel
from agentmem.models.settings import ModelSettings
from agentmem_apps.chat.agent import ChatAgent
from agentmem_apps.cli import app
from tests import rolled
from tests.chunked import LATER, said, tell
from tests.fakes import TinyEmbedder
from tests.thinking import fact, facts, opened, scripted, think, thoughts, votes

NAMES = [one.name for one in Prompts()]
LISBON = facts(fact(1, "Ana", "lives in", "Lisbon", "I live in Lisbon"))
PORTO = facts(fact(1, "Ana", "moved to", "Porto", "my things are in Porto"))


def write(folder: Path, name: str, more: str = "") -> str:
    """The shipped prompt with a line of the user's own, as the folder's; its id."""
    text = f"{Prompts()[name].text}\n\nMind the owls: {name}.{more}"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(f"---\nversion: 7\nrole: {Prompts()[name].role}\n---\n{text}\n")
    return Prompts(folder)[name].id


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, str]:
    """The ids of the user's own prompts, of which there is one of each."""
    found = {name: write(tmp_path / "prompts", name) for name in NAMES}
    assert all(re.fullmatch(rf"{name}/7\+custom\.[0-9a-f]{{6}}", id) for name, id in found.items())
    return found


@pytest.fixture
def open_(tmp_path: Path, ids: dict[str, str]) -> Iterator[Callable[[ScriptedModel], Memory]]:
    memories: list[Memory] = []

    def open_with(model: ScriptedModel) -> Memory:
        pool = ModelPool(model, prompts=tmp_path / "prompts")
        memories.append(Memory.open(tmp_path / "m", embedder=TinyEmbedder(), models=pool))
        return memories[-1]

    yield open_with
    for memory in memories:
        memory.close()


def owls(model: ScriptedModel) -> list[list[str]]:
    """Of each question, the names of the user's prompts in it, in order."""
    return [
        [name for message in asked for name in re.findall(r"Mind the owls: (\w+)\.", text_of(message))]
        for asked in model.asked
    ]


# ── each role ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_facts_and_votes_are_asked_for_by_them_and_kept_with_their_versions(
    open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]
) -> None:
    model = scripted(extract=[LISBON, PORTO], judge=[votes("unrelated")])
    memory = opened(open_(model))
    for text in ("I live in Lisbon", "So my things are in Porto"):
        memory.add(text, speaker="Ana")
        think(memory)
    assert [names[0] for names in owls(model)] == ["extract", "extract", "judge"]
    lisbon, porto = thoughts(memory)
    assert (lisbon.meta["prompt"], porto.meta["prompt"]) == (ids["extract"], ids["extract"])
    assert porto.meta["judged_by"] == f"scripted {ids['judge']}"
    judged, _, read = memory.calls.listed()
    assert (read.role, read.prompt) == ("extract", ids["extract"])
    assert (judged.role, judged.prompt) == ("judge", f"{ids['judge']} {ids['json']}"), "it is asked in words by now"


def test_summaries_of_chunks_are(open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]) -> None:
    from tests.test_chunk_summaries import SUMMING

    model = ScriptedModel(lambda messages: "Ana went to sea.")
    memory = open_(model)
    memory.attach("chunked", SUMMING)
    tell(memory, said("sea", 5), session="trip", speaker="Ana")
    memory.consolidate("chunked", now=LATER)
    assert set(map(tuple, owls(model))) == {("summarise",)}
    assert {record.meta["prompt"] for record in memory.records() if record.kind == "chunk"} == {ids["summarise"]}
    assert {call.prompt for call in memory.calls.listed()} == {ids["summarise"]}


def test_summaries_of_conversations_are(open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]) -> None:
    model = ScriptedModel(rolled.keeping())
    memory = open_(model)
    rolled.tell(memory, 10)
    rolled.rest(memory)
    assert set(map(tuple, owls(model))) == {("rolling",)}
    assert rolled.summary(memory).meta["prompt"] == ids["rolling"]
    assert {call.prompt for call in memory.calls.listed()} == {ids["rolling"]}


def test_replies_are(open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]) -> None:
    model = ScriptedModel(["Hello."])
    memory = open_(model)
    reply = ChatAgent(memory, background=False).reply("Hi?")
    assert owls(model) == [["reply"]]
    assert reply.answer is not None
    assert reply.answer.meta["prompt"] == ids["reply"]
    assert [call.prompt for call in memory.calls.listed()] == [ids["reply"]]


def test_what_is_said_of_a_schema_and_of_a_mistake_is_and_the_call_names_both(
    open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]
) -> None:
    class Vote(BaseModel):
        vote: str

    model = ScriptedModel(["no", '{"vote": "same"}'])
    memory = open_(model)
    memory.models.structured("judge", Vote, "Which?", prompt=ids["judge"])
    assert owls(model) == [[], ["json", "repair"]]
    second, first = memory.calls.listed()
    assert (first.prompt, second.prompt) == (ids["judge"], " ".join(ids[name] for name in ("judge", "json", "repair")))


def test_what_is_only_foreseen_goes_by_them_too(open_: Callable[[ScriptedModel], Memory], ids: dict[str, str]) -> None:
    model = scripted()
    memory = opened(open_(model))
    memory.add("I live in Lisbon", speaker="Ana")
    [call] = memory.foresee("tim")["tim"].calls
    shipped = opened(memory.with_models(scripted()).scope("elsewhere"))
    shipped.add("I live in Lisbon", speaker="Ana")
    [less] = shipped.foresee("tim")["tim"].calls
    assert call.tokens_in > less.tokens_in
    assert model.asked == []


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_text_under_the_same_number_is_another_version(tmp_path: Path) -> None:
    first = write(tmp_path / "prompts", "judge")
    again = write(tmp_path / "prompts", "judge")
    other = write(tmp_path / "prompts", "judge", " Twice.")
    assert first == again
    assert first != other
    assert first.startswith("judge/7+custom.")
    assert other.startswith("judge/7+custom.")


def test_a_pool_reads_its_folder_once_and_tells_a_mistake_before_anything_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    id = write(folder, "judge")
    model = ScriptedModel(["fine"])
    pool = ModelPool(model, prompts=folder)
    (folder / "judge.md").write_text("---\nversion: 1\nrole: judge\n---\nWhich?\n")
    assert pool.prompts["judge"].id == id
    with pytest.raises(ConfigError, match=r"judge\.md, line 5: it ends without {{pairs}}"):
        ModelPool(model, prompts=str(folder))
    with pytest.raises(ConfigError, match=r"judge\.md, line 5"):
        Memory.open(tmp_path / "m", models=ModelSettings(prompts=folder))
    assert model.asked == []


def test_a_memory_tells_the_prompts_in_force_and_an_unknown_one(tmp_path: Path) -> None:
    id = write(tmp_path / "prompts", "judge")
    with Memory.open(tmp_path / "m", models=ModelPool(prompts=tmp_path / "prompts")) as memory:
        assert (memory.models.prompt("judge").id, memory.models.prompt("reply").id) == (id, "reply/1")
        with pytest.raises(InvalidInput, match="no prompt 'rely'") as caught:
            memory.models.prompt("rely")
        assert caught.value.way_out == "Did you mean reply?"


def test_models_that_are_changed_in_a_chat_are_asked_by_the_same_prompts(tmp_path: Path) -> None:
    id = write(tmp_path / "prompts", "reply")
    (tmp_path / "agentmem.toml").write_text('[models]\nprompts = "prompts"\n')
    settings = Settings.load(cwd=tmp_path, environ={})
    with Memory.open(tmp_path / "m", embedder=TinyEmbedder(), models=settings.models) as memory:
        agent = ChatAgent(memory, background=False)
        agent.use(replace(memory.models.pool.settings, default=("scripted:echo",)))
        answer = agent.reply("Hi?").answer
    assert answer is not None
    assert (answer.meta["model"], answer.meta["prompt"]) == ("scripted:echo", id)


# ── the setting ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", ["agentmem.toml", "pyproject.toml", "config/agentmem/config.toml"])
def test_the_folder_is_relative_to_the_file_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / file
    (path.parent / "own").mkdir(parents=True)
    path.write_text(f"[{'tool.agentmem.' if file.startswith('py') else ''}models]\nprompts = 'own'\n")
    assert Settings.load(cwd=tmp_path, environ={}).models.prompts == path.parent / "own"


def test_a_home_folder_is_expanded_and_what_is_no_folder_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own").mkdir()
    assert ModelSettings.read({"prompts": "~/own"}, "/etc/agentmem.toml").prompts == tmp_path / "own"
    for value, told in (
        (5, "models.prompts must be a folder"),
        (" ", "models.prompts must be a folder"),
        ("~nobody-of-that-name/own", "models.prompts: "),
        ("nowhere", "models.prompts: there is no folder"),
        ("a\0b", "models.prompts: there is no folder"),
    ):
        with pytest.raises(ConfigError) as caught:
            ModelSettings.read({"prompts": value}, str(tmp_path / "agentmem.toml"))
        assert str(caught.value).startswith(f"{tmp_path / 'agentmem.toml'}: {told}")
        assert caught.value.way_out


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return lambda *args: CliRunner().invoke(app.program, list(args), prog_name="agentmem")


def test_the_command_lists_what_is_in_force(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("models", "prompts")
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        [one.name, one.version, one.role] for one in Prompts()
    ]
    assert "custom" not in result.stderr
    id = write(tmp_path / "prompts", "rolling")
    (tmp_path / "agentmem.toml").write_text('[models]\nprompts = "prompts"\n')
    assert f"read from {tmp_path / 'prompts'}" in run("models", "prompts").stderr
    listed = json.loads(run("models", "prompts", "--json").stdout)["prompts"]
    assert listed[NAMES.index("rolling")] == {
        "name": "rolling",
        "version": id.partition("/")[2],
        "role": "summarise",
        "slots": ["memory", "text", "words"],
    }
    assert not (tmp_path / "config").exists(), "no memory was opened, and none made"


@pytest.mark.parametrize("name", NAMES)
def test_what_it_prints_is_the_start_of_an_own_one(run: Callable[..., Result], tmp_path: Path, name: str) -> None:
    """Also when the folder is set already: the shell has then made the file, and it is empty."""
    (tmp_path / "prompts").mkdir()
    own = tmp_path / "prompts" / f"{name}.md"
    own.touch()
    (tmp_path / "agentmem.toml").write_text('[models]\nprompts = "prompts"\n')
    result = run("models", "prompts", name)
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == Prompts()[name].file
    own.write_bytes(result.stdout_bytes + b"Mind the owls.\r\n")
    assert Prompts(tmp_path / "prompts")[name].text == f"{Prompts()[name].text}\nMind the owls."
    assert run("models", "prompts", name).stdout_bytes == own.read_bytes()
    told = json.loads(run("models", "prompts", name, "--json").stdout)["prompt"]
    assert (told["name"], told["file"]) == (name, own.read_bytes().decode())


def test_it_tells_of_an_unknown_name_and_of_a_file_that_is_wrong(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("models", "prompts", "sumarise")
    assert result.exit_code == 2
    assert "there is no prompt 'sumarise'" in result.stderr
    assert "Did you mean summarise?" in result.stderr
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "judge.md").write_text("---\nversion: 1\nrole: judge\n---\n{{pairs}} {{pears}}\n")
    (tmp_path / "agentmem.toml").write_text('[models]\nprompts = "prompts"\n')
    for command in (["models", "prompts"], ["config", "validate"], ["--memory", "m", "add", "words"]):
        result = run(*command)
        assert result.exit_code == 2
        assert f"{tmp_path / 'prompts' / 'judge.md'}, line 5: there is no slot 'pears'" in result.stderr
