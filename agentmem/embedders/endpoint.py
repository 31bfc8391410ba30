"""One OpenAI-compatible server: where it is, which key it is shown, how patiently it is asked, what a refusal means.

Knows HTTP through the official client, and nothing of what is asked. The client's own retries are turned off: they
have no bound on the whole time, cannot be interrupted, ask a server that is not running again and again, and what they
make of a Retry-After of more than a minute differs between releases (asked again at once; or waited for, up to two
minutes). No key and no password stands in a message, a repr or a log: a server's words are quoted only after both were
taken out of them, and its own exceptions are not chained.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from agentmem.embedders.foreign import foreign
from agentmem.errors import EmbeddingError, InvalidInput

if TYPE_CHECKING:
    import openai

__all__ = ["Answer", "Endpoint", "TooLong", "without_keys"]

_OPENAI: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"  # the client insists on one; a server of one's own seldom wants any
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 8.0
_CONNECT_S: Final = 5.0
_REST_S: Final = 15.0  # how long a server that gave no answer in time, or asked for rest, is left alone
_BUSY: Final = frozenset({429, 502, 503, 504, 529})
_QUOTED: Final = 200  # characters of what a server said

# What servers say of an input, or a request, that they hold for too large; they agree on no code.
_TOO_LONG: Final = re.compile(
    r"context (?:length|size|window)|too (?:long|large|many (?:tokens|inputs))|token limit|batch size"
    r"|(?:less|fewer) than \d+ (?:tokens|inputs)|max\w*[ _](?:input|batch|token|sequence|model)"
    r"|exceed\w* .{0,40}(?:length|tokens)|(?:length|tokens) .{0,40}exceed",
    re.IGNORECASE,
)
_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|key|gsk|hf|Bearer)[-_ ][\w*.+/=-]{6,}")


class TooLong(EmbeddingError):
    """The server takes no input, or no request, of this length."""


class Answer(Protocol):
    """What a call hands back: the client's raw response."""

    @property
    def content(self) -> bytes: ...


class _Refusal(NamedTuple):
    error: EmbeddingError
    again: bool = False  # whether it may be well when asked again
    rest: bool = False  # whether it should be left alone for a while
    wait: float | None = None  # seconds, as the server wants it


