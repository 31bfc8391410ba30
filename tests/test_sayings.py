"""When two texts say the same, and what one word changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_stores.sayings import conflict, normalised, other_words, replaced, saying


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The ferry was late.", "the  ferry was LATE"),
        ("The ferry was late!", "The ferry was late…"),
        ("Ｃafé\n\tnoir", "café noir"),
        ("He said “so”.", "he said “so"),
    ],
)
def test_case_white_space_and_signs_at_the_end_make_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The ferry was late.", "The ferry was late?"),
        ("It is 5 degrees", "It is -5 degrees"),
        ("a.b", "ab"),
        ("10%", "10"),
    ],
)
def test_what_makes_a_difference_stays(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(max_size=40))
def test_what_is_normal_stays_so(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I owe the baker 12 euros for bread", "I owe the baker 21 euros for bread"),
        ("I am allergic to nuts and to milk", "I am not allergic to nuts and to milk"),
        ("we can come to the party", "we can't come to the party"),
        ("we cannot come to the party", "we can come to the party"),
        ("i do like his cooking", "i dont like his cooking"),
        ("He was happy with the new flat", "He was unhappy with the new flat"),
        ("The train leaves on Monday at noon", "The train leaves on Tuesday at noon"),
        ("the shop opens before lunch", "the shop opens after lunch"),
        ("I owe you a dinner at the pier", "You owe me a dinner at the pier"),
        ("we met Anna at the old bakery", "we met Anne at the old bakery"),
        ("Ana called Ben about the boat", "Ben called Ana about the boat"),
        ("You moved to Oslo.", "You moved to Oslo?"),
        ("my sister keeps the bees", "my brother keeps the bees"),
        ("two of them came along", "three of them came along"),
        ("Ich bin heute zu Hause", "Ich bin heute nicht zu Hause"),
        ("我喜欢猫和狗", "我不喜欢猫和狗"),
        ("it grew from 3 to 5 boats", "it grew from 5 to 3 boats"),
        ("not Monday but Friday it is", "not Friday but Monday it is"),
        ("turn the big lamp on", "turn the big lamp off"),
    ],
)
def test_what_turns_a_saying_round_is_seen(one: str, other: str) -> None:
    assert conflict(saying(one), saying(other))
    assert conflict(saying(other), saying(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I do not eat meat any more", "I don't eat meat any more"),
        ("It cost 1,200 euros", "it cost 1200 euros"),
        ("three boats came in", "3 boats came in"),
        ("on Monday the pool is shut", "the pool is shut on Monday"),
        ("The film was long", "That film was long"),
        ("on Monday I paid 30 euros to Ana", "I paid 30 euros to Ana on Monday"),
        ("Oh, Ana was late", "Ana was late"),
    ],
)
def test_what_says_it_otherwise_is_no_conflict(one: str, other: str) -> None:
    assert not conflict(saying(one), saying(other))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("we received the parcel", "we recieved the parcel", True),
        ("we received the parcel", "we receivd the parcel", True),
        ("we received the parcel", "we recceived the parcel", True),
        ("we received the parcel", "oh we just received a parcel", True),
        ("she lives by the canal", "she lived by the canal", False),
        ("the cat is on the roof", "the cot is on the roof", False),
        ("we received the parcel", "we received the parcels", False),
        ("we received the parcel", "we received the parcel today", False),
        ("the dog bit the man", "the man bit the dog", False),
        ("aaaab", "aaab", False),
        ("abbbbc", "abbbc", True),
    ],
)
def test_a_slip_of_the_pen_is_no_other_word(one: str, other: str, same: bool) -> None:
    assert (not other_words(saying(one), saying(other))) is same
    assert (not other_words(saying(other), saying(one))) is same


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (
            "the crate of eels fell in the water",
            "the basket of plums fell in the water",
            "crate of eels is not basket of plums",
        ),
        ("we ate in the blue room", "we ate in the red room", "blue is not red"),
        ("we ate in the blue room", "in the blue room we ate", ""),
        ("we received the blue parcel", "we recieved the blue parcel", ""),
        ("we ate in the blue room", "we ate in the blue room again", ""),
        ("tea", "rum", ""),
    ],
)
def test_another_thing_in_the_same_frame_is_seen(one: str, other: str, found: str) -> None:
    assert replaced(saying(one), saying(other)) == found


@given(st.lists(st.sampled_from("the ferry Ana not 3 was late to harbour".split()), max_size=8))  # noqa: SIM905
def test_a_text_is_at_one_with_itself(words: list[str]) -> None:
    told = saying(" ".join(words))
    assert not conflict(told, told)
    assert not other_words(told, told)
