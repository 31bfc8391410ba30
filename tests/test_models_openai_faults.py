"""`OpenAIChat` and a server that fails, falls silent or goes away: what is told, what is kept, and what never leaks."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback
from itertools import islice

import pytest

from agentmem.errors import ConfigError, ModelError
from agentmem.models.openai import OpenAIChat
from tests.chat_client import FINE, KEY, bare_environment, checked, joined, opened, refused, server, streamed
from tests.chat_server import ChatServer, fault_schedule
from tests.loopback import Reply, refusal


class TestFailures:
    @pytest.mark.parametrize(
        ("reply", "told", "passing", "wait"),
        [
            (refusal(400, "no such thing"), "no such thing", False, None),
            (refusal(400, "This model's maximum context length is 8192 tokens"), "length", False, None),
            (refusal(401, "who are you?"), "key", False, None),
            (refusal(403, "not for you"), "not for you", False, None),
            (refusal(404, "try pulling it first"), "model m", False, None),
            (refusal(429, "You exceeded your quota", "insufficient_quota"), "quota", False, None),
            (refusal(429, "slowly", retry_after="3"), "less often", True, 3.0),
            (refusal(429, "slowly", retry_after_ms="250"), "less often", True, 0.25),
            (refusal(503, "loading model", retry_after="9"), "loading", True, 9.0),
            (refusal(408, "late"), "408", True, None),
            (refusal(500, "out of order"), "500", True, None),
            (Reply(529), "529", True, None),
            (Reply(how="dropped"), "dropped", True, None),
            (Reply(body=FINE, how="half"), "dropped", True, None),
            (Reply(body={"error": {"message": "upstream", "code": 502}}), "502: upstream", True, None),
            (Reply(body={"error": {"message": "bad tool", "code": 400}}), "400: bad tool", False, None),
        ],
        ids=lambda value: repr(value)[:30],
    )
    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_failure_says_whether_it_passes_and_is_not_asked_again(
        self, server: ChatServer, reply: Reply, told: str, passing: bool, wait: float | None, streamed: bool
    ) -> None:
        server.script.append(reply)
        model = opened(server)
        with pytest.raises(ModelError) as caught:
            list(model.stream("x")) if streamed else model.invoke("x")
        error = checked(caught.value)
        assert told in str(error)
        assert (error.passing, error.wait) == (passing, wait)
        assert len(server.asked) == 1
        assert model.invoke("x").text == "hello there"  # it is not left alone

    def test_a_stream_that_is_cut_gave_what_came_before(self, server: ChatServer) -> None:
        server.reply = lambda messages: "one two three four five six"
        server.faults = iter(["half", "half"])
        came: list[str] = []
        with pytest.raises(ModelError) as caught:
            came.extend(chunk.text for chunk in opened(server).stream("x"))
        assert "".join(came) == "one two three"
        assert checked(caught.value).passing
        with pytest.raises(ModelError) as caught:
            asyncio.run(streamed(opened(server)))
        assert checked(caught.value).passing

    def test_a_failure_that_is_told_in_the_middle_of_a_stream(self, server: ChatServer) -> None:
        for code, passing in ((503, True), (400, False), (None, True)):
            pieces = [b'data: {"choices": [{"delta": {"content": "one"}}]}\n\n',
                      f'data: {json.dumps({"error": {"message": "so sorry", "code": code}})}\n\n'.encode()]  # fmt: skip
            server.script.append(Reply(body=iter(pieces)))
            stream = opened(server).stream("x")
            assert next(stream).text == "one"
            with pytest.raises(ModelError, match="so sorry") as caught:
                list(stream)
            assert checked(caught.value).passing is passing

    def test_what_was_given_out_is_not_asked_for_again(self, server: ChatServer) -> None:
        pieces = [b'data: {"choices": [{"delta": {"content": "one"}}]}\n\n',
                  b'data: {"error": {"message": "no stream_options", "code": 400}}\n\n']  # fmt: skip
        server.script.append(Reply(body=iter(pieces)))
        with pytest.raises(ModelError, match="no stream_options"):
            list(opened(server).stream("x"))
        assert len(server.asked) == 1

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_server_that_is_silent(self, server: ChatServer, streamed: bool) -> None:
        server.script.append(Reply(how="hanging"))
        model = opened(server, timeout=0.3)
        with pytest.raises(ModelError, match=r"did not answer within 0\.3 s") as caught:
            list(model.stream("x")) if streamed else model.invoke("x")
        assert checked(caught.value).passing

    def test_a_server_that_falls_silent_in_the_middle(self, server: ChatServer) -> None:
        server.pause = threading.Event()
        stream = opened(server, timeout=0.3).stream("x")
        assert next(stream).text == "hello"
        with pytest.raises(ModelError, match=r"did not answer within 0\.3 s") as caught:
            list(stream)
        assert checked(caught.value).passing

        body = iter([b'{"choices": ', threading.Event()])
        server.script.append(Reply(body=body, headers={"Content-Type": "application/json"}))
        whole = opened(server, timeout=0.3).stream("x")  # which it does not stream, though it was asked to
        with pytest.raises(ModelError, match="did not answer"):
            list(whole)

    def test_a_slow_first_byte_is_waited_for(self, server: ChatServer) -> None:
        go = threading.Event()
        server.script.append(Reply(body=FINE, after=go))
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(opened(server).invoke("x").text))
        thread.start()
        while not server.asked:
            thread.join(0.005)
        assert said == []
        go.set()
        thread.join(30)
        assert said == ["fine"]

    def test_a_server_that_is_not_running_and_one_that_came_back(self, server: ChatServer) -> None:
        model = opened(server)
        assert model.invoke("x").text
        server.stop()
        assert "nothing answers at localhost" in str(error := refused(model))
        assert not error.passing
        server.start()
        assert model.invoke("x").text

    def test_faults_by_plan(self, server: ChatServer) -> None:
        """As many answers as the plan leaves, each its own, from several threads; every failure but pages may pass."""
        planned = list(islice(fault_schedule(7, 0.2), 200))
        server.faults, server.reply = iter(planned), lambda messages: messages[-1]["content"]
        model = opened(server)
        failed: list[ModelError] = []
        lock = threading.Lock()

        def ask(first: int) -> None:
            for number in range(first, 200, 4):
                try:
                    assert model.invoke(f"number {number}").text == f"number {number}"
                except ModelError as error:
                    with lock:
                        failed.append(error)

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(failed) == len([fault for fault in planned if fault]) > 20
        assert len([error for error in failed if not error.passing]) == planned.count("html")


class TestCancelling:
    def test_closing_a_stream_closes_the_connection(self, server: ChatServer) -> None:
        server.pause = threading.Event()
        stream = opened(server).stream("x")
        assert next(stream).text == "hello"
        stream.close()  # type: ignore[attr-defined]
        assert server.left.wait(30)

    @pytest.mark.parametrize("silent", [True, False], ids=["before the first byte", "in the middle"])
    def test_cancelling_a_task_closes_the_connection_at_once(self, server: ChatServer, silent: bool) -> None:
        if silent:
            server.script.append(Reply(how="hanging"))
        server.pause = threading.Event()
        came = asyncio.Event()

        async def ask() -> None:
            async for _ in opened(server).astream("x"):
                came.set()

        async def cancelled() -> None:
            task = asyncio.create_task(ask())
            while not (server.asked if silent else came.is_set()):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        assert server.left.wait(30)

    def test_streams_of_several_event_loops(self, server: ChatServer) -> None:
        model = opened(server)

        async def together() -> list[str]:
            return await asyncio.gather(*(streamed(model) for _ in range(5)))

        for _ in range(2):
            assert asyncio.run(together()) == ["hello there"] * 5


class TestWhereItGoes:
    def test_when_offline_no_other_machine_is_asked(self, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*args: object, **more: object) -> None:
            raise AssertionError("a connection was opened")

        assert opened(server).invoke("x").text == "hello there"
        far = OpenAIChat(model="m", base_url="http://example.org/v1")
        with monkeypatch.context() as patch:
            patch.setattr("socket.create_connection", never)
            patch.setattr("socket.getaddrinfo", never)
            assert "AGENTMEM_OFFLINE is on" in str(error := refused(far))
            assert not error.passing
            with pytest.raises(ModelError, match="AGENTMEM_OFFLINE"):
                list(far.stream("x"))
            with pytest.raises(ModelError, match="AGENTMEM_OFFLINE"):
                asyncio.run(streamed(far))
        monkeypatch.setenv("AGENTMEM_OFFLINE", "yes")
        with pytest.raises(ConfigError):
            far.invoke("x")

    def test_openai_without_a_key_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AGENTMEM_OFFLINE", "off")
        assert "there is no key" in str(refused(OpenAIChat(model="gpt-4.1-mini")))

    def test_what_is_sent_to_this_machine_goes_to_no_proxy_and_follows_nobody(
        self, server: ChatServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ChatServer() as other:
            for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
                monkeypatch.setenv(name, other.url)
            model = opened(server)
            assert model.invoke("x").text == joined(list(model.stream("x"))).text == "hello there"
            assert asyncio.run(streamed(model)) == "hello there"
            server.script += [Reply(307, headers={"Location": f"{other.url}/chat/completions"})] * 2
            assert "307" in str(refused(model))
            with pytest.raises(ModelError, match="307"):
                asyncio.run(streamed(model))
            assert other.asked == []


class TestSecrets:
    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 422, 429, 500])
    def test_a_key_that_the_server_repeats_is_never_shown(
        self, server: ChatServer, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.script += [refusal(status, f"Bad key {KEY}, or was it {KEY[:12]}********{KEY[-4:]}?")] * 2
        model = opened(server, api_key=KEY)
        with caplog.at_level(logging.DEBUG):
            error = refused(model)
            with pytest.raises(ModelError) as caught:
                list(model.stream("x"))
        shown = "".join(traceback.format_exception(error)) + "".join(traceback.format_exception(caught.value))
        shown += error.way_out + repr(error) + repr(model) + str(model.model_dump()) + caplog.text
        for secret in (KEY, KEY[:12], KEY[-4:]):
            assert secret not in shown
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"

    def test_a_password_in_the_address_is_sent_and_never_shown(self, server: ChatServer) -> None:
        model = opened(server, base_url=server.url.replace("://", "://ana:p%40ssword@"))
        assert model.invoke("x").text
        assert asyncio.run(streamed(model))
        assert {asked.headers["authorization"] for asked in server.asked} == {"Basic YW5hOnBAc3N3b3Jk"}
        server.stop()
        error = refused(model)
        shown = f"{model!r} {model.spec} {model.asdict()} {error} {error.way_out}"
        assert not any(secret in shown for secret in ("ana:", "ssword"))


__all__ = ["bare_environment", "server"]
