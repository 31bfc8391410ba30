"""LangChain's objects as embedders, and questions that are embedded otherwise than texts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from numpy.typing import NDArray
from pydantic import BaseModel, SecretStr

from agentmem import EmbeddingError, InvalidInput, Memory
from agentmem.embedders.langchain import LangChainEmbedder
from agentmem.embedding import cue_embedded, embed_checked, open_embedder
from tests.fakes import TinyEmbedder
from tests.loopback import vectors_of

KEY = "key-0123456789abcdef"


class WordEmbeddings(Embeddings):
    """As an integration is made: a question is embedded under another sign than a text, as E5 wants it."""

    model_name = "org/words-v2"
    is_local = True

    def __init__(self, size: int = 16) -> None:
        self.width = size  # not a name that says a dimension
        self.texts: list[str] = []
        self.questions: list[str] = []
        self.fault: Exception | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        assert isinstance(texts, list)
        self.texts += texts
        if self.fault:
            raise self.fault
        rows: list[list[float]] = vectors_of(texts, self.width).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        self.questions.append(text)
        if self.fault:
            raise self.fault
        row: list[float] = (-vectors_of([text], self.width)[0]).tolist()
        return row


class RemoteEmbeddings(BaseModel, Embeddings):
    """With the fields that LangChain's own integrations have."""

    model: str = "nomic-embed-text"
    base_url: str | None = "http://ana:secret@127.0.0.1:11434"
    dimensions: int | None = None
    api_key: SecretStr = SecretStr(KEY)
    answer: object = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])  # type: ignore[return-value]


