"""A real HTTP server on 127.0.0.1 that speaks OpenAI's `/v1/embeddings`, and misbehaves on request.

It stands in for every server that is not ours. Its vectors are digests of the words, so that equal texts are near; it
never sleeps: a reply that hangs waits until the server is stopped, or its client has gone. `chat_server` adds chat.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Asked", "Loopback", "Reply", "refusal", "vectors_of"]


def vectors_of(texts: list[str], dimension: int) -> NDArray[np.float32]:
    """float32[len(texts), dimension]: for each word of a text, one number goes up."""
    matrix = np.zeros((len(texts), dimension), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            matrix[row, hashlib.blake2b(word.encode(), digest_size=2).digest()[0] % dimension] += 1
    return matrix


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: when (monotonic seconds), where to, and what with."""

    at: float
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def texts(self) -> list[str]:
        return list(self.body["input"])


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer instead of what is right. `how`: whole, cut off in the middle, dropped unanswered, or never.

    A body that is an iterator is streamed, piece by piece; at an event in it, as at `after` before the first byte, the
    server waits until the test sets it.
    """

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["whole", "half", "dropped", "hanging"] = "whole"
    after: threading.Event | None = None


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form; headers are written with underscores."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, owner: Loopback) -> None:
        self.owner = owner
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away while it was answered is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # connections are kept, as real servers keep them
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `Loopback.asked` instead."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(monotonic(), self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        reply = self.server.owner.answer(asked)
        event = threading.Event() if reply.how == "hanging" else reply.after
        if reply.how == "dropped" or (event is not None and not self._waited(event)):
            self.close_connection = True
            return
        streams = isinstance(reply.body, Iterator)
        headers = {"Content-Type": "text/event-stream" if streams else "application/json", **reply.headers}
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if streams:
            self._stream(reply)
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if reply.how == "half" else data)
        self.close_connection = self.close_connection or reply.how == "half"

    def _stream(self, reply: Reply) -> None:
        assert isinstance(reply.body, Iterator)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in reply.body:
            if isinstance(piece, threading.Event):
                if not self._waited(piece):
                    self.close_connection = True
                    return
                continue
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if reply.how == "half":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _waited(self, event: threading.Event) -> bool:
        """Whether the event came before the server was stopped, and before the client closed the connection."""
        while not event.wait(0.005):
            if self.server.owner.stopped.is_set():
                return False
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.owner.left.set()
                return False
        return True


class Loopback:
    """The server and what it does: `script` is taken from the front, one reply a request; then it answers rightly.

    `key` is what it wants to see, "" for anybody. `longest` (characters) and `most` (texts) refuse a request as
    OpenAI and text-embeddings-inference do. `base64=False` sends numbers, whatever is asked. `shortens=False` ignores
    `dimensions`. `prompt_tokens` is what it says that texts took, None for nothing, and `charged` the sum of it. `left`
    is set when a client went away while it was waited for. May be stopped, and started again on the same port.
    """

    def __init__(self, *, dimension: int = 8, model: str = "any") -> None:
        self.dimension = dimension
        self.model = model
        self.key = ""
        self.longest = 1 << 30
        self.most = 2048
        self.base64 = True
        self.shortens = True
        self.prompt_tokens: Callable[[list[str]], object] = lambda texts: None
        self.charged = 0
        self.script: deque[Reply] = deque()
        self.asked: list[Asked] = []
        self.stopped = threading.Event()
        self.left = threading.Event()
        self._paths: dict[str, Callable[[Asked], Reply]] = {"/v1/embeddings": self._embeddings}
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.stopped.clear()
        self._server = _Server(self._port, self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nothing listens any more, and connections that were kept are cut."""
        server, self._server = self._server, None
        if server is None:
            return
        self.stopped.set()
        server.shutdown()
        with server.lock:
            for connection in server.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # its client was faster
                    continue
        server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if self.script:
                return self.script.popleft()
        path = self._paths.get(asked.path)
        if path is None:
            return Reply(404, b"404 page not found")
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            shown = asked.headers.get("authorization", "").removeprefix("Bearer ")
            return refusal(401, f"Incorrect API key provided: {shown}. You can find yours in the console.")
        if self.model not in ("any", asked.body["model"]):
            return refusal(404, f"model {asked.body['model']!r} not found, try pulling it first")
        return path(asked)

    def _embeddings(self, asked: Asked) -> Reply:
        texts = asked.texts
        if "" in texts:
            return refusal(400, "'$.input' is invalid. Please check the API reference.")
        if len(texts) > self.most:
            return Reply(422, {"error": f"batch size {len(texts)} > maximum allowed batch size {self.most}"})
        if any(len(text) > self.longest for text in texts):
            return refusal(400, f"This model's maximum context length is {self.longest} tokens. Please reduce it.")
        dimension = asked.body.get("dimensions", self.dimension) if self.shortens else self.dimension
        rows = vectors_of(texts, dimension)
        as_text = self.base64 and asked.body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if as_text else row.tolist(),
            }
            for index, row in enumerate(rows)
        ]
        data.reverse()  # the order is said by the index alone
        told = self.prompt_tokens(texts)
        with self._lock:
            self.charged += told if isinstance(told, int) else 0
        usage = {} if told is None else {"prompt_tokens": told, "total_tokens": told}
        return Reply(body={"object": "list", "model": asked.body["model"], "data": data, "usage": usage})
