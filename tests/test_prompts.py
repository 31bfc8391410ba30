"""Prompts are files with a version, which changes whenever their text does; a user's own take their place."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from agentmem.errors import ConfigError, InvalidInput
from agentmem.models.prompts import Prompts
from agentmem.models.settings import ROLES

DIGESTS = Path(__file__).parent / "fixtures" / "prompts.json"


def digests() -> dict[str, str]:
    return {one.id: hashlib.blake2b(one.text.encode(), digest_size=16).hexdigest() for one in Prompts()}


def test_no_text_changes_without_its_version() -> None:
    """After a new version: python -m tests.test_prompts."""
    known = json.loads(DIGESTS.read_text())
    changed = [id for id, digest in digests().items() if known.get(id, digest) != digest]
    assert changed == [], f"give {changed} a new version: answers are stored with the old one"
    assert digests().items() <= known.items(), "run python -m tests.test_prompts"


def test_the_shipped_ones_are_there_and_each_is_for_a_role_or_for_any() -> None:
    found = {one.name: one for one in Prompts()}
    assert {"extract", "judge", "summarise", "rolling", "reply"} <= found.keys()
    assert {one.role for one in found.values()} <= {*ROLES, "any"}


def test_slots_are_filled_and_what_is_filled_in_is_data() -> None:
    judge = Prompts()["judge"]
    assert judge.slots == {"pairs"}
    assert "1. {{pairs}} $pairs {pairs}" in judge.fill(pairs="1. {{pairs}} $pairs {pairs}")
    for slots in ({}, {"pairs": "x", "more": "y"}, {"pairs": "a\0b"}):
        with pytest.raises(InvalidInput):
            judge.fill(**slots)
    with pytest.raises(InvalidInput, match="no prompt 'judg'") as caught:
        Prompts()["judg"]
    assert caught.value.way_out == "Did you mean judge?"


def test_a_users_file_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "judge.md").write_text("---\nversion: 4\nrole: judge\n---\nWhich? {{pairs}}\n")
    own = Prompts(tmp_path)["judge"]
    digest = hashlib.blake2b(b"Which? {{pairs}}", digest_size=3).hexdigest()
    assert (own.id, own.fill(pairs="1")) == (f"judge/4+custom.{digest}", "Which? 1")
    assert Prompts(tmp_path)["extract"] == Prompts()["extract"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no head", 1),
        ("---\nversion: one\nrole: judge\n---\n{{pairs}}", 2),
        ("---\nversion: 1\n---\n{{pairs}}", 3),
        ("---\nversion: 1\nrole: judge\n{{pairs}}", 4),
        ("---\nversion: 1\nrole: judge\n---\nWhich?", 5),
        ("---\nversion: 1\nrole: judge\n---\n\n{{pairs}} {{more}}", 6),
        ("---\nversion: 1\nrole: judge\n---\n{{pairs}} {{", 5),
        ("---\nrole: reply\nversion: 1\n---\n{{pairs}}", 2),
    ],
)
def test_a_malformed_file_is_told_by_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "judge.md").write_text(text)
    with pytest.raises(ConfigError, match=f"judge.md, line {line}: "):
        Prompts(tmp_path)


def test_a_file_of_no_prompts_name_and_a_folder_that_is_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "jugde.md").write_text("---\nversion: 1\nrole: judge\n---\n{{pairs}}")
    with pytest.raises(ConfigError, match="no prompt 'jugde'"):
        Prompts(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Prompts(tmp_path / "nowhere")
    (tmp_path / "jugde.md").unlink()
    (tmp_path / "judge.md").mkdir()
    with pytest.raises(ConfigError, match=r"judge\.md cannot be read"):
        Prompts(tmp_path)
    (tmp_path / "judge.md").rmdir()
    (tmp_path / "judge.md").write_bytes(b"a" * 70_000)
    with pytest.raises(ConfigError, match="larger than 64 KiB"):
        Prompts(tmp_path)


if __name__ == "__main__":
    kept = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    DIGESTS.write_text(json.dumps({**kept, **digests()}, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{DIGESTS.name}: {len(digests())} prompts\n")
