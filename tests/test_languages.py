"""Recall in other languages than English: by inflected words, in scopes of one language and of several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.memory import Memory
from agentmem.recall.languages import ENGLISH, language_of, stem
from agentmem.recall.text import asked_terms, fold, terms, terms_in
from tests.fakes import DigestEmbedder

# By language: what is remembered, and questions with the number of the memory that answers; no word form is the same.
SCOPES: dict[str, tuple[Sequence[str], Sequence[tuple[str, int]]]] = {
    "german": (
        [
            "Die alten Häuser am Hafen sind verkauft worden.",
            "Meine Schwester ist mit den Kindern nach Wien gezogen.",
            "Ich habe gestern drei Bücher über das Segeln gelesen.",
            "Der Zug kommt nicht um sieben, sondern um acht.",
        ],
        [("Wer hat das Haus gekauft?", 0), ("Wo ist das Kind?", 1), ("Welches Buch hat er?", 2)],
    ),
    "french": (
        [
            "Les vieilles maisons du port ont été vendues.",
            "Ma sœur travaille dans une école avec des enfants.",
            "Nous avons mangé des gâteaux aux pommes chez elle.",
            "Le train ne part pas à sept heures.",
        ],
        [("Qui a la maison ?", 0), ("Qui travaillait avec un enfant ?", 1), ("Est-ce que tu manges un gateau ?", 2)],
    ),
    "spanish": (
        [
            "Las casas viejas del puerto fueron vendidas.",
            "Mi hermana trabajaba con los niños de la escuela.",
            "Ayer escuchamos dos canciones muy tristes en la radio.",
            "El tren no sale a las siete.",
        ],
        [
            ("¿Quién tiene una casa?", 0),
            ("¿Quién trabaja con el niño?", 1),
            ("la cancion triste", 2),
        ],
    ),
    "russian": (
        [
            "Старые дома у гавани проданы.",
            "Моя сестра читает новый роман.",
            "Мы купили три книги про паруса.",
            "Поезд идёт в семь.",
        ],
        [
            (
                "кто живёт в старом доме?",
                0,
            ),
            ("читала новую", 1),
            ("где книга?", 2),
            ("поезда", 3),
        ],
    ),
    "arabic": (
        [
            "اشتريت الكتاب أمس",
            "ذهبنا إلى المدرسة",
        ],
        [("كتاب", 0), ("مدرسة", 1)],
    ),
    "chinese": (
        [
            "我的姐姐搬到了上海",
            "我每天都喝茶",
            "火车七点开",
        ],
        [("谁在上海？", 0), ("喝茶", 1), ("火车", 2)],
    ),
    "japanese": (
        [
            "昨日は渋谷でラーメンを食べました",
            "姉は京都に住んでいます",
        ],
        [("ラーメンは？", 0), ("京都", 1)],
    ),
    "thai": (
        [
            "ฉันชอบดื่มชาเย็น",
            "พี่สาวอยู่ที่เชียงใหม่",
        ],
        [("ชาเย็น", 0), ("เชียงใหม่", 1)],
    ),
    "korean": (
        [
            "어제 서울에서 친구를 만났다",
            "나는 차를 좋아한다",
        ],
        [("서울", 0), ("좋아", 1)],
    ),
}
ENGLISH_TURNS = ["We moved the launch.", "My sister has the keys to the boat.", "The train is late again."]
numbers = itertools.count()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("languages") / "m", embedder=DigestEmbedder()) as memory:
        yield memory


def best(memory: Memory, cue: str) -> str:
    return memory.recall(cue, 1, engine="bm25")[0].record.text


@pytest.mark.parametrize("language", SCOPES)
def test_a_question_finds_what_is_said_with_other_endings(house: Memory, language: str) -> None:
    said, asked = SCOPES[language]
    memory = house.scope(f"room:{next(numbers)}")
    memory.add_many([*ENGLISH_TURNS, *said])
    for question, answer in asked:
        assert best(memory, question) == said[answer], question
    assert [record.text for record in memory.records()] == [*ENGLISH_TURNS, *said]  # as they were said


def test_all_of_them_in_one_scope(house: Memory) -> None:
    memory = house.scope(f"room:{next(numbers)}")
    memory.add_many([*ENGLISH_TURNS, *(text for said, _ in SCOPES.values() for text in said)])
    for said, asked in SCOPES.values():
        for question, answer in asked:
            assert best(memory, question) == said[answer], question
    assert best(memory, "Was the launch moving?") == "We moved the launch."


@pytest.mark.parametrize("language", ["german", "french", "spanish"])
def test_what_is_said_tells_its_language(language: str) -> None:
    for text in SCOPES[language][0]:
        assert terms_in(text)[1] == language, text
    for text in ENGLISH_TURNS:
        assert terms_in(text)[1] == ENGLISH


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", ENGLISH),
        ("Die!", ENGLISH),  # one word proves nothing
        ("Das Auto", ENGLISH),
        ("Das ist das Auto", "german"),
        ("Ik heb het boek niet gelezen, maar de film wel", "dutch"),
        ("Jag har inte läst boken, men filmen är bra", "swedish"),
        ("Non ho letto il libro, ma il film è bello", "italian"),
        ("Eu não li o livro, mas o filme é muito bom", "portuguese"),
        ("En ole lukenut kirjaa, mutta se on hyvä", "finnish"),
        ("I saw Das Boot and La La Land with my sister", ENGLISH),
    ],
)
def test_the_commonest_words_tell_the_language(text: str, language: str) -> None:
    assert terms_in(text)[1] == language
    assert language_of(fold(text).split()) in (language, ENGLISH)


POOL = sorted({word for said, _ in SCOPES.values() for text in [*said, *ENGLISH_TURNS] for word in text.split()})


@given(texts=st.lists(st.lists(st.sampled_from(POOL), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=6))
def test_whatever_language_is_guessed_a_word_finds_itself(texts: list[str]) -> None:
    guessed = {language for text in texts for _, language in [terms_in(text)]} - {ENGLISH}
    for text in texts:
        held = set(terms(text))
        for word in text.split():
            for stems in asked_terms(word, guessed):
                kept = not any(stem(fold(word).strip(".,?!"), language) == "" for language in {*guessed, ENGLISH})
                assert not kept or held & set(stems), (word, text)
