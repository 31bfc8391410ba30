"""Facts read from what somebody said: (head, relation, tail), by rules, from plain English, without a model.

It would rather read nothing than something wrong: questions, guesses, wishes, quotations, conditions, the past ("was a
nurse") and other languages give nothing, and "he", "she", "we" and "it" are never resolved. "I" is whoever speaks. What
is said not to hold, or to hold no longer, is read as such: it ends what was said before.

It reads little: on two sets of talk, of friends and of users with an assistant, 56 facts in 4,327 turns. Judged by hand
on the turns that it was tried on, 53 of them say what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Extracted", "extract"]


@dataclass(frozen=True, slots=True)
class Extracted:
    """`span` counts characters of the text: the words that say so. `negated`: it does not hold, or no longer. How sure
    it is, and the words that say when and where it holds, are a model's to tell."""

    head: str
    relation: str
    tail: str
    span: tuple[int, int]
    negated: bool = False
    confidence: float | None = None
    when: str | None = None
    where: str | None = None


_LONGEST: Final = 100_000  # characters of a text that are read: a pasted book says little of whoever pasted it
_SENTENCES: Final = 1_000  # characters of a sentence: what never ends is none, and each fact in it costs its length
_WORDS: Final = 8  # of a tail: what is longer is a story, not a fact

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?]+(?=\s|$)|(?=\n|$))")
_QUOTED = re.compile(r"[\"“”„«»][^\"“”„«»\n]*(?:[\"“”„«»]|$)|(?<!\w)['‘][^'‘’\n]{2,}['’](?!\w)", re.M)
# What makes a sentence a guess, a wish or a condition, wherever it stands; below, what does so of the words after it.
_DOUBTFUL = re.compile(
    r"\b(?:if|whether|unless|would|could|might|perhaps|maybe|probably|possibly|supposedly|apparently|wish(?:es|ed)?"
    r"|imagine|pretend(?:ing)?|dream(?:ed|t)?|as though|joking|kidding|not only|not just|when i was|as a kid"
    r"|as a child|back then|until|i (?:think|guess|suppose|believe|hope))\b|'d\b|\?",
    re.I,
)
# Where a sentence that ends in a question begins to ask: "I live in Rome, so where should I …?"
_ASKING = re.compile(
    r"[,;–—]\s*(?:(?:so|and|but)\s+)?(?:can|could|would|will|how|what|which|where|when|who|why|do|does|did|is|are|should"
    r"|any|have)\b",
    re.I,
)
_ANNOUNCED = re.compile(
    r"\b(?:should|may|hope|hoping|hopefully|think|thought|guess|suppose|seems?|feels? like|almost|nearly|want|wanna"
    r"|going to|gonna|will|won't|not sure|doubt|says?|said|claims?|told|heard|let's|like when)\b|'ll\b",
    re.I,
)

_BUSY = (
    r"really|absolutely|just|also|still|always|actually|currently|now|totally|truly|especially|personally|recently"
    r"|already|finally|definitely|simply|originally|officially|happily|mostly|usually|often|do|do still"
)
_ADVERBS = rf"(?:(?:{_BUSY})\s+)*"
_START = r"(?:^\s*|[,;:!—–]\s*|\s-\s*|\b(?:and|but|because|plus)\s+)"
_OPENERS = (
    r"(?:(?:yeah|yes|yep|well|oh|hey|hi|hello|wow|no|nope|sure|thanks|honestly|anyway|also|so|and|but|currently|now"
    r"|these days|by the way|btw|in fact|actually|as you know)\s+)*"
)
_NAME = r"[A-Z][\w-]*[a-z][\w-]*(?:\s[A-Z][\w-]+){0,2}"
_SUBJECT = re.compile(
    rf"(?:{_START})(?i:{_OPENERS})(?P<subject>(?P<me>I)(?=['\s])|(?i:my)(?=\s)|{_NAME}(?:'s)?(?=\s))",
    re.M,
)
# Capitalised where a sentence begins, and nobody's name.
_NOT_NAMES = frozenset(
    re.findall(
        r"\S+",
        """
        a about above after all also am amazing an and another any anyone anything are art as at awesome be
        because been before being below both brother but by came can can't come congrats cool couldn't currently
        dad did didn't do does doesn't doing don't each either even every everybody everyone everything family
        father feels first five for four friends from getting glad go god goes going good got great had happy
        has have having he hello helping her here here's hey hi his home hope how i i'm if in is it it's its
        just kids last later less let let's life looks love lovely luckily making many maybe means mom more most
        mother much mum music my nature neither next nice no nobody none nope not nothing now of oh ok okay on
        one only or other others our people perhaps please really same seeing seems she since sister so some
        somebody someone something sorry sounds speaking still such sure taking than thank thanks that the their
        then there there's these they this those three time to today tomorrow tonight too two unfortunately
        until very was we well were what when where which while who whose why with without work works wow yeah
        yep yes yesterday you your
        """,
    )
)

