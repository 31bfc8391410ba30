"""Recall against oracles in plain Python: BM25, cosines and their sum, the filters, freshness, an attached store."""

from __future__ import annotations

import itertools
import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agentmem.cues import Cue, Hit
from agentmem.embedding import embedding_text
from agentmem.errors import Conflict, InvalidInput, UndoBlocked
from agentmem.memory import Memory
from agentmem.recall.corpus import Corpus
from agentmem.recall.presets import TRAINING_FREE
from agentmem.recall.text import WORD, terms
from agentmem.records import Change, Record, Scope
from agentmem.store import Models, Report
from agentmem.values import Json
from tests.fakes import TinyEmbedder

EMBEDDER = TinyEmbedder()
BASE = datetime(2024, 5, 3, 12, tzinfo=UTC)
VOCABULARY = ["tea", "launch", "launches", "harbour", "red", "boat", "Ana", "2024", "茶を飲", "the"]
sayings = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=6).map(" ".join)
numbers = itertools.count()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("recall") / "m", embedder=EMBEDDER) as memory:
        memory.route({})  # the engine alone
        yield memory


def room(house: Memory) -> Memory:
    """An empty memory, cheaper than a folder."""
    return house.scope(f"room:{next(numbers)}")


# ── thirteen verbs ───────────────────────────────────────────────────────────────────────────────────────────────

VERBS = ["add", "many", "edit", "move", "pin", "tag", "merge", "split", "forget", "erase", "restore", "undo", "redo"]
deeds = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 20), sayings), max_size=14)


def do(memory: Memory, verb: str, n: int, text: str) -> None:
    """The verb on the n-th record, round the list; nothing where there is none, or the verb is refused."""
    live = [record.id for record in memory.records()]
    either = [record.id for record in memory.records(states=("live", "forgotten", "replaced"))]
    at, speaker = BASE + timedelta(days=n), ["Ana", "Ben", None][n % 3]
    session, role = [None, "monday", "tuesday"][n % 3], ["user", "assistant", None][n % 4 % 3]
    if verb == "add":
        memory.add(text, at=at, speaker=speaker, session=session, role=role)
    elif verb == "many":
        texts = [f"{text} {word}{'?' * (n % 2)}" for word in VOCABULARY[: n % 5]]
        memory.add_many([{"text": told, "at": at, "session": session} for told in texts])
    elif verb in ("undo", "redo"):
        with suppress(UndoBlocked, Conflict):
            _ = memory.undo() if verb == "undo" else memory.redo()
    elif not live or not either:
        memory.add(text, at=at)
    else:
        one, other, gone = live[n % len(live)], live[(n + 1) % len(live)], either[n % len(either)]
        try:
            match verb:
                case "edit":
                    memory.edit(one, text=text)
                case "move":
                    memory.edit(one, at=at, speaker=speaker, session=session)
                case "pin":
                    memory.pin(one, pinned=n % 2 == 0)
                case "tag":
                    memory.tag(one, add=["x"])
                case "merge":
                    memory.merge(one, other)
                case "split":
                    memory.split(one, [text, "boat"])
                case "forget":
                    memory.forget(one)
                case "erase":
                    memory.forget(gone, hard=True)
                case "restore":
                    memory.restore(gone)
        except InvalidInput:  # merged with itself, or restored what was replaced
            pass


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────

WEIGHTS = {
    **{"lexical": 1.0, "dense": 1.0, "session": 1.0, "speaker": 0.8, "place": 0.8, "date": 1.0},
    **{"phrase": 3.0, "role": -4.0, "asking": -0.8, "prior": 0.03},
}
SHARES = {-1: 0.4, 1: 0.25, -2: 0.1, 2: 0.1}  # of what the turns beside a record are worth
FEW = 32  # so many are candidates whatever is asked


def z_scores(raw: Sequence[float]) -> list[float]:
    """Among those that are known; the others are average."""
    known = [x for x in raw if not math.isnan(x)]
    mean, deviation = (float(np.mean(known)), float(np.std(known))) if known else (0.0, 0.0)
    return [0.0 if math.isnan(x) or deviation < 1e-6 else (x - mean) / deviation for x in raw]


