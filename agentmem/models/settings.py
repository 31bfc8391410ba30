"""Which models are asked for what, in which order, what they cost, and what must never be sent to them.

Read from the `[models]` table of agentmem.toml, strictly: a misspelt key is told with the nearest known one. It knows
how models are spelled and opens none.
"""

from __future__ import annotations

import difflib
import json
import math
import os.path
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, TypeVar, get_args

from agentmem.address import address_of
from agentmem.errors import ConfigError, InvalidInput
from agentmem.models.calls import PICO, Limit
from agentmem.records import Scope
from agentmem.values import many, now, words

__all__ = [
    "CHAT_ROLES",
    "EMBED",
    "POLICIES",
    "ROLES",
    "Budget",
    "ModelSettings",
    "Policy",
    "Privacy",
    "Role",
    "Terms",
    "stays_here",
]

T = TypeVar("T")
Role: TypeAlias = Literal["reply", "extract", "summarise", "plan", "judge", "embed"]
ROLES: Final[tuple[str, ...]] = get_args(Role)
EMBED: Final = "embed"  # the role of the embedder: one for a memory, which answers no chat
CHAT_ROLES: Final = tuple(role for role in ROLES if role != EMBED)
Policy: TypeAlias = Literal["order", "local-first", "remote-first", "cheapest", "learned"]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)
_EVERYWHERE: Final = "*"  # how a budget of the whole ledger is spelled
_MILLION: Final = 1_000_000
_IN_PROCESS: Final = ("local", "scripted")
_BARE: Final = re.compile("[A-Za-z0-9_-]+")  # a key that TOML takes without quotes


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of one model beforehand. Prices are per million tokens, in whatever money they are given in.

    `context`: the tokens of a prompt and its answer together; None where nobody says. `local`: whether what is sent
    stays on this machine; None goes by its address. `at_once`: questions under way at a time. `deadline`: seconds that
    one question may take, retries included.
    """

    input: float = 0.0
    output: float = 0.0
    context: int | None = None
    local: bool | None = None
    at_once: int = 4
    deadline: float = 120.0

    def picos(self, tokens_in: int, tokens_out: int) -> int:
        """What so many tokens cost, in picos."""
        each = PICO // _MILLION
        return tokens_in * round(self.input * each) + tokens_out * round(self.output * each)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in a day (UTC); None for no limit."""

    tokens: int | None = None
    money: float | None = None

    @property
    def picos(self) -> int | None:
        return None if self.money is None else round(self.money * PICO)


class Privacy(NamedTuple):
    """Scopes, all inside them included, and kinds of memories, whose words are never sent off this machine."""

    scopes: tuple[Scope, ...] = ()
    kinds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, scopes: Iterable[Scope | str] = (), kinds: str | Iterable[str] = ()) -> Self:
        """Of scopes and kinds as they are written; InvalidInput for what is none."""
        listed = [scopes] if isinstance(scopes, str | Scope) else many(scopes, "scopes")
        return cls(tuple(Scope(path) for path in listed), frozenset(words(kinds, "kinds")))

    def forbids(self, scope: Scope, kinds: Collection[str] = ()) -> str:
        """Why words of these kinds in this scope stay here; "" when they may go."""
        for private in self.scopes:
            if scope[: len(private)] == private:
                return f"{private} never leaves this machine"
        held = sorted(self.kinds.intersection(kinds))
        return f"kind {held[0]} never leaves this machine" if held else ""