# (relation, what says so after the subject, what may stand behind it)
_ANY, _PLACE, _PROPER, _BARE = "any", "place", "proper", "bare"
_FEELINGS: Final = frozenset({"likes", "loves", "enjoys", "prefers", "hates", "dislikes"})
_BE = r"(?:am|'m|is|'s|are)"
_VERBS: Final[list[tuple[str, str, str]]] = [
    ("lives in", r"(?:liv(?:e|es|ing) in|(?:(?:has|have|'ve|'s) )?(?:moved|relocated) (?:back )?to)", _PLACE),
    ("works as", r"work(?:s|ing)? as", _ANY),
    ("works at", r"work(?:s|ing)? (?:at|for)", _ANY),
    ("likes", rf"(?:likes?|{_BE} into|{_BE} an? (?:\w+ )?fan of)", _ANY),
    ("loves", r"(?:loves?|adores?)", _ANY),
    ("enjoys", r"enjoys?", _ANY),
    ("prefers", r"prefers?", _ANY),
    ("hates", r"(?:hates?|can't stand|detests?|despises?)", _ANY),
    ("dislikes", r"dislikes?", _ANY),
    ("plays", r"play(?:s|ing)?", _BARE),
    ("speaks", r"speaks?", _PROPER),
    ("teaches", r"teach(?:es|ing)?", _BARE),
    ("studies", r"(?:study|studies|studying|major(?:s|ing)? in)", _BARE),
    ("collects", r"collects?", _BARE),
    ("owns", r"owns?", _ANY),
    ("has", r"(?:have|has|'ve got|'s got|have got|has got|adopted)", _ANY),
    ("is from", rf"(?:{_BE} from|comes? from)", _PLACE),
    ("is married to", rf"(?:{_BE}|got) married to", _ANY),
    ("is allergic to", rf"{_BE} (?:\w+ly )?allergic to", _ANY),
    ("is afraid of", rf"{_BE} (?:afraid|scared|terrified) of", _ANY),
    ("was born in", r"(?:was|were) born (?:and raised )?in", _PLACE),
    ("was born on", r"(?:was|were) born on", _ANY),
]
_POSSESSIONS = re.compile(
    r"\b(?:dogs?|pup(?:py|pies|s)?|cats?|kittens?|pets?|fish|turtles?|snakes?|rabbits?|hamsters?|guinea pigs?|parrots?"
    r"|birds?|horses?|ponies|pony|chickens?|kids?|child(?:ren)?|sons?|daughters?|twins?|bab(?:y|ies)|sisters?|brothers?"
    r"|siblings?|cousins?|nephews?|nieces?|aunts?|uncles?|wife|husband|girlfriend|boyfriend|partner|fianc[ée]e?"
    r"|roommates?|housemates?|house|flat|apartment|cottage|cabin|farm|garden|car|van|truck|bike|bicycle|motorbike"
    r"|motorcycle|boat|piano|guitar|violin|drums?|degree|diploma|licen[cs]e|phd|allerg(?:y|ies)|asthma|diabetes"
    r"|tattoos?|collection|shop|store|business|company|blog|podcast|channel|telescope|camera)\b",
    re.I,
)
_STATUS = "single|married|divorced|engaged|widowed"
_STATES = rf"(?P<state>{_STATUS}|vegetarian|vegan|retired|left-handed|bilingual|unemployed)"
_AGE = rf"(?:{_BE}|turned) (?:now )?(?P<age>\d{{1,3}})(?P<old> ?(?:-| )?years?(?:-| )old)?"