def bm25(cue: str, texts: Sequence[Counter[str]], asked: Sequence[int]) -> list[float]:
    """Of the asked of these texts."""
    mean = sum(words.total() for words in texts) / len(texts)
    scores = []
    for words in (texts[i] for i in asked):
        score = 0.0
        for term in terms(cue):
            df = sum(term in other for other in texts)
            idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
            score += idf * words[term] / (words[term] + 0.9 * (1 - 0.4 + 0.4 * words.total() / mean))
        scores.append(score)
    return scores


def cosines(cue: str, allowed: Sequence[Record]) -> list[float]:
    asked, *rows = EMBEDDER.embed([cue, *map(embedding_text, allowed)]).astype(np.float64)
    return [float(row @ asked / np.linalg.norm(row) / np.linalg.norm(asked)) for row in rows]


def admits(record: Record, filters: Mapping[str, Any]) -> bool:
    place = filters.get("place")
    return (
        ("since" not in filters or record.at >= filters["since"])
        and ("until" not in filters or record.at < filters["until"])
        and ("kinds" not in filters or record.kind in filters["kinds"])
        and ("tags" not in filters or bool(set(record.tags) & set(filters["tags"])))
        and ("speaker" not in filters or (record.speaker or "").casefold() == filters["speaker"].casefold())
        and (place is None or place.casefold() in inside(record))
    )


def inside(record: Record) -> list[str]:
    """The places that a record is in, from the outermost."""
    names = [] if record.place is None else record.place.id.casefold().split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]


def named(cue: str, names: set[str]) -> set[str]:
    """Which of these single words the cue says. (No name here is part of another that is said.)"""
    return names & set(WORD.findall(cue.casefold()))


def expected(cue: str, live: Sequence[Record], allowed: Sequence[Record]) -> dict[str, list[float]]:
    """The parts of each allowed record, few enough that all are candidates."""
    counted = [Counter(terms(embedding_text(record))) for record in live]
    parts: dict[str, list[float]] = {"dense": z_scores(cosines(cue, allowed))}
    words = bm25(cue, counted, [live.index(record) for record in allowed])
    if any(words):
        parts["lexical"] = z_scores(words)
    sessions = sorted({record.session for record in live if record.session is not None})
    if len(sessions) > 1:
        told = [sum((c for r, c in zip(live, counted, strict=True) if r.session == s), Counter()) for s in sessions]
        by_session = bm25(cue, told, range(len(sessions)))
        if any(by_session):
            of = dict(zip(sessions, by_session, strict=True))
            parts["session"] = z_scores([of.get(record.session or "", math.nan) for record in allowed])
    speakers = named(cue, {record.speaker.casefold() for record in live if record.speaker})
    if len(speakers) == 1:
        parts["speaker"] = [float((record.speaker or "").casefold() in speakers) for record in allowed]
    places = named(cue, {place for record in live for place in inside(record)})
    if places:
        parts["place"] = [float(bool(places & set(inside(record)))) for record in allowed]
    if "2024" in WORD.findall(cue):  # the only word here that is a time
        year = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
        gaps = [max(year[0] - record.at, record.at - year[1], timedelta()) / timedelta(days=7) for record in allowed]
        parts["date"] = [math.exp(-gap) for gap in gaps]
    said = [float(" ".join(cue.split()) in " ".join(record.text.split())) for record in allowed]  # all in small letters
    if len(set(terms(cue))) > 1 and any(said):
        parts["phrase"] = said
    if any(record.role == "assistant" for record in live):
        parts["role"] = [float(record.role == "assistant") for record in allowed]
    if any(record.text.endswith("?") for record in live):
        parts["asking"] = [float(record.text.endswith("?")) for record in allowed]
    latest = max(record.at for record in live)
    days = [(latest - record.at) // timedelta(days=1) for record in allowed]
    strengths = [round(16 * (record.strength - 1) / (record.strength + 1)) / 32 for record in allowed]
    parts["prior"] = [strength + (1 + day) ** -0.5 / 2 for strength, day in zip(strengths, days, strict=True)]
    parts = {name: [WEIGHTS[name] * score for score in scores] for name, scores in parts.items()}
    of_words = [sum(both) for both in zip(*(parts[n] for n in ("lexical", "dense") if n in parts), strict=True)]
    shared = dict(zip((record.id for record in allowed), of_words, strict=True))
    neighbours = list[float]()
    for record in allowed:
        beside = [other.id for other in live if other.session == record.session] if record.session else [record.id]
        here = beside.index(record.id)
        near = {step: beside[here + step] for step in SHARES if 0 <= here + step < len(beside)}
        neighbours.append(sum(SHARES[step] * shared.get(id, 0.0) for step, id in near.items()))
    return {**parts, "neighbours": neighbours} if sessions else parts


def check(memory: Memory, cue: str, **filters: Any) -> None:
    """Recall of everything there is, against the oracle where all are candidates; and a shorter recall against that."""
    live = list(memory.records())
    allowed = [record for record in live if admits(record, filters)]
    ordered(memory, cue, len(live), **filters)
    hits = ordered(memory, cue, len(live), engine=TRAINING_FREE, **filters)
    assert {hit.record.id for hit in hits} == {record.id for record in allowed}
    assert len(hits) == len(allowed)
    if allowed and len(allowed) <= FEW:
        wanted = expected(cue, live, allowed)
        place = {record.id: i for i, record in enumerate(allowed)}
        for hit in hits:
            parts = {name: scores[place[hit.record.id]] for name, scores in wanted.items()}
            assert dict(hit.parts) == pytest.approx(parts, abs=1e-3)


def ordered(memory: Memory, cue: str, live: int, **more: Any) -> list[Hit]:
    """All that any engine finds: best first, each score the sum of its parts, and fewer the first of more."""
    hits = memory.recall(cue, live + 5, **more)
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-9)
        assert hit.record == memory.get(hit.record.id)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.record.position))
    for k in (1, 3, 40):
        assert memory.recall(cue, k, **more) == hits[:k]
    return hits


