"""Prompts as files: what models are told stands in a text of its own, with a version that goes where its answers go.

A file is `NAME.md`: a head between two lines of `---`, with `version` and `role`, and the text, with slots such as
`{{turns}}`. A user's folder may hold files of the same names, which then take the place of the shipped ones. The module
reads and fills; it asks no model, and knows no schema.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from agentmem.errors import ConfigError, InvalidInput
from agentmem.values import plain_text

__all__ = ["Prompt", "Prompts"]

_SLOT: Final = re.compile(r"\{\{([a-z][a-z_]*)\}\}")
_BRACES: Final = re.compile(r"\{\{|\}\}")
_KEYS: Final = {
    "version": ("[1-9][0-9]{0,8}", "a whole number from 1"),
    "role": ("[a-z]+", "one word in small letters"),
}
_FENCE: Final = "---"
_LARGEST: Final = 64 * 1024  # bytes of a file
_HEAD: Final = "Begin it with four lines: ---, version: 1, role: extract, ---; the text follows."


@dataclass(frozen=True, slots=True)
class Prompt:
    """`version` is the file's own number, as text; of a user's file with `+custom` and the beginning of a digest of its
    text, since nobody keeps its number from standing over another text. `role` is whom it is for, `file` the whole
    file, head included."""

    name: str
    version: str
    role: str
    text: str
    file: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Name and version: `extract/3`, or `extract/3+custom.1f3a9c`."""
        return f"{self.name}/{self.version}"

    @property
    def slots(self) -> frozenset[str]:
        return frozenset(_SLOT.findall(self.text))

    def fill(self, **slots: str | int) -> str:
        """The text with its slots filled. What is filled in is data: a slot's name in it stays as it is.

        InvalidInput for a slot that is missing or unknown, and for a value that is no plain text.
        """
        if slots.keys() != self.slots:
            missing, unknown = sorted(self.slots - slots.keys()), sorted(slots.keys() - self.slots)
            told = [f"{slot!r} is missing" for slot in missing] + [f"there is no {slot!r}" for slot in unknown]
            raise InvalidInput(
                f"the prompt {self.id} cannot be filled: {'; '.join(told)}",
                way_out=f"Its slots: {', '.join(sorted(self.slots)) or 'none'}.",
            )
        values = {slot: _filling(value, f"{self.id}: {slot}") for slot, value in slots.items()}
        return _SLOT.sub(lambda slot: values[slot[1]], self.text)


