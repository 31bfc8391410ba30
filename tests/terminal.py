"""A command run on a pseudo-terminal: what a person would see, and what they would type."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

# The child opens the terminal itself, which makes it the one that its Ctrl-C comes from; and it heeds one, also where
# whoever runs the tests in the background does not.
_ADOPT = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); fd = os.open(sys.argv[1], os.O_RDWR); "
    "[os.dup2(fd, n) for n in (0, 1, 2)]; os.execv(sys.argv[2], sys.argv[2:])"
)
_PATIENCE_S = 60.0
_AGAIN_S = 1.0


@dataclass(frozen=True)
class Screen:
    """The exit status, and everything that reached the terminal, stdout and stderr together."""

    code: int
    text: str


def on_terminal(
    argv: Sequence[str], *, cwd: Path, environ: Mapping[str, str], answers: Sequence[tuple[str, str]] = ()
) -> Screen:
    """Run until the end; each answer is typed once its prompt has appeared.

    The last one is typed again every second: a Ctrl-C between the check for signals and the read that follows it is
    noticed at the next key only, by any program that reads through readline.
    """
    mine, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _ADOPT, os.ttyname(theirs), *argv],
            cwd=cwd,
            env={"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **environ},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            seen = _converse(child, mine, list(answers))
            code = child.wait(timeout=_PATIENCE_S)
    finally:
        os.close(mine)
        os.close(theirs)
    return Screen(code, seen.decode(errors="replace"))


def _converse(child: subprocess.Popen[bytes], terminal: int, answers: list[tuple[str, str]]) -> bytes:
    seen, answered, ends = b"", 0, monotonic() + _PATIENCE_S
    typed, again = b"", 0.0
    while monotonic() < ends:
        over = child.poll() is not None
        ready, _, _ = select.select([terminal], [], [], 0 if over else 0.1)
        if ready:
            seen += os.read(terminal, 65536)
        elif over:  # it ended, and nothing of it is left to read
            return seen
        if answers and answers[0][0].encode() in seen[answered:]:
            answered = len(seen)
            typed, again = answers.pop(0)[1].encode(), monotonic() + _AGAIN_S
            os.write(terminal, typed)
        elif typed and not answers and monotonic() > again:
            again = monotonic() + _AGAIN_S
            os.write(terminal, typed)
    child.kill()
    raise AssertionError(f"still running after {_PATIENCE_S:.0f} s, having shown {seen!r}")