@given(deeds=deeds, cue=sayings)
@settings(max_examples=60)
@example(deeds=[("many", 4, "tea"), ("forget", 0, "tea"), ("restore", 0, "tea"), ("undo", 0, "tea")], cue="tea the tea")
def test_scores_are_those_of_the_oracle_after_any_verbs(
    house: Memory, deeds: list[tuple[str, int, str]], cue: str
) -> None:
    memory = room(house)
    for i, deed in enumerate(deeds):
        do(memory, *deed)
        if i % 3 == 0:
            memory.recall("tea")  # take in what stands, so that a later change leaves a stale row
    check(memory, cue)


@pytest.mark.parametrize("seed", range(3))
def test_scores_stay_right_when_stale_rows_are_swept(house: Memory, seed: int) -> None:
    chance, memory = random.Random(seed), room(house)
    for n in range(40):
        do(memory, "add", n, " ".join(chance.choices(VOCABULARY, k=4)))
    for _ in range(5):  # 5 × 40 rows go stale: more than 100, and more than a quarter
        with memory.step():
            for record in memory.records():
                memory.edit(record.id, text=" ".join(chance.choices(VOCABULARY, k=4)))
            memory.forget(*[record.id for record in itertools.islice(memory.records(), chance.randrange(1, 4))])
        check(memory, "the launch of the red, red boat")
    memory.undo(2)
    check(memory, "red tea of Ana", speaker="ana")
    memory.redo(1)
    check(memory, "red tea")


