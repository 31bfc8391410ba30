"""A folder in the wrong place or open to the wrong people, a full disk, a damaged file: real files, real mounts."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import tempfile
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest

from agentmem.errors import LedgerError
from agentmem.records import DEFAULT_SCOPE, Record
from agentmem_apps.doctor import place as places_of
from agentmem_apps.doctor.mounts import is_network, is_shared_with_host, kind_of, parse_mount, parse_proc
from agentmem_apps.doctor.salvage import salvage
from agentmem_apps.importers.run import import_file
from agentmem_stores.sql.ledger import FILE_NAME
from tests.disks import filled_up, make_read_only, small_disk
from tests.doctoring import (
    ALL,
    Run,
    amiss,
    command,
    examined,
    filled,
    opened,
    quiet,
)

FRESH_PROCESS = multiprocessing.get_context("spawn")
NOBODY = 65534
PATIENCE_S = 120.0


PROC = r"""
proc /proc proc rw,relatime 0 0
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/ana/local\040disk xfs rw 0 0
//nas/share /mnt/nas cifs rw 0 0
ana@host:/ /mnt/far fuse.sshfs rw 0 0
C:\134 /mnt/c 9p rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdc1 /run ext4 rw 0 0
"""
MAC = """
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//ana@nas/share on /Volumes/share (smbfs, nodev, nosuid, mounted by ana)
server:/export on /Volumes/far (away) (nfs, asynchronous)
"""
LINUX = """
/dev/sda1 on / type ext4 (rw,relatime)
server:/export on /srv/our data type nfs4 (rw,vers=4.2)
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/notes.mem", "ext4", False),
        ("/home/ana/notes.mem", "nfs4", True),
        ("/home/ana/local disk/notes.mem", "xfs", False),
        ("/homely/notes.mem", "ext4", False),
        ("/mnt/nas", "cifs", True),
        ("/mnt/far/notes.mem", "fuse.sshfs", True),
        ("/mnt/c/notes.mem", "9p", False),
        ("/run/notes.mem", "ext4", False),
    ],
)
def test_a_path_lies_on_its_nearest_mount(path: str, kind: str, network: bool) -> None:
    found = kind_of(Path(path), parse_proc(PROC))
    assert (found, is_network(found), is_shared_with_host(found)) == (kind, network, kind == "9p")


def test_what_the_program_mount_prints_is_understood() -> None:
    assert [mount.kind for mount in parse_mount(MAC)] == ["apfs", "smbfs", "nfs"]
    assert kind_of(Path("/Volumes/share/notes.mem"), parse_mount(MAC)) == "smbfs"
    assert parse_mount(MAC)[2].point == "/Volumes/far (away)"
    assert parse_mount(LINUX)[1] == ("/srv/our data", "nfs4")


def test_this_machines_own_disks_are_local(tmp_path: Path) -> None:
    assert not is_network(kind_of(tmp_path))
    if kind_of(Path("/dev/shm")) == "tmpfs":
        assert not is_network("tmpfs")


@pytest.mark.parametrize(
    ("kind", "severity", "said"),
    [
        ("nfs4", "fault", "network file system (nfs4)"),
        ("virtiofs", "warning", "shared with the machine around this one"),
    ],
)
def test_a_folder_on_a_network_is_told(kind: str, severity: str, said: str, tmp_path: Path) -> None:
    mounted = parse_proc(f"/dev/sda1 / ext4 rw 0 0\nserver:/export {os.path.realpath(tmp_path)} {kind} rw 0 0\n")
    found = next(iter(places_of.examined(tmp_path, mounted)))
    assert (found.name, found.severity, said in found.sentence) == ("folder", severity, True)
    assert "Postgres" in found.way_out or "one side only" in found.way_out


@pytest.mark.parametrize(
    "name",
    ["Dropbox", "Dropbox (Acme)", "OneDrive - Acme", "Google Drive", "GoogleDrive-ana@example.org", "Mobile Documents",
     "iCloudDrive", "CloudStorage"],
)  # fmt: skip
def test_a_folder_inside_a_synced_one_gets_a_warning(name: str, tmp_path: Path) -> None:
    filled(tmp_path / name / "notes.mem", 1)
    [found] = amiss(tmp_path / name / "notes.mem")
    assert (found.name, found.severity) == ("folder", "warning")
    assert f"it lies in {name}, which copies" in found.sentence
    assert "agentmem export" in found.way_out


