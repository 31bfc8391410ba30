"""The examples of CONTRIBUTING.md, installed as a stranger's package and used through the public face."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAM = re.compile(r"```python\n# my_exam.py\n(?P<code>.*?)```\s*```text\n(?P<report>.*?)```", re.DOTALL)
DURATION = re.compile(r" +\d+\.\d+ s")
BLOCK = re.compile(r"```toml\n(?P<toml>.*?)```\s*```python\n# (?P<file>\w+\.py)\n(?P<code>.*?)```", re.DOTALL)

DRIVER = """
import json, sys
from agentmem import Memory, PluginError
from agentmem.registry import EMBEDDERS, INDEXES, LEDGERS, STORES, names

folder = sys.argv[1]
said = {"names": {group: names(group) for group in (EMBEDDERS, INDEXES, LEDGERS, STORES)}}
for location in (f"{folder}/plain.mem", f"jsonfile://{folder}/notes.json"):
    with Memory.open(location, embedder="vowels:2", index="listed") as memory:
        first = memory.add("The launch is on 3 May.", speaker="Ana")
        memory.add("aaa eee", tags=["vowels"])
        memory.edit(first.id, text="The launch is on 4 May.")
        memory.undo()
        memory.attach("latest")
        last = memory.add("Zebras graze.")
        hits = memory.recall("launch", k=3)
        said[location] = {
            "texts": [hit.record.text for hit in hits],
            "parts": [sorted(hit.parts) for hit in hits],
            "filtered": [hit.record.text for hit in memory.recall("launch", tags="vowels")],
            "verdict": next(hit.verdict for hit in hits if hit.record.id == last.id),
            "inspect": dict(memory.stores["latest"].inspect()),
            "wrong": memory.verify(),
            "embedder": memory.stats().embedder,
        }
    with Memory.open(location, create=False, embedder="vowels:2", index="listed") as memory:
        erased = memory.forget(first.id, hard=True)
        said[location] |= {
            "again": [record.text for record in memory.records()],
            "erased": [record.text for record in erased],
            "wrong later": memory.verify(),
        }
try:
    Memory.open(f"{folder}/x.mem", embedder="no-such")
except PluginError as error:
    said["unknown"] = error.way_out
print(json.dumps(said))
"""


PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = list(BLOCK.finditer(PAGE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a stranger's package is installed: the parts of the page, and metadata with their entry points."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "stranger-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 0.1\n")
    entries = []
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        (site / block["file"]).write_text(block["code"], encoding="utf-8")
        group, name, target = re.fullmatch(
            r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "([\w:]+)"\n', block["toml"]
        ).groups()  # type: ignore[union-attr]  # a page without a match must fail here
        entries.append(f"[{group}]\n{name} = {target}\n")
    (metadata / "entry_points.txt").write_text("\n".join(entries))
    return site


def ran(site: Path, code: str, *arguments: str) -> str:
    """What a program prints that has the stranger's package installed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), *(str(ROOT / p) for p in ("", "stores", "apps"))]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("memories")
    result: dict[str, object] = json.loads(ran(site, DRIVER, str(folder)))
    return {"folder": str(folder), **result}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["file"])
def test_a_part_has_at_most_40_lines(block: re.Match[str]) -> None:
    assert sum(bool(line.strip()) for line in block["code"].splitlines()) <= 40


def test_a_strangers_ledger_and_index_pass_the_exam_as_the_page_shows(site: Path) -> None:
    exam = EXAM.search(PAGE)
    assert exam is not None
    told, shown = (DURATION.sub(" T", text) for text in (ran(site, exam["code"]), exam["report"]))
    assert told == shown


def test_a_strangers_parts_are_listed_beside_the_shipped_ones(said: dict[str, object]) -> None:
    listed = said["names"]
    assert isinstance(listed, dict)
    assert {"vowels", "hash", "minilm"} <= set(listed["agentmem.embedders"])
    assert {"listed", "exact"} <= set(listed["agentmem.indexes"])
    assert {"jsonfile", "sqlite"} <= set(listed["agentmem.ledgers"])
    assert "latest" in listed["agentmem.stores"]


def test_an_unknown_name_is_answered_with_those_installed(said: dict[str, object]) -> None:
    assert "hash" in str(said["unknown"])
    assert "vowels" in str(said["unknown"])


@pytest.mark.parametrize("ledger", ["{}/plain.mem", "jsonfile://{}/notes.json"])
def test_each_part_is_used(said: dict[str, object], ledger: str) -> None:
    seen = said[ledger.format(said["folder"])]
    assert isinstance(seen, dict)
    assert seen["texts"][0] == "The launch is on 3 May."
    assert {"dense", "latest", "lexical"} <= set(seen["parts"][0])
    assert seen["filtered"] == ["aaa eee"]
    assert "the latest" in seen["verdict"]
    assert seen["inspect"] == {"latest": "Zebras graze."}
    assert seen["embedder"] == "vowels-10-v1"
    assert seen["erased"] == ["The launch is on 3 May."]
    assert seen["again"] == ["aaa eee", "Zebras graze."]
    assert seen["wrong"] == seen["wrong later"] == []


def test_nothing_of_an_erased_text_is_left_in_the_json_file(said: dict[str, object]) -> None:
    assert b"The launch" not in Path(str(said["folder"]), "notes.json").read_bytes()
