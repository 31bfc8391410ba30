"""What a start does not load: shown in fresh processes, by what stands in sys.modules at their end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "chromadb",
    "textual",
    "transformers",
    "openai",
    "langchain",
    "langchain_core",
    "networkx",
    "numpy",
    "sqlalchemy",
}
_REPORT = "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"


def modules_after(program: str) -> set[str]:
    """The modules a fresh interpreter has loaded when this program ends."""
    done = subprocess.run([sys.executable, "-c", _REPORT + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*argv: str) -> str:
    return f"sys.argv = ['agentmem', *{argv!r}]\nfrom agentmem_apps.cli import main\nmain()"


@pytest.mark.parametrize(
    "program",
    ["import agentmem", command("--help"), command("--version"), command("add", "--help"), command("config", "show")],
    ids=["import agentmem", "--help", "--version", "add --help", "config show"],
)
def test_a_start_loads_nothing_heavy(program: str) -> None:
    assert modules_after(program) & HEAVY == set()


def test_help_loads_neither_the_memory_nor_the_terminal_library() -> None:
    assert modules_after(command("--help")) & {"agentmem.memory", "agentmem.records", "rich", "platformdirs"} == set()


def test_the_report_would_see_a_heavy_module() -> None:
    assert "numpy" in modules_after("import numpy")


def test_importing_agentmem_touches_no_other_package_of_ours() -> None:
    loaded = {name.partition(".")[0] for name in modules_after("import agentmem")}
    assert loaded & {"agentmem", "agentmem_stores", "agentmem_apps", "agentmem_tui"} == {"agentmem"}
