"""Which records say the same: by words, nearly, or by sense; how often; and that nothing is lost by it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import InvalidInput, Memory, Record
from agentmem.ledger import Draft, Segment
from agentmem.recall.presets import DEFAULT, preset
from agentmem.recall.signals.repeated import Repeated, once
from agentmem.verbs import AGAIN, required
from agentmem_stores import projection
from agentmem_stores.minhash import jaccard, shingles
from agentmem_stores.projection import pack, unpack
from agentmem_stores.repeats import RepeatMemory
from agentmem_stores.sayings import normalised

MAY = datetime(2024, 5, 1, 9, tzinfo=UTC)
LONG = "We walked along the harbour until the rain came, and then we had soup at the fish hall."


class Aimed:
    """Texts point where the word with a colon says, but for a few degrees."""

    id = "aimed-8-v1"
    dimension = 8
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            row = np.zeros(8, np.float32)
            row[next((n for n, word in enumerate(("tea:", "milk:", "rope:")) if word in text), 5)] = 1.0
            row[7] = 0.2 * (len(text) % 2)  # cosine .98
            rows.append(row)
        return np.stack(rows)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.attach("repeating", RepeatMemory)
        yield memory


def store(memory: Memory) -> RepeatMemory:
    memory.flush()
    found = memory.stores["repeating"]
    assert isinstance(found, RepeatMemory)
    return found


def texts(records: Sequence[Record]) -> list[str]:
    return [record.text for record in records]


def note(memory: Memory, record: Record, cause: str) -> None:
    memory.host.write(lambda reader: [Draft(AGAIN, r.id, {}, {}, r) for r in required(reader, [record.id])], cause)


def again(text: str, kind: str = "exact") -> str:
    return json.dumps({"text": text, "kind": kind})


# ── which records ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_exact_and_near_are_found_and_counted_oldest_first(memory: Memory) -> None:
    words = ["Thanks!", LONG, "thanks", LONG.replace("walked", "wlaked"), "THANKS.", "Something else entirely"]
    memory.add_many({"text": t, "speaker": "Ana", "at": MAY + timedelta(days=n)} for n, t in enumerate(words))
    groups = store(memory).groups()
    assert [(one.kind, one.count, texts(one.records)) for one in groups] == [
        ("exact", 3, [words[0], words[2], words[4]]),
        ("near", 2, [words[1], words[3]]),
    ]
    assert groups[0].last == MAY + timedelta(days=4)
    assert [one.kind for one in store(memory).groups("exact")] == ["exact"]
    assert [texts(one.records) for one in store(memory).groups("near")] == [[words[1], words[3]]]
    assert len(store(memory).groups(limit=1)) == 1
    positions = [record.position for record in memory.records()]
    assert store(memory).counts([*positions, 999]) == [3, 2, 3, 2, 3, 1, 0]
    assert {"exact groups": 1, "near groups": 1, "said again": 0, "size": 6}.items() <= store(memory).inspect().items()


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("rain came", "rain never came"),
        lambda text: text.replace("harbour", "airport"),
        lambda text: f"Ana and I agree. {text}",
        lambda text: text.replace("We", "They"),
        lambda text: text.replace("soup", "2 soups"),
    ],
)
def test_what_says_something_else_is_no_repeat_however_much_is_shared(memory: Memory, edit: Any) -> None:
    memory.add_many({"text": text, "speaker": "Ana"} for text in (LONG, edit(LONG)))
    assert store(memory).groups() == []


@pytest.mark.parametrize(("word", "other"), [("red", "tan"), ("Marta", "Maria"), ("lives", "lived")])
def test_one_other_word_in_a_long_text_is_enough(memory: Memory, word: str, other: str) -> None:
    """A Jaccard index of more than .9; and names that are one letter apart are two names."""
    told = f"{LONG} Somebody there, {{}} as ever, sat and talked of nothing else. {LONG}"
    memory.add_many({"text": told.format(one), "speaker": "Ana"} for one in (word, other))
    assert store(memory).groups() == []
    memory.add(told.format(word).replace("talked", "takled"), speaker="Ana")
    assert len(store(memory).groups("near")) == 1


def test_short_texts_do_not_meet_by_accident(memory: Memory) -> None:
    memory.add_many(
        {"text": text, "speaker": "Ana"} for text in ("received it", "recieved it", "ok", "okay", "ok then")
    )
    assert store(memory).groups() == []


def test_the_same_words_of_another_speaker_or_kind_are_another_saying(memory: Memory) -> None:
    memory.add(LONG, speaker="Ana")
    memory.add(LONG, speaker="Ben")
    memory.add(LONG, speaker="Ana", kind="note")
    memory.add(LONG, role="assistant")
    memory.add(LONG.replace("walked", "wlaked"), speaker="Cleo")
    assert store(memory).groups() == []
    memory.add(LONG, speaker="ANA")
    [group] = store(memory).groups()
    assert [record.speaker for record in group.records] == ["Ana", "ANA"]


def test_small_differences_do_not_add_up(memory: Memory) -> None:
    """Each is held against the first: what is far from it is another saying, though it is near to one that is near."""
    words = LONG.split()
    drifted = [LONG]
    for place in (1, 4, 7, 14, 17):
        word = words[place]
        words[place] = word[0] + word[2] + word[1] + word[3:] if len(word) > 4 else word
        drifted.append(" ".join(words))
    memory.add_many({"text": text, "speaker": "Ana"} for text in drifted)
    groups = store(memory).groups()
    for group in groups:
        first, *others = texts(group.records)
        assert all(jaccard(shingles(normalised(first)), shingles(normalised(one))) >= 0.8 for one in others)
    assert len(groups[0].records) < len(drifted)


@settings(max_examples=20)
@given(data=st.data())
def test_the_groups_are_those_of_comparing_every_pair(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is written, edited, forgotten and undone, and wherever it was kept; and building anew gives the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "WINDOW", 3)
        _compare(data, tmp_path_factory.mktemp("r"))


def _compare(data: st.DataObject, folder: Path) -> None:
    pool = ["Yes.", "yes", "No.", LONG, LONG.upper(), LONG.replace("harbour", "harbuor"), LONG.replace("had", "had no")]
    with Memory.open(folder / "m", embedder="hash:64") as memory:
        memory.attach("repeating", RepeatMemory)
        for _ in range(data.draw(st.integers(1, 12))):
            live = list(memory.records())
            act = data.draw(st.sampled_from(["add", "add", "add", "edit", "forget", "undo", "merge"]))
            text = data.draw(st.sampled_from(pool))
            if act == "add" or not live:
                memory.add(text, speaker=data.draw(st.sampled_from(["Ana", "Ben"])))
            elif act == "edit":
                memory.edit(data.draw(st.sampled_from(live)).id, text=text)
            elif act == "forget":
                memory.forget(data.draw(st.sampled_from(live)).id)
            elif act == "merge" and len(live) > 1:
                memory.merge(*[record.id for record in live[:2]], text=text)
            else:
                memory.undo()
            if data.draw(st.booleans()):
                store(memory)
        expected: list[list[str]] = []
        for record in memory.records():
            same = next((one for one in expected if _alike(memory.get(one[0]), record)), None)
            expected.append([record.id]) if same is None else same.append(record.id)
        several = sorted(one for one in expected if len(one) > 1)
        assert sorted([r.id for r in one.records] for one in store(memory).groups(limit=99)) == several
        store(memory).rebuild()
        assert sorted([r.id for r in one.records] for one in store(memory).groups(limit=99)) == several


def _alike(one: Record, other: Record) -> bool:
    """In this pool a pair that says the same does so exactly, or with the one slip."""
    plain = [normalised(record.text).replace("harbuor", "harbour") for record in (one, other)]
    return one.speaker == other.speaker and plain[0] == plain[1]


# ── said again, and not stored anew ──────────────────────────────────────────────────────────────────────────────────


def test_what_was_noted_is_counted_and_taken_back(memory: Memory) -> None:
    record = memory.add("The key is under the pot.", at=MAY)
    note(memory, record, again("the key is under the pot"))
    note(memory, record, again("It is the pot that the key is under.", "semantic"))
    [group] = store(memory).groups()
    assert (group.kind, group.count, texts(group.records)) == ("semantic", 3, [record.text])
    assert group.last == memory.log(1)[0].at
    assert store(memory).counts([record.position]) == [3]
    assert store(memory).inspect()["said again"] == 2
    memory.undo()
    assert store(memory).groups()[0].kind == "exact"
    assert store(memory).counts([record.position]) == [2]
    memory.forget(record.id)
    assert store(memory).groups() == []
    memory.restore(record.id)
    assert store(memory).counts([record.position]) == [2]


@pytest.mark.parametrize(
    "cause", ["", "{", "[]", "3", '{"kind": "exact"}', '{"text": 3, "kind": "exact"}', '{"text": "a", "kind": "odd"}']
)
def test_a_note_that_says_nothing_is_passed_over(memory: Memory, cause: str) -> None:
    record = memory.add("The key is under the pot.")
    note(memory, record, cause)
    assert store(memory).counts([record.position]) == [1]


def test_who_says_it_already(memory: Memory) -> None:
    first = memory.add(LONG, speaker="Ana")
    near = memory.add(LONG.replace("walked", "wlaked"), speaker="Ana")
    found = store(memory).repeated(f"  {LONG.lower()}", speaker="ana")
    assert found is not None
    assert (found.record.id, found.kind) == (first.id, "exact")
    found = store(memory).repeated(LONG.replace("rain", "rian").replace("harbour", "harbuor"), speaker="Ana")
    assert found is None or found.kind == "near"
    found = store(memory).repeated(LONG.replace("harbour", "harbuor"), speaker="Ana")
    assert found is not None
    assert (found.record.id, found.kind) == (near.id, "near"), "the last that says it"
    assert store(memory).repeated(LONG, speaker="Ben") is None
    assert store(memory).repeated(LONG, speaker="Ana", kind="note") is None
    assert store(memory).repeated(LONG.replace("had", "had no"), speaker="Ana") is None
    memory.forget(first.id, near.id)
    assert store(memory).repeated(LONG, speaker="Ana") is None


# ── by sense ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_by_sense_nothing_at_odds_is_joined(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Aimed()) as memory:
        memory.attach("repeating", RepeatMemory)
        told = [
            "tea: we like it",
            "tea: it pleases us",
            "tea: no",
            "tea: we like 3",
            "milk: we like it",
            "milk: it is we",
        ]
        told += ["rope: the boat is tied up", "rope: tied up is the boat", "rope: the cart is tied up"]
        records = memory.add_many({"text": text, "speaker": "Ana"} for text in told)
        memory.flush()
        groups = {tuple(texts(one.records)): one for one in store(memory).groups("semantic")}
        assert (told[6], told[7]) in groups, "and not what fills the same frame with another thing"
        assert groups[told[6], told[7]].kind == "semantic"
        assert not any({told[2], told[3]} & set(group) for group in groups), "at odds with all others"
        assert store(memory).groups() == [], "by words nothing is the same"
        aimed = Aimed().embed(["rope: a boat that is tied up"])[0].tolist()
        found = store(memory).repeated("rope: a boat that is tied up", aimed, speaker="Ana")
        assert found is not None
        assert (found.record.id, found.kind) == (records[7].id, "semantic")
        assert store(memory).repeated("rope: the boat is not tied up", aimed, speaker="Ana") is None
        assert store(memory).repeated("rope: the boat was moored by them", aimed, speaker="Ben") is None
        assert store(memory).repeated("rope: moored", speaker="Ana") is None, "without a vector only words count"


def test_a_vector_of_another_length_is_refused(memory: Memory) -> None:
    for vector in ([1.0], [float("nan")] * 64, ["a"] * 64, [[1.0] * 64]):
        with pytest.raises(InvalidInput, match="64 finite numbers"):
            store(memory).repeated("tea", vector)  # type: ignore[arg-type]
    assert store(memory).repeated("tea", [0.0] * 64) is None


def test_what_was_new_when_it_came_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Recognition:
        def arrival(self, positions: Sequence[int]) -> list[float]:
            return [0.1 for _ in positions]

    with Memory.open(tmp_path / "m", embedder=Aimed()) as memory:
        memory.attach("repeating", RepeatMemory)
        memory.add_many({"text": text} for text in ("rope: the boat is tied up", "rope: tied up is the boat"))
        memory.flush()
        repeats = store(memory)
        assert len(repeats.groups("semantic")) == 1
        monkeypatch.setattr(type(repeats.host), "store", lambda self, name: Recognition())
        assert repeats.groups("semantic") == []


@pytest.mark.parametrize("kind", ["odd", "", 3])
def test_a_kind_that_is_none_is_refused(memory: Memory, kind: Any) -> None:
    with pytest.raises(InvalidInput, match="no kind of repeat"):
        store(memory).groups(kind)


# ── merging ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_notes_are_merged_and_what_was_lived_through_is_not(memory: Memory) -> None:
    notes = memory.add_many(
        {"text": t, "kind": "note", "tags": [tag], "at": MAY + timedelta(days=n)}
        for n, (t, tag) in enumerate([("Water the ferns.", "home"), ("water the ferns", "plants")])
    )
    memory.add_many({"text": "Thanks!"} for _ in range(2))
    there = memory.add("Water the ferns", kind="note", place="office")
    note(memory, notes[0], again("Water the ferns!"))
    before = {record.id for record in memory.records()}
    report = memory.consolidate("repeating")["repeating"]
    assert report.summary == "2 records that say the same became 1"
    assert report.counts["merged"] == 2
    [made] = [record for record in memory.records() if record.id not in before]
    assert (made.text, made.tags, made.at) == ("water the ferns", ("home", "plants"), MAY + timedelta(days=1))
    assert {source.record for source in made.sources} == {one.id for one in notes}
    assert memory.get(there.id).state == "live"
    assert store(memory).counts([made.position]) == [4], "three of it, and the one at the office"
    assert memory.log(1)[0].actor == "agentmem"
    assert memory.consolidate("repeating")["repeating"].summary == "nothing to merge"
    memory.undo()
    assert {record.id for record in memory.records()} == before


def test_what_can_be_merged_is_said_and_turns_cannot(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        for kinds in (["turn"], ["note", "thought"]):
            with pytest.raises(InvalidInput, match="cannot be merged"):
                RepeatMemory(memory.host, merges=kinds)
        with pytest.raises(InvalidInput, match="list"):
            RepeatMemory(memory.host, merges="note")
        memory.attach("repeating", lambda host: RepeatMemory(host, merges=["task"]))
        memory.add_many({"text": "Water the ferns.", "kind": kind} for kind in ("task", "task", "note", "note"))
        memory.consolidate("repeating")
        assert sorted(record.kind for record in memory.records()) == ["note", "note", "task"]


# ── recall ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def repeated(memory: Memory, cue: str, **filters: Any) -> dict[str, tuple[float, str]]:
    hits = memory.recall(cue, engine=once(preset(DEFAULT), Repeated(store(memory).together, -8.0)), **filters)
    return {hit.record.id: (hit.parts.get("repeated", 0.0), hit.verdict) for hit in hits}


def test_the_last_record_of_a_saying_stands_for_it_among_those_that_are_asked_for(memory: Memory) -> None:
    days = (3, 5, 1)  # the second happened last, the third was written last
    first, last, old = memory.add_many(
        {"text": "The ferry was late again.", "speaker": "Ana", "at": MAY + timedelta(days=day)} for day in days
    )
    other = memory.add("The ferry has a new captain.", speaker="Ana", at=MAY)
    found = repeated(memory, "what of the ferry?")
    assert {id: part for id, (part, _) in found.items()} == {first.id: -8, last.id: 0, old.id: -8, other.id: 0}
    assert list(found)[:2] in ([last.id, other.id], [other.id, last.id]), "one of each saying first"
    assert "said again on 2024-05-06" in found[first.id][1]
    assert "said 3 times" in found[last.id][1]
    assert store(memory).outdated() == {p.position: "said again on 2024-05-06" for p in (first, old)}
    found = repeated(memory, "what of the ferry?", until=MAY + timedelta(days=4))
    assert {id: part for id, (part, _) in found.items()} == {first.id: 0, old.id: -8, other.id: 0}
    assert repeated(memory, "what of the ferry?", until=MAY + timedelta(days=2))[old.id][0] == 0
    memory.forget(last.id)
    assert repeated(memory, "what of the ferry?")[first.id][0] == 0


def test_a_hundred_copies_do_not_push_others_out(memory: Memory) -> None:
    facts = [f"The {thing} is kept in the cellar" for thing in ("lamp", "rope", "globe", "drum", "kite", "cello")]
    memory.add_many({"text": text, "speaker": "Ana", "at": MAY + timedelta(days=n)} for n, text in enumerate(facts))
    spam = "What is kept in the cellar? What is kept where? All that is kept is kept in a Bolt cellar!"
    memory.add_many({"text": spam, "speaker": "Bolt", "at": MAY + timedelta(days=9)} for _ in range(100))

    def held(**heard: Any) -> int:
        hits = memory.recall("What is kept in the cellar?", 10, **heard)
        return len({hit.record.text for hit in hits} & set(facts))

    assert held() == 0, "without it they do"
    assert held(engine=once(preset(DEFAULT), Repeated(store(memory).together))) == len(facts)


def test_it_has_nothing_to_say_of_a_cue_itself(memory: Memory) -> None:
    memory.add_many({"text": "Thanks!"} for _ in range(3))
    assert "repeating" not in {name for hit in memory.recall("thanks") for name in hit.parts}


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _spoilt(arrays: dict[str, NDArray[Any]], how: str) -> None:
    rows = arrays["rows"]
    if how == "root":
        rows["root"][0] = 1
    elif how == "chain":
        rows["root"][2] = 1
        rows["root"][1] = 0
    elif how == "order":
        rows["position"][:2] = rows["position"][1::-1]
    elif how == "bond":
        arrays["notes"]["bond"] = 9
    elif how == "noted":
        arrays["notes"]["row"] = 10_000
    elif how == "count":
        rows["before"][0] = -1
    elif how == "unsorted":
        arrays["banded"] = arrays["banded"][::-1].copy()
    elif how == "banded":
        arrays["banded"][0] = 10_000
    elif how == "signatures":
        arrays["signatures"] = arrays["signatures"][:, :5]
    else:
        arrays["rows"] = np.zeros(3)


@pytest.mark.parametrize(
    "how", ["root", "chain", "order", "bond", "noted", "count", "unsorted", "banded", "signatures", "dtype"]
)
def test_bytes_that_do_not_fit_are_derived_anew(tmp_path: Path, how: str) -> None:
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        first, *_ = memory.add_many({"text": text} for text in (LONG, "Thanks!", "thanks", LONG + " So it was."))
        note(memory, first, again(LONG))
        memory.flush()
        memory.reindex("repeats")
        expected = memory.stores["repeats"].inspect()
        ledger = memory.host.ledger
        [segment] = ledger.segments("repeats")
        told, arrays = unpack(segment.data)
        _spoilt(arrays, how)
        until = segment.until
        spoilt = Segment(until, pack(told, **arrays))
        assert ledger.transact(lambda t: t.put_segment("repeats", spoilt, standing=[until], kept=0))
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        assert memory.stores["repeats"].inspect() == expected
        assert [one.count for one in memory.stores["repeats"].groups()] == [2, 2]  # type: ignore[attr-defined]


def test_one_checkpoint_is_kept_and_the_next_when_there_is_an_eighth_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "WINDOW", 4)
    kept = []
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        for n in range(80):
            memory.add(f"turn {n}")
            memory.flush()
            assert memory.stores["repeats"].inspect()["size"] == n + 1
            kept.append([segment.until for segment in memory.host.ledger.segments("repeats")])
    assert all(len(some) <= 1 for some in kept)
    moves = sorted({some[0] for some in kept if some})
    assert len(moves) > 5
    assert all(later - earlier >= earlier // 8 for earlier, later in itertools.pairwise(moves))
    assert moves[-1] > 70


def test_it_goes_on_from_what_was_kept_in_few_bytes(tmp_path: Path) -> None:
    number = 600
    told = [f"{LONG} {'ha ' * (n % 7)}and number {n} too" for n in range(number)]
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        memory.add_many(told)
        memory.flush()
        memory.reindex("repeats")
        assert memory.stores["repeats"].inspect()["bytes"] / number < 200  # type: ignore[operator]
    with Memory.open(tmp_path / "m", embedder="hash:64") as memory:
        again = memory.add(told[17].replace("harbour", "harbuor"))
        repeats = memory.stores["repeats"]
        assert isinstance(repeats, RepeatMemory)
        assert [[r.position for r in one.records][-1] for one in repeats.groups()] == [again.position]
