"""One OpenAI-compatible server: where it is, which key it is shown, how patiently it is asked, what a refusal means.

Knows HTTP through the official client, and nothing of what is asked. The client's own retries are turned off: they
have no bound on the whole time, cannot be interrupted, ask a server that is not running again and again, and what they
make of a Retry-After of more than a minute differs between releases (asked again at once; or waited for, up to two
minutes). No key and no password stands in a message, a repr or a log: a server's words are quoted only after both were
taken out of them, and its own exceptions are not chained.

What is sent to this machine does not leave it: there, no proxy is used and no redirection followed. While the variable
AGENTMEM_OFFLINE is "on", no other machine is asked.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

from agentmem.address import OPENAI, address_of, checked_key, offline, without_keys
from agentmem.errors import AgentMemError, EmbeddingError, InvalidInput, ModelError
from agentmem.foreign import foreign

if TYPE_CHECKING:
    import openai

__all__ = ["Answer", "Endpoint", "TooLong"]

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


class TooLong(EmbeddingError):
    """The server takes no input, or no request, of this length."""


class Answer(Protocol):
    """What a call hands back: the client's raw response."""

    @property
    def content(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class _Refusal(NamedTuple):
    error: AgentMemError
    again: bool = False  # whether it may be well when asked again
    rest: bool = False  # whether it should be left alone for a while
    wait: float | None = None  # seconds, as the server wants it


class _Trial:
    """A block around one call that ends quietly whatever the client raises; `refusal` is then what that means.

    Whoever asked raises it after the block. Raised inside, it would chain the client's exception, and with it what
    must not be shown. Our own errors pass.
    """

    def __init__(self, endpoint: Endpoint, what: str) -> None:
        self._endpoint = endpoint
        self._what = what
        self.refusal: _Refusal | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or isinstance(error, AgentMemError | MemoryError):
            return False
        self.refusal = self._endpoint.refusal_of(error, self._what)
        return True


class Endpoint:
    """Safe to use from several threads. Making one reads two environment variables and reaches no network.

    `base_url` None is OPENAI_BASE_URL or OpenAI's own; `api_key` None is OPENAI_API_KEY. A name and password in the
    URL are sent as basic authorization, in place of the key. `timeout` is the seconds a server may be silent; of an
    answer that comes in pieces, between two of them. `ask` asks again up to `retries` times after a failure that may
    pass; `ask_once`, `stream` and `astream` never do. `error` is what they raise: a ModelError says for itself
    whether it is `passing`, and how long the server wants to be left alone.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        error: type[EmbeddingError | ModelError] = EmbeddingError,
    ) -> None:
        if base_url is not None:
            where = address_of(base_url)
        else:
            where = address_of(os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI, "OPENAI_BASE_URL")
        self.address, self.place, self._basic, self.host = where
        self.is_local = where.is_local
        self._key = checked_key((api_key or os.environ.get("OPENAI_API_KEY", "")).strip())
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise InvalidInput(f"the timeout must be a number of seconds above 0, not {timeout!r}")
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 100:
            raise InvalidInput(f"the retries must be a number from 0 to 100, not {retries!r}")
        self._timeout = timeout
        self._connect_s = min(timeout, _CONNECT_S)
        self._retries = retries
        self._error = error
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._rest: tuple[float, AgentMemError] | None = None

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
        """The JSON that the server answers the call with. An error, with the way out, when it gives none.

        `what` names the matter in messages. No retry begins later than `patience` seconds after the first; one that
        the server wants later still is not waited for.
        """
        with foreign(f"ask {self.place} for {what}", error=self._error):
            until, error = self._rest or (0.0, None)
            if error is not None and (left := until - time.monotonic()) > 0:
                raise self._error(f"{error}; it is left alone for {left:.0f} s", way_out=error.way_out)
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

    def ask_once(self, call: Callable[[openai.OpenAI], Answer], *, what: str) -> Mapping[str, Any]:
        """The JSON object that the server answers the call with, asked for once."""
        client, _ = self._connected()
        with self._trying(what) as trial:
            answer = call(client)
            if "html" in answer.headers.get("content-type", ""):
                raise self._elsewhere().error
            return self._sound(json.loads(answer.content), what)
        raise _of(trial)

    def stream(self, path: str, body: Mapping[str, Any], *, what: str) -> Generator[Mapping[str, Any], None, None]:
        """The JSON objects that the server streams in answer to `body`; the whole answer, if it sends it at once.

        What came before a failure was given out when it came. Closing the iterator closes the connection.
        """
        client, _ = self._connected()
        with self._trying(what) as trial:
            import openai

            with client.post(path, cast_to=object, body=body, stream=True, stream_cls=openai.Stream[object]) as events:
                if _streams(events.response.headers):
                    for event in events:
                        yield self._sound(event, what)
                else:
                    yield self._sound(json.loads(events.response.read()), what)
            return
        raise _of(trial)

    async def astream(
        self, path: str, body: Mapping[str, Any], *, what: str
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """As `stream`, for a task: cancelling it closes the connection at once, also while the server is silent.

        Connections belong to an event loop, and whose loop ends next is not known: each stream has its own.
        """
        with self._trying(what) as trial:
            import openai

            async with (
                openai.AsyncOpenAI(
                    **self._manner(), http_client=self._direct(openai.DefaultAsyncHttpxClient)
                ) as client,
                await client.post(
                    path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
                ) as events,
            ):
                if _streams(events.response.headers):
                    async for event in events:
                        yield self._sound(event, what)
                else:
                    yield self._sound(json.loads(await events.response.aread()), what)
            return
        raise _of(trial)

    def _connected(self) -> tuple[openai.OpenAI, threading.Event]:
        manner = self._manner()
        with self._lock:
            if self._client is None:
                import openai

                transport = self._direct(openai.DefaultHttpxClient)
                self._closing = threading.Event()
                self._client = openai.OpenAI(**manner, http_client=transport)
                if transport is not None:  # the client closes only its own when it is dropped
                    weakref.finalize(self._client, transport.close)
            return self._client, self._closing

    def _manner(self) -> dict[str, Any]:
        """What a client is made with. An error, before any connection is opened, if this server may not be asked."""
        import openai

        if not self.is_local and offline():
            raise self._error(
                f"{self.place} is not on this machine, and AGENTMEM_OFFLINE is on",
                way_out="Name a server on this machine, or turn AGENTMEM_OFFLINE off.",
            )
        if self.address == OPENAI and not self._key:
            raise self._error(
                f"there is no key for {self.place}",
                way_out="Set OPENAI_API_KEY, or give the address of a server that needs none.",
            )
        return {
            "base_url": self.address,
            "api_key": self._key or _NO_KEY,
            "timeout": openai.Timeout(self._timeout, connect=self._connect_s),
            "max_retries": 0,
            "default_headers": {"Authorization": self._basic} if self._basic else None,
        }

    def _direct(self, kind: type[Any]) -> Any:
        """A transport that uses no proxy and follows nobody elsewhere, for this machine; None is the client's own."""
        if not self.is_local:
            return None
        return kind(trust_env=False, follow_redirects=False, verify=self.address.startswith("https"))

    def _trying(self, what: str) -> _Trial:
        return _Trial(self, what)

    def _tried(self, client: openai.OpenAI, call: Callable[[openai.OpenAI], Answer], what: str) -> Any:
        """The answer's JSON, or the refusal."""
        with self._trying(what) as trial:
            content = call(client).content
        if trial.refusal is not None:
            return trial.refusal
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return self._elsewhere()

    def _sound(self, answer: Any, what: str) -> Mapping[str, Any]:
        """The answer, if it is an object that speaks of no error: some servers and routers say OK before they fail."""
        if not isinstance(answer, Mapping):
            raise self._garbled().error
        if (failed := answer.get("error")) is not None:
            raise self._failed(failed, what).error
        return answer

    def refusal_of(self, error: Exception, what: str) -> _Refusal:
        """What an exception of the client, or of reading its answer, means."""
        import openai

        kinds = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, openai.APIStatusError):
            wait = wanted_wait(error.response.headers)
            return self._refused(error.status_code, self._quoted(error.body), error.code, wait, what)
        # A stream's own exceptions are passed on as they are by some releases of the client.
        if isinstance(error, openai.APITimeoutError) or "TimeoutException" in kinds:
            if "Connect" in type(error.__cause__).__name__:
                told = f"{self.place} cannot be reached within {self._connect_s:g} s"
                way_out = f"Look whether {self.address} is right, and can be reached from here."
            else:
                told = f"{self.place} did not answer within {self._timeout:g} s"
                way_out = "Look whether it is overloaded or still loading the model, or give it a longer timeout."
            return self._refusal(told, way_out, again=True, rest=True)
        if isinstance(error, openai.APIConnectionError) or "TransportError" in kinds:
            return self._unreached(error)
        if isinstance(error, openai.APIError):  # said in the middle of a stream
            return self._failed(error.body, what)
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
            return self._garbled()
        first = without_keys(str(error).strip().partition("\n")[0] or type(error).__name__, self._key)
        return self._refusal(f"could not ask {self.place} for {what}: {first}", "Look at what it is asked for.")

    def _refusal(
        self,
        message: str,
        way_out: str,
        *,
        again: bool = False,
        rest: bool = False,
        wait: float | None = None,
        too_long: bool = False,
    ) -> _Refusal:
        if issubclass(self._error, ModelError):
            return _Refusal(self._error(message, way_out=way_out, passing=again, wait=wait), again, rest, wait)
        kind = TooLong if too_long else self._error
        return _Refusal(kind(message, way_out=way_out), again, rest, wait)

    def _elsewhere(self) -> _Refusal:
        return self._refusal(
            f"{self.place} answered with something that is no JSON",
            f"Look whether {self.address} is the address of an OpenAI-compatible API; most of them end in /v1.",
        )

    def _garbled(self) -> _Refusal:
        return self._refusal(
            f"{self.place} gave an answer that cannot be read", "Look at the server's log.", again=True
        )

    def _failed(self, body: object, what: str) -> _Refusal:
        """An error that comes with status 200: its code is a status, a word or nothing."""
        code = body.get("code") if isinstance(body, Mapping) else None
        status = int(str(code)) if re.fullmatch("[45][0-9][0-9]", str(code)) else 500
        return self._refused(status, self._quoted(body), code if isinstance(code, str) else None, None, what)

    def _refused(self, status: int, said: str, code: str | None, wait: float | None, what: str) -> _Refusal:
        quoted = f": {said}" if said else ""
        if status == 401:  # the server's own words often hold half of the key
            if self._key or self._basic:
                text, way_out = "does not accept the key", "Look at OPENAI_API_KEY, or pass another api_key."
            else:
                text, way_out = "wants a key", "Set OPENAI_API_KEY, or pass api_key."
            return self._refusal(f"{self.place} {text}", way_out)
        if status == 403:
            way_out = "Ask whoever gave you the key for access, or name another model."
            return self._refusal(f"the key may not use {what} at {self.place}{quoted}", way_out)
        if status == 404:
            text = f"{self.place} has no {what}{quoted}"
            way_out = (
                "Check the model's name; a server of your own may have to fetch it first. "
                f"And look whether {self.address} is right: most addresses end in /v1."
            )
            return self._refusal(text, way_out)
        if code == "insufficient_quota":
            return self._refusal(f"the quota at {self.place} is used up", "Look at the account's plan and billing.")
        # A rate limit has such words too, unless the request is larger than what is allowed in a whole minute.
        if status == 413 or (_TOO_LONG.search(said) and (status != 429 or "too large" in said)):
            return self._refusal(f"{self.place} takes no input of this length{quoted}", "Shorten it.", too_long=True)
        if status == 429:
            later = f" for {wait:.0f} s" if wait else ""
            text, way_out = f"{self.place} wants to be asked less often{quoted}", f"Wait{later}."
        elif status in (408, 409) or status >= 500:
            text, way_out = f"{self.place} failed with {status}{quoted}", "Look at the server's log."
        else:
            way_out = "Look whether the server serves this model, and for this."
            return self._refusal(f"{self.place} refused a request to {what} with {status}{quoted}", way_out)
        return self._refusal(text, way_out, again=True, rest=status in _BUSY, wait=wait)

    def _unreached(self, error: BaseException) -> _Refusal:
        while (deeper := error.__cause__ or error.__context__) is not None:
            error = deeper
        if isinstance(error, ConnectionRefusedError):  # asking again in a second starts no server
            return self._refusal(
                f"nothing answers at {self.place}", f"Start the server at {self.address}, or look there."
            )
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the connection was dropped"
        way_out = f"Look whether {self.address} can be reached from here."
        return self._refusal(f"{self.place} cannot be reached: {why}", way_out, again=True)

    def _quoted(self, body: object) -> str:
        """One line of what the server said of its refusal; "" when it said nothing for people."""
        if isinstance(body, Mapping):
            body = next((body[key] for key in ("message", "error", "detail") if body.get(key)), "")
        words = " ".join(body.split()) if isinstance(body, str) else ""
        return "" if words.startswith("<") else without_keys(words, self._key)[:_QUOTED].rstrip(". ")


def _of(trial: _Trial) -> AgentMemError:
    """The error of a trial that did not return."""
    assert trial.refusal is not None
    return trial.refusal.error


def _streams(headers: Mapping[str, str]) -> bool:
    return "application/json" not in headers.get("content-type", "")


def wanted_wait(headers: Mapping[str, str]) -> float | None:
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
