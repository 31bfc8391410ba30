"""The border to other libraries: whatever they raise becomes one of our errors, and while they load they are quiet.

tokenizers raises the class Exception itself, safetensors and ONNX Runtime direct children of it, and torch whatever it
likes: no list of types is a safe net under them. Knows no library by name but transformers, for its progress bar.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType

from agentmem.errors import AgentMemError, EmbeddingError

__all__ = ["bars_hidden", "foreign", "installed", "warnings_hidden"]


def installed(*packages: str) -> bool:
    """Whether all of these could be imported; imports none of them."""
    try:
        return all(find_spec(package) is not None for package in packages)
    except (ImportError, ValueError):  # a finder that refuses; a module without a spec
        return False


class foreign:
    """Inside it, a library's error becomes `error("could not <doing>: ...")`. Ours pass as they are."""

    def __init__(self, doing: str, *, way_out: str = "", error: type[AgentMemError] = EmbeddingError) -> None:
        self._doing = doing
        self._way_out = way_out
        self._error = error

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, AgentMemError | MemoryError):
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise self._error(f"could not {self._doing}: {first}", way_out=self._way_out) from error


@contextmanager
def warnings_hidden() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def bars_hidden() -> Iterator[None]:
    """transformers without its progress bar and load report; both as they were afterwards."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