@given(st.lists(st.lists(st.tuples(st.integers(1, 150), sayings, st.booleans()), max_size=150), max_size=5))
@settings(max_examples=30)
def test_a_corpus_fed_by_changes_is_one_built_at_once(batches: list[list[tuple[int, str, bool]]]) -> None:
    fed, standing = Corpus(), dict[int, Record]()
    every = [(position, "tea boat", True) for position in range(1, 140)]
    batches = [every, *batches, every, every]  # the last two leave 139 rows stale each, which is swept
    for batch in batches:
        records = []
        for position, text, live in {position: item for item in batch for position in [item[0]]}.values():
            record = Record.create(text, scope=Scope("default"), at=BASE)
            object.__setattr__(record, "position", position)
            object.__setattr__(record, "state", "live" if live else "forgotten")
            records.append(record)
            standing.pop(position, None)
            if live:
                standing[position] = record
        fed.apply(records, [])
        assert fed.rows - len(fed) <= max(100, fed.rows / 4)
    built = Corpus()
    built.apply(standing.values(), [])
    assert (len(fed), fed.mean_length) == (len(built), built.mean_length)
    for term in {term for word in [*VOCABULARY, "3 May"] for term in terms(word)}:
        both = []
        for corpus in (fed, built):
            rows, counts = corpus.postings(term)
            both.append(dict(zip(corpus.positions(rows.astype(np.intp)).tolist(), counts.tolist(), strict=True)))
        assert both[0] == both[1]
    assert fed.positions(fed.allowed(Cue("tea"))).tolist() == sorted(standing)


@pytest.mark.parametrize("embedder", [EMBEDDER, "hash"])
def test_ties_fall_in_the_order_of_writing(tmp_path: Path, embedder: str | TinyEmbedder) -> None:
    with Memory.open(tmp_path / "m", embedder=embedder) as memory:
        memory.add("a red boat", at=BASE)
        same = [record.id for record in memory.add_many([{"text": "tea at noon", "at": BASE}] * 50)]
        memory.add("the launch of a boat", at=BASE)
        for cue in ("tea at noon", "tea", "launch of the boat"):
            assert [hit.record.id for hit in memory.recall(cue, 60) if hit.record.id in same] == same
        memory.edit(same[7], text="gone")
        memory.recall("tea")
        memory.undo()  # a new row for an old record
        assert [hit.record.id for hit in memory.recall("tea at noon", 60) if hit.record.id in same] == same


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────

SPEAKERS = ["Ana", "ANA", "ana maria", "Straße", "STRASSE", "Éva", "éva"]
BERTH = "harbour/pier 3/berth 1"
PLACES = ["harbour", "Harbour/pier 3", BERTH, "harbourmaster", "harbour/pier", "pier 3", "ÉVORA/gate"]
TAGS = ["x", "X", "tea", "t"]
KINDS = ["turn", "note", "fact"]
distant = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones())  # noqa: DTZ001
moments = st.integers(-3, 3).map(lambda n: BASE + timedelta(microseconds=n)) | distant
items = st.fixed_dictionaries(
    {"text": sayings, "at": moments, "kind": st.sampled_from(KINDS)},
    optional={
        "speaker": st.sampled_from(SPEAKERS),
        "place": st.sampled_from(PLACES),
        "session": st.sampled_from(["monday", "tuesday"]),
        "role": st.sampled_from(["user", "assistant"]),
        "tags": st.lists(st.sampled_from(TAGS), max_size=2),
    },
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "since": moments,
        "until": moments,
        "kinds": st.lists(st.sampled_from(KINDS), max_size=2),
        "tags": st.lists(st.sampled_from(TAGS), min_size=1, max_size=2),
        "speaker": st.sampled_from([*SPEAKERS, "nobody"]),
        "place": st.sampled_from([*PLACES, "HARBOUR", "évora", "gate", "harb"]),
    },
)


@given(written=st.lists(items, min_size=1, max_size=12), gone=st.sets(st.integers(0, 11), max_size=3), filters=filters)
@example(written=[{"text": "tea", "speaker": who} for who in SPEAKERS], gone=set(), filters={"speaker": "strasse"})
@example(written=[{"text": "tea", "place": place} for place in PLACES], gone=set(), filters={"place": "harbour"})
@settings(max_examples=150)
def test_filters_admit_what_the_oracle_admits(
    house: Memory, written: list[dict[str, Any]], gone: set[int], filters: dict[str, Any]
) -> None:
    memory = room(house)
    added = memory.add_many(written)
    for n in sorted(gone):
        if n < len(added):
            _ = memory.forget(added[n].id) if n % 2 else memory.split(added[n].id, ["tea", "boat"])
    check(memory, "tea launch", **filters)


