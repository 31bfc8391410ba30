"""`agentmem tui --web`: in a browser on this machine, and for its own page alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from agentmem import Memory
from tests.screens import PATIENCE_S, awaited

pytestmark = pytest.mark.slow

AGENTMEM = str(Path(sys.executable).with_name("agentmem"))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with Memory.open(tmp_path / "notes.mem", embedder="hash") as memory:
        memory.add("Ana prefers tea.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LANG": "C.UTF-8"}
    argv = [AGENTMEM, "tui", str(tmp_path / "notes.mem"), "--web", "--port", str(port), "--embedder", "hash"]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr is not None
            assert b"for this machine alone" in server.stderr.readline()
            reached(port)
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=PATIENCE_S)


def reached(port: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < until, "it never listened"


@awaited
async def test_the_memory_is_in_the_browser_of_this_machine_and_of_no_other_page(port: int) -> None:
    home = f"http://127.0.0.1:{port}"
    with urllib.request.urlopen(home) as page:
        assert b"agentmem" in page.read()
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(home, headers=headers))
    address = f"ws://127.0.0.1:{port}/ws?width=100&height=30"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(address, headers={"Origin": "https://evil.example"})
        async with session.ws_connect(address, headers={"Origin": home}) as screen:
            seen = b""
            until = time.monotonic() + PATIENCE_S
            while b"Ana prefers tea." not in seen:
                assert time.monotonic() < until, f"never shown: {seen[-500:]!r}"
                message = await screen.receive(timeout=PATIENCE_S)
                seen += message.data if isinstance(message.data, bytes) else str(message.data).encode()
            told = b"".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if is_child(file))
            assert b"agentmem_apps.cli" in told
            assert b"notes.mem" not in told, "a URL may hold a password, and anybody can list processes"


def is_child(cmdline: Path) -> bool:
    """Of the server that the test started."""
    try:
        parent = int((cmdline.parent / "stat").read_text().rpartition(")")[2].split()[1])
        return b"--web" in (Path("/proc") / str(parent) / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return False


def test_nothing_but_this_machine_is_listened_to(port: int) -> None:
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - no file of ours
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