class Endpoint:
    """Safe to use from several threads. Making one reads two environment variables and reaches no network.

    `base_url` None is OPENAI_BASE_URL or OpenAI's own; `api_key` None is OPENAI_API_KEY. A name and password in the
    URL are sent as basic authorization, in place of the key. `timeout` is the seconds a server may be silent; of an
    answer that comes in pieces, between two of them. A failure that may pass is asked again up to `retries` times.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 30.0, retries: int = 4
    ) -> None:
        if base_url is not None:
            located = _located(base_url, "the server's address")
        else:
            located = _located(os.environ.get("OPENAI_BASE_URL", "").strip() or _OPENAI, "OPENAI_BASE_URL")
        self.address, self.place, self._basic = located
        self._key = _checked_key((api_key or os.environ.get("OPENAI_API_KEY", "")).strip())
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise InvalidInput(f"the timeout must be a number of seconds above 0, not {timeout!r}")
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 100:
            raise InvalidInput(f"the retries must be a number from 0 to 100, not {retries!r}")
        self._timeout = timeout
        self._connect_s = min(timeout, _CONNECT_S)
        self._retries = retries
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._rest: tuple[float, EmbeddingError] | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.place!r})"

    def close(self) -> None:
        """Close the connections and end the waits between retries; the next question opens them again."""
        with self._lock:
            client, self._client = self._client, None
            self._closing.set()
        if client is not None:
            client.close()

    def ask(self, call: Callable[[openai.OpenAI], Answer], *, what: str, patience: float) -> Any:
        """The JSON that the server answers the call with. EmbeddingError, with the way out, when it gives none.

        `what` names the matter in messages. No retry begins later than `patience` seconds after the first; one that
        the server wants later still is not waited for.
        """
        with foreign(f"ask {self.place} for {what}"):
            until, error = self._rest or (0.0, None)
            if error is not None and (left := until - time.monotonic()) > 0:
                raise EmbeddingError(f"{error}; it is left alone for {left:.0f} s", way_out=error.way_out)
            client, closing = self._connected()
            begun = time.monotonic()
            for attempt in range(self._retries + 1):
                answer = self._tried(client, call, what)
                if not isinstance(answer, _Refusal):
                    self._rest = None
                    return answer
                wait = answer.wait
                if wait is None:
                    wait = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * random.uniform(0.5, 1)
                late = time.monotonic() - begun + wait > patience
                if not answer.again or late or attempt == self._retries or closing.wait(wait):
                    break
            if answer.rest:
                self._rest = time.monotonic() + max(answer.wait or 0, _REST_S), answer.error
            raise answer.error

    def _connected(self) -> tuple[openai.OpenAI, threading.Event]:
        with self._lock:
            if self._client is None:
                import openai

                if self.address == _OPENAI and not self._key:
                    raise EmbeddingError(
                        f"there is no key for {self.place}",
                        way_out="Set OPENAI_API_KEY, or give the address of a server that needs none.",
                    )
                self._closing = threading.Event()
                self._client = openai.OpenAI(
                    base_url=self.address,
                    api_key=self._key or _NO_KEY,
                    timeout=openai.Timeout(self._timeout, connect=self._connect_s),
                    max_retries=0,
                    default_headers={"Authorization": self._basic} if self._basic else None,
                )
            return self._client, self._closing

    def _tried(self, client: openai.OpenAI, call: Callable[[openai.OpenAI], Answer], what: str) -> Any:
        """The answer's JSON, or the refusal. Refusals are not raised here: they would chain what must not be shown."""
        import openai

        try:
            content = call(client).content
        except openai.APIStatusError as error:
            said = self._quoted(error.body)
            return self._refused(error.status_code, said, error.code, _wanted_wait(error.response.headers), what)
        except openai.APITimeoutError as error:
            if "Connect" in type(error.__cause__).__name__:
                told = f"{self.place} cannot be reached within {self._connect_s:g} s"
                way_out = f"Look whether {self.address} is right, and can be reached from here."
            else:
                told = f"{self.place} did not answer within {self._timeout:g} s"
                way_out = "Look whether it is overloaded or still loading the model, or give it a longer timeout."
            return _Refusal(EmbeddingError(told, way_out=way_out), again=True, rest=True)
        except openai.APIConnectionError as error:
            return self._unreached(error)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return _Refusal(
                EmbeddingError(
                    f"{self.place} answered with something that is no JSON",
                    way_out=f"Look whether {self.address} is the address of an OpenAI-compatible API; "
                    "most of them end in /v1.",
                )
            )

    def _refused(self, status: int, said: str, code: str | None, wait: float | None, what: str) -> _Refusal:
        quoted = f": {said}" if said else ""
        if status == 401:  # the server's own words often hold half of the key
            if self._key or self._basic:
                text, way_out = "does not accept the key", "Look at OPENAI_API_KEY, or pass another api_key."
            else:
                text, way_out = "wants a key", "Set OPENAI_API_KEY, or pass api_key."
            return _Refusal(EmbeddingError(f"{self.place} {text}", way_out=way_out))
        if status == 403:
            way_out = "Ask whoever gave you the key for access, or name another model."
            return _Refusal(EmbeddingError(f"the key may not use {what} at {self.place}{quoted}", way_out=way_out))
        if status == 404:
            text = f"{self.place} has no {what}{quoted}"
            way_out = (
                "Check the model's name; a server of your own may have to fetch it first. "
                f"And look whether {self.address} is right: most addresses end in /v1."
            )
            return _Refusal(EmbeddingError(text, way_out=way_out))
        if code == "insufficient_quota":
            text, way_out = f"the quota at {self.place} is used up", "Look at the account's plan and billing."
            return _Refusal(EmbeddingError(text, way_out=way_out))
        # A rate limit has such words too, unless the request is larger than what is allowed in a whole minute.
        if status == 413 or (_TOO_LONG.search(said) and (status != 429 or "too large" in said)):
            return _Refusal(TooLong(f"{self.place} takes no input of this length{quoted}", way_out="Shorten it."))
        if status == 429:
            later = f" for {wait:.0f} s" if wait else ""
            error = EmbeddingError(f"{self.place} wants to be asked less often{quoted}", way_out=f"Wait{later}.")
        elif status in (408, 409) or status >= 500:
            error = EmbeddingError(f"{self.place} failed with {status}{quoted}", way_out="Look at the server's log.")
        else:
            way_out = "Look whether the server serves embeddings by this model."
            return _Refusal(
                EmbeddingError(f"{self.place} refused a request to {what} with {status}{quoted}", way_out=way_out)
            )
        return _Refusal(error, again=True, rest=status in _BUSY, wait=wait)

    def _unreached(self, error: BaseException) -> _Refusal:
        while (deeper := error.__cause__ or error.__context__) is not None:
            error = deeper
        if isinstance(error, ConnectionRefusedError):  # asking again in a second starts no server
            return _Refusal(
                EmbeddingError(
                    f"nothing answers at {self.place}", way_out=f"Start the server at {self.address}, or look there."
                )
            )
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the connection was dropped"
        way_out = f"Look whether {self.address} can be reached from here."
        return _Refusal(EmbeddingError(f"{self.place} cannot be reached: {why}", way_out=way_out), again=True)

    def _quoted(self, body: object) -> str:
        """One line of what the server said of its refusal; "" when it said nothing for people."""
        if isinstance(body, Mapping):
            body = next((body[key] for key in ("message", "error", "detail") if body.get(key)), "")
        words = " ".join(body.split()) if isinstance(body, str) else ""
        return "" if words.startswith("<") else without_keys(words, self._key)[:_QUOTED].rstrip(". ")