class TestOpening:
    def test_an_object_is_made_an_embedder_and_an_embedder_stays_itself(self) -> None:
        assert isinstance(open_embedder(WordEmbeddings()), LangChainEmbedder)
        for embedder in (LangChainEmbedder(WordEmbeddings()), TinyEmbedder()):
            assert open_embedder(embedder) is embedder
        with pytest.raises(EmbeddingError):
            open_embedder(object())  # type: ignore[arg-type]

    def test_opening_embeds_nothing(self) -> None:
        words = WordEmbeddings()
        words.fault = OSError("no network")
        assert open_embedder(LangChainEmbedder(words)).id == open_embedder(words).id
        assert words.texts == words.questions == []

    @pytest.mark.parametrize(
        ("embeddings", "id"),
        [
            (WordEmbeddings(), "WordEmbeddings-org/words-v2"),
            (DeterministicFakeEmbedding(size=12), "DeterministicFakeEmbedding-12"),
            (RemoteEmbeddings(base_url="http://h/v1"), "RemoteEmbeddings-nomic-embed-text@h"),
            (RemoteEmbeddings(base_url=None, dimensions=256), "RemoteEmbeddings-nomic-embed-text-256"),
            (RemoteEmbeddings(model="a model\n", base_url=None), "RemoteEmbeddings-a-model-"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_id_is_what_the_object_was_made_with(self, embeddings: Embeddings, id: str) -> None:
        assert LangChainEmbedder(embeddings).id == id

    def test_the_id_is_stable_and_tells_servers_apart_without_their_secrets(self) -> None:
        urls = [None, "http://ana:secret@127.0.0.1:11434", "https://h?key=secret", "not an address: secret"]
        ids = [LangChainEmbedder(RemoteEmbeddings(base_url=url)).id for url in urls]
        assert ids == [LangChainEmbedder(RemoteEmbeddings(base_url=url)).id for url in urls]
        assert len(set(ids)) == len(urls)
        assert "secret" not in " ".join(ids)

    def test_id_and_dimension_may_be_given(self) -> None:
        words = WordEmbeddings()
        embedder = LangChainEmbedder(words, id="mine-1", dimension=16)
        assert (embedder.id, embedder.dimension, words.texts) == ("mine-1", 16, [])
        assert repr(embedder) == "LangChainEmbedder('mine-1')"

    @pytest.mark.parametrize("wrong", [{"id": ""}, {"id": "a\nb"}, {"dimension": 0}, {"dimension": True}], ids=str)
    def test_what_is_no_id_and_no_dimension(self, wrong: dict[str, object]) -> None:
        with pytest.raises(InvalidInput):
            LangChainEmbedder(WordEmbeddings(), **wrong)  # type: ignore[arg-type]

    def test_the_dimension_is_declared_known_or_that_of_one_first_vector(self) -> None:
        words = WordEmbeddings()
        probed = LangChainEmbedder(words)
        before = probed.id
        assert (probed.dimension, probed.dimension, len(words.texts), probed.id) == (16, 16, 1, before)
        assert LangChainEmbedder(RemoteEmbeddings()).dimension == 768
        assert LangChainEmbedder(RemoteEmbeddings(dimensions=256)).dimension == 256
        assert LangChainEmbedder(DeterministicFakeEmbedding(size=12)).dimension == 12

    def test_a_dimension_that_cannot_be_learnt_is_told_and_asked_for_again(self) -> None:
        words = WordEmbeddings()
        words.fault = ConnectionError("refused")
        embedder = LangChainEmbedder(words)
        with pytest.raises(EmbeddingError, match="refused") as caught:
            _ = embedder.dimension
        assert caught.value.way_out
        words.fault = None
        assert embedder.dimension == 16

    def test_langchain_is_not_imported(self) -> None:
        script = """
            import sys
            from agentmem.embedding import open_embedder
            class Own:
                def embed_documents(self, texts): return [[1.0, 2.0] for _ in texts]
                def embed_query(self, text): return [1.0, 2.0]
            print(open_embedder(Own()).embed(["a"]).tolist(), open_embedder(Own()).id)
            assert not {"langchain", "langchain_core", "openai"} & set(sys.modules)
        """
        search = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", dedent(script)],
            env={**os.environ, "PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("[[1.0, 2.0]] Own\n", "")


class TestEmbedding:
    @given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=12), max_size=8))
    def test_each_text_gets_its_own_vector_and_a_blank_one_none(self, texts: list[str]) -> None:
        words = WordEmbeddings()
        matrix = LangChainEmbedder(words, dimension=16).embed(texts)
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        np.testing.assert_array_equal(matrix, vectors_of(clean, 16))
        assert matrix.dtype == np.float32
        assert words.texts == [text for text in clean if text.strip()]

    @pytest.mark.parametrize(
        "answer",
        [
            None, [], [[]], [[1.0]] * 2, [[1.0] * 7] * 2, [[1.0] * 768], [[1.0] * 768, [1.0]], [["a"] * 768] * 2,
            "text", {}, ValueError("no"), RuntimeError(), KeyError("x"), Exception("bare"),
        ],
        ids=lambda value: repr(value)[:20],
    )  # fmt: skip
    def test_what_an_object_gets_wrong_is_told(self, answer: object) -> None:
        embedder = LangChainEmbedder(RemoteEmbeddings(answer=answer))
        with pytest.raises(EmbeddingError, match="RemoteEmbeddings") as texts:
            embedder.embed(["one", "two"])
        with pytest.raises(EmbeddingError, match="RemoteEmbeddings") as question:
            embedder.embed_cue("one")
        assert texts.value.way_out
        assert question.value.way_out

    @pytest.mark.parametrize("answer", [[[float("nan")] * 768], [[1e300] * 768]], ids=["nan", "too large"])
    def test_what_is_not_finite_is_told(self, answer: object) -> None:
        with pytest.raises(EmbeddingError, match="finite"):
            embed_checked(LangChainEmbedder(RemoteEmbeddings(answer=answer)), ["one"])

    @pytest.mark.parametrize("key", [KEY, "sk-proj-abcdefghijklmnop", "sk-abc*******mnop"])
    def test_a_key_in_an_error_is_never_shown(self, key: str) -> None:
        error = RuntimeError(f"401: Incorrect API key provided: {key}")
        embedder = LangChainEmbedder(RemoteEmbeddings(answer=error))
        with pytest.raises(EmbeddingError, match="401") as caught:
            embedder.embed(["one"])
        assert key not in "".join(traceback.format_exception(caught.value)) + repr(embedder) + caught.value.way_out

    def test_threads_share_one_and_the_dimension_is_learnt_once(self) -> None:
        words = WordEmbeddings()
        embedder = LangChainEmbedder(words)
        found: list[NDArray[np.float32]] = []
        threads = [threading.Thread(target=lambda: found.append(embedder.embed(["a b", "c"]))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(np.array_equal(matrix, vectors_of(["a b", "c"], 16)) for matrix in found)
        assert words.texts.count("dimension") == 1


class TestQuestions:
    def test_a_question_goes_the_way_of_questions(self) -> None:
        words = WordEmbeddings()
        vector, _ = cue_embedded(LangChainEmbedder(words), "where is it")
        assert words.questions == ["where is it"]
        expected = -vectors_of(["where is it"], 16)[0]
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)

    def test_without_a_way_of_its_own_it_is_embedded_as_a_text(self) -> None:
        embedder = TinyEmbedder()
        np.testing.assert_array_equal(cue_embedded(embedder, "where?")[0], embed_checked(embedder, ["where?"])[0])

    @pytest.mark.parametrize("answer", [[1.0] * 7, [[1.0] * 8], None, [float("inf")] * 8, ValueError("no")], ids=repr)
    def test_its_answer_is_not_trusted_either(self, answer: object) -> None:
        class Odd(TinyEmbedder):
            def embed_cue(self, text: str) -> Sequence[float]:
                if isinstance(answer, Exception):
                    raise answer
                return answer  # type: ignore[return-value]

        with pytest.raises(EmbeddingError):
            cue_embedded(Odd(), "where?")

    def test_a_blank_question_is_near_to_nothing(self) -> None:
        assert not cue_embedded(LangChainEmbedder(WordEmbeddings()), " \n")[0].any()


def test_a_memory_opened_again_with_an_object_made_the_same_way(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "notes.mem", embedder=open_embedder(WordEmbeddings())) as memory:
        ferry = memory.add("the ferry leaves at nine")
        memory.add("a violin in the attic")
        memory.flush()
    again = WordEmbeddings()
    with Memory.open(tmp_path / "notes.mem", embedder=open_embedder(again)) as memory:
        assert memory.recall("ferry", k=1)[0].record == ferry
        assert memory.stats().pending == 0
    assert again.texts in ([], ["dimension"])  # nothing is embedded again
    assert again.questions == ["ferry"]