def test_a_folder_that_only_sounds_like_one_gets_none(tmp_path: Path) -> None:
    filled(tmp_path / "my dropboxes" / "notes.mem", 1)
    assert amiss(tmp_path / "my dropboxes" / "notes.mem") == []


def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    filled(tmp_path / "m", 1)
    (tmp_path / "m" / "chroma").mkdir()
    (tmp_path / "m" / "chroma" / "beyond").symlink_to("/etc")
    modes = {tmp_path / "m": 0o755, tmp_path / "m" / "chroma": 0o777, tmp_path / "m" / FILE_NAME: 0o640}
    for path, mode in modes.items():
        path.chmod(mode)
    [found] = amiss(tmp_path / "m")
    assert (found.name, found.severity) == ("permissions", "fault")
    assert found.sentence == f"others on this machine may see into {tmp_path / 'm'}, and 2 more in it"
    assert amiss(tmp_path / "m", fix=True)[0].repaired
    assert [path.stat().st_mode & 0o777 for path in modes] == [0o700, 0o700, 0o600]
    assert Path("/etc").stat().st_mode & 0o055
    (tmp_path / "m" / "chroma").chmod(0o777)
    assert amiss(tmp_path / "m") == []  # nobody gets as far as there


def _examined_by_nobody(pipe: Pipe, folder: str) -> None:
    with tempfile.TemporaryDirectory() as other:
        filled(Path(other) / "m", 1)  # root may look everywhere, so root becomes nobody once all is imported
        examined(Path(other) / "m")
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    pipe.send([(finding.name, finding.severity, finding.sentence, finding.way_out) for finding in amiss(folder)])


def test_a_folder_that_may_not_be_written_is_told() -> None:
    base = Path(tempfile.mkdtemp())  # not tmp_path: nobody else may look into that
    try:
        base.chmod(0o755)
        filled(base / "m", 3)
        (base / "m" / FILE_NAME).chmod(0o444)
        (base / "m").chmod(0o555)
        ours, theirs = FRESH_PROCESS.Pipe()
        child = FRESH_PROCESS.Process(target=_examined_by_nobody, args=(theirs, str(base / "m")))
        child.start()
        with ours:
            assert ours.poll(PATIENCE_S)
            told = {name: (severity, sentence, way_out) for name, severity, sentence, way_out in ours.recv()}
        child.join(PATIENCE_S)
        severity, sentence, way_out = told["read-only"]
        assert severity == "fault"
        assert f"you may not read and write {base / 'm'}" in sentence
        assert ("sudo chown" if os.geteuid() == 0 else "chmod -R u+rwX") in way_out
        assert "ledger" not in told  # it cannot be opened, and has been told why
    finally:
        for path in (base, *base.glob("*")):
            path.chmod(0o700)
        shutil.rmtree(base)


def test_a_read_only_file_system_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filled(disk / "m", 3)
        make_read_only(disk)
        told = {finding.name: finding for finding in amiss(disk / "m", fix=True)}
        assert told["read-only"].severity == "fault"
        assert f"the file system under {disk / 'm'} is mounted read-only" in told["read-only"].sentence
        assert "Mount it for writing" in told["read-only"].way_out


