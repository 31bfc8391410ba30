"""Settings: which layer wins, where a value came from, and what is said about one that is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.config import MEANINGS, Settings, default_memory, user_config_file
from agentmem.errors import ConfigError

LAYERS = ("flag", "variable", "local", "project", "user")  # strongest first
VALUES = {
    "memory": "/somewhere/{}.mem",
    "scope": "user:{}",
    "embedder": "embedder-{}",
    "index": "index-{}",
    "actor": "actor-{}",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders, all of them inside the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    user_config_file().parent.mkdir(parents=True)
    return tmp_path


def load(folder: Path, flags: dict[str, str | None] | None = None, /, **variables: str) -> Settings:
    return Settings.load(flags or {}, cwd=folder, environ=variables)


def test_without_any_layer_everything_is_at_its_default(home: Path) -> None:
    settings = load(home)
    assert settings == Settings()
    assert settings.memory == default_memory() == str(home / "data" / "agentmem" / "default.mem")
    assert dict(settings.origins) == dict.fromkeys(MEANINGS, "default")
    assert [key for key, _, _ in settings.items()] == list(MEANINGS)


@given(named=st.lists(st.lists(st.sampled_from(sorted(VALUES)), unique=True), min_size=5, max_size=5))
def test_for_every_key_the_strongest_layer_that_names_it_wins(
    named: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    flags: dict[str, str | None] = {}
    environ: dict[str, str] = {}
    files = {"local": folder / "agentmem.toml", "project": folder / "pyproject.toml", "user": user_config_file()}
    written = {"local": "", "project": "[tool.agentmem]\n", "user": ""}
    for layer, keys in zip(LAYERS, named, strict=True):
        for key in keys:
            value = VALUES[key].format(layer)
            if layer == "flag":
                flags[key] = value
            elif layer == "variable":
                environ[f"AGENTMEM_{key.upper()}"] = value
            else:
                written[layer] += f'{key} = "{value}"\n'
    for layer, path in files.items():
        path.write_text(written[layer])
    settings = Settings.load(flags, cwd=folder, environ=environ)
    for key in VALUES:
        winner = next((layer for layer, keys in zip(LAYERS, named, strict=True) if key in keys), None)
        origin = settings.origins[key]
        if winner is None:
            assert (getattr(settings, key), origin) == (getattr(Settings(), key), "default")
            continue
        assert getattr(settings, key) == VALUES[key].format(winner)
        named_as = {"flag": f"flag --{key}", "variable": f"AGENTMEM_{key.upper()}"}.get(winner, "")
        assert origin == named_as if named_as else str(files[winner]) in origin


def test_a_flag_or_variable_that_is_not_given_leaves_the_weaker_layer(home: Path) -> None:
    (home / "agentmem.toml").write_text('scope = "user:ana"\n')
    assert load(home, {"scope": None}, AGENTMEM_SCOPE="").scope == "user:ana"


@pytest.mark.parametrize(
    ("file", "text", "says", "way_out"),
    [
        ("agentmem.toml", 'scop = "a"\n', "'scop'", "Did you mean scope?"),
        ("agentmem.toml", 'zzz = "a"\n', "'zzz'", "Known: memory,"),
        ("agentmem.toml", "scope = 5\n", "scope must be text, not a number", 'scope = "..."'),
        ("agentmem.toml", "memory = true\n", "memory must be text, not true or false", "memory"),
        ("agentmem.toml", "[memory]\na = 1\n", "memory must be text, not a table", "memory"),
        ("agentmem.toml", "actor = 2024-01-01\n", "actor must be text, not a date or time", "actor"),
        ("agentmem.toml", 'scope = ""\n', "scope is empty", "default"),
        ("agentmem.toml", 'scope = "a//b"\n', "cannot be part of a scope", "user:ana"),
        ("agentmem.toml", 'durability = "proces"\n', "none of process, power", "Did you mean process?"),
        ("agentmem.toml", 'scope = "a"\nscope = "b"\n', "line 2", "TOML"),
        ("agentmem.toml", 'scope = "a"\n\nnonsense\n', "line 3", "TOML"),
        ("agentmem.toml", 'scope = "never closed', "line 1", "TOML"),
        ("pyproject.toml", '[tool.agentmem]\nembeder = "hash"\n', "'embeder'", "Did you mean embedder?"),
        ("pyproject.toml", "[tool]\nagentmem = 5\n", "tool.agentmem must be a table", "[tool.agentmem]"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_key_and_the_way_out(
    home: Path, file: str, text: str, says: str, way_out: str
) -> None:
    (home / file).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(home)
    assert str(home / file) in str(caught.value)
    assert says in str(caught.value)
    assert way_out in caught.value.way_out


def test_the_users_own_file_is_as_strict(home: Path) -> None:
    user_config_file().write_text('indx = "exact"\n')
    with pytest.raises(ConfigError, match="indx") as caught:
        load(home)
    assert caught.value.way_out == "Did you mean index?"


def test_a_file_that_is_no_text_or_no_file_is_refused(home: Path) -> None:
    (home / "agentmem.toml").write_bytes(b'scope = "\xff"')
    with pytest.raises(ConfigError, match="UTF-8"):
        load(home)
    (home / "agentmem.toml").unlink()
    (home / "agentmem.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(home)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("AGENTMEM_MEMROY", "Did you mean AGENTMEM_MEMORY?"), ("AGENTMEM_scope", "Did you mean AGENTMEM_SCOPE?")],
)
def test_an_unknown_variable_is_refused_with_the_nearest(home: Path, name: str, way_out: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        load(home, **{name: "x"})
    assert caught.value.way_out == way_out


def test_other_programs_settings_are_none_of_its_business(home: Path) -> None:
    (home / "pyproject.toml").write_text("[tool.other]\nscope = 5\n[project]\nname = 'x'\n")
    assert load(home, OTHER_AGENTMEM="x", AGENTMEMORY="y") == Settings()


def test_an_unknown_flag_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="scoop"):
        load(home, {"scoop": "a"})


def test_memory_paths_expand_the_home_folder_and_are_relative_to_their_file(home: Path) -> None:
    assert load(home, {"memory": "~/a.mem"}).memory == str(home / "home" / "a.mem")
    assert load(home, AGENTMEM_MEMORY="b.mem").memory == "b.mem"
    user_config_file().write_text('memory = "c.mem"\n')
    assert load(home).memory == str(user_config_file().parent / "c.mem")
    (home / "agentmem.toml").write_text('memory = "~/d.mem"\n')
    assert load(home).memory == str(home / "home" / "d.mem")
    (home / "agentmem.toml").write_text('memory = "postgresql+psycopg://host/~db"\n')
    assert load(home).memory == "postgresql+psycopg://host/~db"
    with pytest.raises(ConfigError, match="memory"):
        load(home, {"memory": "~nobody-of-that-name/a.mem"})


def test_a_model_in_a_stronger_place_than_the_roles_is_that_of_all_of_them(home: Path) -> None:
    (home / "agentmem.toml").write_text(
        """
        model = "local:/models/other"
        [models.roles]
        reply = "local:/models/large"
        judge = "local:/models/small"
        embed = "hash:1024"
        """
    )
    models = load(home).models
    assert [models.specs(role) for role in ("reply", "judge", "plan")] == [
        ("local:/models/large",),
        ("local:/models/small",),
        ("local:/models/other",),
    ]
    settings = load(home, {"model": "scripted:echo"})
    assert {settings.models.specs(role) for role in ("reply", "judge", "plan")} == {("scripted:echo",)}
    assert settings.embedder == "hash:1024"
    assert [key for key, _, _ in settings.items()][len(MEANINGS) :] == ["models.roles.embed"]


def test_each_key_under_models_that_is_set_is_listed_with_its_file(home: Path) -> None:
    user_config_file().write_text("[models.budgets]\n'*' = { tokens = 5 }\n")
    assert load(home).items()[len(MEANINGS) :] == [
        ('models.budgets."*".tokens', "5", f"the user's config.toml ({user_config_file()})")
    ]
    (home / "prompts").mkdir()
    (home / "pyproject.toml").write_text(
        """
        [tool.agentmem.models]
        prompts = "prompts"
        [tool.agentmem.models.roles]
        reply = ["http://ana:s3cret@localhost:1/v1#a", "http://bea:s3cret@localhost:1/v1#b"]
        judge = "local:/models/small"
        [tool.agentmem.models.policies]
        reply = "local-first"
        [tool.agentmem.models.terms."http://ana:s3cret@localhost:1/v1#a"]
        input = 0.4
        at_once = 4
        local = true
        [tool.agentmem.models.terms.gpt-4]
        context = 8000
        [tool.agentmem.models.budgets]
        "user:ana" = { money = 1.5 }
        [tool.agentmem.models.private]
        scopes = ["user:ana/diary", "user:bea"]
        kinds = "note"
        """
    )
    settings = load(home)
    origin = f"[tool.agentmem] of pyproject.toml in the current folder ({home / 'pyproject.toml'})"
    assert settings.items()[len(MEANINGS) :] == [
        (key, value, origin)
        for key, value in (
            ("models.prompts", str(home / "prompts")),
            ("models.roles.reply", "http://ana:***@localhost:1/v1#a, http://bea:***@localhost:1/v1#b"),
            ("models.roles.judge", "local:/models/small"),
            ("models.policies.reply", "local-first"),
            ('models.terms."http://ana:***@localhost:1/v1#a".input', "0.4"),
            ('models.terms."http://ana:***@localhost:1/v1#a".at_once', "4"),
            ('models.terms."http://ana:***@localhost:1/v1#a".local', "true"),
            ("models.terms.gpt-4.context", "8000"),
            ('models.budgets."user:ana".money', "1.5"),
            ("models.private.scopes", "user:ana/diary, user:bea"),
            ("models.private.kinds", "note"),
        )
    ]
    (home / "agentmem.toml").write_text("[models]\n")
    assert load(home).items()[len(MEANINGS) :] == [], "the strongest file's table counts, and it sets nothing"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://ana:s3cret@db.example.org/x", "postgresql://ana:***@db.example.org/x"),
        ("postgresql://ana:with@sign@db/x", "postgresql://ana:***@db/x"),
        ("chroma:http://:token@localhost:8000", "chroma:http://:***@localhost:8000"),
        ("postgresql://ana@db/x", "postgresql://ana@db/x"),
        ("openai:m@http://127.0.0.1:11434/v1", "openai:m@http://127.0.0.1:11434/v1"),
        ("notes.mem", "notes.mem"),
    ],
)
def test_a_password_is_never_shown(value: str, shown: str) -> None:
    assert {key: held for key, held, _ in Settings(memory=value).items()}["memory"] == shown