@given(moment=moments, steps=st.integers(1, 3))
@example(moment=datetime(9000, 1, 1, tzinfo=UTC), steps=1)
@example(moment=datetime(1066, 10, 14, tzinfo=UTC), steps=1)
def test_since_is_inclusive_and_until_exclusive_to_the_microsecond(house: Memory, moment: datetime, steps: int) -> None:
    moment = moment.astimezone(UTC)  # a local time that a change of clocks skips equals nothing, itself included
    memory, later = room(house), moment + timedelta(microseconds=steps)
    memory.add_many([{"text": "tea", "at": moment}, {"text": "tea", "at": later}])
    assert [hit.record.at for hit in memory.recall("tea", since=later)] == [later]
    assert [hit.record.at for hit in memory.recall("tea", until=later)] == [moment]
    assert [hit.record.at for hit in memory.recall("tea", since=moment, until=later)] == [moment]
    assert memory.recall("tea", since=moment, until=moment) == []


# ── freshness ────────────────────────────────────────────────────────────────────────────────────────────────────


def scores(memory: Memory, cue: str) -> dict[str, float]:
    return {hit.record.id: hit.score for hit in memory.recall(cue, 100)}


@given(deeds=deeds, cue=sayings)
@settings(max_examples=25)
def test_a_long_open_handle_recalls_what_a_fresh_one_does(deeds: list[tuple[str, int, str]], cue: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Memory.open(f"{folder}/m", embedder=EMBEDDER) as writing,
        Memory.open(f"{folder}/m", embedder=EMBEDDER) as reading,
    ):
        for i, deed in enumerate([("many", 4, "tea"), *deeds]):
            do(writing, *deed)
            if i % 4 and i < len(deeds):
                continue
            with Memory.open(f"{folder}/m", embedder=EMBEDDER) as fresh:
                assert scores(reading, cue) == pytest.approx(scores(fresh, cue), abs=1e-5)
                assert list(scores(reading, cue)) == list(scores(fresh, cue)) == list(scores(writing, cue))
            assert set(scores(reading, cue)) == {record.id for record in writing.records()}


def test_an_erased_text_is_gone_from_every_handle_at_once(tmp_path: Path) -> None:
    with (
        Memory.open(tmp_path / "m", embedder=EMBEDDER) as one,
        Memory.open(tmp_path / "m", embedder=EMBEDDER) as other,
    ):
        kept, going = one.add("tea in the harbour"), one.add("secret tea")
        assert len(other.recall("tea")) == 2
        one.forget(going.id, hard=True)
        assert [hit.record.id for hit in other.recall("secret")] == [kept.id]
        assert "lexical" not in other.recall("secret")[0].parts


# ── how many, and which ──────────────────────────────────────────────────────────────────────────────────────────


def test_how_many_come_back(memory: Memory) -> None:
    assert memory.recall("tea") == memory.recall("tea", 0) == memory.recall("tea", explain=True) == []
    memory.add_many([f"tea {n}" for n in range(20)])
    assert memory.recall("tea", 0) == memory.recall("tea", 0, explain=True) == []
    assert len(memory.recall("tea", 7)) == 7
    assert len(memory.recall("tea", 10**9)) == len(memory.recall("tea", 50, explain=True)) == 20
    assert memory.recall("tea", kinds=["fact"]) == []
    with pytest.raises(InvalidInput):
        memory.recall("tea", -1)
    with pytest.raises(InvalidInput):
        memory.recall(" \n")


def test_a_cue_of_words_that_say_nothing_has_no_lexical_part(memory: Memory) -> None:
    memory.add_many(["tea", "the what is it", "boat"])
    hits = memory.recall("what is the")
    assert len(hits) == 3
    assert all(set(hit.parts) == {"dense", "prior"} for hit in hits)


def test_more_is_asked_for_than_a_signal_names_by_itself(house: Memory) -> None:
    memory = room(house)
    memory.add_many([{"text": f"tea {n}", "at": BASE} for n in range(700)])
    for k in (300, 600, 700):
        assert len({hit.record.id for hit in memory.recall("tea", k)}) == k