def without_keys(words: str, key: str = "") -> str:
    """The words with the key, and whatever looks like one, taken out."""
    if key:
        words = words.replace(key, "(key)")
    return _KEY_LIKE.sub("(key)", words)


def _located(given: str, name: str) -> tuple[str, str, str]:
    """An address as (the same without credentials, its place for ids, basic authorization).

    The place is host and port, one word for every spelling of this machine, and a digest of a path other than /v1,
    which may hold a tenant's name or worse.
    """
    try:
        given = given.strip()
        parts = urlsplit(given)
        host, port = (parts.hostname or "").lower(), parts.port
    except (ValueError, AttributeError):  # half a bracket, a port that is no number; no text
        given, parts, host, port = "", urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[^\s\x00-\x1f\x7f?#]+", given):
        raise InvalidInput(
            f"{name} is no address of a server", way_out="Write it as http://127.0.0.1:11434/v1, without a query."
        )
    path = parts.path.rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    place = "localhost" if host in ("127.0.0.1", "::1") else shown
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
        place, shown = f"{place}:{port}", f"{shown}:{port}"
    if path != "/v1":
        place += "/" + hashlib.blake2b(path.encode(), digest_size=4).hexdigest()
    basic = ""
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
    return f"{parts.scheme}://{shown}{path}", place, basic


def place_of(url: str) -> str:
    """The server that a URL names, as ids name it: without credentials. InvalidInput for what is no URL of one."""
    return _located(url, "the server's address")[1]


def _checked_key(key: str) -> str:
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidInput("the key holds characters that no key has", way_out="Copy it again, without line ends.")
    return key


def _wanted_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server wants us to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < math.inf:
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
