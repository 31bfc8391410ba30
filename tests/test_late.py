"""Late interaction: the tokens an embedder gives, how the ledger keeps them, and what recall makes of them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Cue, Memory
from agentmem.embedders.minilm import TokenSentenceEmbedder
from agentmem.embedding import (
    Tokens,
    embed_checked,
    embed_tokens_checked,
    embedding_text,
    open_embedder,
    unit_rows,
)
from agentmem.errors import EmbeddingError
from agentmem.ledger import ScopedLedger
from agentmem.recall.text import terms
from agentmem.recall.tokens import Matches, TokenCache, packed
from agentmem.records import Record

WIDTH = 12


def vector_of(word: str) -> NDArray[np.float64]:
    """The first three letters tell most of it: `boat` is near to `boats`."""
    rows = [np.random.default_rng([*map(ord, part)]).normal(size=WIDTH) for part in (word[:3].lower(), word.lower())]
    row = rows[0] + 0.3 * rows[1]
    return row / np.linalg.norm(row)


class WordEmbedder:
    """A vector a word; a text's is their mean."""

    id = "words-12-v1"
    dimension = WIDTH
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([one.vector for one in self.embed_tokens(texts)], np.float32).reshape(len(texts), WIDTH)

    def embed_tokens(self, texts: Sequence[str]) -> list[Tokens]:
        told = []
        for text in texts:
            words = list(re.finditer(r"\w+", text))
            rows = np.array([vector_of(word[0]) for word in words], np.float32).reshape(-1, WIDTH)
            spans = np.array([word.span() for word in words], np.int32).reshape(-1, 2)
            told.append(Tokens(rows.sum(axis=0) + np.float32(1e-3), rows, spans))
        return told


SAID = [
    {"text": "We moved the boats to the northern harbour.", "session": "a", "speaker": "Ana"},
    {"text": "Good to know.", "session": "a", "speaker": "Ben"},
    {"text": "The launch is in spring.", "session": "b", "speaker": "Ana"},
    {"text": "Bring the sails and a boat hook.", "session": "b", "speaker": "Ben"},
    {"text": "Nothing new here.", "speaker": "Ana"},
]


def filled(folder: Path, **more: object) -> Memory:
    memory = Memory.open(folder, embedder=WordEmbedder(), **more)  # type: ignore[arg-type]
    memory.add_many(SAID)
    memory.flush()
    return memory


def ledger_of(memory: Memory) -> ScopedLedger:
    return memory._opened.ledger.bind(memory.bound)


def kept(memory: Memory) -> dict[int, bytes]:
    positions = [record.position for record in memory.records()]
    return ledger_of(memory).tokens(WordEmbedder.id, positions)


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────


def matched(cue: str, record: Record) -> list[float]:
    """For each word of the cue, the best cosine with a word of the record as it is embedded."""
    rows = np.array([vector_of(word) for word in re.findall(r"\w+", embedding_text(record))])
    return [float((rows @ vector_of(word)).max()) for word in re.findall(r"\w+", cue)]


def weights(cue: str, live: Sequence[Record]) -> list[float]:
    found = []
    for word in re.findall(r"\w+", cue):
        stems = terms(word)
        df = sum(stems[0] in terms(embedding_text(record)) for record in live) if stems else 0
        found.append(math.log(1 + (len(live) - df + 0.5) / (df + 0.5)) if stems else 0.5)
    return [one / sum(found) for one in found]


def standard(scores: Sequence[float]) -> list[float]:
    return [float((one - np.mean(scores)) / np.std(scores)) for one in scores]


@pytest.mark.parametrize("cue", ["where is the boat?", "the launch, the harbour and the launch", "of the sails"])
def test_each_word_is_met_where_it_is_met_best_and_weighs_by_how_rare_it_is(tmp_path: Path, cue: str) -> None:
    with filled(tmp_path / "m") as memory:
        live = list(memory.records())
        hits = {hit.record.id: hit.parts for hit in memory.recall(cue, engine="training-free")}
    shares = weights(cue, live)
    alone = [matched(cue, record) for record in live]
    before = [
        live[i - 1] if i and live[i].session and live[i].session == live[i - 1].session else None for i in range(5)
    ]
    wide = [np.maximum(one, matched(cue, other)) if other else one for one, other in zip(alone, before, strict=True)]
    for name, weight, rows in (("late", 1.0, alone), ("late window", 0.7, wide)):
        wanted = standard([float(np.dot(row, shares)) for row in rows])
        for record, score in zip(live, wanted, strict=True):
            assert hits[record.id][name] == pytest.approx(weight * score, abs=0.15), name  # int8, of twelve numbers