@given(texts=st.lists(sayings, min_size=1, max_size=20), cue=sayings)
def test_ranks_are_fused_by_their_reciprocals(house: Memory, texts: list[str], cue: str) -> None:
    memory = room(house)
    memory.add_many(texts)
    ranked = {name: [hit.record.id for hit in memory.recall(cue, 20, engine=name)] for name in ("bm25", "dense")}
    hits = memory.recall(cue, 20, engine="rrf")
    assert len(hits) == len(texts)
    for hit in hits:
        wanted = {
            part: 1 / (61 + ranked[name].index(hit.record.id)) if hit.record.id in ranked[name] else 0.0
            for part, name in (("lexical", "bm25"), ("dense", "dense"))
        }
        # Of equals any may stand first.
        assert dict(hit.parts) == pytest.approx({part: wanted[part] for part in hit.parts}, abs=0.004)


@given(texts=st.lists(sayings, max_size=20), k=st.integers(0, 12), cue=sayings)
def test_losers_follow_the_winners_and_say_by_how_much(house: Memory, texts: list[str], k: int, cue: str) -> None:
    memory = room(house)
    memory.add_many(texts)
    plain, told = memory.recall(cue, k), memory.recall(cue, k, explain=True)
    assert told[: len(plain)] == plain
    losers = told[k:]
    assert len(losers) == max(0, min(k, len(texts) - k))
    assert [hit.score for hit in told] == sorted((hit.score for hit in told), reverse=True)
    assert all(hit.verdict == f"below the cut by {told[k - 1].score - hit.score:.2f}" for hit in losers)
    assert [hit.won for hit in told] == [True] * len(plain) + [False] * len(losers)
    assert not any("below the cut" in hit.verdict for hit in plain)


@pytest.mark.parametrize(
    ("filters", "verdict"),
    [
        ({"since": BASE + timedelta(days=1)}, "outside the time asked"),
        ({"until": BASE}, "outside the time asked"),
        ({"kinds": "note"}, "a turn, which was not asked"),
        ({"speaker": "ben"}, "not said by ben"),
        ({"place": "harbour"}, "not at harbour"),
        ({"tags": ["x", "y"]}, "without a tag asked"),
        ({"speaker": "Ben", "tags": "x"}, "not said by Ben, without a tag asked"),
    ],
)
def test_what_the_filters_keep_out_is_told_with_the_reason(
    memory: Memory, filters: dict[str, Any], verdict: str
) -> None:
    out = memory.add("tea by the harbour", at=BASE, speaker="Ana", place="harbourside/pier")
    passes: dict[str, Any] = {
        "at": BASE + timedelta(days=2 if "since" in filters else -2),
        "kind": "note",
        "speaker": "BEN",
        "place": "Harbour/pier 3",
        "tags": ["y", "x"],
    }
    allowed = memory.add("tea", **passes)
    hits = memory.recall("tea harbour", 1, explain=True, **filters)
    assert [(hit.record.id, hit.won) for hit in hits] == [(allowed.id, True), (out.id, False)]
    assert hits[1].verdict == verdict
    assert hits[1].parts["lexical"] > 0
    assert hits[:1] == memory.recall("tea harbour", 1, **filters)
    assert len(memory.recall("tea harbour", 1, explain=True)) == 2  # unfiltered: one won, one fell


def test_of_all_that_the_filters_keep_out_the_best_are_told(house: Memory) -> None:
    memory = room(house)
    memory.add_many({"text": f"tea {n}", "tags": ["in"] if n % 2 else []} for n in range(40))
    hits = memory.recall("tea 8", 3, tags="in", explain=True)
    assert [hit.won for hit in hits] == [True] * 3 + [False] * 6
    assert all("below the cut" in hit.verdict for hit in hits[3:6])
    assert all(hit.verdict == "without a tag asked" for hit in hits[6:])
    assert hits[6].record.text == "tea 8"
    assert [hit for hit in memory.recall("tea 8", 3, kinds="note", explain=True) if hit.won] == []


# ── an attached store ────────────────────────────────────────────────────────────────────────────────────────────


