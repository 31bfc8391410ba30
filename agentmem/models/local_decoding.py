"""Tokens from a network, one at a time, and text from tokens.

`Decoder` keeps what it computed, so that a prompt which begins like the last one costs only its end. `Unfolding` makes
whole characters of tokens, and holds back what may be the beginning of a stop string. `Turns` says whose turn a model
has. None of them knows messages.
"""

from __future__ import annotations

import gc
import inspect
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from agentmem.errors import ModelError

__all__ = ["Decoder", "Step", "Turns", "Unfolding", "chooser", "overlap"]

_STRIDE: Final = 512  # tokens of a prompt that are computed in one go: between two, an answer can be cancelled
_IDLE_S: Final = 1.0
_COLDEST: Final = 1e-6  # a temperature below is 0: float32 could not divide by it


class Step(NamedTuple):
    """`scores`: float32[vocabulary], of what follows the tokens; None while part of them is still to be computed."""

    scores: Any
    computed: int  # tokens
    reused: int  # tokens before them, whose keys and values were there already


class Decoder:
    """One sequence at a time. Keys and values of the last one stay, in the network's memory, until another differs."""

    def __init__(self, network: Any) -> None:
        self._network = network
        takes = inspect.signature(network.forward).parameters
        self._caches = "cache" in takes  # a few old architectures have none
        self._narrow = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._seen: list[int] = []
        self._cache: Any = None
        ends = network.generation_config.eos_token_id
        self.ends: frozenset[int] = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
        self.device = network.device

    def step(self, tokens: list[int]) -> Step:
        """Compute what is new in `tokens`, or a part of it: to be called again with the same until there are scores."""
        import torch

        cache, kept = self._fitting(tokens)
        in_parts = cache is not None and cache.is_croppable
        end = min(len(tokens), kept + _STRIDE) if in_parts else len(tokens)
        given = {"cache": cache, "use_cache": True} if self._caches else {}
        with torch.inference_mode():
            ids = torch.tensor([tokens[kept:end]], device=self.device)
            scores = self._network(input_ids=ids, **given, **self._narrow).logits[0, -1].to(torch.float32, copy=True)
        if self._caches:
            self._seen, self._cache = tokens[:end], cache
        return Step(scores if end == len(tokens) else None, end - kept, kept)

    def close(self) -> None:
        """Give the memory of the network back to the device. It is of no use afterwards."""
        import torch

        self._network = self._cache = None
        gc.collect()
        if self.device.type != "cpu":  # whose allocator keeps what it was given
            getattr(torch, self.device.type).empty_cache()

    def _kept(self, tokens: list[int]) -> int:
        """How many of the first tokens need not be computed. The last one always is: its scores are asked for."""
        seen, most = self._seen, min(len(self._seen), len(tokens) - 1)
        if seen[:most] == tokens[:most]:
            return most
        return next(place for place in range(most) if seen[place] != tokens[place])

    def _fitting(self, tokens: list[int]) -> tuple[Any, int]:
        """The cache, cut to what fits the tokens, and how many of them it holds. It is kept by a pass that succeeds."""
        from transformers import DynamicCache

        cache, kept, seen = self._cache, self._kept(tokens), len(self._seen)
        self._seen, self._cache = [], None
        if not self._caches:
            return None, 0
        if kept and ((kept == seen and len(tokens) == kept + 1) or _cut(cache, seen - kept)):
            return cache, kept
        return DynamicCache(config=self._network.config), 0


def _cut(cache: Any, size: int) -> bool:
    """Take the last tokens off; False when that cannot be done, or several new ones cannot come in their place.

    A recurrent state knows no way back. It goes on by one token: behind several, what transformers 5.24 makes of
    Mamba's is wrong.
    """
    if not cache.is_croppable:
        return False
    try:
        if size:
            cache.crop(-size)
    except RuntimeError:  # a sliding window, which has forgotten what came before
        return False
    return True


def chooser(temperature: float, top_p: float, seed: int | None, device: Any) -> Callable[[Any], int]:
    """Picks a token by its scores: the best one at temperature 0, else by chance, the same chance for the same seed."""
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    warped = LogitsProcessorList()
    if temperature >= _COLDEST:
        warped += [TemperatureLogitsWarper(float(temperature)), TopPLogitsWarper(top_p)]
    chance = torch.Generator(device)
    if seed is None:
        chance.seed()
    else:
        chance.manual_seed(seed)

    def choose(scores: Any) -> int:
        best = scores.max()
        if not math.isfinite(float(best)):
            raise ModelError(
                "the model's scores are not numbers", way_out="Its weights may be broken; if not, try dtype='float32'."
            )
        if not warped:
            return int(scores.argmax())
        # From 0 downwards: then nothing overflows, however cold it is.
        return int(torch.multinomial(warped(None, (scores - best)[None]).softmax(-1), 1, generator=chance))

    return choose


class Turns:
    """Who may use a model: one at a time, until it gives its turn back.

    One that rests, because its reader does not read on, keeps its turn for a second: then whoever waits takes it over.
    So a stream that is left half-read, or asks its own model, blocks nobody for ever. It goes on after taking the turn
    again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._whose: object = None
        self._resting_since: float | None = None

    def take(self, who: object) -> None:
        with self._changed:
            while self._whose not in (None, who):
                rested = 0.0 if self._resting_since is None else time.monotonic() - self._resting_since
                if rested >= _IDLE_S:
                    break
                self._changed.wait(_IDLE_S - rested)
            self._whose, self._resting_since = who, None

    def rest(self, who: object) -> None:
        with self._changed:
            if self._whose is who:
                self._resting_since = time.monotonic()

    def give(self, who: object) -> None:
        """Does nothing when it is another's turn."""
        with self._changed:
            if self._whose is who:
                self._whose = None
                self._changed.notify()


def overlap(text: str, *wanted: str) -> int:
    """How many characters at the text's end may be the beginning of one of these, which is not there whole."""
    return max(
        (size for one in wanted for size in range(1, min(len(one) - 1, len(text)) + 1) if text.endswith(one[:size])),
        default=0,
    )


class Unfolding:
    """The text of an answer as its tokens come: never half a character, never any of a stop string.

    All that it gave, joined, is what the tokenizer makes of all tokens at once, cut before the stop string that is
    complete first. `stopped` says whether there was one.
    """

    def __init__(self, text_of: Callable[[list[int]], str], stops: Sequence[str]) -> None:
        self._text_of = text_of
        self._stops = stops
        self._tokens: list[int] = []
        self._begin = self._told = 0  # tokens: where the piece before the untold ones begins, and where it ends
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        self._tokens.append(token)
        return self._released(self._fresh(last=False), last=False)

    def rest(self) -> str:
        """What was held back, when no more tokens come."""
        return "" if self.stopped else self._released(self._fresh(last=True), last=True)

    def _fresh(self, *, last: bool) -> str:
        # A token may be a part of a character, and a tokenizer may drop the space before a text's first word: so the
        # piece before is decoded with the new tokens, and taken off again.
        before = self._text_of(self._tokens[self._begin : self._told])
        text = self._text_of(self._tokens[self._begin :])
        if len(text) <= len(before) or (text.endswith("\N{REPLACEMENT CHARACTER}") and not last):
            return ""
        self._begin, self._told = self._told, len(self._tokens)
        return text[len(before) :]

    def _released(self, fresh: str, *, last: bool) -> str:
        text = self._held + fresh
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        told = len(text) - (0 if last else overlap(text, *self._stops))
        self._held = text[told:]
        return text[:told]