class Prompts:
    """The prompts in force, read once: the files of a user's folder, and the shipped ones of all other names.

    ConfigError, with file and line, for a file that is not well formed, has another role or other slots than the
    shipped one, or has no shipped prompt's name. An empty file counts for none: a shell that is about to write one has
    made it.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._named = {**_shipped(), **_custom(folder)}

    def __getitem__(self, name: str) -> Prompt:
        """InvalidInput, with the nearest, for a name that no prompt has."""
        if name not in self._named:
            raise InvalidInput(f"there is no prompt {name!r}", way_out=_nearest(str(name)))
        return self._named[name]

    def __iter__(self) -> Iterator[Prompt]:
        """By name."""
        return iter(sorted(self._named.values(), key=lambda one: one.name))


@cache
def _shipped() -> dict[str, Prompt]:
    found = [file for file in (files("agentmem.models") / "prompts").iterdir() if file.name.endswith(".md")]
    return {one.name: one for file in found for one in [_read(file.name, file.read_bytes(), file.name)]}


def _custom(folder: str | Path | None) -> dict[str, Prompt]:
    if folder is None:
        return {}
    try:
        listed = sorted(path for path in Path(folder).expanduser().iterdir() if path.suffix == ".md")
        data = {path: _begun(path) for path in listed}
    except (OSError, RuntimeError, ValueError) as error:  # ~stranger, or no home folder at all; a NUL in the name
        raise ConfigError(
            f"prompts: {getattr(error, 'filename', None) or folder} cannot be read: "
            f"{getattr(error, 'strerror', None) or error}",
            way_out="Name a folder of NAME.md files.",
        ) from error
    return {path.stem: _override(path, content) for path, content in data.items() if content}


def _begun(path: Path) -> bytes:
    """The file; of one that is too large, more than may be."""
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _override(path: Path, data: bytes) -> Prompt:
    shipped = _shipped().get(path.stem)
    if shipped is None:
        raise ConfigError(f"{path}: there is no prompt {path.stem!r} to replace", way_out=_nearest(path.stem))
    made = _read(path.name, data, str(path))
    lines = data.decode("utf-8-sig").splitlines()
    if made.role != shipped.role:
        at = 1 + next(n for n, line in enumerate(lines) if line.partition(":")[0].strip() == "role")
        way_out = f"Write role: {shipped.role}. Which models that is says [models.roles]."
        raise _fault(str(path), at, f"{shipped.name} is for the role {shipped.role}, not {made.role}", way_out)
    for number, line in enumerate(lines, 1):
        for slot in _SLOT.findall(line):
            if slot not in shipped.slots:
                way_out = f"The slots of {shipped.name}: {', '.join(sorted(shipped.slots)) or 'none'}."
                raise _fault(str(path), number, f"there is no slot {slot!r}", way_out)
    if missing := sorted(shipped.slots - made.slots):
        slot = f"{{{{{missing[0]}}}}}"
        raise _fault(str(path), len(lines), f"it ends without {slot}", f"Write {slot} where its content belongs.")
    digest = hashlib.blake2b(made.text.encode(), digest_size=3).hexdigest()
    return replace(made, version=f"{made.version}+custom.{digest}")


def _read(file: str, data: bytes, where: str) -> Prompt:
    """ConfigError that names `where`, the file, and the line."""
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: it is larger than {_LARGEST // 1024} KiB, which no prompt is")
    try:
        lines = plain_text(data.decode("utf-8-sig"), where).splitlines()
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise _fault(where, at, f"it is not UTF-8 text: {error.reason}", "Save it as UTF-8.") from error
    except InvalidInput as error:
        raise _fault(where, data.count(b"\n", 0, data.find(b"\0")) + 1, "it holds a NUL character") from error
    head, begins = _head(lines, where)
    for number, line in enumerate(lines[begins:], begins + 1):
        if _BRACES.search(_SLOT.sub("", line)):
            raise _fault(where, number, "it has {{ or }} that belong to no slot", "Write a slot as {{turns}}.")
    text = "\n".join(lines[begins:]).strip()
    if not text:
        raise _fault(where, len(lines), "no text follows its head", _HEAD)
    return Prompt(file.removesuffix(".md"), head["version"], head["role"], text, data)


def _head(lines: list[str], where: str) -> tuple[dict[str, str], int]:
    """What the head says, and after how many lines the text begins."""
    if not lines or lines[0].strip() != _FENCE:
        raise _fault(where, 1, f"it does not begin with {_FENCE}", _HEAD)
    head: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        if line.strip() == _FENCE:
            if missing := [key for key in _KEYS if key not in head]:
                raise _fault(where, number, f"its head has no {missing[0]}", _HEAD)
            return head, number
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in _KEYS or key in head:
            raise _fault(where, number, f"{line.strip()[:40]!r} is not one of {', '.join(_KEYS)}, each once", _HEAD)
        pattern, wanted = _KEYS[key]
        if not re.fullmatch(pattern, value):
            raise _fault(where, number, f"{key} must be {wanted}, not {value[:40]!r}", _HEAD)
        head[key] = value
    raise _fault(where, len(lines), f"its head has no second {_FENCE}", _HEAD)


def _fault(where: str, line: int, message: str, way_out: str = "") -> ConfigError:
    return ConfigError(f"{where}, line {line}: {message}", way_out=way_out)


def _filling(value: object, name: str) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else plain_text(value, name)


def _nearest(name: str) -> str:
    known = sorted(_shipped())
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