_NOTHING_PRIVATE: Final = Privacy()


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`roles`: the models of a role, by spec, in order. `default`: those of a role that is not named. `embedder`: the
    one that `[models.roles]` names, "" for none; whoever opens the memory hands it over. `prompts`: the folder of a
    user's own prompts; `told`: what the file says, for `items`."""

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: tuple[str, ...] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)
    terms: Mapping[str, Terms] = field(default_factory=dict)
    budgets: Mapping[Scope | None, Budget] = field(default_factory=dict)
    private: Privacy = _NOTHING_PRIVATE
    embedder: str = ""
    prompts: Path | None = None
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    def items(self) -> list[tuple[str, tuple[str, ...]]]:
        """(key, values) of each key that the file sets, in its order, as TOML spells it; a list has several."""
        return list(self.told.items())

    def specs(self, role: str) -> tuple[str, ...]:
        return () if role == EMBED else self.roles.get(role, self.default)

    def policy(self, role: str) -> Policy:
        return self.policies.get(role, "order")

    def budgets_of(self, scope: Scope) -> dict[Scope | None, Budget]:
        """The budgets that hold in a scope: its own, those of scopes around it, and the whole ledger's."""
        return {path: one for path, one in self.budgets.items() if path is None or scope[: len(path)] == path}

    def limits(self, scope: Scope, at: datetime | None = None) -> list[Limit]:
        """The budgets that hold in a scope, each since the day began."""
        at = now() if at is None else at
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return [Limit(path, day, one.tokens, one.picos) for path, one in self.budgets_of(scope).items()]

    def counts_money(self, scope: Scope) -> bool:
        return any(budget.money is not None for budget in self.budgets_of(scope).values())

    @classmethod
    def read(cls, table: object, where: str, default: str = "", *, above: bool = False) -> ModelSettings:
        """The `[models]` table of a file. ConfigError names the file, the key and the nearest known one.

        `default` is the model of all roles that the table does not name; when it stands `above`, of all roles.
        """
        found = _Reader(where)
        given = found.table("models", table, ("roles", "policies", "terms", "budgets", "private", "prompts"))
        roles = found.table("models.roles", given.get("roles", {}), ROLES)
        policies = found.table("models.policies", given.get("policies", {}), ROLES)
        terms = found.table("models.terms", given.get("terms", {}))
        budgets = found.table("models.budgets", given.get("budgets", {}))
        private = found.table("models.private", given.get("private", {}), ("scopes", "kinds"))
        prompts = found.maybe("models.prompts", given.get("prompts"), found.folder)
        if EMBED in policies:
            raise found.fault(
                f"models.policies.{EMBED} decides nothing: a memory has one embedder",
                "Take it out: vectors of two embedders are never compared, so there is none to choose.",
            )
        named = {role: found.texts(f"models.roles.{role}", specs) for role, specs in roles.items()}
        embedders = named.pop(EMBED, ())
        if len(embedders) > 1 or (EMBED in roles and not embedders):
            raise found.fault(
                f"models.roles.{EMBED} names {len(embedders)} embedders, and a memory has one",
                f'Write {EMBED} = "SPEC": vectors of two are never compared, and `agentmem reindex vectors` moves from '
                "one to another.",
            )
        if above:
            named = {}
            given = {**given, "roles": {role: specs for role, specs in roles.items() if role == EMBED}}
        return cls(
            roles=named,
            default=(default,) if default else (),
            policies={role: found.policy(f"models.policies.{role}", policy) for role, policy in policies.items()},
            terms={spec: found.terms(f"models.terms.{spec!r}", told) for spec, told in terms.items()},
            budgets={
                None if path == _EVERYWHERE else found.scope("models.budgets", path): found.budget(
                    f"models.budgets.{path!r}", told
                )
                for path, told in budgets.items()
            },
            private=Privacy.of(
                [
                    found.scope("models.private.scopes", path)
                    for path in found.texts("models.private.scopes", private.get("scopes", []))
                ],
                found.texts("models.private.kinds", private.get("kinds", [])),
            ),
            embedder=embedders[0] if embedders else "",
            prompts=prompts,
            told=dict(_leaves("models", given if prompts is None else {**given, "prompts": str(prompts)})),
        )


