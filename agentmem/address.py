"""Where a model is served, how that is spelled, and what of it may be shown.

Knows addresses, models' names and keys as texts. It opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from agentmem.errors import ConfigError, InvalidInput

__all__ = ["OPENAI", "Address", "address_of", "checked_key", "model_name", "model_spelled", "offline", "without_keys"]

OPENAI: Final = "https://api.openai.com/v1"
_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|key|gsk|hf|Bearer)[-_ ][\w*.+/=-]{6,}")


class Address(NamedTuple):
    """`url` is without credentials, which are in `basic`, ready to be sent as the header Authorization.

    `place` is the server as ids name it: host and port, one word for every spelling of this machine, and a digest of
    a path other than /v1, which may hold a tenant's name or worse.
    """

    url: str
    place: str
    basic: str
    host: str

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine. A name that only the network can tell is not."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return self.host == "localhost"


def address_of(given: str, name: str = "the server's address") -> Address:
    """The address that a text holds; InvalidInput, which calls it `name`, for one that holds none.

    It is not repeated in the message: a key may stand anywhere in it.
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
    return Address(f"{parts.scheme}://{shown}{path}", place, basic, host)


def checked_key(key: str) -> str:
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidInput("the key holds characters that no key has", way_out="Copy it again, without line ends.")
    return key


def offline() -> bool:
    """Whether AGENTMEM_OFFLINE is on: then nothing that is not on this machine is asked. ConfigError for an odd value,
    because whoever wrote "yes" relies on it."""
    value = os.environ.get("AGENTMEM_OFFLINE", "")
    if value not in ("", "on", "off"):
        raise ConfigError(f"AGENTMEM_OFFLINE is {value!r}", way_out="Write on or off.")
    return value == "on"


def model_name(name: object) -> str:
    """The name, if it can be one of a model at a server: up to 200 characters without spaces; else InvalidInput."""
    if not isinstance(name, str) or not re.fullmatch(r"[^\s\x00-\x1f\x7f\ud800-\udfff]{1,200}", name):
        raise InvalidInput(f"{name!r} is no model's name", way_out="Name it as the server does, without spaces.")
    return name


def model_spelled(spelling: str, shape: str) -> tuple[str, str | None]:
    """Model and address from `MODEL[@URL]`; `shape` is how to write it, for the way out.

    A spelling is written to settings and ledgers: a URL with a name or password in it is refused.
    """
    found = re.fullmatch(r"(?P<model>.+?)(?:@(?P<url>https?://.*))?", spelling, re.IGNORECASE | re.DOTALL)
    if found is None:
        raise InvalidInput("no model is named", way_out=f"Write {shape}.")
    model, url = found["model"], found["url"]
    if url and "@" in url:
        raise InvalidInput(
            "a name or password has no place in a spelling",
            way_out="Put the whole address into OPENAI_BASE_URL, or the key into OPENAI_API_KEY.",
        )
    if url is None and re.search(r"[^@]@(?:[^@]*[:/.]|localhost)", model):
        raise InvalidInput(f"{model!r} has an address that does not begin with http://", way_out=f"Write {shape}.")
    return model, url


def without_keys(words: str, key: str = "") -> str:
    """The words with the key, and whatever looks like one, taken out."""
    if key:
        words = words.replace(key, "(key)")
    return _KEY_LIKE.sub("(key)", words)