def test_a_hit_says_which_words_were_met(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as memory:
        [hit] = memory.recall("boat in the harbour", 1)
    assert "in context: " in hit.verdict
    assert {"boat", "harbour"} <= set(re.findall(r"\w+", hit.verdict.partition("in context: ")[2]))


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 20), st.integers(1, 16), st.integers(1, 64), st.integers(0, 99))
def test_what_is_packed_is_as_near_as_it_was(records: int, asked: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)

    def unit(n: int) -> NDArray[np.float32]:
        rows = random.normal(size=(n, width))
        return unit_rows(rows.astype(np.float32))

    held = {at: unit(int(random.integers(0, 6))) for at in range(records)}
    cue = unit(asked)
    kept = {at: packed(rows) for at, rows in held.items()}
    matches = Matches(cue, TokenCache(lambda positions: {at: kept[at] for at in positions if at in kept}))
    found = matches.best([*range(records), records])
    assert found.shape == (records + 1, asked)
    assert np.isnan(found[records]).all()
    for at, rows in held.items():
        if len(rows):
            np.testing.assert_allclose(found[at], (rows @ cue.T).max(axis=0), atol=0.5 * math.sqrt(width) / 127)
        else:
            assert np.isnan(found[at]).all()


def test_tokens_of_another_width_are_not_known() -> None:
    cache = TokenCache(lambda positions: {1: bytes(24), 2: bytes(25)})
    assert np.isnan(Matches(np.ones((2, 12), np.float32), cache).best([1, 2])).tolist() == [[False] * 2, [True] * 2]


def test_the_cache_holds_no_more_than_it_may_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmem.recall.tokens._CACHED", 40)
    asked: list[list[int]] = []

    def read(positions: Sequence[int]) -> dict[int, bytes]:
        asked.append(list(positions))
        return {at: bytes(10) for at in positions}

    cache = TokenCache(read)
    assert cache.at([1, 2, 3, 4]) == [bytes(10)] * 4
    assert cache.at([1, 5]) == [bytes(10)] * 2  # 2 was asked longest ago
    cache.at([3, 4, 5, 1])
    cache.at([2])
    cache.forget([2, 77])
    cache.at([2])
    assert asked == [[1, 2, 3, 4], [5], [2], [2]]


def test_they_are_kept_with_the_vectors_and_go_with_the_record(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as memory:
        first, *others = memory.records()
        assert set(kept(memory)) == {record.position for record in (first, *others)}
        [rows] = WordEmbedder().embed_tokens([embedding_text(first)])
        assert kept(memory)[first.position] == packed(rows.tokens)
        memory.forget(first.id, hard=True)
        assert ledger_of(memory).tokens(WordEmbedder.id, [first.position]) == {}


def test_an_edit_takes_the_old_words_away_at_once(tmp_path: Path) -> None:
    """Even while the embedder is at it: what was said before must not bring a record up."""
    ready = threading.Event()

    class Slow(WordEmbedder):
        def embed_tokens(self, texts: Sequence[str]) -> list[Tokens]:
            if any("kind" in text for text in texts):
                ready.wait(60)
            return super().embed_tokens(texts)

    with Memory.open(tmp_path / "m", embedder=Slow()) as memory:
        record = memory.add_many(SAID)[0]
        memory.flush()
        assert memory.recall("boat")[0].parts["late"] > 0
        memory.edit(record.id, text="Nothing of the kind in the new harbour.")
        late = {hit.record.id: hit.parts["late"] for hit in memory.recall("boat harbour")}
        assert late[record.id] == 0
        ready.set()
        memory.flush()
        [rows] = WordEmbedder().embed_tokens([embedding_text(memory.get(record.id))])
        assert kept(memory)[record.position] == packed(rows.tokens)
        late = {hit.record.id: hit.parts["late"] for hit in memory.recall("boat harbour")}
        assert late[record.id] > 0


def test_off_they_are_neither_kept_nor_asked(tmp_path: Path) -> None:
    with filled(tmp_path / "m", late_interaction=False) as memory:
        assert kept(memory) == {}
        assert not {"late", "late window"} & set(memory.recall("boat")[0].parts)
    with Memory.open(tmp_path / "m", embedder=WordEmbedder()) as memory:
        # They were not made then, and nothing is guessed for a record that has none.
        assert all(hit.parts.get("late", 0.0) == 0 for hit in memory.recall("boat"))
        memory.reindex()
        assert len(kept(memory)) == len(SAID)
        assert any(hit.parts["late"] for hit in memory.recall("boat"))


def test_a_vector_that_is_given_comes_without_tokens(tmp_path: Path) -> None:
    with filled(tmp_path / "m") as memory:
        given_vector = tuple(float(x) for x in WordEmbedder().embed(["boat"])[0])
        assert "late" not in memory.recall(Cue("boat", vector=given_vector))[0].parts
        record = memory.add("a boat with a vector", vector=given_vector)
        memory.flush()
        assert record.position not in kept(memory)
        assert record.id in {hit.record.id for hit in memory.recall("boat")}


def test_the_turn_before_counts_only_in_the_session_and_within_the_filters(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=WordEmbedder()) as memory:
        memory.add_many(
            [
                {"text": "harbour", "session": "a", "speaker": "Ana"},
                {"text": "yes", "session": "a", "speaker": "Ben"},
                {"text": "no", "session": "b", "speaker": "Ben"},
                {"text": "well", "session": "b", "speaker": "Ben"},
            ]
        )
        memory.flush()
        wide = {h.record.text: h.parts["late window"] for h in memory.recall("harbour", engine="training-free")}
        assert wide["harbour"] > wide["no"]
        assert wide["yes"] > max(wide["no"], wide["well"])
        own = {h.record.text: h.parts for h in memory.recall("harbour", engine="training-free", speaker="Ben")}
        assert own["yes"]["late window"] == pytest.approx(own["well"]["late window"], abs=1.5)
        assert set(own) == {"yes", "no", "well"}


# ── an embedder is not trusted ───────────────────────────────────────────────────────────────────────────────────

GOOD = WordEmbedder().embed_tokens(["the boat"])[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "shape"),
        ([GOOD, GOOD], "shape"),
        ([GOOD._replace(tokens=GOOD.tokens * np.float32(np.nan))], "not finite"),
        ([GOOD._replace(tokens=GOOD.tokens[:1])], "spans"),
        ([GOOD._replace(tokens=GOOD.tokens[0])], "shape"),
        ([GOOD._replace(tokens=np.zeros((2, 300), np.float32))], "shape"),
        ([GOOD._replace(spans=GOOD.spans + 100)], "outside its text"),
        ([GOOD._replace(vector=GOOD.vector[:3])], "could not embed|shape"),
        ([(1, 2)], "could not embed"),
        ([(GOOD.vector, [[1.0], [1.0, 2.0]], GOOD.spans)], "could not embed"),
        ([(GOOD.vector, ["a", "b"], GOOD.spans)], "could not embed"),
        ([(GOOD.vector, GOOD.tokens, "no spans")], "could not embed"),
        (None, "could not embed"),
    ],
)
def test_wrong_tokens_are_an_embedding_error(wrong: object, said: str) -> None:
    embedder = WordEmbedder()
    embedder.embed_tokens = lambda texts: wrong  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(EmbeddingError, match=said):
        embed_tokens_checked(embedder, ["the boat"])