class Saying:
    """A store that answers every cue with the hits it was given."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.cursor = 0

    def apply(self, changes: Sequence[Change]) -> None:
        self.cursor = max([self.cursor, *(change.seq for change in changes)])

    def recall(self, cue: Cue, k: int) -> list[Hit]:
        return self.hits[:k]

    def inspect(self) -> Mapping[str, Json]:
        return {}

    def rebuild(self) -> None:
        self.cursor = 0

    def consolidate(self, now: datetime, models: Models | None = None) -> Report:
        return Report("")


@given(said=st.lists(st.tuples(st.integers(0, 9), st.floats(0.01, 100)), max_size=8), weight=st.floats(0.1, 3))
def test_an_attached_store_is_one_signal_more(house: Memory, said: list[tuple[int, float]], weight: float) -> None:
    memory, store = room(house), Saying()
    added = memory.add_many([f"tea {n}" for n in range(10)])
    before = {hit.record.id: hit.parts for hit in memory.recall("tea")}
    named = {added[n].id: score for n, score in said}
    store.hits = [Hit(memory.get(id), score) for id, score in sorted(named.items(), key=lambda item: -item[1])]
    memory.attach("saying", store, weight=weight)
    low, high = min(named.values(), default=0), max(named.values(), default=0)

    def scaled(id: str) -> float:
        if id not in named:
            return 0
        return 0.5 + 0.5 * (named[id] - low) / (high - low) if high > low else 1

    hits = memory.recall("tea")
    assert len(hits) == 10
    for hit in hits:
        share = {"saying": weight * scaled(hit.record.id)} if named else {}
        assert dict(hit.parts) == pytest.approx({**before[hit.record.id], **share}, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((sum(hit.parts.values()) for hit in hits), reverse=True)


@given(best=st.floats(-100, 100), gap=st.floats(0.1, 100))
def test_a_store_may_score_on_any_scale(house: Memory, best: float, gap: float) -> None:
    assume(abs(best) > 1e-3)
    memory, store = room(house), Saying()
    first, second, _ = memory.add_many(["tea 1", "tea 2", "tea 3"])
    store.hits = [Hit(first, best), Hit(second, best - gap)]
    memory.attach("saying", store)
    parts = {hit.record.id: hit.parts["saying"] for hit in memory.recall("tea")}
    assert parts[first.id] == max(parts.values()) > min(parts.values())


def test_what_a_store_says_of_others_is_not_heard(house: Memory) -> None:
    memory, other, store = room(house), room(house), Saying()
    kept, forgotten, parted, fact = memory.add_many(["tea", "old tea", "tea, tea", {"text": "tea", "kind": "fact"}])
    foreign = other.add("tea elsewhere")
    unknown = Record.create("tea nowhere", scope=memory.bound)
    memory.forget(forgotten.id)
    parts = memory.split(parted.id, ["tea", "tea"])
    memory.attach("saying", store)
    store.hits = [Hit(record, 9.0) for record in (foreign, unknown, forgotten, parted, fact, kept)]
    live = {kept.id, fact.id, *(part.id for part in parts)}
    hits = memory.recall("tea", explain=True)
    assert {hit.record.id for hit in hits} == live
    assert {hit.record.id for hit in hits if hit.parts["saying"]} == {kept.id, fact.id}
    assert [hit.record.id for hit in memory.recall("tea", kinds=["fact"])] == [fact.id]
    assert fact.id not in {hit.record.id for hit in memory.recall("tea", kinds=["turn"])}
    store.hits = [Hit(foreign, 9.0), Hit(unknown, 1.0)]
    assert {hit.record.id for hit in memory.recall("tea")} == live
    assert memory.recall("tea", kinds=["note"]) == []


def test_a_vector_may_be_given_as_a_numpy_row(memory: Memory) -> None:
    row = np.ones(TinyEmbedder.dimension, np.float32)
    one, two = memory.add("one", vector=row), memory.add_many([{"text": "two", "vector": row}])[0]  # type: ignore[arg-type]
    hits = memory.recall(Cue(vector=tuple(row.tolist())))
    assert [hit.record for hit in hits] == [one, two]
    assert all(hit.verdict == "cosine 1.00" for hit in hits)