def test_a_disk_that_fills_up_is_told_before_and_after(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filled(disk / "m", 3)
        [found] = [finding for finding in amiss(disk / "m") if finding.name == "disk"]
        assert (found.severity, "may need 100 MB" in found.sentence) == ("warning", True)
        with filled_up(disk):
            found = next(finding for finding in amiss(disk / "m") if finding.name == "disk")
            assert (found.severity, found.sentence.startswith("the disk is full (0 kB free)")) == ("fault", True)
        assert [finding.severity for finding in amiss(disk / "m")] == ["warning"]


# ── a damaged file ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Record]]:
    """A ledger of some hundred pages, in which records were changed, forgotten, merged, erased and taken back."""
    folder = tmp_path_factory.mktemp("doctor") / "m"
    with opened(folder) as memory:
        made = memory.add_many({"text": f"memory {n} {'of long ago ' * 20}", "tags": [f"t{n}"]} for n in range(150))
        for record in made[:40]:
            memory.edit(record.id, text=f"{record.text} and edited")
        memory.forget(*(record.id for record in made[40:50]))
        memory.merge(*(record.id for record in made[50:53]))
        memory.forget(made[60].id, hard=True)
        memory.add_many(["undone"] * 3)
        memory.undo()
        memory.pin(made[70].id)
        kept = {record.id: record for record in memory.records(states=ALL)}
    with opened(folder, scope="user:ana") as memory:
        memory.add("another's")
    return folder, kept


def page_size(file: Path) -> int:
    return int.from_bytes(file.read_bytes()[16:18], "big")


def with_pages_overwritten(folder: Path, target: Path, *numbers: int) -> Path:
    """A copy in which these pages, the first being 1, are noise."""
    shutil.copytree(folder, target)
    size = page_size(target / FILE_NAME)
    with (target / FILE_NAME).open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * size)
            file.write(bytes(range(255, -1, -1)) * (size // 256))
    return target


def read_back(file: Path, folder: Path) -> dict[str, Record]:
    with opened(folder) as memory:
        import_file(memory, file)
        assert memory.verify() == []
        return {record.id: record for record in memory.records(states=ALL)}


def test_any_page_of_records_or_journal_may_be_lost_and_every_memory_is_salvaged(
    eventful: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    source, kept = eventful
    pages = (source / FILE_NAME).stat().st_size // page_size(source / FILE_NAME)
    nothing, rebuilt = [], 0
    for number in range(1, pages + 1):
        broken = with_pages_overwritten(source, tmp_path / "broken", number)
        try:
            found = salvage(str(broken), DEFAULT_SCOPE, tmp_path / "out.jsonl", quiet)
        except LedgerError:
            nothing.append(number)
        else:
            assert found.lost == ()
            lines = (tmp_path / "out.jsonl").read_text().splitlines()
            assert {record.id: record for record in map(Record.from_json, map(json.loads, lines[1:]))} == kept
            assert (found.written, found.others) == (len(kept), ("user:ana",))
            rebuilt += found.rebuilt
            (tmp_path / "out.jsonl").unlink()
        assert list(tmp_path.iterdir()) == [broken]
        shutil.rmtree(broken)
    # What is where stands in SQLite's list of tables and nowhere else: the first page, and three below it.
    assert 1 in nothing
    assert len(nothing) <= 4
    assert rebuilt >= len(kept)


def test_what_neither_rows_nor_journal_tell_is_said_to_be_lost(
    eventful: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    source, kept = eventful
    holding = [n for n in range(1, (source / FILE_NAME).stat().st_size // page_size(source / FILE_NAME) + 1)
               if b"memory 100 of" in page_of(source, n)]  # fmt: skip
    assert len(holding) == 2
    broken = with_pages_overwritten(source, tmp_path / "broken", *holding)
    found = salvage(str(broken), DEFAULT_SCOPE, tmp_path / "out.jsonl", quiet)
    assert found.lost
    assert found.unread
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    back = read_back(tmp_path / "out.jsonl", tmp_path / "new")
    assert back.items() <= kept.items()
    assert len(back) == found.written == len(kept) - len(found.lost)


def page_of(folder: Path, number: int) -> bytes:
    size = page_size(folder / FILE_NAME)
    return (folder / FILE_NAME).read_bytes()[(number - 1) * size : number * size]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return command(tmp_path, monkeypatch)


def test_a_damaged_memory_is_salvaged_and_taken_into_a_new_one(
    run: Run, eventful: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    source, kept = eventful
    pages = range(2, (source / FILE_NAME).stat().st_size // page_size(source / FILE_NAME) + 1)
    torn = next(number for number in pages if b"memory 100 of" in page_of(source, number))
    with_pages_overwritten(source, tmp_path / "notes.mem", torn)
    code, out, _ = run("doctor", "--fix")
    assert code == 1
    assert re.search(r"^FAULT     ledger ", out, re.M)
    assert "agentmem doctor --salvage FILE" in out
    assert run("export", "all.jsonl")[0] != 0
    code, out, err = run("doctor", "--salvage", "rescued.jsonl")
    assert (code in (0, 1), out) == (True, "rescued.jsonl\n")
    assert f"wrote {len(kept):,} memories" in err
    assert "the scope user:ana is not in it" in err
    assert run("doctor", "--salvage", "rescued.jsonl")[0] == 2  # never over a file that is there
    assert read_back(tmp_path / "rescued.jsonl", tmp_path / "new") == kept
