"""Links: two steps through a name, ties from feedback, and the whole against a dense oracle."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import Conflict, Cue, InvalidInput, Memory, RecordNotFound, UndoBlocked
from agentmem.feedback import VERB
from agentmem.ledger import Draft, Reader, Segment
from agentmem.recall.corpus import micros
from agentmem.recall.stores import Attached
from agentmem.records import Record
from agentmem_stores.links import LinkGraph
from agentmem_stores.naming import key
from agentmem_stores.projection import pack, unpack
from agentmem_stores.resonance import ETA, HALF_LIFE

numbers = itertools.count()
START = datetime(2024, 5, 1, tzinfo=UTC)


class Topics:
    """A text is the sum of its ~topics, each an axis of its own; one without any has no embedding."""

    id = "topics-512-v1"
    dimension = 512
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for topic in re.findall(r"~\w+", text):
                row[zlib.crc32(topic.encode()) % self.dimension] += 1
        return rows


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("links") / "m", embedder=Topics()) as opened:
        yield opened


@pytest.fixture
def memory(house: Memory) -> Memory:
    return room(house)


def room(house: Memory) -> Memory:
    """An empty memory, cheaper than a folder."""
    return house.scope(f"room:{next(numbers)}")


def followed(memory: Memory, store: LinkGraph | None = None) -> LinkGraph:
    """The store, up to date."""
    memory.flush()
    store = LinkGraph(memory.host) if store is None else store
    Attached("followed", store, memory.host, 1.0).follow()
    return store


def texts(store: LinkGraph, cue: str, k: int = 64, now: datetime | None = None) -> list[str]:
    return [hit.record.text for hit in store.recall(Cue(cue, now=now), k)]


def scores(store: LinkGraph, cue: str, now: datetime | None = None) -> list[tuple[str, float]]:
    return [(hit.record.text, hit.score) for hit in store.recall(Cue(cue, now=now), 64)]


def filler(memory: Memory, number: int) -> None:
    memory.add_many(f"~filler{n} nothing of note happened" for n in range(number))


# ── which mentions count ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_that_opens_a_sentence_counts_where_it_is_a_name_elsewhere(memory: Memory) -> None:
    first = memory.add("Porto has six bridges")
    links = followed(memory)
    assert (links.entities(first.id), links.mentions("porto")) == ([], [])
    second = memory.add("they moved to Porto")
    followed(memory, links)
    assert links.entities(first.id) == ["Porto"]
    assert [record.id for record in links.mentions("PORTO")] == [second.id, first.id], "the newest first"
    memory.forget(second.id)
    followed(memory, links)
    assert links.entities(first.id) == []


def test_a_name_is_spelt_as_each_memory_writes_it(memory: Memory) -> None:
    records = memory.add_many(["a banana for Ana", "we met ZOË and ANA’s dog", "with Ana Silva"])
    links = followed(memory)
    assert [links.entities(record.id) for record in records] == [["Ana"], ["ZOË", "ANA"], ["Ana Silva", "Ana"]]


def test_a_word_that_is_seldom_a_name_is_none_where_it_may_be_one(memory: Memory) -> None:
    memory.add_many(["Thanks a lot"] * 5)
    links = followed(memory)
    one = memory.add("so I said Thanks a lot")
    followed(memory, links)
    assert [record.id for record in links.mentions("thanks")] == [one.id]
    memory.add("then he said Thanks a lot")
    followed(memory, links)
    assert len(links.mentions("thanks")) == 7


# ── two steps ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_two_steps_away_is_found_though_it_shares_nothing_with_the_cue(memory: Memory) -> None:
    filler(memory, 60)
    memory.add("~bicycle the red one belongs to Tomas, says Ana")
    answer = memory.add("the house of Tomas stands in Porto")
    memory.add("~filler1 the house of Bruno stands in Faro")
    links = followed(memory)
    for cue in ("~bicycle whose is it?", "what does ANA know?"):
        hits = links.recall(Cue(cue), 5)
        assert [hit.record.text for hit in hits][1] == answer.text
        assert hits[1].verdict == "by Tomas"
        assert hits[1].parts == {"links": hits[1].score}
    near = memory.host.nearest(Topics().embed(["~bicycle"])[0], 8)
    assert answer.position not in near.positions.tolist(), "by vectors it is not found"


def test_a_name_that_a_tenth_of_all_have_links_nothing(memory: Memory) -> None:
    filler(memory, 100)
    common = memory.add_many([f"they met Bea ({n})" for n in range(12)])
    memory.add_many([f"they met Bea with Dora ({n})" for n in range(2)])
    rare = memory.add_many([f"they met Cleo ({n})" for n in range(8)])
    links = followed(memory)
    assert texts(links, "where is Bea?") == []
    assert sorted(texts(links, "where is Cleo?")) == [record.text for record in rare]
    assert links.neighbours(common[0].id) == links.neighbours("Bea") == []
    assert len(links.mentions("Bea", 50)) == 14, "but it is known who names it"


def test_the_rarer_name_counts_for_more(memory: Memory) -> None:
    filler(memory, 100)
    memory.add("they met Cleo and Dora")
    memory.add_many([f"Cleo again, and Cleo ({n})" for n in range(4)])
    memory.add("so it was Dora, (4)")
    links = followed(memory)
    start = memory.host.ledger.at([links.mentions("Dora")[1].position])[0]
    weights = {link.to.text: link.weight for link in links.neighbours(start.id) if isinstance(link.to, Record)}
    assert max(weights, key=lambda text: weights[text]) == "so it was Dora, (4)"
    assert sum(weights.values()) <= 1.0


# ── the whole, against dense matrices ────────────────────────────────────────────────────────────────────────────


TAGS = ("kilo", "lima", "mike", "nova", "oslo", "papa", "quay")
described = st.lists(
    st.tuples(st.sets(st.sampled_from(TAGS), max_size=3), st.sets(st.sampled_from(["~x", "~y", "~z"]), max_size=2)),
    min_size=1,
    max_size=14,
)


@settings(max_examples=20, deadline=None)
@given(
    described=described,
    helped=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=4),
    asked=st.tuples(st.sets(st.sampled_from(TAGS), max_size=2), st.sampled_from(["", "~x", "~y ~z"])),
    days=st.integers(0, 90),
)
def test_activation_is_that_of_dense_matrices(
    described: list[tuple[set[str], set[str]]],
    helped: list[tuple[int, int]],
    asked: tuple[set[str], str],
    days: int,
    house: Memory,
) -> None:
    memory = room(house)
    items = [{"text": f"({n}) {' '.join(sorted(about))}", "tags": tags} for n, (tags, about) in enumerate(described)]
    records = memory.add_many(items)
    for n, (one, other) in enumerate(helped):
        memory.feedback(records[one % len(records)].id, useful=True, cue=f"cue {n}")
        memory.feedback(records[other % len(records)].id, useful=True, cue=f"cue {n}")
    links = followed(memory)
    told = {change.step: change.at for change in memory.log(100) if change.verb == VERB}
    now = max(told.values(), default=START) + timedelta(days=days)
    wanted = dense(memory, records, [set(tags) for tags, _ in described], asked, now)
    cue = Cue(" ".join([*sorted(asked[0]), asked[1]]), now=now)
    found = {hit.record.id: hit.score for hit in links.recall(cue, 50)}
    for record, value in zip(records, wanted, strict=True):
        assert found.get(record.id, 0.0) == pytest.approx(value, abs=1e-7)  # cosines are of float32


def dense(
    memory: Memory,
    records: Sequence[Record],
    tags: Sequence[set[str]],
    asked: tuple[set[str], str],
    now: datetime,
) -> NDArray[np.float64]:
    """The activation that comes to each record, by the words of what it is: names and records as one matrix."""
    count = len(records)
    spread_over = np.array([sum(tag in own for own in tags) for tag in TAGS])
    rarity = np.maximum(0, 1 - np.log(np.maximum(spread_over, 1)) / np.log(8))
    shares = np.zeros((count + len(TAGS), count + len(TAGS)))
    ties = tied(memory, records, now)
    for n, own in enumerate(tags):
        weights = np.array([rarity[t] if tag in own and spread_over[t] > 1 else 0 for t, tag in enumerate(TAGS)])
        strength = ties[n].sum()
        shares[n, :count] = 0.5 * ties[n] / max(1.0, strength)
        if weights.sum():
            shares[n, count:] = weights / weights.sum() * (1 - 0.5 * min(1.0, strength))
    for (t, tag), (n, own) in itertools.product(enumerate(TAGS), enumerate(tags)):
        if tag in own and rarity[t] > 0:
            shares[count + t, n] = 1 / spread_over[t]
    named = np.array([rarity[t] if tag in asked[0] and spread_over[t] else 0 for t, tag in enumerate(TAGS)])
    vectors = memory.host.vectors([record.position for record in records])
    cue = Topics().embed([asked[1]])[0]
    cosines = vectors @ (cue / max(1e-9, float(np.linalg.norm(cue))))
    best = sorted((n for n in range(count) if cosines[n] > 0), key=lambda n: (-cosines[n], n))[:8]
    near = np.zeros(count)
    near[best] = np.exp((cosines[best] - cosines.max()) / 0.1)
    halves = [half / half.sum() for half in (np.append(np.zeros(count), named), np.append(near, np.zeros(len(TAGS))))
              if half.sum()]  # fmt: skip
    start = sum(halves, np.zeros(count + len(TAGS))) / max(1, len(halves))
    degrees = (shares > 0).sum(axis=1)
    degrees[:count] = [len(own) for own in tags]
    active = start
    for _ in range(4):
        going = np.where(active >= 2e-4 * np.maximum(degrees, 1), active, 0)
        active = 0.5 * start + 0.5 * shares.T @ going
    found: NDArray[np.float64] = active[:count] - 0.5 * start[:count]
    return found


def tied(memory: Memory, records: Sequence[Record], now: datetime) -> NDArray[np.float64]:
    """The weights of ties, from what was said: each cue was said of two memories, one after the other."""
    number = {record.id: n for n, record in enumerate(records)}
    said = list(memory.feedbacks())
    found, since = np.zeros((len(records),) * 2), np.zeros((len(records),) * 2)
    for first, second in zip(said[::2], said[1::2], strict=True):
        one, other, at = number[first.record], number[second.record], micros(second.at)
        if one != other:
            for a, b in ((one, other), (other, one)):
                found[a, b] = min(1.0, found[a, b] * 0.5 ** ((at - since[a, b]) / HALF_LIFE) + ETA)
                since[a, b] = at
    return np.where(found > 0, found * 0.5 ** ((micros(now) - since) / HALF_LIFE), 0.0)


# ── ties ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def chain(memory: Memory) -> tuple[Record, list[Record]]:
    """One that a cue finds, and others that it does not, each linked with the first by a name of its own."""
    filler(memory, 60)
    start = memory.add("~storm what Ana, Bea and Cleo saw")
    return start, memory.add_many([f"later we met {name}, ({n})" for n, name in enumerate(("Ana", "Bea", "Cleo"))])


def helped(memory: Memory, *records: Record, useful: bool = True, cue: str = "the storm") -> None:
    for record in records:
        memory.feedback(record.id, useful=useful, cue=cue)


def test_what_helped_together_rises_together_and_fades_back(memory: Memory) -> None:
    start, others = chain(memory)
    links = followed(memory)
    order = [start.text, *(other.text for other in others)]
    before = scores(links, "~storm")
    assert [text for text, _ in before] == order
    for rounds in range(1, 4):
        helped(memory, start, others[2])
        followed(memory, links)
        assert links.tie(start.id, others[2].id) == pytest.approx(min(1.0, ETA * (2 * rounds - 1)), abs=1e-6)
        found = texts(links, "~storm")
        assert [text for text in found if text != start.text] == [order[3], order[1], order[2]]
    hit = next(hit for hit in links.recall(Cue("~storm"), 4) if hit.record.id == others[2].id)
    assert hit.verdict == "by Cleo; helped together with '~storm what Ana, Bea and Cleo saw'"
    later = datetime.now(UTC) + timedelta(days=30)
    assert links.tie(start.id, others[2].id, later) == pytest.approx(0.5, abs=1e-6)
    risen = [dict(scores(links, "~storm", now=later + timedelta(days=n)))[order[3]] for n in (0, 30, 90, 150)]
    assert risen == sorted(risen, reverse=True)
    assert scores(links, "~storm", now=later + timedelta(days=400)) == before, "as if there had never been a tie"


def test_what_did_not_help_sinks_again(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start, others[2], start, others[2])
    links = followed(memory)
    strong = links.tie(start.id, others[2].id)
    risen = texts(links, "~storm").index(others[2].text)
    helped(memory, others[2], useful=False)
    followed(memory, links)
    weaker = links.tie(start.id, others[2].id)
    assert weaker == pytest.approx(strong - ETA, abs=1e-6)
    for _ in range(4):
        helped(memory, start, others[2], useful=False)
    followed(memory, links)
    assert links.tie(start.id, others[2].id) == 0.0
    assert texts(links, "~storm").index(others[2].text) > risen


def test_without_ties_all_is_as_without_resonance(house: Memory) -> None:
    said = []
    for spoken in (False, True):
        memory = room(house)
        start, others = chain(memory)
        if spoken:  # of one memory each time, so of no two together
            helped(memory, start, cue="a")
            helped(memory, others[1], cue="b")
            helped(memory, others[2], start, cue="")
        said.append([scores(followed(memory), cue) for cue in ("~storm", "where is Cleo?", "~filler3 and Ana")])
    assert said[0] == said[1]
    assert all(said[0])


def test_hits_of_one_recall_are_tied_however_their_cue_is_written(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start, cue="The  STORM")
    helped(memory, others[0], cue="the storm")
    helped(memory, others[1], cue="another")
    with memory.step("what helped"):
        helped(memory, others[1], cue="")
        helped(memory, others[2], cue="")
    links = followed(memory)
    ids = [record.id for record in (start, *others)]
    found = {(i, j) for i in range(4) for j in range(i) if links.tie(ids[i], ids[j])}
    assert found == {(1, 0), (3, 2)}


def test_undo_takes_a_tie_back_and_redo_brings_it_again(memory: Memory) -> None:
    start, others = chain(memory)
    links = followed(memory)
    helped(memory, start, others[0])
    followed(memory, links)
    there = links.tie(start.id, others[0].id, START)
    assert there == ETA
    memory.undo()
    assert followed(memory, links).tie(start.id, others[0].id, START) == 0.0
    assert followed(memory).tie(start.id, others[0].id, START) == 0.0, "the same when made anew"
    memory.redo()
    assert followed(memory, links).tie(start.id, others[0].id, START) == there
    assert followed(memory).tie(start.id, others[0].id, START) == there
    memory.undo(2)
    memory.redo(2)
    assert followed(memory, links).tie(start.id, others[0].id, START) == there


def test_what_is_said_further_on_is_not_heard_before_its_time(memory: Memory) -> None:
    """The journal is ahead of who follows it: what comes after an undo is heard when it comes."""
    start, others = chain(memory)
    helped(memory, start)
    memory.undo()
    helped(memory, others[0])
    helped(memory, start)
    links = LinkGraph(memory.host)
    for change in memory.host.ledger.changes():
        links.apply([change])
        links.inspect()
    assert links.tie(start.id, others[0].id, START) == followed(memory).tie(start.id, others[0].id, START) == ETA


DEEDS = ("useful", "useless", "undo", "redo", "forget", "restore", "edit", "add")


@settings(max_examples=12, deadline=None)
@given(deeds=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 3), st.integers(0, 1)), min_size=4, max_size=12))
def test_however_it_is_followed_it_is_the_same(deeds: list[tuple[str, int, int]], house: Memory) -> None:
    """While it happened, change by change when all of it had, and at once."""
    memory = room(house)
    told = memory.add_many([f"~{n} we met {name} and Dora" for n, name in enumerate(("Ana", "Bea", "Cleo", "Ana"))])
    along = followed(memory)
    for deed, n, cue in deeds:
        with suppress(UndoBlocked, Conflict, InvalidInput, RecordNotFound):
            match deed:
                case "useful" | "useless":
                    memory.feedback(told[n].id, useful=deed == "useful", cue=f"cue {cue}")
                case "undo" | "redo":
                    _ = memory.undo(1 + cue) if deed == "undo" else memory.redo(1 + cue)
                case "forget" | "restore":
                    _ = memory.forget(told[n].id) if deed == "forget" else memory.restore(told[n].id)
                case "edit":
                    memory.edit(told[n].id, text=f"~{cue} they saw Ana in Faro")
                case "add":
                    memory.add("and Bea went home")
        followed(memory, along)
    stepwise = LinkGraph(memory.host)
    for change in memory.host.ledger.changes():
        stepwise.apply([change])
    seen = []
    for links in (along, stepwise, followed(memory)):
        live = [one.id for one in memory.records()]
        ties = [links.tie(one, other, START) for one, other in itertools.combinations(live, 2)]
        seen.append((links.inspect(), ties, scores(links, "~1 and Ana", START)))
    assert seen[0] == seen[1] == seen[2]


def test_forged_feedback_is_passed_over(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start)

    def plan(reader: Reader) -> list[Draft]:
        return [Draft(VERB, one.id, {}, {}, one) for one in reader.get([others[0].id])]

    for cause in ("", "{}", "[" * 50_000, '{"useful": 1, "cue": "the storm"}', '{"useful": true, "cue": 3}'):
        memory.host.write(plan, cause)
    links = followed(memory)
    assert links.inspect()["ties"] == 0
    helped(memory, others[0])
    assert followed(memory, links).inspect()["ties"] == 1


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hard", [False, True])
def test_what_is_forgotten_leaves_with_its_names_and_ties(memory: Memory, hard: bool) -> None:
    start, _ = chain(memory)
    links = followed(memory)
    bare = links.inspect()
    extra = memory.add("on the quay with Zora")
    helped(memory, start, extra)
    followed(memory, links)
    assert [record.id for record in links.mentions("Zora")] == [extra.id]
    assert links.tie(start.id, extra.id) > 0
    memory.forget(extra.id, hard=hard)
    followed(memory, links)
    assert links.inspect() == bare
    assert links.mentions("Zora") == []
    assert "zora" not in repr(vars(links._mentions))
    with pytest.raises(RecordNotFound):
        links.tie(start.id, extra.id)
    with pytest.raises(RecordNotFound):
        links.neighbours("Zora")
    if not hard:
        memory.restore(extra.id)
        assert followed(memory, links).tie(start.id, extra.id) > 0, "what comes back has them again"
    links.rebuild()
    [kept] = memory.host.ledger.segments("links")
    assert (b"zora" in kept.data) is not hard
    assert len(unpack(kept.data)[1]["notes"]) == (1 if hard else 2)


def test_what_is_edited_names_what_it_says_now(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start, others[0])
    links = followed(memory)
    memory.edit(others[0].id, text="later we met Dora, (0)", place="Quay/Berth 9")
    followed(memory, links)
    assert links.entities(others[0].id) == ["Berth 9", "Quay", "Dora"]
    assert [record.id for record in links.mentions("Ana")] == [start.id]
    assert links.tie(start.id, others[0].id) > 0, "a tie is of the memory, not of its words"
    memory.undo()
    assert followed(memory, links).entities(others[0].id) == ["Ana"]


def test_another_scope_is_not_seen(memory: Memory) -> None:
    mine, other, inside = memory.scope("a"), memory.scope("b"), memory.scope("a", "inside")
    for place in (other, inside):
        place.add("the secret of Zora")
        followed(place)
    own = mine.add("we met Ana")
    links = followed(mine)
    assert links.mentions("Zora") == []
    assert texts(links, "who knows Zora or Ana?") == ["we met Ana"]
    assert links.inspect()["records"] == 1
    assert set(links.graph().nodes) == {("record", own.id), ("name", "ana")}


# ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_neighbours_of_a_memory_and_of_a_name(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start, others[1], start, others[1])
    links = followed(memory)
    beside = links.neighbours(start.id)
    assert [link.to.id for link in beside if isinstance(link.to, Record)] == [others[1].id, others[2].id, others[0].id]
    assert [link.why for link in beside] == ["by Bea; helped together", "by Cleo", "by Ana"]
    names = links.neighbours("bea")
    assert [(link.to, link.why) for link in names] == [
        ("Ana", "in 1 memory together"),
        ("Cleo", "in 1 memory together"),
    ]
    assert [link.why for link in links.neighbours(start.id, 1)] == [beside[0].why]
    assert links.neighbours(start.id, 0) == []


def test_the_graph_is_what_the_columns_say(memory: Memory) -> None:
    start, others = chain(memory)
    memory.edit(others[0].id, tags=["quay"], place="Harbour/Pier 3", speaker="Bea")
    helped(memory, start, others[2])
    links = followed(memory)
    graph = links.graph(limit=None)
    wanted = {
        (("record", record.id), ("name", key(name)))
        for record in (start, *others)
        for name in links.entities(record.id)
    }
    named = {tuple(sorted(edge[:2], reverse=True)) for edge in graph.edges(data="what") if edge[2] == "names"}
    assert named == wanted
    tie = graph.edges[("record", start.id), ("record", others[2].id)]
    assert tie == {"what": "helped together", "weight": pytest.approx(ETA, abs=1e-6)}
    assert graph.nodes["name", "bea"] == {"kind": "speaker", "label": "bea"}
    assert graph.nodes["name", "pier 3"]["kind"] == "place"
    assert graph.nodes["record", start.id] == {"kind": "turn", "label": start.text}
    assert graph.number_of_edges() == links.inspect()["mentions"] + links.inspect()["ties"]  # type: ignore[operator]
    assert nx.shortest_path_length(graph, ("record", others[0].id), ("record", others[1].id)) == 2
    weights = sorted((weight for *_, weight in graph.edges(data="weight")), reverse=True)
    few = links.graph(limit=3)
    assert sorted((weight for *_, weight in few.edges(data="weight")), reverse=True) == weights[:3]
    assert links.graph(limit=0).number_of_nodes() == 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda links: links.entities("nobody"), RecordNotFound),
        (lambda links: links.neighbours("nobody"), RecordNotFound),
        (lambda links: links.tie("nobody", "nobody"), RecordNotFound),
        (lambda links: links.mentions("Ana", -1), InvalidInput),
        (lambda links: links.neighbours("Ana", True), InvalidInput),
        (lambda links: links.recall(Cue("Ana"), -1), InvalidInput),
        (lambda links: links.graph(limit=-1), InvalidInput),
        (lambda links: links.mentions(3), InvalidInput),
        (lambda links: links.entities(b"x"), InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused(memory: Memory, call: Any, error: type[Exception]) -> None:
    memory.add("we met Ana")
    with pytest.raises(error):
        call(followed(memory))


# ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_next_process_goes_on_from_what_was_kept(memory: Memory) -> None:
    start, others = chain(memory)
    helped(memory, start, others[2])
    links = followed(memory)
    links.rebuild()
    kept = LinkGraph(memory.host)
    assert kept.cursor == links.cursor > 0
    assert scores(kept, "~storm", START) == scores(links, "~storm", START)
    assert kept.inspect() == links.inspect()
    assert kept.tie(start.id, others[2].id, START) == links.tie(start.id, others[2].id, START) == ETA


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_was_kept_and_is_damaged_is_derived_anew(data: st.DataObject, house: Memory) -> None:
    memory = room(house)
    start, others = chain(memory)
    helped(memory, start, others[2])
    links = followed(memory)
    links.rebuild()
    wanted = links.inspect(), scores(links, "~storm", START)
    [segment] = memory.host.ledger.segments("links")
    told, arrays = unpack(segment.data)
    name = data.draw(st.sampled_from(["names", *sorted(arrays)]))
    if name == "names":
        names = told[name]
        told[name] = data.draw(st.sampled_from([None, [], [3], ["a"] * len(names), [*names, names[0]]]))
    else:
        column = arrays[name].copy()
        how = data.draw(st.sampled_from(["type", "cut", "value"]))
        if how == "value":
            other = data.draw(st.sampled_from([-1, 0, 1, 127, 200]))
            column.flat[data.draw(st.integers(0, column.size - 1))] = np.int64(other).astype(column.dtype)
        arrays[name] = {"type": column.astype(np.float64), "cut": column[:-1], "value": column}[how]
    put = Segment(segment.until, pack(told, **arrays))
    memory.host.ledger.transact(lambda t: t.put_segment("links", put, standing=[segment.until], kept=0))
    again = LinkGraph(memory.host)
    if again.cursor:  # what stands there may be a state, though another one
        again.recall(Cue("~storm Ana"), 64), again.inspect(), again.graph(None), again.neighbours("Ana")
    else:
        followed(memory, again)
        assert (again.inspect(), scores(again, "~storm", START)) == wanted


def test_nothing_waits_for_vectors(tmp_path: Path) -> None:
    class Silent(Topics):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise ConnectionError("nobody is there")

    with Memory.open(tmp_path / "m", embedder=Silent()) as memory:
        one = memory.add("we met Ana")
        links = LinkGraph(memory.host)
        links.apply(memory.host.ledger.changes())
        assert [record.id for record in links.mentions("Ana")] == [one.id]
        assert texts(links, "where is Ana?") == ["we met Ana"], "names alone are enough"
