"""Recognition: fragments against a search through all, familiarity, and a state that depends on the journal alone."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import AgentMemError, Cue, EmbeddingError, InvalidInput, Memory
from agentmem.ledger import Segment
from agentmem.recall.stores import Attached
from agentmem.store import Completion
from agentmem_stores.contents import Contents, share
from agentmem_stores.fragments import Part, Vocabulary, parts_of, read
from agentmem_stores.projection import pack, unpack
from agentmem_stores.recognition import RecognitionMemory
from tests.fakes import TinyEmbedder

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SENTENCES = (
    "The ferry to Lisbon leaves the northern harbour at seven every morning.",
    "My grandmother kept her violin in a cupboard behind the kitchen stove.",
    "Snow fell on the market square until the lanterns could not be seen.",
    "We walked across the old bridge and counted eleven barges below.",
    "The kettle whistled while Bea was repairing the broken radio.",
    "Ana planted tomatoes, basil and a lemon tree on her balcony.",
    "Nobody remembers who painted the blue door of the post office.",
    "The doctor told me to drink less coffee and to sleep longer.",
    "Their train was late because a cow had wandered onto the track.",
    "In October the swallows gather on the wires above the school.",
    "He sold his bicycle to pay for the trumpet lessons of his daughter.",
    "The library closes early on Fridays, so bring the books on Thursday.",
)
STRANGERS = (
    "quarterly revenue exceeded the forecast of our analysts",
    "install the compiler before you configure the database",
    "penguins huddle together against the antarctic wind",
)


@contextmanager
def remembering(place: Path, **settings: Any) -> Iterator[tuple[Memory, RecognitionMemory]]:
    """A memory and the store, which has followed when it is asked for."""
    with Memory.open(place / "m", embedder=TinyEmbedder()) as memory:
        memory.attach("recognising", lambda host: RecognitionMemory(host, **settings))
        yield memory, found(memory)


def found(memory: Memory) -> RecognitionMemory:
    store = memory.stores["recognising"]
    assert isinstance(store, RecognitionMemory)
    return store


def anew(memory: Memory, **settings: Any) -> RecognitionMemory:
    """Another one, which read nothing that was kept, and has followed the journal in small steps."""
    store = RecognitionMemory(memory.host, **settings)
    store._reset()
    Attached("anew", store, memory.host, 1.0).follow()
    return store


def text_of(completion: Completion | None) -> str | None:
    return None if completion is None else completion.record.text


def state(store: RecognitionMemory) -> Any:
    """All that it derived."""
    columns = [(s.first, {name: column.tolist() for name, column in s.columns().items()}) for s in store._stretches]
    positions = [p for stretch in store._stretches for p in stretch.positions]
    terms, counts, bits = store._contents.columns(positions)
    return columns, sorted(terms), counts.tolist(), bits.tolist(), store.inspect()


# ── any part of a memory ─────────────────────────────────────────────────────────────────────────────────────────


def slipped(word: str, chance: random.Random) -> str:
    """With one letter wrong, not the first."""
    i = chance.randrange(1, len(word) - 1)
    changes = (
        word[:i] + word[i + 1 :],
        word[:i] + "q" + word[i:],
        word[:i] + "q" + word[i + 1 :],
        word[:i] + word[i + 1] + word[i] + word[i + 2 :],
    )
    return chance.choice(changes)


def fragments_of(text: str, chance: random.Random) -> dict[str, str]:
    words = text.split()
    half, long = len(words) // 2, [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    wrong = [slipped(word, chance) if i == long[-1] else word for i, word in enumerate(words)]
    begun = " ".join(words[: long[-1]]) + " " + words[long[-1]][:4]
    return {
        "all of it": text,
        "four words in five, in any order": " ".join(chance.sample(words, round(0.8 * len(words)))),
        "the first half": " ".join(words[:half]),
        "the last half": " ".join(words[half:]),
        "in capitals, without signs": text.upper().strip("."),
        "with a slip": " ".join(wrong),
        "half a word at its end": begun,
        "its longest words": " ".join(sorted(words, key=len)[-3:]),
    }


def test_a_memory_is_completed_from_any_part_of_it(tmp_path: Path) -> None:
    chance = random.Random(3)
    with remembering(tmp_path) as (memory, _):
        memory.add_many(SENTENCES)
        store = found(memory)
        for text in SENTENCES:
            for kind, fragment in fragments_of(text, chance).items():
                completion = store.complete(fragment)
                assert text_of(completion) == text, f"{kind}: {fragment}"
                assert completion is not None
                assert completion.others == ()
                whole = kind not in ("with a slip", "half a word at its end")
                assert completion.confidence == 1.0 if whole else 0.8 < completion.confidence <= 1
        for fragment in STRANGERS:
            assert store.complete(fragment) is None, "nothing is familiar"
        slip = store.complete("ferry Lisbon northern brlgh")
        assert text_of(slip) == SENTENCES[0], "a word that nobody wrote may be a slip"
        assert slip is not None
        assert slip.confidence < 0.7
        assert store.complete("ferry Lisbon northern violin") is None, "one of another memory is none"
        mixed = " ".join(SENTENCES[0].split()[:5] + SENTENCES[1].split()[-5:])
        assert store.complete(mixed) is None, "words of two memories are no part of either"


def test_where_and_when_it_was_and_who_spoke_are_parts_of_it(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        said = [
            {"text": "It was lovely.", "speaker": who, "place": place, "at": NOON + timedelta(days=day)}
            for who, place, day in (("Ana", "harbour/pier 3", 0), ("Bea", "harbour/pier 1", 0), ("Ana", "attic", 2))
        ]
        records = memory.add_many(said)
        store = found(memory)
        asked: list[tuple[dict[str, Any], int]] = [
            ({"speaker": "bea"}, 1),
            ({"place": "attic"}, 2),
            ({"place": "Harbour/Pier 3"}, 0),
            ({"place": "harbour", "speaker": "Ana"}, 0),
            ({"on": date(2024, 5, 3)}, 2),
            ({"on": "2024-05-03"}, 2),
            ({"on": NOON + timedelta(days=2)}, 2),
        ]
        for parts, wanted in asked:
            completion = store.complete("lovely", **parts)
            assert completion is not None
            assert completion.record.id == records[wanted].id
            assert (completion.confidence, completion.others) == (1.0, ())
        both = store.complete("lovely", place="harbour")
        assert both is not None
        assert [both.record.id, *(one.id for one in both.others)] == [records[1].id, records[0].id]
        line = store.complete("Ana: it was lovely", on="2024-05-03")
        assert line is not None
        assert (line.record.id, line.confidence) == (records[2].id, 1.0), "a name is a word, too"
        assert store.complete("It was lovely.", place="harbour/pier 9") is None, "another pier of the same harbour"
        assert store.complete("lovely", speaker="Carl", place="cellar") is None


def test_those_that_fit_equally_are_all_named(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        pair = memory.add_many(["Green tea with lemon.", "Green tea with honey."])
        two = found(memory).complete("green tea")
        assert two is not None
        assert (two.record, two.others, two.confidence) == (pair[1], (pair[0],), 0.5)
        many = memory.add_many(f"The parcel number {n} arrived." for n in range(40))
        dozens = found(memory).complete("the parcel arrived")
        assert dozens is not None
        assert dozens.record == many[-1]
        assert dozens.others == tuple(many[-9:-1]), "the newest, in order of writing"
        assert dozens.confidence == pytest.approx(1 / 40)
        one = found(memory).complete("parcel number 17")
        assert one is not None
        assert (one.record, one.others, one.confidence) == (many[17], (), 1.0)


def test_of_those_that_hold_the_same_words_one_may_hold_them_to_the_letter(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        memory.add_many(["The man bites the dog.", "The dog bites the man.", "Man, dog: who bites?"])
        store = found(memory)
        for fragment in ("The dog  bites the MAN", "dog bites"):
            completion = store.complete(fragment)
            assert text_of(completion) == "The dog bites the man."
            assert completion is not None
            assert (completion.others, completion.confidence) == ((), 1.0)
        any_order = store.complete("bites dog man")
        assert any_order is not None
        assert len(any_order.others) == 2


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("我昨天在北京喝了绿茶", "北京喝了"),
        ("นักเรียนกินข้าวที่โรงเรียน", "กินข้าว"),
        ("Die Häuser am Fluss wurden überschwemmt.", "hauser überschwemmt"),
        ("Мы видели ежей в лесу.", "ежей лесу"),
        ("It was to be or not to be, that is.", "to be or not to be"),
        ("🎻🎻", "🎻🎻"),
    ],
)
def test_in_any_script_and_of_the_commonest_words(text: str, fragment: str, tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        memory.add_many([*SENTENCES, text])
        assert text_of(found(memory).complete(fragment)) == text


def test_it_says_what_it_cannot_complete(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, store):
        assert store.complete("anything") is None, "in an empty memory"
        assert store.familiarity(["anything"]) == [0.0]
        memory.add_many(SENTENCES)
        store = found(memory)
        refused: list[Callable[[], object]] = [
            lambda: store.complete(""),
            lambda: store.complete(" \n\t"),
            lambda: store.complete("nul\0"),
            lambda: store.complete(3),  # type: ignore[arg-type]
            lambda: store.complete("ferry", on="yesterday"),
            lambda: store.complete("ferry", on=3),  # type: ignore[arg-type]
            lambda: store.complete("ferry", on=NOON.replace(tzinfo=None)),
            lambda: store.complete("ferry", speaker=3),  # type: ignore[arg-type]
            lambda: store.familiarity(["ferry", " "]),
            lambda: store.familiarity("ferry"),
            lambda: store.arrival(3),  # type: ignore[arg-type]
            lambda: store.recall(Cue("ferry"), -1),
            lambda: RecognitionMemory(memory.host, stretch=0),
        ]
        for call in refused:
            with pytest.raises(InvalidInput):
                call()
        assert store.complete("x" * 100_000) is None
        assert text_of(store.complete(" ".join(SENTENCES[3] for _ in range(999)))) == SENTENCES[3]


# ── against a search through all ─────────────────────────────────────────────────────────────────────────────────

letters = st.sampled_from("abcde")
terms = st.frozensets(letters, min_size=1, max_size=4)
edits = st.lists(st.tuples(st.integers(1, 9), st.none() | terms), max_size=30)
weighed = st.dictionaries(letters | st.just("unknown"), st.sampled_from([1.0, 0.5, 0.2]), min_size=1, max_size=4)


@given(edits=edits, parts=st.lists(weighed, min_size=1, max_size=5), least=st.sampled_from([0.3, 0.5, 0.8, 1.0]))
@settings(max_examples=60)
def test_candidates_are_those_that_a_search_finds(
    edits: list[tuple[int, frozenset[str] | None]], parts: list[Part], least: float
) -> None:
    contents, held = Contents(), dict[int, frozenset[str]]()
    for position, content in edits:
        before = held.pop(position, None)
        if content is None:
            assert contents.drop(position) == (before is not None)
        else:
            assert contents.put(position, content) == (before != content)
            held[position] = content
    assert len(contents) == len(held)
    in_use = frozenset().union(*held.values())
    assert {term for term in "abcde" if term in contents.vocabulary} == in_use, "a word goes with its last memory"
    counted = [max(sum(term in content for content in held.values()) for term in part) for part in parts]
    weights = [math.log(1 + len(held) / (number + 0.5)) for number in counted]
    assert contents.weights(parts) == pytest.approx(weights)
    shares = {position: share(parts, weights, content)[0] for position, content in held.items()}
    fit = [(-round(part, 6), -position) for position, part in shares.items() if part >= least - 1e-9]
    found = contents.candidates(parts, weights, least, 5)
    assert found.positions == [-position for _, position in sorted(fit)][:5]
    assert found.equal == sum(one[0] == min(fit)[0] for one in fit)


def edits_between(one: str, other: str) -> int:
    """Damerau's distance, in which no two letters are changed that changed places."""
    rows = [[max(i, j) if not min(i, j) else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            differ = one[i - 1] != other[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differ)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


short = st.text("abcé", min_size=1, max_size=6)


@given(first=st.sets(short, max_size=12), edits=st.lists(st.tuples(st.booleans(), short), max_size=25), asked=short)
@settings(max_examples=60)
def test_words_are_found_by_their_beginning_and_by_one_slip(
    first: set[str], edits: list[tuple[bool, str]], asked: str
) -> None:
    vocabulary, held = Vocabulary(first), set(first)
    for more, word in edits:
        bit = vocabulary.add(word)
        held.add(word)
        assert vocabulary[bit] == word
        if not more:
            vocabulary.discard(bit)
            held.discard(word)
    assert len(vocabulary) == len(held)
    assert vocabulary.bits() == {Vocabulary().add(word) for word in held}
    assert list(vocabulary.beginning(asked)) == sorted(word for word in held if word.startswith(asked))
    assert sorted(vocabulary.spelled_like(asked)) == sorted(word for word in held if edits_between(word, asked) <= 1)


def test_a_slip_is_looked_for_only_where_a_word_is_unknown() -> None:
    vocabulary = Vocabulary(["form", "from", "harbour", "harvest", "speaker:frmo"])
    assert parts_of("form x", vocabulary)[0] == {"form": 1.0}
    assert parts_of("harbuor x", vocabulary)[0] == {"harbour": 1 - 1 / 7, "harbuor": 1.0}
    assert parts_of("frmo x", vocabulary)[0] == {"from": 0.75, "frmo": 1.0}
    assert parts_of("speakerfrmo x", vocabulary)[0] == {"speakerfrmo": 1.0}, "no label is a word"
    assert parts_of("x harv", vocabulary)[1] == {"harvest": 4 / 7, "harv": 1.0}
    assert parts_of("x harv ", vocabulary)[1] == {"harv": 1.0}, "a word that is ended is no half"
    assert len(parts_of("harbour harbours HARBOUR", vocabulary)) == 1


# ── familiarity ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_stored_is_familiar_whoever_says_it_when(tmp_path: Path) -> None:
    chance = random.Random(1)
    with remembering(tmp_path) as (memory, _):
        memory.add_many({"text": text, "speaker": "Ana", "at": NOON} for text in SENTENCES)
        store = found(memory)
        assert store.familiarity(SENTENCES) == [1.0] * len(SENTENCES)
        assert store.familiarity([text.upper() for text in SENTENCES]) == [1.0] * len(SENTENCES)
        slips = [fragments_of(text, chance)["with a slip"] for text in SENTENCES]
        halves = [fragments_of(text, chance)["the first half"] for text in SENTENCES]
        shuffled = [" ".join(chance.sample(text.split(), len(text.split()))) for text in SENTENCES]
        means = [np.mean(store.familiarity(texts)) for texts in (STRANGERS, halves, slips)]
        assert means == sorted(means)
        assert means[0] < 0.1
        assert means[2] > 0.6
        assert max(store.familiarity(shuffled)) < 1, "the order of words counts"
        assert store.familiarity([]) == []


@pytest.mark.parametrize("stretch", [4, 4_096])
def test_each_knows_how_familiar_it_was_when_it_came(stretch: int, tmp_path: Path) -> None:
    with remembering(tmp_path, stretch=stretch) as (memory, _):
        first = memory.add_many(SENTENCES[:6])
        again = memory.add_many([SENTENCES[1], SENTENCES[5]])
        new = memory.add(SENTENCES[7])

        def arrived(*records: Any) -> list[float]:
            return found(memory).arrival([record.position for record in records])

        assert max(arrived(*first, new)) < 0.5
        assert arrived(*again) == [1.0, 1.0]
        memory.forget(first[1].id)
        assert arrived(*again)[0] < 0.5, "as if it had never been"
        assert arrived(first[1]) == [0.0], "of no record that lives"
        memory.undo()
        assert arrived(*again) == [1.0, 1.0]
        memory.edit(new.id, text=SENTENCES[0])
        assert arrived(new) == [1.0]
        memory.edit(first[0].id, text="It was another ferry.")
        assert arrived(new)[0] < 0.9
        assert found(memory).arrival([10**9]) == [0.0]


# ── the journal, and what is kept ────────────────────────────────────────────────────────────────────────────────


def test_what_is_overwritten_forgotten_or_erased_leaves_nothing(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        memory.add_many(SENTENCES[2:])
        before = state(found(memory))[1:4]
        secret = memory.add("The password of the safe is xylophone.")
        assert text_of(found(memory).complete("safe password")) == secret.text
        memory.edit(secret.id, text="There is a safe.")
        assert found(memory).complete("xylophone password") is None
        memory.forget(secret.id)
        assert found(memory).complete("there is a safe") is None
        memory.restore(secret.id)
        assert text_of(found(memory).complete("there is a safe")) == "There is a safe."
        memory.forget(secret.id, hard=True)
        assert found(memory).complete("there is a safe") is None
        assert state(found(memory))[1:4] == before, "no word of it is left"


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happened_the_state_is_that_of_the_records_as_they_stand(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with remembering(tmp_path, stretch=7) as (memory, _):
        for step in range(54):
            live = [record.id for record in memory.records()]
            text = " ".join(chance.sample(string.ascii_lowercase, 4)) + " " + chance.choice(SENTENCES)
            one = chance.choice(live) if live else memory.add(text).id
            verbs: tuple[Callable[[], object], ...] = (
                lambda text=text: memory.add(text, speaker="Ana"),  # type: ignore[misc]
                lambda text=text: memory.add_many([text, "über und nicht auch"]),  # type: ignore[misc]
                lambda one=one, text=text: memory.edit(one, text=text),  # type: ignore[misc]
                lambda one=one: memory.edit(one, speaker="Bea"),  # type: ignore[misc]
                lambda one=one: memory.forget(one, hard=chance.random() < 0.3),  # type: ignore[misc]
                lambda one=one: memory.pin(one),  # type: ignore[misc]
                memory.undo,
                memory.redo,
            )
            try:
                chance.choice(verbs)()
            except AgentMemError:
                continue
            if step % 6 == 0:
                store = found(memory)
                if step % 18 == 0:
                    store._keep()
                assert state(store) == state(anew(memory, stretch=7))
        store = found(memory)
        store._keep()
        again = RecognitionMemory(memory.host, stretch=7)
        assert again.cursor == store.cursor, "from what was kept"
        assert state(again) == state(store)
        store.rebuild()
        assert state(store) == state(again)


def kept(memory: Memory) -> list[Segment]:
    return memory.host.ledger.segments("recognition")


def test_what_no_change_has_touched_is_not_written_again(tmp_path: Path) -> None:
    with remembering(tmp_path, stretch=10) as (memory, _):
        memory.add_many(f"parcel {n} came" for n in range(25))
        store = found(memory)
        store.rebuild()
        sealed = kept(memory)
        assert len(sealed) == 2
        memory.add_many(f"letter {n} came" for n in range(9))
        store = found(memory)
        store._keep()
        assert kept(memory)[0] == sealed[0]
        assert [segment.until for segment in kept(memory)] == [sealed[0].until, 33, 34]
        sealed = kept(memory)
        memory.add("letter 9 came")
        again = RecognitionMemory(memory.host, stretch=10)
        Attached("again", again, memory.host, 1.0).follow()
        again._keep()
        assert kept(memory)[:2] == sealed[:2], "nor by the next process"
        assert len(kept(memory)) == 3
        [first] = memory.host.ledger.at([3])
        memory.edit(first.id, text="parcel 3 was lost")
        store = found(memory)
        store._keep()
        assert kept(memory)[0] != sealed[0]
        again = RecognitionMemory(memory.host, stretch=10)
        assert again.cursor == store.cursor
        assert text_of(again.complete("parcel 3 lost")) == "parcel 3 was lost"
        assert state(again) == state(anew(memory, stretch=10))
        memory.forget(first.id, hard=True)
        assert kept(memory) == []
        for parts in (1, 2):  # a segment that ends before the erasure is refused
            store = found(memory)
            store._keep()
            assert len(kept(memory)) == parts
            again = RecognitionMemory(memory.host, stretch=10)
            assert again.cursor == store.cursor
            assert state(again) == state(anew(memory, stretch=10))
            memory.add("one more")


def altered(segment: Segment, change: Callable[[Any, dict[str, NDArray[Any]]], None]) -> Segment:
    told, arrays = unpack(segment.data)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(told, arrays)
    return Segment(segment.until, pack(told, **arrays))


FORGERIES: dict[str, Callable[[Any, dict[str, NDArray[Any]]], None]] = {
    "of another version": lambda told, _: told.update(stamp=["recognition", 0, None]),
    "without a count": lambda told, _: told.pop("counted"),
    "counted otherwise": lambda told, _: told.update(counted=99),
    "with other terms": lambda told, _: told["terms"].pop(),
    "a term that is none": lambda told, _: told["terms"].append(7),
    "one stretch more": lambda told, _: told["sizes"].append(0),
    "another beginning": lambda told, _: told["firsts"].__setitem__(-1, told["firsts"][-1] + 1),
    "sizes that are none": lambda told, _: told.update(sizes="12"),
    "another order": lambda _, arrays: arrays.update(positions=arrays["positions"][::-1].copy()),
    "of a later journal": lambda _, arrays: arrays["positions"].__setitem__(-1, 10**6),
    "wider codes": lambda _, arrays: arrays.update(codes=arrays["codes"].astype(np.uint16)),
    "units that there are not": lambda _, arrays: arrays["codes"].__setitem__((0, 0), 200),
    "bits that there are not": lambda _, arrays: arrays["actives"].__setitem__((0, 0), 65_000),
    "a familiarity that is none": lambda _, arrays: arrays["own"].__setitem__(0, math.nan),
    "fewer bits": lambda _, arrays: arrays.update(bits=arrays["bits"][1:].copy()),
    "another number of bits": lambda _, arrays: arrays["counts"].__setitem__(0, -5),
    "other numbers": lambda _, arrays: arrays.update(counts=arrays["counts"].astype(np.float64)),
}


def test_what_a_stranger_wrote_is_derived_anew(tmp_path: Path) -> None:
    with remembering(tmp_path, stretch=10) as (memory, _):
        memory.add_many(SENTENCES)
        store = found(memory)
        store.rebuild()
        sound, wanted = kept(memory), state(store)
        for segment, names in ((sound[-1], FORGERIES), (sound[0], ["another order", "with other terms"])):
            for name in names:
                forged = [altered(one, FORGERIES[name]) if one is segment else one for one in sound]

                def put(transaction: Any, forged: Sequence[Segment] = forged) -> None:
                    standing = [one.until for one in transaction.segments("recognition")]
                    for i, one in enumerate(forged):
                        assert transaction.put_segment("recognition", one, standing=standing, kept=i)
                        standing = [one.until for one in forged[: i + 1]]

                memory.host.ledger.transact(put)
                again = RecognitionMemory(memory.host, stretch=10)
                assert again.cursor == 0, name
                Attached("again", again, memory.host, 1.0).follow()
                assert state(again) == wanted, name
                again.rebuild()


class Down:
    """An embedder that cannot be reached."""

    id = "down-8-v1"
    dimension = 8
    in_process = True

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise EmbeddingError("no answer")


def test_it_needs_no_embedder(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m", embedder=Down()) as memory:
        memory.add_many(SENTENCES)
        store = RecognitionMemory(memory.host)
        Attached("recognition", store, memory.host, 1.0).follow()
        assert text_of(store.complete("violin cupboard")) == SENTENCES[1]
        assert store.familiarity([SENTENCES[4]]) == [1.0]


def test_recall_names_what_it_holds_and_changes_nothing(tmp_path: Path) -> None:
    with remembering(tmp_path) as (memory, _):
        memory.add_many([*SENTENCES, "The ferry leaves the harbour."])
        store = found(memory)
        before, head = state(store), memory.stats().head
        hits = store.recall(Cue("the ferry leaves the northern harbour"), 5)
        assert [hit.record.text for hit in hits] == [SENTENCES[0], "The ferry leaves the harbour."][: len(hits)]
        assert hits[0].score == 1.0
        assert hits[0].verdict == "holds 5 of 5 words"
        assert store.recall(Cue("ferry"), 1)[0].record.text == "The ferry leaves the harbour.", "the newest of equals"
        assert store.recall(Cue(" "), 5) == store.recall(Cue("ferry"), 0) == []
        assert store.recall(Cue(STRANGERS[0]), 5) == []
        store.complete("a kettle"), store.familiarity(["a kettle"]), store.arrival([1, 2])
        assert state(store) == before
        assert memory.stats().head == head


def test_features_tell_a_denial_from_what_it_denies() -> None:
    said, denied = read("I do like it"), read("I do not like it")
    assert said.features != denied.features
    assert read("YES!").features == read("yes").features
    assert set(read("Yes").terms) == {"yes"}
