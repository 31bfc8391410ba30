"""Settings: where each comes from, and what is wrong with one that is not understood.

The order is flags, `AGENTMEM_*` variables, `./agentmem.toml`, `[tool.agentmem]` of `./pyproject.toml`, the user's
`config.toml`, defaults. Every layer is read strictly: a misspelt key stops the program with the nearest known one,
because a setting that is silently ignored is found only after the wrong memory has been written to. This module
knows names, files and types; it opens no memory, and reads nothing before `Settings.load` is called.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from agentmem.errors import ConfigError, InvalidInput
from agentmem.models.settings import ModelSettings

if TYPE_CHECKING:
    from agentmem.ledger import Durability

__all__ = ["MEANINGS", "PREFIX", "Settings", "config_files", "default_memory", "user_config_file", "without_passwords"]

PREFIX: Final = "AGENTMEM_"
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "durability": ("process", "power"),
    "late_interaction": ("on", "off"),
    "offline": ("on", "off"),
}
_TYPES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}

# What each key means: the text that `agentmem config` and the documentation show.
MEANINGS: Final[Mapping[str, str]] = {
    "memory": "the memory's folder, or a ledger's URL",
    "scope": "the namespace that is read and written, such as user:ana or user:ana/agent:guide",
    "embedder": "what turns texts into vectors: auto, hash, minilm, openai:MODEL[@URL], or another installed name",
    "index": "what searches the vectors: auto, exact, chroma, chroma:URL, or another installed name",
    "durability": "what an acknowledged write survives: process (a killed process) or power (a power cut)",
    "late_interaction": "whether the vectors of single words are kept, where the embedder gives them: on or off",
    "actor": "the name under which changes are journaled",
    "model": "the language model of every role that [models.roles] does not name, and of every role when it stands in "
    "a stronger place: openai:MODEL, http://HOST/v1#MODEL, local:FOLDER; none is needed",
    "offline": "whether only what runs on this machine may be asked: on or off",
}
MODELS: Final = "models"  # the table of which models are asked for what: it stands in files alone
TUI: Final = "tui"  # the table of how the screens look and which keys they heed; they read it, as strictly


def default_memory() -> str:
    """The memory that is used when none is named: a folder among the user's data (XDG_DATA_HOME)."""
    from platformdirs import user_data_path

    return str(user_data_path("agentmem", appauthor=False) / "default.mem")


