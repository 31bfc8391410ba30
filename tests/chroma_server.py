"""A Chroma server for the tests: `chroma run` on loopback, with a folder of its own, which can be killed and started
again on the same port and the same data."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 60.0  # for a server to start, on a machine that is busy with other work
_PROGRAM = Path(sys.executable).with_name("chroma")


class ChromaServer:
    """One server. Its port is its own for as long as the object lives, killed or not."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agentmem-chroma-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Returns once it answers."""
        argv: list[str | Path] = [
            _PROGRAM,
            "run",
            "--path",
            self.folder / "data",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, cwd=self.folder, env={**os.environ, "ANONYMIZED_TELEMETRY": "False"}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers():
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, self._log.read_text()
            else:
                raise AssertionError(self._log.read_text())

    def answers(self) -> bool:
        """Whether it takes questions now."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/heartbeat", timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out. Its data stays."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """It takes questions and answers none, until it may `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)  # until then a thread of it may answer

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Killed, and started again where it was."""
        self.kill()
        self.start()

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)


@contextmanager
def running() -> Iterator[ChromaServer]:
    """A server, gone at the end."""
    server = ChromaServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session", name="chroma_server")
def chroma_server() -> Iterator[ChromaServer]:
    """One server for the modules that take it in. It must be up when a test ends."""
    with running() as server:
        yield server
