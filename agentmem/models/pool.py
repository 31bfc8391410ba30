"""The models of a program: each opened once, when it is first asked, with its breaker, its places and what was learned.

A pool belongs to no memory. `BoundModels` (asking.py) is how a memory of one scope asks it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from agentmem.errors import AgentMemError, InvalidInput
from agentmem.models.cache import AnswerCache
from agentmem.models.calls import Calls
from agentmem.models.choice import Candidate, ModelChoice, Need, choose
from agentmem.models.prompts import Prompts
from agentmem.models.settings import (
    CHAT_ROLES,
    EMBED,
    POLICIES,
    Budget,
    ModelSettings,
    Policy,
    Privacy,
    Terms,
    stays_here,
)
from agentmem.records import Scope
from agentmem.values import now

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["AnyModels", "ModelPool"]

OneModel: TypeAlias = "str | BaseChatModel"
AnyModels: TypeAlias = (
    "ModelPool | ModelSettings | OneModel | Sequence[OneModel] | Mapping[str, OneModel | Sequence[OneModel]]"
)
log = logging.getLogger("agentmem")

_ALL: Final = ""  # the role that stands for all that are not named
_LOOKED_BACK: Final = timedelta(days=7)  # what is older says how long an answer took, and hardly weighs
_LOOKED_AT: Final = 300  # calls of a scope


class ModelPool:
    """The models of each role, in order: specs, or any of LangChain's chat models.

    One model, or a list, serves every role; a mapping gives the roles theirs, and `""` stands for all others. Nothing
    is opened, and no key is looked for, until a model is asked. `policies`, `terms` (prices, context, places),
    `budgets` (by scope's path, None for the whole ledger) and `private` are as in `ModelSettings`; so is `prompts`, a
    folder whose files are read now (ConfigError). What is in force stands in the attribute of that name.
    """

    def __init__(
        self,
        models: ModelSettings | OneModel | Sequence[OneModel] | Mapping[str, OneModel | Sequence[OneModel]] = (),
        *,
        policies: Mapping[str, Policy] | None = None,
        terms: Mapping[str, Terms] | None = None,
        budgets: Mapping[Scope | str | None, Budget] | None = None,
        private: Privacy | None = None,
        prompts: str | PathLike[str] | None = None,
    ) -> None:
        self._objects: dict[str, BaseChatModel] = {}
        self._lock = threading.Lock()
        settings = models if isinstance(models, ModelSettings) else self._settings(models)
        self.settings = replace(
            settings,
            policies=settings.policies if policies is None else dict(policies),
            terms=settings.terms if terms is None else dict(terms),
            budgets=settings.budgets if budgets is None else _by_scope(budgets),
            private=settings.private if private is None else Privacy.of(*private),
            prompts=settings.prompts if prompts is None else Path(prompts),
        )
        for role, policy in self.settings.policies.items():
            _no_embedder(role)
            if role not in CHAT_ROLES or policy not in POLICIES:
                raise InvalidInput(
                    f"there is no policy {policy!r:.40} for the role {role!r:.40}",
                    way_out=f"Policies: {', '.join(POLICIES)}. Roles: {', '.join(CHAT_ROLES)}.",
                )
        for role in self.settings.roles:
            _no_embedder(role)
        self.prompts = Prompts(self.settings.prompts)
        self.cache = AnswerCache()
        self._opened: set[str] = set()
        self._candidates: dict[str, Candidate] = {}
        self._places: dict[str, threading.BoundedSemaphore] = {}
        self._learned: set[str] = set()  # the calls that were read, by their home
        self._learning = threading.Lock()
        for spec in [*self.settings.default, *(spec for specs in self.settings.roles.values() for spec in specs)]:
            if spec not in self._candidates:
                self._candidates[spec] = self._candidate(spec)

    @classmethod
    def of(cls, models: AnyModels | None) -> ModelPool:
        """The pool itself, or one of what is given; None makes one without models."""
        return models if isinstance(models, cls) else cls(() if models is None else models)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        """Whether there is any model."""
        return bool(self._candidates)

    def __repr__(self) -> str:
        return f"ModelPool({', '.join(self._candidates) or 'no models'})"

    @property
    def models(self) -> list[str]:
        """All of them, by spec."""
        return list(self._candidates)

    def serves(self, role: str) -> bool:
        """Whether a role has any model."""
        return bool(self.settings.specs(role))

    def choose(self, need: Need, scope: Scope, calls: Calls | None = None) -> list[ModelChoice]:
        """The models of a role for a question in this scope; see `agentmem.models.choice.choose`.

        `calls`, of the scope, are read when it is first asked here for a role whose policy goes by what was learned:
        what other processes saw counts as if it had been seen here.
        """
        if calls is not None and self._goes_by_learning(need.role):
            self._learn(calls)
        candidates = [self._candidates[spec] for spec in self.settings.specs(need.role)]
        return choose(need, scope, candidates, self.settings)

    def _goes_by_learning(self, role: str) -> bool:
        return self.settings.policy(role) != "order"

    def _learn(self, calls: Calls) -> None:
        """Take in how the models did, once for each scope. Whoever asks there meanwhile waits, and nothing is asked
        before: so no call of this pool, which it has counted itself, is among what is read."""
        with self._learning:
            if calls.home in self._learned:
                return
            self._learned.add(calls.home)  # even if it cannot be read: later on, its own calls would be among them
            at = now()
            try:
                listed = calls.listed(_LOOKED_AT, since=at - _LOOKED_BACK)
            except AgentMemError as error:
                log.warning("how models did before cannot be read, and does not count: %s", error)
                return
            for call in listed:
                candidate = self._candidates.get(call.model)
                # A role that goes by its order may have been asked here by now, and never looks at it.
                if candidate is not None and call.outcome != "open" and self._goes_by_learning(call.role):
                    age = (at - call.at).total_seconds()
                    candidate.standing(call.role).saw(call.outcome == "done", call.ms / 1_000, age=age)

    def candidate(self, spec: str) -> Candidate:
        return self._candidates[spec]

    def places(self, spec: str) -> threading.BoundedSemaphore:
        """What a question holds while it is under way: a model takes so many at a time as its terms say."""
        with self._lock:
            at_once = self._candidates[spec].terms.at_once
            return self._places.setdefault(spec, threading.BoundedSemaphore(at_once))

    def opened(self, spec: str) -> BaseChatModel:
        """The model. AgentMemError when it is not installed, or cannot be opened."""
        from agentmem.models.opening import open_model

        with self._lock:
            model = self._objects.get(spec)
            if model is None:
                model = self._objects[spec] = open_model(spec)
                self._opened.add(spec)
            return model

    def close(self) -> None:
        """Let go of the models that the pool opened: connections, and weights. They are opened again when asked."""
        with self._lock:
            going = [self._objects.pop(spec) for spec in self._opened]
            self._opened.clear()
        for model in going:
            close = getattr(model, "close", None)
            if callable(close):
                close()

    def _settings(self, models: Any) -> ModelSettings:
        if not isinstance(models, Mapping):
            return ModelSettings(default=self._named(models))
        for role in models:
            _no_embedder(role)
            if role not in (*CHAT_ROLES, _ALL):
                raise InvalidInput(f"there is no role {role!r}", way_out=f"Roles: {', '.join(CHAT_ROLES)}.")
        roles = {role: self._named(given) for role, given in models.items()}
        return ModelSettings(default=roles.pop(_ALL, ()), roles=roles)

    def _named(self, given: Any) -> tuple[str, ...]:
        """The specs of what was given; objects are kept by theirs, which two of one kind do not share."""
        if isinstance(given, str):
            return (given,)
        if isinstance(given, Sequence):
            return tuple(name for one in given for name in self._named(one))
        from agentmem.models.opening import open_model, spec_of

        model = open_model(given)
        spec = spec_of(model)
        names = [spec, *(f"{spec} ({number})" for number in range(2, len(self._objects) + 2))]
        name = next(name for name in names if self._objects.get(name, model) is model)
        self._objects[name] = model
        return (name,)

    def _candidate(self, spec: str) -> Candidate:
        terms = self.settings.terms.get(spec, Terms())
        model = self._objects.get(spec)
        profile = getattr(model, "profile", None) or {}
        context = terms.context if terms.context is not None else profile.get("max_input_tokens")
        local = terms.local if terms.local is not None else _stays_here(spec, model)
        return Candidate(spec, local, terms, context, priced=spec in self.settings.terms)


def _stays_here(spec: str, model: BaseChatModel | None) -> bool:
    return stays_here(spec) if model is None else bool(getattr(model, "is_local", False))


def _no_embedder(role: object) -> None:
    if role == EMBED:
        raise InvalidInput(
            "an embedder is no model of a pool: a memory has one, since vectors of two are never compared",
            way_out="Name it where the memory is opened: Memory.open(…, embedder=…).",
        )


def _by_scope(budgets: Mapping[Scope | str | None, Budget]) -> dict[Scope | None, Budget]:
    return {None if path is None else Scope(path): budget for path, budget in budgets.items()}
