"""The learned gate: which stores a question should be put to, after the router of MoM (Du et al. 2025,
arXiv 2502.13685), at the level of texts.

MoM routes a token to a few of several memories by a softmax, and one shared memory is always read. Here a question is
routed to a few stores, and the recall engine is the shared one. Rules give the prior; feedback moves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.recall.corpus import Corpus
from agentmem.recall.reading import read
from agentmem.recall.text import WORD

__all__ = ["SURE", "TRAITS", "Choice", "Gate", "traits"]

SURE: Final = 2.0  # the logit of a rule that says yes; a rule that says no has its negative
WORTH: Final = 20  # lessons about such questions that count for as much as the rule
MISSED: Final = 3.0  # what a store that was not asked and would have helped costs, in stores asked for nothing
TOP: Final = 3  # stores asked at most, beside the engine
RATE: Final = 0.5  # of a step, by the root of what the squares of its steps sum to (Adagrad)
BALANCE: Final = 0.01  # of the load-balance term, as in MoM's configuration
MOST: Final = 8.0  # of a weight's size: a thousand notes of one kind must not make the gate deaf to the next
_FEW_WORDS: Final = 6
_TINY: Final = 1e-12
_RECENT: Final = 100  # notes over which the load is a mean
_NOTHING: Final = Corpus()

_TIMED = re.compile(
    r"\b(?:when|today|yesterday|tomorrow|last|next|ago|before|after|since|until|during|(?:19|20)\d\d|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october|"
    r"november|december|week|month|year)\b",
    re.I,
)
_FOLLOWING = re.compile(r"\b(?:after|afterwards|next|then|followed|following|right before|came before)\b", re.I)
_HERE = re.compile(r"\b(?:at|in|on|near|inside|around) (?:the )?\w+", re.I)
_NOW = re.compile(r"\b(?:now|currently|still|these days|any ?more|at present)\b", re.I)
_TIES = re.compile(r"\b(?:friend|sister|brother|mother|father|colleague|neighbou?r|boss|partner|of|whose|with)\b", re.I)
_ANSWERS: Final = ("how many", "when", "who", "where", "why", "how", "summary")
TRAITS: Final = (
    "any",
    *_ANSWERS,
    "no question",
    "few words",
    "quoted",
    "timed",
    "following",
    "at a place",
    "now",
    "ties",
    "names",
    "two names",
)


def traits(text: str) -> NDArray[np.float32]:
    """float32[len(TRAITS)], each 0 or 1: what kind of question a text is, whatever scope it is put to.

    By English words; of other languages it sees the length, the quotes, the names and the question mark.
    """
    reading = read(text, _NOTHING)
    text = text[:2_000]
    words = WORD.findall(text)
    named = sum(word[:1].isupper() for word in words[1:])
    said = {
        "any": True,
        **{answer: reading.answer == answer for answer in _ANSWERS},
        "no question": not reading.answer and "?" not in text and "？" not in text,
        "few words": len(words) <= _FEW_WORDS,
        "quoted": bool(reading.phrases),
        "timed": _TIMED.search(text) is not None,
        "following": _FOLLOWING.search(text) is not None,
        "at a place": _HERE.search(text) is not None,
        "now": _NOW.search(text) is not None,
        "ties": _TIES.search(text) is not None,
        "names": named > 0,
        "two names": named > 1,
    }
    return np.array([said[name] for name in TRAITS], np.float32)


class Choice(NamedTuple):
    """A store that is to be asked, and its share against asking none, between 0 and 1."""

    store: str
    share: float


class Gate:
    """A row of weights for each store; the logit of a question is its prior and what its traits add.

    p = softmax(0, r prior + W x), the first for no store; the `top` stores that are likelier than none are asked.
    r falls from 1 as lessons come in, by how many there were that had the question's rarest trait: so questions of a
    kind that nobody spoke of go by the rules.
    """

    def __init__(self, stores: Sequence[str], top: int = TOP) -> None:
        self.stores = tuple(stores)
        self.top = top
        self.weights = np.zeros((len(self.stores), len(TRAITS)), np.float64)
        self.squares = np.zeros_like(self.weights)
        self.load = np.zeros(len(self.stores))  # how often each was chosen of late
        self.met = np.zeros(len(TRAITS))  # in how many lessons each trait was
        self.seen = 0

    def choose(self, asked: NDArray[np.float32], prior: Mapping[str, float]) -> list[Choice]:
        """The likeliest first. `prior`: a logit for each store that is here at all."""
        rule = WORTH / (WORTH + self.met[asked > 0].min(initial=np.inf))
        logits = rule * np.array([prior.get(name, -SURE) for name in self.stores]) + self.weights @ asked
        order = [i for i in np.argsort(-logits, kind="stable").tolist() if logits[i] > 0 and self.stores[i] in prior]
        return [Choice(self.stores[i], float(_sigmoid(logits[i]))) for i in order[: self.top]]

    def learn(self, asked: NDArray[np.float32], helped: Mapping[str, bool]) -> None:
        """One step down the gradient of the cross-entropy, for the stores of which it is known whether they helped
        (Adagrad: Duchi et al. 2011), and of the load-balance term n Σ f_m p_m of the Switch transformer (Fedus et al.
        2021), for all.

        It learns beside the rules, not from where they stand: their prior is added to what it says when it chooses.
        """
        logits = self.weights @ asked
        known = np.array([name in helped for name in self.stores])
        target = np.array([float(helped.get(name, False)) for name in self.stores])
        slope = np.where(known, np.where(target > 0, MISSED, 1.0) * (_sigmoid(logits) - target), 0.0)
        step = np.outer(slope, asked)
        self.squares += step * step
        moved = RATE * step / np.sqrt(np.maximum(self.squares, _TINY))
        highest = max(float(logits.max()), 0.0)
        shares = np.exp(logits - highest)
        shares /= shares.sum() + np.exp(-highest)
        likeliest = np.argsort(-logits, kind="stable")[: self.top]
        chosen = np.zeros(len(self.stores))
        chosen[likeliest[logits[likeliest] > 0]] = 1.0
        self.seen += 1
        self.met += asked
        self.load += (chosen - self.load) / min(self.seen, _RECENT)
        pull = self.load * shares
        # A slight force, on all stores: Adagrad would make a step of it as large as any.
        moved += RATE * BALANCE * len(self.stores) * np.outer(pull - shares * pull.sum(), asked)
        self.weights -= moved
        np.clip(self.weights, -MOST, MOST, out=self.weights)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -50, 50)))
    return found