_END = r"(?=\s*(?:$|[,.;:!—–(]|\s-\s|\band\b|\bbut\b|(?:now|too|today|yesterday|last|this)\b))"
_NOT = re.compile(r"\b(?:not|no longer|never|used to|don't|doesn't|isn't|aren't|stopped)\b|n't\b", re.I)
_MOD = (
    rf"(?P<mod>(?:(?:used to|no longer|never|don't|doesn't|do not|does not|stopped|{_BE} (?:not|no longer)"
    rf"|isn't|aren't|'ve been|have been|has been|{_BE})\s+)?)"
)
_RULES: Final = [
    (relation, kind, re.compile(rf"\s*{_ADVERBS}{_MOD}{_ADVERBS}(?P<verb>{verb})\s+", re.I))
    for relation, verb, kind in _VERBS
]
_LEAVING = re.compile(rf"\s*{_ADVERBS}moved (?:away from|out of)\s+", re.I)
_A = re.compile(rf"\s*{_ADVERBS}{_BE}\s+{_ADVERBS}(?P<mod>(?:not|no longer)\s+)?(?={_ADVERBS}an?\s)", re.I)
_STATE = re.compile(rf"\s*{_ADVERBS}{_BE}\s+{_ADVERBS}(?P<mod>(?:not|no longer)\s+)?(?:a\s+)?{_STATES}{_END}", re.I)
_AGED = re.compile(rf"\s*{_ADVERBS}{_AGE}{_END}", re.I)
_OF_MINE = re.compile(r"(\s+[a-z][a-z-]*)(\s[a-z][a-z-]*)?(\s[a-z][a-z-]*)?")
_FAVOURITE = re.compile(
    rf"\s*(?P<relation>favou?rite (?:[a-z]+ ){{1,3}}?){_BE}\s+{_ADVERBS}(?P<mod>(?:not|no longer)\s+)?", re.I
)
_CALLED = re.compile(rf"(?:\s*'?s?\s+name\s+is|\s*{_BE}\s+(?:called|named))\s+(?=[A-Z])")

_NAMED = re.compile(rf"an?\s(?:[a-z]+\s)*?(?P<what>[a-z]+),?\s(?:named|called)\s(?P<name>{_NAME})")

_CUT = re.compile(
    r"[,.;:!?—–()…]|\s-|\s(?:and|but|or)\s+(?:i|we|he|she|it|they|you|my|his|her|our|their|that|this|am|is|are|was|have"
    r"|has|can|then|so|now|just|works?|lives?|loves?|likes?|enjoys?|hates?|plays?|speaks?|teach(?:es)?|stud(?:y|ies)"
    r"|always|really|do|don't|want|need|got|it's|i'm|even)\b|\s(?:because|since|so|when|whenever|while|which|who|whose"
    r"|that|where|although|though|as|after|before|but|cause|than|especially|like|for now|ever|to (?:help|keep|get|make"
    r"|be|take|clear|relax|unwind)|i|we|you|they|he|she|it|is|are|was|were|has been|named|called|together)\b",
    re.I,
)
_TRAILING = re.compile(
    r"\s+(?:now|nowadays|too|as well|any ?more|any longer|these days|those days|currently|so much|so|very much|a lot"
    r"|right|at the moment|recently|already|though|lately|also|again|myself|herself|himself|last \w+|this \w+"
    r"|(?:a|two|three|\d+|a few) (?:\w+ )?(?:days?|weeks?|months?|years?) ago|in \d{4}|instead|btw|either|today)$",
    re.I,
)
_VAGUE = re.compile(
    r"(?:and|or|of|it|its|it's|that|this|these|those|them|him|her|his|their|your|you|us|me|we|our|how|what|when|where|why|who"
    r"|the (?:way|idea|fact|thought|sound|look|feeling|same|one|part)|everything|something|anything|nothing|someone"
    r"|everyone|one|ones|some|any|all|both|more|most|much|many|so|such|too|to|no|not|being|having|doing|seeing|hearing"
    r"|getting|giving|making|helping|a (?:bit|little|lot|few|tad|ton|bunch|great|good|big|huge|mess|wreck|part|member"
    r"|work|must|true|real|reminder|symbol|testament|blast|lifesaver|game|way|sign|joy|pleasure|dream|day|year|long"
    r"|new)|an (?:amazing|awesome|inspiration|important|incredible|honor|honour|absolute|ongoing|understatement)"
    r"|up|down|on|off|out|over|with|around|along|for|in|at|a role)\b",
    re.I,
)
_POINTING = re.compile(r"\b(?:this|that|these|those|myself|me|us|our|ours|we|i|i'm|you|your|here|there|it)\b", re.I)
_OPEN = re.compile(r"\b(?:to|of|with|for|from|in|on|at|what|how|by|and|or|the|an?|my|their|more|about|fan)$", re.I)
# What "the" names without having been spoken of before.
_KNOWN = re.compile(
    r"the (?:ocean|sea|beach|mountains?|outdoors|rain|snow|sun|cold|heat|dark|piano|guitar|violin|cello|flute|drums"
    r"|harp|trumpet|saxophone|clarinet|bass|\w+ of (?!the\b))",
    re.I,
)
_ADVERBIAL = re.compile(r"(?:\w+ly|ever|online|around|along|in|on|at|for|with|against|a lot|like|their)\b", re.I)
_MY = re.compile(r"\bmy\b", re.I)
_COUNTED = re.compile(r"(?:an?|two|three|four|five|six|seven|eight|nine|ten|\d+|several|some)\s", re.I)
_THE = re.compile(r"\s*(?:an?|the)\s+", re.I)


