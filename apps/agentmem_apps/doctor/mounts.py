"""On what kind of file system a folder lies, by what the system says of its mounts.

SQLite keeps its write-ahead log in memory that all processes on one machine share. Two machines on a network file
system do not share it, and between a virtual machine and its host it is not kept alike either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mount", "is_network", "is_shared_with_host", "kind_of", "mounts", "parse_mount", "parse_proc"]

# fmt: off
_NETWORK = frozenset((
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "smbnetfs", "ncpfs", "afs", "afpfs", "openafs",
    "coda", "davfs", "davfs2", "webdav", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "gfs2", "ocfs2", "orangefs",
    "pvfs2", "sshfs", "curlftpfs", "rclone", "s3fs", "gcsfuse", "goofys", "gvfsd-fuse", "juicefs", "moosefs", "kbfs",
))
_HOST = frozenset((
    "9p", "v9fs", "virtiofs", "vboxsf", "vmhgfs", "vmhgfs-fuse", "prl_fs", "drvfs", "fakeowner", "grpcfuse", "osxfs",
))
# fmt: on
_MOUNT_LINUX = re.compile(r"^.+? on (?P<point>.+) type (?P<kind>\S+) \(")
_MOUNT_BSD = re.compile(r"^.+? on (?P<point>.+) \((?P<kind>[^,()]+)[,)]")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    point: str
    kind: str


def parse_proc(text: str) -> list[Mount]:
    """Of /proc/self/mounts; a blank in a name is written \\040 there."""
    rows = (line.split(" ") for line in text.splitlines())
    return [Mount(_OCTAL.sub(lambda o: chr(int(o[1], 8)), row[1]), row[2]) for row in rows if len(row) > 2]


def parse_mount(text: str) -> list[Mount]:
    """Of what the program `mount` prints, on Linux or on macOS and the BSDs."""
    found = (_MOUNT_LINUX.match(line) or _MOUNT_BSD.match(line) for line in text.splitlines())
    return [Mount(match["point"], match["kind"].strip()) for match in found if match]


def mounts() -> list[Mount]:
    """All there are; none where the system does not say."""
    try:
        if sys.platform == "linux":
            return parse_proc(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
        said = subprocess.run(["mount"], capture_output=True, text=True, errors="replace", timeout=10, check=True)
        return parse_mount(said.stdout)
    except (OSError, subprocess.SubprocessError):
        return []


def kind_of(path: Path, among: Iterable[Mount] | None = None) -> str:
    """The kind of file system that holds this path; "" when it is not known."""
    folder = os.path.realpath(path)
    if folder.startswith("\\\\"):
        return "smb"
    best = Mount("", "")
    for mount in mounts() if among is None else among:
        inside = folder == mount.point or folder.startswith(mount.point.rstrip("/") + "/")
        if inside and len(mount.point) >= len(best.point):  # of two on one place, the later one covers the other
            best = mount
    return best.kind


def _names(kind: str) -> set[str]:
    """The kind as it is written, and without what it is carried by, as in fuse.sshfs."""
    return {kind.lower(), kind.lower().rpartition(".")[2]}


def is_network(kind: str) -> bool:
    """Whether another machine may have the same files open."""
    return not _NETWORK.isdisjoint(_names(kind))


def is_shared_with_host(kind: str) -> bool:
    """Whether the files are those of the machine around this virtual one."""
    return not _HOST.isdisjoint(_names(kind))
