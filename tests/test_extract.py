"""What the rules read, and above all what they leave alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_stores.thinking.by_rule import extract


def read(text: str, speaker: str | None = "Zoe") -> list[tuple[str, str, str]]:
    return [(("not " if one.negated else "") + one.head, one.relation, one.tail) for one in extract(text, speaker)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I live in Rome.", [("Zoe", "lives in", "Rome")]),
        ("I’m living in Rome now and I work as a nurse.", [("Zoe", "lives in", "Rome"), ("Zoe", "works as", "nurse")]),
        ("Yeah, I moved to New York last month!", [("Zoe", "lives in", "New York")]),
        ("I moved out of Paris.", [("not Zoe", "lives in", "Paris")]),
        ("I no longer live in Paris", [("not Zoe", "lives in", "Paris")]),
        ("I don't live in Paris anymore.", [("not Zoe", "lives in", "Paris")]),
        (
            "I used to live in Oslo, but now I live in Rome.",
            [("not Zoe", "lives in", "Oslo"), ("Zoe", "lives in", "Rome")],
        ),
        ("I stopped working as a teacher.", [("not Zoe", "works as", "teacher")]),
        ("I don't like fish.", [("not Zoe", "likes", "fish")]),
        ("Ana doesn't like tea. Ana no longer likes figs", [("not Ana", "likes", "tea"), ("not Ana", "likes", "figs")]),
        ("I can't stand cilantro.", [("Zoe", "hates", "cilantro")]),
        ("My favorite color is blue.", [("Zoe", "favourite color", "blue")]),
        ("Ben's favourite film is Alien.", [("Ben", "favourite film", "Alien")]),
        ("My name is Ana Silva.", [("Zoe", "name", "Ana Silva")]),
        ("My dog is called Rex.", [("Zoe's dog", "name", "Rex")]),
        ("My sister's name is Clara.", [("Zoe's sister", "name", "Clara")]),
        ("My sister lives in Berlin.", [("Zoe's sister", "lives in", "Berlin")]),
        ("I have a dog named Max.", [("Zoe", "has", "a dog"), ("Zoe's dog", "name", "Max")]),
        ("I've got three cats and I love them.", [("Zoe", "has", "three cats")]),
        ("I'm 34 years old.", [("Zoe", "is aged", "34")]),
        ("I turned 30 yesterday.", [("Zoe", "is aged", "30")]),
        ("Ben is from Lagos. I'm from Portugal!", [("Ben", "is from", "Lagos"), ("Zoe", "is from", "Portugal")]),
        ("Ana Silva works at Acme Corp.", [("Ana Silva", "works at", "Acme Corp")]),
        ("I'm single. I'm not a vegetarian.", [("Zoe", "status", "single"), ("not Zoe", "is", "vegetarian")]),
        ("Ben is a doctor; I am a nurse.", [("Ben", "is", "a doctor"), ("Zoe", "is", "a nurse")]),
        ("I'm allergic to peanuts.", [("Zoe", "is allergic to", "peanuts")]),
        ("I'm married to Tom.", [("Zoe", "is married to", "Tom")]),
        ("I speak French and German.", [("Zoe", "speaks", "French and German")]),
        ("I was born in Leeds.", [("Zoe", "was born in", "Leeds")]),
        ("I love camping with my sister.", [("Zoe", "loves", "camping with their sister")]),
        ("I prefer trains, so how can I get to Rome?", [("Zoe", "prefers", "trains")]),
    ],
)
def test_it_reads_what_is_said(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Do I live in Rome?",
        "I live in Rome?",
        "I would live in Rome.",
        "If I live in Rome, I like pasta.",
        "Maybe I live in Rome.",
        "I think I live in Rome.",
        "I live in Rome, I think.",
        "I want to say I live in Rome.",
        "I'd love to live in Rome.",
        "I'll move to Rome and I live in hope.",
        "I wish I lived in Rome. Imagine I live in Rome.",
        'She said "I live in Rome".',
        "He shouted: “I am a nurse.”",
        "She said 'I live in Rome'.",
        "When I was a kid I lived in Oslo.",
        "I was a nurse.",
        "I love it. I like that. I enjoy how it looks. I hate this place.",
        "I have a question. I have a meeting. I have to go.",
        "I am 5 minutes away. I'm 100% sure. I'm a bit tired.",
        "Sounds like a plan. Looks like rain. Feels like home.",
        "They're like my family. My team is like a family.",
        "He lives in Rome. She likes tea. We have a dog. It is a boat. You work as a nurse.",
        "Case studies of success. Key studies and their findings.",
        "I live in a dream.",
        "I like games that test me. I love people who sing.",
        "My favourite thing is pizza.",
        "Below is an example.",
        "Ich lebe in Berlin. Ana lebt in Rom. Ich habe einen Hund.",
        "J'habite à Paris. Je suis infirmière.",
        "Vivo en Roma. Me gusta el té.",
        "私はローマに住んでいます。",
        "",
        " \n\n ",
    ],
)
def test_it_leaves_alone_what_is_no_plain_fact(text: str) -> None:
    assert read(text) == []


def test_nobody_speaking_is_nobody() -> None:
    text = "I live in Rome. My dog is called Rex. Ben lives in Oslo."
    assert read(text, None) == [("Ben", "lives in", "Oslo")]


def test_spans_are_where_the_words_stand() -> None:
    text = "Oh “quoted: I like rye.” Well.\nHey Mel, I’m living in Rome now! And  my favourite colour is red."
    facts = extract(text, "Zoe")
    assert [text[slice(*fact.span)] for fact in facts] == ["I’m living in Rome", "my favourite colour is red"]


SAID = """
I my Ana Ben's live lives in Rome like likes tea not don't no longer used to have a dog called Rex is am 'm 34 years old
favourite film , . ? ! " “ ” and but if because - — name
"""
WORDS = st.lists(st.sampled_from([*SAID.split(), "\n"]), max_size=40).map(" ".join)


@given(text=WORDS | st.text(max_size=200), speaker=st.none() | st.sampled_from(["Zoe", "我", "I"]))
def test_any_text_gives_facts_that_stand_in_it_or_nothing(text: str, speaker: str | None) -> None:
    for fact in extract(text, speaker):
        start, end = fact.span
        said = text[start:end]
        assert 0 <= start < end <= len(text)
        assert fact.head.strip()
        assert fact.tail.strip()
        plain = said.replace("’", "'").replace("`", "'").lower()
        assert fact.tail.lower().replace("their", "my") in plain or fact.tail.lower() in plain
        assert speaker is not None or fact.head in text or "'s " in fact.head


@pytest.mark.parametrize(
    "letters", [string.ascii_lowercase, "I ", "my ", "' ", '"', "A", "really ", ",", "Ab ", "I like cats and "]
)
def test_a_pasted_book_costs_no_more_than_its_length(letters: str) -> None:
    """Patterns that go back on themselves would take hours."""
    assert len(extract(letters * (200_000 // len(letters)), "Zoe")) <= 1
    assert extract("I live in " + letters * 20_000, "Zoe") is not None
