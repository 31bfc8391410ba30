"""Terms: what text becomes before it is indexed or asked for, in several scripts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentmem.recall.text import fold, terms

anything = st.text(st.characters())  # lone surrogates too
SAMPLES = [
    "We moved the launch",
    "新しいiPhone15を買った",
    "ภาษาไทย",
    "मैं किताबें",
    "ﬁancée’s café",
    "\ud800",
    "Σίσυφος",
    "ẞ",
]


@given(text=anything | st.lists(st.sampled_from(SAMPLES)).map(" ".join))
@example(text="")
@example(text="İ ŉ ǰ ΐ ﷺ ㎏ ½ ² _ __ a_b")
def test_any_text_has_terms_and_none_is_empty(text: str) -> None:
    found = terms(text)
    assert all(isinstance(term, str) and term.strip() for term in found)
    assert terms(text) == found
    assert len(found) <= len(unicodedata.normalize("NFKD", text))


@given(text=anything)
def test_neither_case_nor_form_of_writing_changes_the_terms(text: str) -> None:
    composed, apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert terms(composed) == terms(apart)
    if "й" not in composed.lower():  # which is a letter to its stemmer, and an accented one to `fold`
        assert terms(fold(text)) == terms(text)


@given(words=st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1)))
def test_case_and_the_signs_between_words_do_not_matter(words: list[str]) -> None:
    asked = terms(" ".join(words))
    assert terms(", ".join(words)) == asked
    assert terms(" — ".join(words).upper()) == asked


@pytest.mark.parametrize(
    "inflected",
    [
        "walk walks walked walking",
        "launch launches launched launching",
        "harbour harbours",
        "city cities",
        "connect connection connections connected",
        "HAPPY happiness",
    ],
)
def test_inflections_are_one_term(inflected: str) -> None:
    found = terms(inflected)
    assert len(found) == len(inflected.split())
    assert len(set(found)) == 1


def test_words_that_say_nothing_vanish_and_repeats_stay() -> None:
    assert terms("What is it that you were doing with these?") == []
    assert terms("The moon and the moon") == ["moon", "moon"]
    assert terms("Is it NOT the moon?") == ["moon"]
    assert terms("… !? — \n\t") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("café", "cafe"),
        ("CAFÉ", "cafe\u0301"),
        ("ｃａｆｅ", "café"),
        ("İstanbul", "istanbul"),
        ("ISTANBUL", "İSTANBUL"),
        ("Straße", "STRASSE"),
        ("ﬁnish", "finish"),
        ("Việt Nam", "viet nam"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("Ｔｏｋｙｏ２０２４", "tokyo2024"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("ガラス", unicodedata.normalize("NFD", "ガラス")),
        ("한국어", unicodedata.normalize("NFD", "한국어")),
    ],
)
def test_ways_to_write_a_word_are_one(one: str, other: str) -> None:
    assert terms(one)
    assert terms(one) == terms(other)


def test_japanese_and_chinese_become_overlapping_pairs() -> None:
    assert terms("東京都") == ["東京", "京都"]
    assert terms("我喜欢喝茶") == ["我喜", "喜欢", "欢喝", "喝茶"]
    assert terms("茶") == ["茶"]
    assert set(terms("喝茶")) <= set(terms("我每天都喝茶。"))


@pytest.mark.parametrize("name", ["iPhone15", "GPT", "2024", "café"])
def test_a_word_inside_a_script_without_spaces_is_a_term_of_its_own(name: str) -> None:
    [term] = terms(name)
    found = terms(f"新しい{name}を買った")
    assert term in found
    assert "新し" in found
    assert not any(term in other and term != other for other in found)


@pytest.mark.parametrize(
    ("sentence", "asked"),
    [
        ("ฉันชอบดื่มชาเย็น", "ชาเย็น"),  # Thai: I like to drink iced tea
        ("ខ្ញុំចូលចិត្តតែ", "តែ"),  # Khmer: I like tea
        ("ຂ້ອຍມັກກາເຟ", "ກາເຟ"),  # Lao: I like coffee
        ("ကျွန်တော်လက်ဖက်ရည်ကြိုက်တယ်", "လက်ဖက်ရည်"),  # Burmese: I like tea
        ("昨日は渋谷でラーメンを食べました", "ラーメン"),
        ("어제 서울에서 친구를 만났다", "서울"),  # Korean: yesterday I met a friend in Seoul
    ],
)
def test_a_word_is_found_in_a_sentence_without_spaces(sentence: str, asked: str) -> None:
    assert terms(asked)
    assert set(terms(asked)) <= set(terms(sentence))


@pytest.mark.parametrize(
    "sentence",
    [
        "मुझे हिन्दी किताबें पढ़ना पसंद है",  # Hindi
        "আমি বাংলা বই পড়ি",  # Bengali
        "எனக்கு தமிழ் பிடிக்கும்",  # Tamil
        "أحب قراءة الكتب في المساء",  # Arabic
        "אני אוהב לקרוא ספרים",  # Hebrew
        "Я люблю читать книги",  # Russian
    ],
)
def test_a_word_of_a_script_with_spaces_is_one_term(sentence: str) -> None:
    assert len(terms(sentence)) == len(sentence.split())


@pytest.mark.parametrize("word", ["हिन्दी", "மொழி", "محمد", "مُحَمَّد", "שלום", "שָׁלוֹם", "Việt", "e\u0301te\u0301"])
def test_marks_on_its_letters_do_not_part_a_word(word: str) -> None:
    assert len(terms(word)) == 1