def test_tokens_of_several_widths_are_refused() -> None:
    embedder = WordEmbedder()
    narrow = GOOD._replace(tokens=GOOD.tokens[:, :4])
    embedder.embed_tokens = lambda texts: [GOOD, narrow]  # type: ignore[method-assign]
    with pytest.raises(EmbeddingError, match="several widths"):
        embed_tokens_checked(embedder, ["the boat", "the boat"])


def test_a_pasted_book_has_as_many_tokens_as_any(tmp_path: Path) -> None:
    """An embedder of somebody's may give a token for each of its words."""
    book = "red boat harbour " * 20_000
    assert len(embed_tokens_checked(WordEmbedder(), [book])[1][0].tokens) == 256
    with filled(tmp_path / "m") as memory:
        record = memory.add(book[:100_000])
        memory.flush()
        assert len(kept(memory)[record.position]) == 256 * WIDTH
        assert memory.recall(book, 1)[0].record == record  # without a bound, more memory than there is


# ── MiniLM ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_minilm_gives_the_tokens_of_the_pass_that_gives_the_vector() -> None:
    embedder = open_embedder("minilm")
    assert isinstance(embedder, TokenSentenceEmbedder)
    texts = ["  Where did Ana move the launch?", "x", "   ", "ünï \ud800 🙂 text", "word " * 1_000]
    matrix, told = embed_tokens_checked(embedder, texts)
    np.testing.assert_array_equal(matrix, embed_checked(embedder, texts))
    assert [len(one.tokens) for one in told] == [7, 1, 0, 5, 128]
    assert {one.tokens.shape[1] for one in told} == {64}
    assert [texts[0][a:b] for a, b in told[0].spans] == ["Where", "did", "Ana", "move", "the", "launch", "?"]


@pytest.mark.slow
def test_minilm_knows_a_word_by_its_context() -> None:
    embedder = open_embedder("minilm")
    assert isinstance(embedder, TokenSentenceEmbedder)

    def bank(text: str) -> NDArray[np.float32]:
        [told] = embed_tokens_checked(embedder, [text])[1]
        [at] = [i for i, (a, b) in enumerate(told.spans) if text[a:b] == "bank"]
        row: NDArray[np.float32] = told.tokens[at]
        return row

    river, shore = bank("We sat on the bank of the river."), bank("The boat lay at the bank of the stream.")
    money = bank("The bank lent us money for the house.")
    assert river @ shore > river @ money + 0.1


@pytest.mark.slow
def test_torch_and_onnx_give_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    texts = ["Where did Ana move the launch?", " a  b ", "word " * 300]
    fast, slow = open_embedder("minilm"), open_embedder("minilm")
    assert isinstance(fast, TokenSentenceEmbedder)
    assert isinstance(slow, TokenSentenceEmbedder)
    first = embed_tokens_checked(fast, texts)[1]
    monkeypatch.setattr("agentmem.embedders.minilm.installed", lambda *names: "onnxruntime" not in names)
    second = embed_tokens_checked(slow, texts)[1]
    assert (fast.backend, slow.backend) == ("onnx", "torch")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one.tokens, other.tokens, atol=1e-5)
        np.testing.assert_array_equal(one.spans, other.spans)
