"""The folder of a memory, looked at before it is opened: where it lies, who may read and write it, and how much room
there is. Knows files and disks, and nothing of what is in them but the ledger's name.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentmem.index import Progress
from agentmem_apps.doctor.finding import Finding, Repair, plenty
from agentmem_apps.doctor.mounts import Mount, is_network, is_shared_with_host, kind_of
from agentmem_stores.sql.ledger import FILE_NAME

__all__ = ["examined", "folder_of", "size_in_words"]

LEAST = 100_000_000  # bytes free below which a reindex or a hard forget may fail, however small the ledger
FULL = 1_000_000  # bytes free below which the next write may fail
_SYNCED = re.compile(
    r"dropbox.*|onedrive.*|google ?drive.*|my drive|cloudstorage|icloud ?drive|mobile documents"
    r"|nextcloud.*|owncloud.*|pcloud ?drive",
    re.IGNORECASE,
)


def folder_of(memory: str) -> Path | None:
    """The folder that a memory's place names; None for one in a database."""
    path = memory.removeprefix("sqlite:///")
    return None if "://" in path else Path(path).expanduser()


def examined(folder: Path, among: Sequence[Mount] | None = None) -> Iterator[Finding]:
    """What is to be said of a folder; nothing of one that is not there, which the opening tells.

    `among` are the mounts to find it in, None for those of this machine.
    """
    try:
        if not folder.is_dir():
            return
        yield from _kind(folder, kind_of(folder, among))
        yield from _writable(folder)
        yield from _room(folder)
        yield from _open_to_others(folder)
    except OSError as error:
        yield Finding("folder", "fault", f"{error.filename}: {error.strerror}", "Make the folder yours.")


def _kind(folder: Path, kind: str) -> Iterator[Finding]:
    synced = next((part for part in Path(os.path.realpath(folder)).parts if _SYNCED.fullmatch(part)), None)
    if is_network(kind):
        yield Finding(
            "folder",
            "fault",
            f"it lies on a network file system ({kind}), where SQLite can damage the ledger: two machines that write "
            "do not see each other",
            "Move it to a local disk; to share it between machines, keep it in Postgres: --memory postgresql://…",
        )
    elif is_shared_with_host(kind):
        yield Finding(
            "folder",
            "warning",
            f"it lies in a folder shared with the machine around this one ({kind}): opened on both sides at once, the "
            "ledger can be damaged",
            "Open it on one side only, or move it to this machine's own disk.",
        )
    elif synced:
        yield Finding(
            "folder",
            "warning",
            f"it lies in {synced}, which copies the files of a ledger one by one: two machines would overwrite each "
            "other's memories, and a copy may not open",
            "Move it elsewhere, and let copies of `agentmem export` be synced.",
        )
    else:
        yield Finding("folder", "ok", f"{folder}, on a local disk" + (f" ({kind})" if kind else ""))


def _writable(folder: Path) -> Iterator[Finding]:
    what = "nothing new can be remembered, and perhaps nothing can be read"
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield Finding(
            "read-only",
            "fault",
            f"the file system under {folder} is mounted read-only: {what}",
            f"Mount it for writing, or copy the folder to another disk: cp -r {folder} ELSEWHERE",
        )
        return
    # A folder must be entered and written in: SQLite keeps its log beside the file.
    needed = [(folder, os.R_OK | os.W_OK | os.X_OK)]
    needed += [(file, os.R_OK | os.W_OK) for file in sorted(folder.glob(f"{FILE_NAME}*"))]
    effective = os.access in os.supports_effective_ids
    closed = [path for path, mode in needed if not os.access(path, mode, effective_ids=effective)]
    if closed:
        mine = all(path.stat().st_uid == os.geteuid() for path in closed) if hasattr(os, "geteuid") else True
        yield Finding(
            "read-only",
            "fault",
            f"you may not read and write {plenty([str(path) for path in closed])}: {what}",
            f"chmod -R u+rwX {folder}" if mine else f"They are somebody else's: sudo chown -R $USER {folder}",
        )


def _room(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    held = sum(file.stat().st_size for file in folder.glob(f"{FILE_NAME}*"))
    needed = max(LEAST, 2 * held)
    if free < FULL:
        yield Finding(
            "disk",
            "fault",
            f"the disk is full ({size_in_words(free)} free): nothing new can be remembered, and what is there stays",
            "Make room, then go on; nothing acknowledged was lost.",
        )
    elif free < needed:
        yield Finding(
            "disk",
            "warning",
            f"only {size_in_words(free)} are free, and a reindex or a hard forget may need {size_in_words(needed)}",
            "Make room before the next one.",
        )
    else:
        yield Finding("disk", "ok", f"{size_in_words(free)} free; the ledger has {size_in_words(held)}")


def size_in_words(count: int) -> str:
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            return f"{count / unit:,.{0 if count >= 10 * unit else 1}f} {name}"
    return f"{count // 1000:,} kB"


def _open_to_others(folder: Path) -> Iterator[Finding]:
    if os.name != "posix":
        return
    if not stat.S_IMODE(folder.stat().st_mode) & 0o077:  # whoever may not enter it reaches nothing in it
        yield Finding("permissions", "ok", "only you can read it")
        return
    within = len(_ajar(folder)) - 1

    def close(_: Progress) -> str:
        for path in _ajar(folder):  # the folder first, and then all that was made since
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o077)
        return "nobody else can enter it now"

    yield Finding(
        "permissions",
        "fault",
        f"others on this machine may see into {folder}" + (f", and {within:,} more in it" if within else ""),
        f"chmod -R go= {folder}",
        repair=Repair("close it to others (chmod -R go=)", close),
    )


def _ajar(folder: Path) -> list[Path]:
    """The folder and what in it others may read, write or enter; links are left alone."""
    inside = (path for path in sorted(folder.rglob("*")) if not path.is_symlink())
    return [path for path in (folder, *inside) if stat.S_IMODE(path.stat().st_mode) & 0o077]