def user_config_file() -> Path:
    """The user's own configuration file, present or not (XDG_CONFIG_HOME)."""
    from platformdirs import user_config_path

    return user_config_path("agentmem", appauthor=False) / "config.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a program needs to open a memory. `origins` says, for each key, where its value came from."""

    memory: str = field(default_factory=default_memory)
    scope: str = "default"
    embedder: str = "auto"
    index: str = "auto"
    durability: Durability = "process"
    late_interaction: Literal["on", "off"] = "on"
    actor: str = "user"
    model: str = ""
    offline: Literal["on", "off"] = "off"
    models: ModelSettings = field(default_factory=ModelSettings)
    tui: tuple[object, str] = ({}, "")  # the table as it stands, and the file that says it
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def load(
        cls,
        flags: Mapping[str, str | None] | None = None,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """The settings in force. Raises ConfigError that names the file or variable, the key and the nearest known one.

        `flags` are the command line's; None stands for a flag that was not given, and an empty variable for one that
        is not set. `cwd` and `environ` replace the process's own folder and variables.
        """
        folder = Path.cwd() if cwd is None else cwd
        files = config_files(folder)
        layers = [_flags(flags or {}), _variables(os.environ if environ is None else environ)]
        layers += [_file(path, origin) for path, origin in files]
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for key in MEANINGS:
            found = next((layer[key] for layer in layers if key in layer), None)
            if found is None:
                origins[key] = "default"
            else:
                values[key], origins[key] = found
        tables = [(at, table) for at, (path, _) in enumerate(files) if (table := _table_of(path, MODELS)) is not None]
        at, table = tables[0] if tables else (0, {})
        path, origin = files[at]
        if tables:
            origins[MODELS] = origin
        place = len(layers) - len(files) + at

        def found_at(key: str) -> int:
            return next((rank for rank, layer in enumerate(layers) if key in layer), len(layers))

        models = ModelSettings.read(table, str(path), values.get("model", ""), above=found_at("model") < place)
        if models.embedder and found_at("embedder") > place:  # in one file the key `embedder` goes first
            values["embedder"], origins["embedder"] = models.embedder, f"[models.roles] of {origin}"
        looks = [(looks, str(path)) for path, _ in files if (looks := _table_of(path, TUI)) is not None]
        return cls(**values, models=models, tui=looks[0] if looks else ({}, ""), origins=origins)

    def items(self) -> list[tuple[str, str, str]]:
        """(key, value, origin) for each key, in their documented order, then for each that is set under `[models]`;
        passwords in URLs are starred."""
        listed = [
            (f.name, without_passwords(getattr(self, f.name)), self.origins.get(f.name, "default"))
            for f in fields(self)
            if f.name in MEANINGS
        ]
        origin = self.origins.get(MODELS, "default")
        for key, values in self.models.items():  # a model's spec may be a key, and may be a URL
            listed.append((without_passwords(key), ", ".join(map(without_passwords, values)), origin))
        return listed


def without_passwords(value: str) -> str:
    """A setting as it may be shown: whatever stands between `//user:` and `@` is starred."""
    return re.sub(r"(://[^/@:]*:)[^/]*@", r"\1***@", value)


def config_files(folder: Path) -> list[tuple[Path, str]]:
    """The files that are looked at, strongest first, present or not, with the words an origin is named by."""
    local, project, own = folder / "agentmem.toml", folder / "pyproject.toml", user_config_file()
    return [
        (local, f"agentmem.toml in the current folder ({local})"),
        (project, f"[tool.agentmem] of pyproject.toml in the current folder ({project})"),
        (own, f"the user's config.toml ({own})"),
    ]


Layer = dict[str, tuple[str, str]]  # key → (value, origin)


def _flags(flags: Mapping[str, str | None]) -> Layer:
    return {
        key: (_value(f"flag --{key}", key, value), f"flag --{key}") for key, value in flags.items() if value is not None
    }


def _variables(environ: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    for name in sorted(environ):
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            if name != PREFIX + key.upper() or key not in MEANINGS:
                raise _unknown("the environment", name, [PREFIX + known.upper() for known in MEANINGS])
            if environ[name]:
                layer[key] = (_value(name, key, environ[name]), name)
    return layer


def _file(path: Path, origin: str) -> Layer:
    layer: Layer = {}
    for key, value in _ours(path).items():
        if key in (MODELS, TUI):
            continue
        if key not in MEANINGS:
            raise _unknown(str(path), key, [*MEANINGS, MODELS, TUI])
        checked = _value(str(path), key, value)
        if key == "memory" and "://" not in checked:
            checked = str(path.parent / checked)  # an absolute path stands as it is
        layer[key] = (checked, origin)
    return layer


def _table_of(path: Path, name: str) -> object:
    """A table in a file; None where there is none."""
    return _ours(path).get(name)


def _ours(path: Path) -> dict[str, Any]:
    """What of a file is ours."""
    table = _table(path)
    if path.name != "pyproject.toml":
        return table
    tool = table.get("tool", {})
    ours = tool.get("agentmem", {}) if isinstance(tool, dict) else {}
    if not isinstance(ours, dict):
        raise ConfigError(
            f"{path}: tool.agentmem must be a table", way_out="Write [tool.agentmem] and the keys below it."
        )
    return ours


def _table(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Python 3.14 gives the line as an attribute; before, it stands in the message only.
        told = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = int(told[1]) if told else text.count("\n") + 1
        message = re.sub(r" \(at [^()]*\)$", "", str(error))
        raise ConfigError(
            f"{path}, line {line}: {message}", way_out='Write it as TOML, one key = "value" a line.'
        ) from error


def _value(where: str, key: str, value: object) -> str:
    """A setting's value as it is used: text, one of its choices, `~` expanded."""
    if key not in MEANINGS:
        raise _unknown(where, key, list(MEANINGS))
    if not isinstance(value, str):
        found = _TYPES.get(type(value), "a date or time")
        raise ConfigError(
            f"{where}: {key} must be text, not {found}", way_out=f'Write {key} = "..." ({MEANINGS[key]}).'
        )
    if not value.strip():
        raise ConfigError(f"{where}: {key} is empty", way_out=f"It is {MEANINGS[key]}. Leave it out for the default.")
    choices = _CHOICES.get(key)
    if choices and value not in choices:
        raise ConfigError(
            f"{where}: {key} is {value!r}, which is none of {', '.join(choices)}",
            way_out=_nearest(value, choices),
        )
    if key == "memory" and "://" not in value:
        try:
            return str(Path(value).expanduser())
        except RuntimeError as error:  # ~stranger, or no home folder at all
            raise ConfigError(f"{where}: {key}: {error}", way_out="Write the folder's whole path.") from error
    if key == "scope":
        from agentmem.records import Scope

        try:
            Scope(value)
        except InvalidInput as error:
            raise ConfigError(f"{where}: {key}: {error}", way_out=error.way_out) from error
    return value


def _unknown(where: str, key: str, known: list[str]) -> ConfigError:
    return ConfigError(f"{where}: there is no setting {key!r}", way_out=_nearest(key, known))


def _nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
