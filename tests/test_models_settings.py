"""The `[models]` table: what is read from it, and what is told of a mistake in it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from agentmem.errors import ConfigError
from agentmem.models.calls import PICO
from agentmem.models.settings import Budget, ModelSettings, Privacy, Terms, stays_here
from agentmem.records import Scope

WHOLE = """
[models.roles]
reply = ["http://localhost:11434/v1#llama3.2", "openai:gpt-4.1-mini"]
extract = "local:/models/small"
[models.policies]
reply = "local-first"
[models.terms."openai:gpt-4.1-mini"]
input = 0.4
output = 1.6
context = 128000
at_once = 2
deadline = 30
[models.budgets]
"*" = { money = 1.5 }
"user:ana" = { tokens = 20000 }
[models.private]
scopes = ["user:ana/diary"]
kinds = "note"
"""


def read(text: str) -> ModelSettings:
    return ModelSettings.read(tomllib.loads(text)["models"], "agentmem.toml", "openai:fallback")


def test_every_key_is_read() -> None:
    settings = read(WHOLE)
    assert settings.specs("reply") == ("http://localhost:11434/v1#llama3.2", "openai:gpt-4.1-mini")
    assert settings.specs("extract") == ("local:/models/small",)
    assert settings.specs("judge") == ("openai:fallback",)
    assert (settings.policy("reply"), settings.policy("judge")) == ("local-first", "order")
    assert settings.terms == {"openai:gpt-4.1-mini": Terms(0.4, 1.6, 128_000, None, 2, 30.0)}
    assert settings.budgets == {None: Budget(money=1.5), Scope("user:ana"): Budget(tokens=20_000)}
    assert settings.private == Privacy((Scope("user:ana/diary"),), frozenset({"note"}))


def test_prices_are_exact_in_picos() -> None:
    terms = Terms(0.0375, 0.15)
    assert terms.picos(1_000_000, 0) == 37_500_000_000 == round(0.0375 * PICO)
    assert sum(terms.picos(1, 1) for _ in range(1_000_000)) == terms.picos(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[models.role]", "models.role.*Did you mean roles"),
        ("[models.roles]\nrepl = 'x'", "models.roles.repl.*Did you mean reply"),
        ("[models.roles]\nreply = 3", "models.roles.reply must be a text or a list"),
        ("[models.roles]\nreply = ['']", "models.roles.reply must be a text or a list"),
        ("[models.policies]\nreply = 'fastest'", "models.policies.reply is 'fastest'.*cheapest"),
        ("[models.terms.m]\ninput = 'free'", "models.terms.'m'.input must be a number"),
        ("[models.terms.m]\ninput = -1", "above 0"),
        ("[models.terms.m]\ninput = nan", "must be a number"),
        ("[models.terms.m]\ncontext = 0", "whole number from 1"),
        ("[models.terms.m]\nlocal = 'yes'", "true or false"),
        ("[models.terms.m]\ndeadline = 0", "above 0"),
        ("[models.budgets]\n'user:ana' = 5", "models.budgets.'user:ana' must be a table"),
        ("[models.budgets]\n'user:ana' = { dollars = 5 }", "models.budgets.'user:ana'.dollars"),
        ("[models.budgets]\n'a//b' = { tokens = 5 }", "models.budgets"),
        ("[models.private]\nscopes = ['a//b']", "models.private.scopes"),
        ("models = 3", "models must be a table"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_way_out(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    import re

    said: Any = f"{caught.value} {caught.value.way_out}"
    assert said.startswith("agentmem.toml: ")
    assert re.search(told, said), said


@pytest.mark.parametrize(
    ("spec", "here"),
    [
        ("local:/models/small", True),
        ("scripted:echo", True),
        ("http://localhost:11434/v1#llama3.2", True),
        ("http://127.0.0.1:8080/v1#m", True),
        ("http://[::1]:8080/v1#m", True),
        ("openai:m@http://127.0.0.1:1/v1", True),
        ("openai:gpt-4.1-mini", False),
        ("https://127.0.0.1.example.com/v1#m", False),
        ("http://localhost.example.com/v1#m", False),
        ("http://user@127.0.0.1:pw@example.com/v1#m", False),
        ("openai:m@http://192.168.1.4/v1", False),
        ("http://[::1/v1#m", False),
    ],
)
def test_what_stays_on_this_machine_is_told_by_name_and_address(spec: str, here: bool) -> None:
    assert stays_here(spec) is here
