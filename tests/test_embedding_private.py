"""An embedder elsewhere is never sent what is private, and recall does without."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.config import Settings
from agentmem.cues import Cue
from agentmem.ledger import vectors_cursor
from agentmem.models.choice import Need
from agentmem.models.embedding import NotAsked
from agentmem.models.pool import ModelPool
from agentmem.models.settings import ModelSettings, Terms
from agentmem_apps.doctor.examination import examine
from tests.elsewhere import (
    ELSEWHERE,
    TEXTS,
    Opener,
    Said,
    by_vector,
    calls,
    online,
    opened,
    private,
    sent,
    server,
    spec,
)
from tests.fakes import TinyEmbedder
from tests.loopback import Loopback

__all__ = ["online", "opened", "server"]


def test_of_a_private_scope_nothing_is_sent_and_its_texts_wait(
    opened: Opener, server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "agentmem"):
        memory = opened(private=private("user:ana"))
        ana = memory.scope("user:ana", "diary")
        ana.add_many(TEXTS)
        for _ in range(3):
            hits = ana.recall("when does the ferry leave?")
            assert hits[0].record.text == TEXTS[0]
            assert not by_vector(hits)
        with pytest.raises(NotAsked, match="user:ana never leaves this machine") as caught:
            ana.flush()
        assert "[models.private]" not in str(caught.value)
        assert "under [models]" in caught.value.way_out
    assert server.asked == []
    assert ana.calls.listed() == []
    assert ana.stats().pending == len(TEXTS)
    assert ana._ledger.embedders() == []
    assert caplog.text.count("user:ana never leaves this machine") == 1
    assert "under [models]" in caplog.text
    memory.add("a text of a neighbour")
    assert by_vector(memory.recall("neighbour"))
    assert all("neighbour" in text for text in sent(server))
    ana = opened().scope("user:ana", "diary")
    assert by_vector(ana.recall("ferry", k=3))
    assert ana.stats().pending == 0
    assert {text.partition(") ")[2] for text in sent(server)} >= set(TEXTS)


def test_an_edit_in_a_private_scope_takes_the_old_vector_out_and_sends_nothing(
    opened: Opener, server: Loopback
) -> None:
    memory = opened()
    record = memory.add(TEXTS[0])
    assert by_vector(memory.recall("ferry"))
    memory = opened(private=private("default"))
    server.asked.clear()
    memory.edit(record.id, text="the whale sleeps")
    hits = memory.recall("whale")
    assert [hit.record.text for hit in hits] == ["the whale sleeps"]
    assert not by_vector(hits)
    assert server.asked == []
    memory = opened()
    assert by_vector(memory.recall("whale"))
    assert any("whale sleeps" in text for text in sent(server))


def test_a_vector_that_is_given_counts_in_a_private_scope(opened: Opener, server: Loopback) -> None:
    memory = opened(private=private("default"))
    memory.add(TEXTS[0], vector=[1.0] * 8)
    assert memory.flush() == 0
    assert by_vector(memory.recall(Cue(text="ferry", vector=(1.0,) * 8)))
    assert server.asked == []


def test_memories_of_a_private_kind_are_found_by_their_words_and_embedded_once_they_may(
    opened: Opener, server: Loopback, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    memory = opened(private=private(kinds=["note"]))
    memory.add_many(TEXTS)
    with caplog.at_level(logging.WARNING, "agentmem"):
        secret = [memory.add(f"swordfish number {n}", kind="note") for n in range(3)]
        hits = memory.recall("swordfish number 2")
        assert hits[0].record == secret[2]
        memory.add("another swordfish", kind="note")
        memory.recall("swordfish")
    assert caplog.text.count("agentmem doctor --fix") == 1
    assert memory.stats().pending == 0
    assert by_vector(memory.recall("ferry"))
    assert not any("number" in text for text in sent(server) if text != "swordfish number 2")  # that was asked
    assert not memory.host.vectors([record.position for record in secret]).any()
    settings = Settings(
        memory=place,
        embedder=spec(server),
        models=ModelSettings(terms={spec(server): ELSEWHERE}, private=private(kinds=["note"])),
    )
    [told] = [finding for finding in examine(settings) if finding.name == "vectors"]
    assert told.severity == "ok"
    assert "3 of 7 texts embedded; 4 may not be sent" in told.sentence
    opened().close()
    free = Settings(memory=place, embedder=spec(server), models=ModelSettings(terms={spec(server): ELSEWHERE}))
    mended = [finding.mended(lambda done, total: None) for finding in examine(free) if finding.severity == "fault"]
    assert [finding.done for finding in mended] == ["embedded 4 texts again"]
    memory = opened()
    assert memory.host.vectors([record.position for record in secret]).any(axis=1).all()


def test_an_edit_to_another_kind_is_sent_and_one_to_a_private_kind_is_not(opened: Opener, server: Loopback) -> None:
    memory = opened(private=private(kinds=["note"]))
    note, turn = memory.add("the first swordfish", kind="note"), memory.add("a whale")
    memory.flush()
    assert len(sent(server)) == 1
    memory.edit(note.id, kind="turn")
    memory.edit(turn.id, kind="note", text="a secret whale")
    memory.flush()
    assert sent(server)[1:] == [f"({note.at.day} {note.at:%B} {note.at.year}) the first swordfish"]
    assert not memory.host.vectors([turn.position]).any()


def test_what_stores_embed_of_unknown_or_private_kinds_is_not_sent(opened: Opener, server: Loopback) -> None:
    memory = opened(private=private(kinds=["note"]))
    host = memory.host
    with pytest.raises(NotAsked, match="kind note never leaves this machine"):
        host.embed(["of whom?"])
    with pytest.raises(NotAsked):
        host.embed(["of a note"], ["turn", "note"])
    assert server.asked == []
    assert host.embed(["of a turn"], ["turn"]).any()
    assert calls(memory)[0].cause == "a store's texts"
    memory.add("the secret", kind="note")
    assert memory.add("the secret", kind="note", repeats="count")
    assert sent(server) == ["of a turn"]


def test_a_private_kind_is_left_out_of_rehearsal(opened: Opener, server: Loopback) -> None:
    memory = opened(private=private(kinds=["note"]))
    memory.add_many(TEXTS)
    memory.add("a swordfish in the attic, of which nobody may know", kind="note")
    memory.flush()
    report = memory.consolidate("rehearsal", now="2100-01-01T00:00:00Z")["rehearsal"]
    assert report.counts["rehearsed"] == len(TEXTS)
    assert not any("swordfish" in text for text in sent(server))


def test_a_local_server_is_sent_what_is_private_and_so_is_one_that_is_said_to_be(
    opened: Opener, server: Loopback
) -> None:
    memory = opened(terms=None, private=private("default", kinds=["turn"]))
    memory.add(TEXTS[0])
    assert by_vector(memory.recall("ferry"))
    assert len(sent(server)) == 2


def test_offline_nothing_elsewhere_is_asked_and_what_is_here_is(
    opened: Opener, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_OFFLINE", "on")
    memory = opened()
    memory.add(TEXTS[0])
    assert not by_vector(memory.recall("ferry"))
    assert server.asked == []
    memory = opened(terms=None)
    assert by_vector(memory.recall("ferry"))


def test_reindexing_a_private_scope_keeps_the_vectors_it_has(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add_many(TEXTS)
    memory.flush()
    memory = opened(private=private("default"))
    with pytest.raises(NotAsked):
        memory.reindex("vectors")
    assert memory._ledger.cursor(vectors_cursor(memory.embedder.id)) > 0


class SaidHere(Said):
    is_local = True


class SaidInside(Said):
    in_process = True


@pytest.mark.parametrize(
    ("kind", "terms", "asked", "noted"),
    [(Said, None, 0, 0), (Said, Terms(local=True), 2, 2), (SaidHere, None, 2, 2), (SaidInside, None, 2, 0)],
)
def test_an_embedder_of_ones_own_is_elsewhere_unless_it_says_so(
    kind: type[Said], terms: Terms | None, asked: int, noted: int, tmp_path: Path
) -> None:
    embedder = kind()
    models = ModelPool(terms={} if terms is None else {embedder.id: terms}, private=private("default"))
    with Memory.open(tmp_path / "m", embedder=embedder, models=models) as memory:
        memory.add(TEXTS[0])
        assert memory.recall("ferry")[0].record.text == TEXTS[0]
        assert (len(embedder.texts), len(memory.calls.listed())) == (asked, noted)
        assert memory.router.models(Need("embed"))[0].refused is (asked == 0)


class Integration:
    """As LangChain's are, of which the dimension is not known before a text is embedded."""

    def __init__(self, base_url: str | None) -> None:
        self.base_url = base_url
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        rows: list[list[float]] = TinyEmbedder().embed(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.mark.parametrize(("url", "goes"), [(None, False), ("https://example.org", False), ("http://[::1]:80", True)])
def test_langchains_embeddings_are_where_their_server_is(url: str | None, goes: bool, tmp_path: Path) -> None:
    made = Integration(url)
    with Memory.open(tmp_path / "m", embedder=made, models=ModelPool(private=private("default"))) as memory:
        memory.add(TEXTS[0])
        for _ in range(3):
            assert memory.recall("ferry")[0].record.text == TEXTS[0]
        assert bool(made.texts) is goes
        assert len(made.texts) == len(memory.calls.listed())
        assert goes == ("its dimension" in {call.cause for call in calls(memory)})


def test_idle_time_work_of_a_private_scope_is_done_on_this_machine(opened: Opener, server: Loopback) -> None:
    memory = opened(private=private("default"))
    for n in range(120):
        memory.add(f"On day {n} we sailed past the island number {n} and counted {n} gulls.", session="trip")
    reports = memory.consolidate(now="2100-01-01T00:00:00Z")
    assert [name for name, report in reports.items() if report.fault is not None] == []
    assert any(record.kind == "summary" for record in memory.records())
    assert server.asked == []


def test_what_was_useful_is_still_learned_from_once_a_scope_is_private(opened: Opener, server: Loopback) -> None:
    memory = opened()
    memory.add_many({"text": text, "place": "the quay"} for text in TEXTS)
    memory.feedback(memory.recall("when does the ferry leave?")[0], useful=True)
    memory.flush()
    memory = opened(private=private("default"))
    server.asked.clear()
    assert "of 1 memories found useful" in memory.consolidate("episodic")["episodic"].summary
    assert server.asked == []