def extract(text: str, speaker: str | None = None) -> list[Extracted]:
    """What the text says of whoever speaks and of those it names, in order. None speaking: "I" says nothing.

    A name is taken as it stands at the beginning of a clause: "Ben lives in Oslo", "Ana's favourite colour is red".
    """
    plain = text[:_LONGEST].replace("’", "'").replace("`", "'")
    quoted = [match.span() for match in _QUOTED.finditer(text[:_LONGEST])]
    found: list[Extracted] = []
    for sentence in _SENTENCE.finditer(plain):
        said = sentence[0]
        if len(said) > _SENTENCES:
            continue
        if said.endswith("?") and (asking := _ASKING.search(said)):
            said = said[: asking.start()]
        start, end = sentence.start(), sentence.start() + len(said)
        if _DOUBTFUL.search(said) or any(a < end and start < b for a, b in quoted):
            continue
        for fact in _in_sentence(said, speaker):
            if not _ANNOUNCED.search(said, 0, fact.span[1]):
                (a, b) = fact.span
                found.append(replace(fact, span=(start + a, start + b)))
    return found


def _in_sentence(said: str, speaker: str | None) -> Iterator[Extracted]:
    for match in _SUBJECT.finditer(said):
        start, end = match.span("subject")
        subject = match["subject"]
        if match["me"]:
            if speaker:
                yield from _of(said, start, end, speaker)
        elif subject.lower() == "my":
            if speaker:
                yield from _owned(said, start, end, speaker)
        elif subject.split()[0].removesuffix("'s").lower() not in _NOT_NAMES and not subject.endswith("ing"):
            if subject.endswith("'s") and not re.match(r"\s+(?:an?|not|from|allergic|\d)\b", said[end:]):
                yield from _owned(said, start, end, subject.removesuffix("'s"))
            elif not subject.endswith("'s"):
                yield from _of(said, start, end, subject)


def _owned(said: str, start: int, end: int, owner: str) -> Iterator[Extracted]:
    """What is said of somebody's favourites, or of what is theirs: "my sister", "Ana's dog"."""
    favourite = _FAVOURITE.match(said, end)
    if favourite:
        relation = favourite["relation"].strip().lower().replace("favorite", "favourite")
        if relation.split()[-1] in ("thing", "one", "part", "way"):
            return
        yield from _fact(said, start, favourite.end(), (owner, relation, _ANY), negated=bool(favourite["mod"]))
        return
    if re.match(r"\s+name is\s+(?=[A-Z])", said[end:]):
        yield from _fact(said, start, said.index("is", end) + 3, (owner, "name", _PLACE))
        return
    words = _OF_MINE.match(said, end)
    for stop in () if words is None else (at for at in words.regs[1:] if at != (-1, -1)):
        what = said[end : stop[1]].strip()
        found = list(_of(said, start, stop[1], f"{owner}'s {what}"))
        if found:
            yield from found
            return