def stays_here(spec: str) -> bool:
    """Whether what is sent to a model spelled like this stays on this machine, going by its name and address alone."""
    name, _, rest = spec.partition(":")
    if name in _IN_PROCESS:
        return True
    address = spec.partition("#")[0] if name in ("http", "https") else rest.partition("@")[2]
    try:
        return address_of(address).is_local
    except InvalidInput:
        return False


def _leaves(name: str, value: object) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The keys of a table that hold no table, and what they hold, as text."""
    if isinstance(value, dict):
        for key, inside in value.items():
            quoted = key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
            yield from _leaves(f"{name}.{quoted}", inside)
    else:
        held = value if isinstance(value, list) else [value]
        yield name, tuple(one if isinstance(one, str) else json.dumps(one) for one in held)


class _Reader:
    def __init__(self, where: str) -> None:
        self._where = where

    def fault(self, message: str, way_out: str = "") -> ConfigError:
        return ConfigError(f"{self._where}: {message}", way_out=way_out)

    def table(self, name: str, value: object, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fault(f"{name} must be a table", f"Write [{name}] and the keys below it.")
        for key in value:
            if known is not None and key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                raise self.fault(
                    f"there is no setting {name}.{key}",
                    f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}.",
                )
        return value

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        """One text, or a list of them."""
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
            raise self.fault(f"{name} must be a text or a list of texts", f'Write {name.rpartition(".")[2]} = ["…"].')
        return tuple(given)

    def folder(self, name: str, value: object) -> Path:
        """Relative to the file that says it."""
        if not isinstance(value, str) or not value.strip():
            raise self.fault(f"{name} must be a folder, as text", f'Write {name.rpartition(".")[2]} = "…".')
        try:
            folder = Path(self._where).parent / Path(value).expanduser()
        except RuntimeError as error:  # ~stranger, or no home folder at all
            raise self.fault(f"{name}: {error}", "Write the folder's whole path.") from error
        if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises where a folder above may not be read
            raise self.fault(f"{name}: there is no folder {folder}", "Make it, or take the setting out.")
        return folder

    def policy(self, name: str, value: object) -> Policy:
        if value not in POLICIES:
            raise self.fault(f"{name} is {value!r}", f"Known: {', '.join(POLICIES)}.")
        return value  # type: ignore[return-value]  # one of them

    def scope(self, name: str, path: str) -> Scope:
        try:
            return Scope(path)
        except InvalidInput as error:
            raise self.fault(f"{name}: {error}", error.way_out) from error

    def terms(self, name: str, value: object) -> Terms:
        told = self.table(name, value, ("input", "output", "context", "local", "at_once", "deadline"))
        default = Terms()
        local = told.get("local")
        if local is not None and not isinstance(local, bool):
            raise self.fault(f"{name}.local must be true or false")
        return Terms(
            input=self.number(f"{name}.input", told.get("input", 0.0)),
            output=self.number(f"{name}.output", told.get("output", 0.0)),
            context=self.maybe(f"{name}.context", told.get("context"), self.whole),
            local=local,
            at_once=self.whole(f"{name}.at_once", told.get("at_once", default.at_once)),
            deadline=self.number(f"{name}.deadline", told.get("deadline", default.deadline), above=0.0),
        )

    def budget(self, name: str, value: object) -> Budget:
        told = self.table(name, value, ("tokens", "money"))
        return Budget(
            self.maybe(f"{name}.tokens", told.get("tokens"), self.whole),
            self.maybe(f"{name}.money", told.get("money"), self.number),
        )

    @staticmethod
    def maybe(name: str, value: object, read: Callable[[str, object], T]) -> T | None:
        return None if value is None else read(name, value)

    def number(self, name: str, value: object, above: float = -1.0) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fault(f"{name} must be a number")
        if value < 0 or value <= above:
            raise self.fault(f"{name} must be a number above 0")
        return float(value)

    def whole(self, name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fault(f"{name} must be a whole number from 1")
        return value
