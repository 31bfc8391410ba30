"""Where a Chroma collection lives, and how it is opened without harm: a folder of its own, or a server.

Two processes on one embedded Chroma lose vectors silently, so a folder is owned through a lock for as long as it is
open. A Chroma that is damaged may answer wrongly, raise, or crash the process, as truncating each of its files in turn
shows; so a folder that was closed cleanly must look the way it was left, and one that was not is first tried in a
process that may crash. Everything that goes wrong is IndexUnavailable. Knows nothing of vectors or cursors.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from agentmem.errors import AgentMemError, IndexUnavailable
from agentmem_stores.vectors.chroma_room import zero_room

__all__ = ["Folder", "Home", "Server", "chroma_faults"]

log = logging.getLogger("agentmem")
Metadata: TypeAlias = Mapping[str, str | int]
_STATE: Final = "agentmem.json"  # written at a clean close, gone while open
_LOCK: Final = "agentmem.lock"
_NAME: Final = "vectors"
_REINDEX: Final = "Run `agentmem reindex chroma`; nothing is lost, the ledger has every vector."
_PROBE_S: Final = 120  # a cold import and the replay of a long log on a busy machine
_CALL_S: Final = 30.0  # a server that does not answer within this is given up
_KNOCK_S: Final = 5.0
# ef_search above the 256 candidates that a question asks for; the rest are Chroma's defaults. sync_threshold is left
# alone: low values have corrupted its files (chroma-core/chroma, reported for 2).
_CONFIGURATION: Final = {"hnsw": {"space": "cosine", "ef_search": 300}}


class Home(Protocol):
    """A place for one collection. `faulty`: something went wrong in it since it was opened.

    `erased`: something was erased that this process had in memory, so its files must not be left with unknown bytes.
    """

    faulty: bool
    erased: bool

    def open(self, metadata: Metadata, anew: bool) -> Any:
        """The collection, made with this metadata when it is not there or, with `anew`, in place of what is."""
        ...

    def close(self) -> None: ...


class chroma_faults:
    """Inside it, whatever Chroma raises becomes IndexUnavailable, and `home` is not trusted any more.

    A panic of its native code is no Exception.
    """

    def __init__(self, doing: str, home: Home | None = None, way_out: str = _REINDEX) -> None:
        self._doing = doing
        self._home = home
        self._way_out = way_out

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None or isinstance(error, AgentMemError | MemoryError):
            return
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            if self._home is not None:
                self._home.faulty = True
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise IndexUnavailable(f"Chroma could not {self._doing}: {first}", index="chroma", way_out=self._way_out)


def _installed() -> str:
    try:
        return version("chromadb")
    except PackageNotFoundError as error:
        raise IndexUnavailable("Chroma is not installed", index="chroma", way_out="pip install chromadb") from error


def _made(client: Any, name: str, metadata: Metadata) -> Any:
    # No embedding function: the default one would download a model at its first use.
    return client.get_or_create_collection(
        name, metadata=dict(metadata), configuration=_CONFIGURATION, embedding_function=None
    )


class Folder:
    """An embedded Chroma in a folder of its own, for one collection, owned by this process while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._client: Any = None
        self._lock: Any = None
        self.faulty = False  # something went wrong since it was opened: not to be trusted without a trial
        self.erased = False

    def open(self, metadata: Metadata, anew: bool) -> Any:
        installed = _installed()
        self._own()
        self.faulty = False
        try:
            if anew:
                self._wipe()
            else:
                self._look(installed)
                zero_room(self.path)  # of a process that was killed
            (self.path / _STATE).unlink(missing_ok=True)
            with chroma_faults(f"open {self.path}"):
                import chromadb
                from chromadb.config import Settings

                self._client = chromadb.PersistentClient(str(self.path), Settings(anonymized_telemetry=False))
                return _made(self._client, _NAME, metadata)
        except OSError as error:
            self._release()
            raise self._unusable(error) from error
        except IndexUnavailable:
            self.faulty = True
            self.close()  # its client too, or this process would be handed it again for the folder
            raise

    def _own(self) -> None:
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FileLock(self.path / _LOCK, timeout=0, mode=0o600, thread_local=False)
            self._lock.acquire()
        except Timeout as error:
            self._lock = None
            raise IndexUnavailable(
                f"{self.path} is in use by another process, and Chroma bears only one",
                index="chroma",
                way_out="It is taken up once the other has closed it; or run a Chroma server: --index chroma:URL",
                busy=True,
            ) from error
        except OSError as error:
            self._lock = None
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> IndexUnavailable:
        return IndexUnavailable(
            f"{self.path} cannot be used: {error.strerror}", index="chroma", way_out="Make the folder yours."
        )

    def _wipe(self) -> None:
        for entry in self.path.iterdir():
            if entry.name == _LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _look(self, installed: str) -> None:
        """IndexUnavailable unless the folder is empty, or holds what this Chroma left there, or passes the probe."""
        if not (self.path / "chroma.sqlite3").exists():
            if self._files():
                raise IndexUnavailable(f"{self.path} lacks its database", index="chroma", way_out=_REINDEX)
            return
        try:
            state = json.loads((self.path / _STATE).read_text(encoding="utf-8"))
            made_by, files = str(state["chroma"]), dict(state["files"])
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
            TypeError,
        ):  # killed while it was open, or while this was written
            self._probe()
            return
        if made_by.split(".")[:2] != installed.split(".")[:2]:
            raise IndexUnavailable(
                f"{self.path} was made by Chroma {made_by}, and {installed} is installed",
                index="chroma",
                way_out=_REINDEX,
            )
        standing = self._files()
        if {name: size for name, (size, _) in standing.items()} != {name: entry[0] for name, entry in files.items()}:
            raise IndexUnavailable(
                f"{self.path} is not as Chroma left it: a file is gone, cut off or new",
                index="chroma",
                way_out=_REINDEX,
            )
        if {name: list(entry) for name, entry in standing.items()} != files:  # copied, restored, or touched
            self._probe()

    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of each of Chroma's files. SQLite's own side files come and go."""
        ours = (_STATE, f"{_STATE}.new", _LOCK)
        return {
            path.relative_to(self.path).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and path.name not in ours and not path.name.endswith(("-wal", "-shm", "-journal"))
        }

    def _probe(self) -> None:
        """Let another process open it, search it and write to it first: Chroma's native code may crash on bad files."""
        command = [sys.executable, "-m", "agentmem_stores.vectors.chroma_probe", str(self.path), _NAME]
        try:
            tried = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise IndexUnavailable(f"{self.path} does not answer", index="chroma", way_out=_REINDEX) from error
        if tried.returncode != 0:
            said = tried.stderr.strip().splitlines()[-1:] or ["it crashed"]
            why = f"signal {-tried.returncode}" if tried.returncode < 0 else said[0]
            raise IndexUnavailable(
                f"{self.path} is damaged: trying it ended with {why}", index="chroma", way_out=_REINDEX
            )

    def close(self) -> None:
        client, self._client = self._client, None
        try:
            if client is not None:
                with chroma_faults("close"):
                    client.close()
                self._leave()
        except (
            IndexUnavailable,
            OSError,
        ) as error:  # the next opening finds no state and tries it in a process of its own
            log.debug("%s", error)
        finally:
            self._release()

    def _leave(self) -> None:
        """With nothing in its files that this process merely had in memory; what cannot be cleaned is filled anew."""
        if not zero_room(self.path) and self.erased:
            self._wipe()
        elif not self.faulty:
            self._note()

    def _note(self) -> None:
        """Write down how it was left, whole or not at all."""
        made = self.path / f"{_STATE}.new"
        with suppress(OSError):  # gone or full
            state = {"chroma": _installed(), "files": self._files()}
            made.write_text(json.dumps(state), encoding="utf-8")
            made.replace(self.path / _STATE)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Server:
    """A collection on a Chroma server: `http[s]://[:TOKEN@]HOST[:PORT][/?tenant=…&database=…]`."""

    def __init__(self, url: str, name: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # From None: the cause would quote the address, token and all.
            raise IndexUnavailable(
                "the Chroma server's address cannot be read", index="chroma", way_out="Write chroma:http://HOST:8000"
            ) from None
        self.name = name
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or "localhost"
        self._port = port or (443 if self._secure else 8000)
        self._token = unquote(parts.password) if parts.password else ""
        asked = parse_qs(parts.query)
        self._where = {key: asked[key][0] for key in ("tenant", "database") if key in asked}
        self.address = f"{parts.scheme.lower()}://{self._host}:{self._port}"
        self._client: Any = None
        self._sessions: list[Any] = []
        self.faulty = False
        self.erased = False  # its files are the server's

    def open(self, metadata: Metadata, anew: bool) -> Any:
        _installed()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        start_it = f"Is it running? chroma run --port {self._port}"
        with chroma_faults(f"be reached at {self.address}", way_out=start_it):
            import httpx

            # Chroma's own client waits for ever, so a server that hangs is found out before.
            httpx.get(f"{self.address}/api/v2/heartbeat", headers=headers, timeout=_KNOCK_S).raise_for_status()
        with chroma_faults(f"open {self.name} at {self.address}"):
            import chromadb
            from chromadb.config import Settings

            settings = Settings(anonymized_telemetry=False)
            self._client = chromadb.HttpClient(self._host, self._port, self._secure, headers, settings, **self._where)
            # Chroma's client, and the one inside it, keep their connections to themselves: they neither bound their
            # time nor close them.
            for client in (self._client, getattr(self._client, "_admin_client", None)):
                session = getattr(getattr(client, "_server", None), "_session", None)
                if session is not None:
                    session.timeout = _CALL_S
                    self._sessions.append(session)
            if anew:
                with suppress(chromadb.errors.NotFoundError):
                    self._client.delete_collection(self.name)
            return _made(self._client, self.name, metadata)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                with chroma_faults("close"):
                    client.close()
            except IndexUnavailable as error:  # it is given up all the same
                log.debug("%s", error)
        while self._sessions:
            self._sessions.pop().close()