def _of(said: str, start: int, end: int, head: str) -> Iterator[Extracted]:
    """The first thing that is said of the subject at `start` to `end`."""
    called = _CALLED.match(said, end)
    if called:
        yield from _fact(said, start, called.end(), (head, "name", _PLACE))
        return
    aged = _AGED.match(said, end)
    if aged and (aged["old"] or "turned" in aged[0] or head[-1:].isalpha()) and int(aged["age"]) <= 130:
        yield Extracted(head, "is aged", aged["age"], (start, aged.end("old") if aged["old"] else aged.end("age")))
        return
    state = _STATE.match(said, end)
    if state:
        said_of = state["state"].lower()
        relation = "status" if said_of in _STATUS.split("|") else "is"
        yield Extracted(head, relation, said_of, (start, state.end("state")), bool(state["mod"]))
        return
    leaving = _LEAVING.match(said, end)
    if leaving:
        yield from _fact(said, start, leaving.end(), (head, "lives in", _PLACE), negated=True)
        return
    for relation, kind, rule in _RULES:
        match = rule.match(said, end)
        if match:
            negated = bool(_NOT.search(match["mod"]))
            if negated or _agrees(match["mod"], match["verb"], first=said[start:end] == "I"):
                yield from _fact(said, start, match.end(), (head, relation, kind), negated=negated)
            if relation == "has":
                yield from _named(said, start, match.end(), head)
            return
    a = _A.match(said, end)
    if a:
        yield from _fact(said, start, a.end(), (head, "is", _ANY), negated=bool(a["mod"]))


def _named(said: str, start: int, begin: int, owner: str) -> Iterator[Extracted]:
    """The name of what somebody has: "a dog called Rex"."""
    named = _NAMED.match(said, begin)
    if named and _POSSESSIONS.fullmatch(named["what"]):
        yield Extracted(f"{owner}'s {named['what']}", "name", named["name"], (start, named.end()))


def _agrees(mod: str, verb: str, *, first: bool) -> bool:
    """Whether the verb may follow its subject: "I like", "Ana likes", "is living"; not "sounds like", "is like"."""
    word = verb.split()[0].lower()
    if mod:
        return word.endswith("ing")
    return first or word.endswith(("s", "moved", "relocated", "got", "was", "adopted"))


def _fact(
    said: str, start: int, begin: int, what: tuple[str, str, str], *, negated: bool = False
) -> Iterator[Extracted]:
    """The fact whose tail begins at `begin`, if that is a tail."""
    head, relation, kind = what
    cut = _CUT.search(said, begin)
    if cut and relation in _FEELINGS and cut[0].strip().lower() in ("that", "who", "which", "where", "when"):
        return  # "games that test me" are not all games
    tail = said[begin : cut.start() if cut else len(said)].rstrip()
    if kind == _PLACE and " and " in tail:
        tail = tail[: tail.index(" and ")]
    while trailing := _TRAILING.search(tail):
        tail = tail[: trailing.start()]
    stop = begin + len(tail)
    if relation == "works as":
        tail = _THE.sub("", tail)
    tail = _MY.sub("their", re.sub(r"^also\s+", "", tail))
    words = tail.split()
    if not 0 < len(words) <= _WORDS or not any(c.isalnum() for c in tail):
        return
    if _VAGUE.match(tail) or _POINTING.search(tail) or _OPEN.search(tail):
        return
    if kind in (_ANY, _BARE) and tail[:4].lower() == "the " and not (_KNOWN.match(tail) or tail[4].isupper()):
        return
    if kind == _BARE and _ADVERBIAL.match(tail):
        return
    if kind in (_PLACE, _PROPER) and not (tail.removeprefix("the ")[:1].isupper() or tail[0].isdigit()):
        return
    if relation in ("has", "owns") and not (_COUNTED.match(tail) and _POSSESSIONS.search(tail)):
        return
    yield Extracted(head, relation, tail, (start, stop), negated)
