"""The OpenAI embedder against a real server on this machine that behaves, misbehaves, goes away and comes back."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email.utils import formatdate
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import EmbeddingError, InvalidInput, Memory
from agentmem.embedders.openai import OpenAIEmbedder, known_dimension, open_openai
from agentmem.embedding import cue_embedded, open_embedder
from tests.loopback import Loopback, Reply, refusal, vectors_of

KEY = "sk-proj-Zm9vYmFyYmF6cXV4Cg_0123456789"
ENDPOINT = "agentmem.endpoint"
TEXTS = ["the ferry leaves at nine", "a violin", "", "the harbour"]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(f"{ENDPOINT}._FIRST_WAIT_S", 0.01)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture(scope="module")
def lasting() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


def opened(server: Loopback, **changed: object) -> OpenAIEmbedder:
    return OpenAIEmbedder("m", **{"base_url": server.url, "dimension": 8, **changed})  # type: ignore[arg-type]


def refused(embedder: OpenAIEmbedder, texts: list[str] | None = None) -> EmbeddingError:
    """The error that embedding raises: it has a way out, and chains nothing that could hold a secret."""
    with pytest.raises(EmbeddingError) as caught:
        embedder.embed(["a violin"] if texts is None else texts)
    assert caught.value.way_out
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


class TestOpening:
    @pytest.mark.parametrize(
        ("spelling", "id"),
        [
            ("text-embedding-3-small", "text-embedding-3-small@api.openai.com-1536"),
            ("text-embedding-3-large#256", "text-embedding-3-large@api.openai.com-256"),
            ("nomic-embed-text@http://127.0.0.1:11434/v1", "nomic-embed-text@localhost:11434-768"),
            ("nomic-embed-text:latest@http://LOCALHOST:11434/v1/", "nomic-embed-text:latest@localhost:11434-768"),
            ("BAAI/bge-m3@http://[::1]:8000/v1", "BAAI/bge-m3@localhost:8000-1024"),
            ("own:7b@https://example.org:443/v1#12", "own:7b@example.org-12"),
            ("own@http://[fe80::1]/v1#12", "own@[fe80::1]-12"),
            ("@cf/baai/bge-m3@https://example.org/v1", "@cf/baai/bge-m3@example.org-1024"),
            ("text-embedding-nomic-embed-text-v1.5@q4_k_m@http://localhost:1234/v1#768",
             "text-embedding-nomic-embed-text-v1.5@q4_k_m@localhost:1234-768"),
        ],
    )  # fmt: skip
    def test_a_spelling_names_model_server_and_dimension(self, spelling: str, id: str) -> None:
        assert open_embedder(f"openai:{spelling}").id == id

    @pytest.mark.parametrize(
        "spelling",
        [
            "", "#8", "m", "m#", "m#0", "m#-1", "m#1e3", "m#99999", "m#8#8", "m n#8", "m\ud800#8",
            "m@localhost:11434/v1#8", "m@127.0.0.1#8", "m@ftp://example.org/v1#8", "m@http://#8", "m@http://:80#8",
            "m@http://h:port/v1#8", "m@http://[::1/v1#8", "m@http://h/v1?key=1#8", "m@http://a b/v1#8",
            "m@http://name:secret@example.org/v1#8", "text-embedding-3-small#1537", "text-embedding-ada-002#2000",
        ],
    )  # fmt: skip
    def test_a_spelling_that_means_nothing_is_refused_with_the_way_out(self, spelling: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            open_openai(spelling)
        assert caught.value.way_out
        assert "secret" not in f"{caught.value} {caught.value.way_out}"

    def test_servers_are_told_apart_and_a_path_is_not_shown(self) -> None:
        urls = ["http://a/v1", "http://b/v1", "http://a:81/v1", "http://a/tenant-secret/v1", "http://a", "http://a/v2"]
        ids = {OpenAIEmbedder("bge-m3", base_url=url).id for url in urls}
        assert len(ids) == len(urls)
        assert not any("secret" in id for id in ids)

    @pytest.mark.parametrize(
        "wrong", [{"batch": 0}, {"batch": 2049}, {"timeout": 0}, {"timeout": float("nan")}, {"timeout": "1"},
                     {"retries": 1.5}, {"retries": -1},
                     {"dimension": True}, {"base_url": 7}, {"api_key": "sk-two\nlines"}, {"api_key": "ключ"}],
        ids=str,
    )  # fmt: skip
    def test_settings_out_of_range(self, wrong: dict[str, object]) -> None:
        with pytest.raises(InvalidInput):
            OpenAIEmbedder("bge-m3", **wrong)  # type: ignore[arg-type]

    def test_neither_the_network_nor_the_client_is_needed(self) -> None:
        script = """
            import socket, sys
            socket.socket.connect = socket.create_connection = socket.getaddrinfo = None
            from agentmem.embedding import open_embedder
            print(open_embedder("openai:bge-m3@http://no.such.host/v1").dimension)
            assert not {"openai", "httpx", "httpx2", "langchain_core"} & set(sys.modules)
        """
        assert child(script).strip() == "1024"

    def test_the_environment_is_read_and_the_arguments_win(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        open_openai("m#8").embed(["a"])
        OpenAIEmbedder("m", api_key="from-the-argument", dimension=8).embed(["a"])
        keys = [asked.headers["authorization"] for asked in server.asked]
        assert keys == ["Bearer from-the-environment", "Bearer from-the-argument"]
        assert OpenAIEmbedder("m", base_url="http://elsewhere/v1", dimension=8).id == "m@elsewhere-8"

    def test_without_a_key_openai_is_not_asked_and_another_server_is(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
        assert "key" in str(refused(open_openai("text-embedding-3-small")))
        assert opened(server).embed(["a"]).any()

    def test_known_models(self) -> None:
        assert known_dimension("openai/text-embedding-3-small") == 1536
        assert known_dimension("text-embedding-nomic-embed-text-v1.5@q8_0") == 768
        assert known_dimension("qwen3-embedding:0.6b") is None  # its tag says which, and there is no end of tags


class TestRequests:
    @settings(max_examples=40)
    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=[]), max_size=12), max_size=12),
        batch=st.integers(min_value=1, max_value=5),
    )
    def test_any_texts_in_any_batches_give_each_its_own_vector(
        self, lasting: Loopback, texts: list[str], batch: int
    ) -> None:
        lasting.asked.clear()
        matrix = opened(lasting, batch=batch).embed(texts)
        clean = [text.strip().encode("utf-8", "replace").decode() for text in texts]
        np.testing.assert_array_equal(matrix, vectors_of(clean, 8))
        assert matrix.dtype == np.float32
        sent = [asked.texts for asked in lasting.asked]
        assert [text for texts in sent for text in texts] == [text for text in clean if text]
        assert all(len(texts) == batch for texts in sent[:-1])

    def test_a_request_stays_within_what_openai_takes(self, server: Loopback) -> None:
        long = ["word " * 10_000, "ω" * 20_000, "x"] * 10
        opened(server).embed(long)
        sizes = [[len(text.encode()) for text in asked.texts] for asked in server.asked]
        assert sum(map(len, sizes)) == 30
        assert max(map(max, sizes)) <= 24_000
        assert max(map(sum, sizes)) <= 300_000
        assert len(sizes) == 2

    def test_a_text_that_is_too_long_is_cut_and_stops_no_other(self, server: Loopback) -> None:
        server.longest = 300
        texts = ["one", "far too long " * 100, "three", "also " * 70, *"abcdefgh"]
        matrix = opened(server).embed(texts)
        kept = [len(text) for asked in server.asked for text in asked.texts if text[:4] in ("far ", "also")]
        assert min(kept) > 150
        expected = vectors_of(["one", texts[1][: 1299 // 8], "three", texts[3][: 349 // 2], *"abcdefgh"], 8)
        np.testing.assert_array_equal(matrix, expected)
        np.testing.assert_array_equal(opened(server).embed(texts[1:2]), expected[1:2])  # whatever came before it

    def test_a_server_that_takes_smaller_batches_only(self, server: Loopback) -> None:
        server.most = 3
        texts = [f"word{n}" for n in range(20)]
        np.testing.assert_array_equal(opened(server).embed(texts), vectors_of(texts, 8))

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (400, "This model's maximum context length is 8192 tokens, however you requested 25701 tokens (25701 in "
                  "your prompt; 0 for the completion). Please reduce your prompt; or completion length."),
            (400, "This model's maximum context length is 512 tokens. However, you requested 1451 tokens in the input "
                  "for embedding generation. Please reduce the length of the input."),
            (400, "input length exceeds maximum context length"),
            (500, "the input length exceeds the context length"),
            (500, "decoding exceeds the available context size. try increasing the context size."),
            (500, "input is too large to process. increase the physical batch size"),
            (413, "`inputs` must have less than 512 tokens. Given: 600"),
            (422, "batch size 64 > maximum allowed batch size 32"),
            (429, "Request too large for text-embedding-3-small on tokens per min (TPM): Limit 40000, Requested 75000"),
            (413, ""),
        ],
    )  # fmt: skip
    def test_what_servers_say_of_too_much_is_understood(self, server: Loopback, status: int, said: str) -> None:
        server.script.append(refusal(status, said))
        np.testing.assert_array_equal(opened(server).embed(["one", "two"]), vectors_of(["one", "two"], 8))
        assert [asked.texts for asked in server.asked] == [["one", "two"], ["one"], ["two"]]

    def test_a_short_text_is_not_cut_for_ever(self, server: Loopback) -> None:
        server.longest = 0
        assert "length" in str(refused(opened(server), ["x" * 3_000]))
        assert len(server.asked) == 5

    def test_shortening_is_asked_for_where_the_model_allows_it(self, server: Loopback) -> None:
        server.dimension = 1536
        for model, dimension, shorten in [
            ("text-embedding-3-small", 1536, None),
            ("text-embedding-3-small", 5, None),
            ("openai/text-embedding-3-small", 5, None),
            ("own", 1536, None),
            ("own", 5, True),
        ]:
            embedder = OpenAIEmbedder(model, base_url=server.url, dimension=dimension, shorten=shorten)
            assert embedder.embed(["a"]).shape == (1, dimension)
        assert [asked.body.get("dimensions") for asked in server.asked] == [None, 5, 5, None, 5]

    def test_numbers_instead_of_base64(self, server: Loopback) -> None:
        server.base64 = False
        np.testing.assert_array_equal(opened(server).embed(TEXTS), vectors_of(TEXTS, 8))

    def test_a_server_that_refuses_base64_is_asked_for_numbers(self, server: Loopback) -> None:
        server.script.append(refusal(400, "base64 encoding is not currently supported"))
        embedder = opened(server)
        for _ in range(2):
            np.testing.assert_array_equal(embedder.embed(TEXTS), vectors_of(TEXTS, 8))
        assert [asked.body["encoding_format"] for asked in server.asked] == ["base64", "float", "float"]

    def test_threads_share_one(self, server: Loopback) -> None:
        texts = [f"word{n} again{n}" for n in range(40)]
        embedder = opened(server, batch=7)
        found: list[NDArray[np.float32]] = []
        threads = [threading.Thread(target=lambda: found.append(embedder.embed(texts))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(np.array_equal(matrix, vectors_of(texts, 8)) for matrix in found)

    def test_nothing_to_embed_asks_nobody(self, server: Loopback) -> None:
        assert opened(server).embed([]).shape == (0, 8)
        assert not opened(server).embed(["", " \n"]).any()
        assert server.asked == []


def item(index: object, vector: object) -> dict[str, object]:
    return {"index": index, "embedding": vector}


class TestAnswers:
    @pytest.mark.parametrize(
        "places", [[0, 1, 2], [2, 0, 1], [5, 3, 4], [None, None, None]], ids=["in order", "mixed", "counted on", "none"]
    )
    def test_vectors_are_matched_by_index(self, server: Loopback, places: list[int | None]) -> None:
        answer = [item(place, [place if place is not None else row] * 8) for row, place in enumerate(places)]
        server.script.append(Reply(body={"data": answer}))
        assert opened(server).embed(["a", "b", "c"])[:, 0].tolist() == sorted(
            row if place is None else place for row, place in enumerate(places)
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"<html>Welcome to nginx!</html>", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"7", b'"text"', b"[]",
            {}, {"data": None}, {"data": {}}, {"data": [1, 2]}, {"error": "model is loading"},
            {"data": []}, {"data": [item(0, [1.0] * 8)]}, {"data": [item(n, [1.0] * 8) for n in range(3)]},
            {"data": [item(0, [1.0] * 8)] * 2}, {"data": [item(0, [1.0] * 8), item(None, [1.0] * 8)]},
            {"data": [item("0", [1.0] * 8), item("1", [1.0] * 8)]},
            {"data": [item(0, [1.0] * 8), item(1, [1.0] * 7)]}, {"data": [item(n, [1.0] * 9) for n in range(2)]},
            {"data": [item(n, [float("nan")] * 8) for n in range(2)]},
            {"data": [item(n, [1e300] * 8) for n in range(2)]},
            {"data": [item(n, [10**400] * 8) for n in range(2)]},
            {"data": [item(n, [None] * 8) for n in range(2)]}, {"data": [item(n, None) for n in range(2)]},
            {"data": [item(n, {}) for n in range(2)]}, {"data": [item(n, []) for n in range(2)]},
            {"data": [item(n, [[1.0] * 8]) for n in range(2)]}, {"data": [item(n, 1.0) for n in range(2)]},
            {"data": [item(n, "not base64!") for n in range(2)]}, {"data": [item(n, "AAA=") for n in range(2)]},
            {"data": [item(n, "") for n in range(2)]}, {"data": [item(n, "ключ") for n in range(2)]},
        ],
        ids=lambda body: repr(body)[:40],
    )  # fmt: skip
    def test_garbage_is_told_and_not_asked_for_again(self, server: Loopback, body: object) -> None:
        server.script.append(Reply(body=body))
        assert "localhost" in str(refused(opened(server), ["one", "two"]))
        assert len(server.asked) == 1

    def test_a_wrong_dimension_is_told_with_the_right_one(self, server: Loopback) -> None:
        error = refused(opened(server, dimension=768))
        assert "8 dimensions, not 768" in str(error)
        assert "#8" in error.way_out
        server.shortens = False
        error = refused(OpenAIEmbedder("text-embedding-3-small", base_url=server.url, dimension=256))
        assert "8 dimensions, not 256" in str(error)


class TestRefusals:
    @pytest.mark.parametrize(
        ("reply", "told"),
        [
            (refusal(400, "no such thing"), "no such thing"),
            (refusal(401, "who are you?"), "key"),
            (refusal(403, "not for you"), "not for you"),
            (refusal(404, "model 'm' not found, try pulling it first"), "try pulling it first"),
            (Reply(404, b"404 page not found"), "has no model m"),
            (Reply(404, {"detail": "Not Found"}), "Not Found"),
            (Reply(422, {"detail": [{"loc": ["body"]}]}), "422"),
            (Reply(400, b"<html>no</html>"), "400"),
            (Reply(400, b"x" * 100_000), "xxx"),
            (refusal(429, "You exceeded your current quota, please check your plan.", "insufficient_quota"), "quota"),
        ],
        ids=lambda value: str(getattr(value, "status", "")),
    )
    def test_what_no_patience_mends_is_not_asked_again(self, server: Loopback, reply: Reply, told: str) -> None:
        server.script.append(reply)
        error = refused(opened(server))
        assert told in str(error)
        assert len(str(error)) < 400
        assert len(server.asked) == 1

    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
    def test_what_may_pass_is_asked_again(self, server: Loopback, status: int) -> None:
        server.script += [refusal(status, "busy")] * 3
        np.testing.assert_array_equal(opened(server).embed(TEXTS), vectors_of(TEXTS, 8))
        assert len(server.asked) == 4

    @pytest.mark.parametrize("how", ["dropped", "half"])
    def test_a_broken_connection_is_made_again(self, server: Loopback, how: str) -> None:
        server.script += [Reply(body=b"x" * 100, how=how)] * 2  # type: ignore[arg-type]
        np.testing.assert_array_equal(opened(server).embed(TEXTS), vectors_of(TEXTS, 8))
        server.script += [Reply(body=b"x" * 100, how=how)] * 5  # type: ignore[arg-type]
        assert "dropped" in str(refused(opened(server)))
        assert len(server.asked) == 8

    def test_the_number_of_attempts_is_bounded_and_their_distance_grows(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{ENDPOINT}._FIRST_WAIT_S", 0.04)
        server.script += [refusal(500, "out of order")] * 9
        assert "500: out of order" in str(refused(opened(server, retries=3)))
        gaps = np.diff([asked.at for asked in server.asked])
        assert (gaps >= [0.02, 0.04, 0.08]).all()
        assert len(gaps) == 3

    @pytest.mark.parametrize("wanted", [{"retry_after": "0.3"}, {"retry_after_ms": "300"}, {"retry_after_ms": "300", "retry_after": "9"}])  # fmt: skip # noqa: E501
    def test_the_wait_that_the_server_wants_is_kept(self, server: Loopback, wanted: dict[str, str]) -> None:
        server.script.append(refusal(429, "slowly", **wanted))
        opened(server).embed(["a"])
        first, second = (asked.at for asked in server.asked)
        assert 0.3 <= second - first < 5

    def test_the_wait_may_be_a_date(self, server: Loopback) -> None:
        server.script.append(refusal(503, "slowly", retry_after=formatdate(time.time() + 2, usegmt=True)))
        opened(server).embed(["a"])
        first, second = (asked.at for asked in server.asked)
        assert 0.9 <= second - first < 8  # a date has whole seconds

    @pytest.mark.parametrize("odd", ["soon", "-5", "nan", "inf", "", "Wed, 99 Foo 2015", formatdate(0, usegmt=True)])
    def test_a_wait_that_says_nothing_is_our_own(self, server: Loopback, odd: str) -> None:
        server.script.append(refusal(429, "slowly", retry_after=odd))
        assert opened(server).embed(["a"]).any()

    @pytest.mark.parametrize(
        "wanted", ["3600", "1e300", pytest.param(formatdate(time.time() + 9000, usegmt=True), id="a date")]
    )
    def test_nobody_waits_for_an_hour_nor_asks_before(self, server: Loopback, wanted: str) -> None:
        server.script.append(refusal(429, "slowly", retry_after=wanted))
        embedder = opened(server)
        assert "less often: slowly" in str(refused(embedder))
        assert "left alone" in str(refused(embedder))
        assert len(server.asked) == 1

    def test_a_question_is_given_up_sooner_than_a_text(self, server: Loopback) -> None:
        server.script.append(refusal(429, "slowly", retry_after="6"))
        with pytest.raises(EmbeddingError, match="slowly"):
            opened(server).embed_cue("a violin?")
        np.testing.assert_array_equal(opened(server).embed_cue("a violin"), vectors_of(["a violin"], 8)[0])

    def test_a_server_that_does_not_answer(self, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        server.script += [Reply(how="hanging")]
        embedder = opened(server, timeout=0.3, retries=1)
        assert embedder.embed(["a"]).any()  # at the second attempt
        server.script += [Reply(how="hanging")] * 2
        assert "did not answer within 0.3 s" in str(refused(embedder))
        assert "left alone" in str(refused(embedder))
        assert len(server.asked) == 4
        monkeypatch.setattr("time.monotonic", lambda now=time.monotonic: now() + 15)
        assert embedder.embed(["a"]).any()

    def test_a_server_that_is_not_running_is_told_at_once_and_asked_at_once_when_it_is(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{ENDPOINT}._FIRST_WAIT_S", 1000.0)
        embedder = opened(server, retries=100)
        for _ in range(2):
            assert embedder.embed(["a"]).any()  # over a connection that is then cut
            server.stop()
            error = refused(embedder)
            assert str(error) == f"nothing answers at localhost:{server.url.split(':')[2][:-3]}"
            assert server.url in error.way_out
            server.start()
        assert embedder.embed(["a"]).any()

    def test_a_host_that_takes_no_connection(self) -> None:
        with closing(socket.socket()) as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            with ExitStack() as queue:
                for _ in range(4):  # until there is no room in its queue
                    waiting = queue.enter_context(closing(socket.socket()))
                    waiting.setblocking(False)
                    waiting.connect_ex(deaf.getsockname())
                url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
                error = refused(OpenAIEmbedder("bge-m3", base_url=url, timeout=0.2, retries=0))
        assert "cannot be reached within 0.2 s" in str(error)

    def test_what_is_not_on_this_machine_is_not_asked_when_offline(self) -> None:
        embedder = OpenAIEmbedder("bge-m3", base_url="http://no-such-host.invalid/v1", retries=0)
        assert "is not on this machine, and AGENTMEM_OFFLINE is on" in str(refused(embedder))

    def test_a_host_that_does_not_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
        embedder = OpenAIEmbedder("bge-m3", base_url="http://no-such-host.invalid/v1", retries=0)
        assert "cannot be reached" in str(refused(embedder))

    def test_closing_ends_a_wait(self, server: Loopback) -> None:
        server.script.append(refusal(429, "slowly", retry_after="50"))
        embedder = opened(server)
        failed: list[Exception] = []

        def embed() -> None:
            try:
                embedder.embed(["a"])
            except EmbeddingError as error:
                failed.append(error)

        thread = threading.Thread(target=embed)
        thread.start()
        began = time.monotonic()
        while thread.is_alive():
            if server.asked:
                embedder.close()
            thread.join(0.01)
        assert len(failed) == 1
        assert time.monotonic() - began < 30


class TestSecrets:
    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 422, 429, 500])
    def test_a_key_that_the_server_repeats_is_never_shown(
        self, server: Loopback, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.script += [refusal(status, f"Bad key {KEY}, or was it {KEY[:12]}********{KEY[-4:]}?")] * 3
        embedder = opened(server, api_key=KEY, retries=1)
        with caplog.at_level(logging.DEBUG):
            error = refused(embedder)
        shown = "".join(traceback.format_exception(error)) + error.way_out + repr(error) + repr(embedder) + caplog.text
        for secret in (KEY, KEY[:12], KEY[-4:]):
            assert secret not in shown

    def test_a_key_that_looks_like_none_is_never_shown(self, server: Loopback) -> None:
        server.script.append(refusal(403, "swordfish is not on the list"))
        assert "swordfish" not in str(refused(opened(server, api_key="swordfish")))

    def test_a_password_in_the_url_is_sent_and_never_shown(
        self, server: Loopback, caplog: pytest.LogCaptureFixture
    ) -> None:
        embedder = opened(server, base_url=server.url.replace("://", "://ana:p%40ssword@"), api_key=KEY)
        with caplog.at_level(logging.DEBUG):
            embedder.embed(["a"])
            server.stop()
            error = refused(embedder)
        assert server.asked[0].headers["authorization"] == "Basic YW5hOnBAc3N3b3Jk"
        shown = f"{embedder.id} {embedder!r} {error} {error.way_out} {caplog.text}"
        assert not any(secret in shown for secret in ("ana:", "ssword", KEY))


def test_connections_are_closed_without_a_warning(server: Loopback) -> None:
    script = f"""
        import gc
        from agentmem.embedders.openai import OpenAIEmbedder
        closed, dropped, kept = (OpenAIEmbedder("m", base_url={server.url!r}, dimension=8) for _ in range(3))
        for embedder in (closed, dropped, kept):
            embedder.embed(["a"])
        closed.close()
        closed.close()
        print(closed.embed(["a"]).shape)
        closed.close()
        del dropped
        gc.collect()
    """
    assert child(script) == "(1, 8)\n"


def child(script: str) -> str:
    """What the script prints in a fresh interpreter where a warning is an error, and nothing is said besides."""
    search = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", dedent(script)],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_memory_lives_through_the_outage_of_its_server(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.dimension, server.model, server.key = 32, "own-model", KEY
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    spelling = f"openai:own-model@{server.url}#32"
    with Memory.open(tmp_path / "notes.mem", embedder=spelling) as memory:
        ferry = memory.add("the ferry leaves at nine")
        memory.add_many(["a violin in the attic", "soup for supper"])
        hits = memory.recall("when leaves the ferry", k=3)
        assert hits[0].record == ferry
        assert "dense" in hits[0].parts
        asked = len(server.asked)

        server.stop()
        late = memory.add("the ferry is late today")
        caplog.clear()
        hits = memory.recall("late ferry", k=2)
        assert [hit.record for hit in hits] == [late, ferry]  # by their words
        assert "dense" not in hits[0].parts
        assert "words alone" in caplog.text
        assert KEY not in caplog.text

        server.start()
        give_up = time.monotonic() + 60
        while "dense" not in (hits := memory.recall("late ferry", k=2))[0].parts and time.monotonic() < give_up:
            continue
        assert [hit.record for hit in hits] == [late, ferry]
        assert "dense" in hits[0].parts
        assert memory.flush() == 0
        assert memory.stats().pending == 0
    texts = [text for request in server.asked for text in request.texts]
    assert len([text for text in texts if "late today" in text]) == 1  # embedded once, when it could be
    assert asked

    server.asked.clear()
    with Memory.open(tmp_path / "notes.mem", embedder=spelling) as memory:
        assert memory.recall("a violin", k=1)[0].record.text == "a violin in the attic"
    assert [request.texts for request in server.asked] == [["a violin"]]  # nothing is embedded again


def test_a_cue_that_is_embedded_asks_for_a_question(server: Loopback) -> None:
    embedder = opened(server)
    np.testing.assert_allclose(np.linalg.norm(cue_embedded(embedder, "the ferry leaves")[0]), 1, atol=1e-6)
