"""Real disks of a few megabytes, and how they run full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE_S = 120.0


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 32 MB, mounted at a folder that is made for it; where none may be mounted, the test is skipped."""
    folder.mkdir()
    try:
        done = _run("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder))
    except OSError as error:
        pytest.skip(f"NOT TESTED on a real disk: there is no mount ({error})")
    if done.returncode:
        pytest.skip(f"NOT TESTED on a real disk: a tmpfs needs root ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        _run("umount", str(folder)).check_returncode()


def make_read_only(disk: Path) -> None:
    _run("mount", "-o", "remount,ro", str(disk)).check_returncode()


@contextmanager
def filled_up(disk: Path) -> Iterator[None]:
    """Not a byte is free inside."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4_096)):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
