"""Which language a text is in, as far as its stemmer needs to know, and the stems of its words.

A script often tells. Among the languages in Latin letters the commonest words do: a text is in the one whose words it
uses most, and English unless it uses those of another more. A word keeps one stem a language, whatever it stands
beside, so a guess that is wrong costs a stem and never a match: a question's words are looked up by the stems of every
language that its scope is known to hold.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import Stemmer

__all__ = ["ENGLISH", "language_of", "stem"]

ENGLISH: Final = "english"

# The commonest words, which say nothing about what a sentence is about, without their accents. English: after Lucene's
# and Snowball's lists.
_COMMONEST: Final = {
    ENGLISH: """
    a about after again all also am an and any are as at be because been before being but by can could did do does
    doing don down during each few for from further had has have having he her here hers him his how i if in into is
    it its itself just ll me more most my myself no nor not now of off on once only or other our ours out over own re
    s same she should so some such t than that the their theirs them then there these they this those through to too
    under until up ve very was we were what when where which while who whom why will with would you your yours
    """,
    "german": """
    aber als am an auch auf aus bei bin bis bist da dann das dass dem den der des die dir du durch ein eine einem einen
    einer er es euch fur habe haben hat hatte ich ihm ihn ihr im in ist ja kein keine mein meine mich mir mit nach
    nicht noch nur ob oder sein seine sich sie sind so uber um und uns unser vom von vor war waren warum was wenn wer
    werden wie wir wird wo zu zum zur
    """,
    "french": """
    a ai au aux avec avez c ce ces cette d dans de des du elle elles en est et etait eu ils j je l la le les leur lui m
    ma mais me mes moi mon n ne nos notre nous on ont ou par pas pour qu quand que quel quelle qui s sa sans ses son
    sont sur t ta te tes toi ton tu un une vos votre vous y
    """,
    "spanish": """
    a al como con cual cuando de del desde donde el ella ellos en era es esa ese esta estaba este esto fue ha hay la
    las le les lo los mas me mi mis muy no nos o para pero por porque que quien se ser si sin sobre son su sus te tiene
    todo tu un una unos y ya yo
    """,
    "italian": """
    a ai al alla anche c che chi ci come con cosa da dal dalla dei del della delle di dove e ed era gli ha ho i il in io
    l la le lei lo lui ma mi mia mio ne nel nella no noi non o per perche piu quando quello questa questo se sei si sono
    sua suo ti tra tu un una uno
    """,
    "portuguese": """
    a ao aos as com como da das de do dos e ela ele eles em era essa esse esta este eu foi ha isso ja lhe mais mas me
    meu minha muito na nao nas no nos o os ou para pela pelo por porque qual quando que quem se sem ser seu sua suas
    tem tinha um uma voce
    """,
    "dutch": """
    aan al als bij dan dat de deze die dit door een en er geen had heb hebben heeft het hij hoe ik in is je kan maar me
    met mijn naar niet nog nu of om onder ons ook op over te tot uit van veel voor waar was wat we wel werd wie wij ze
    zij zich zijn zo zonder zou
    """,
    "swedish": """
    alla att av blev bli de dem den det dig din du efter eller en ett fran for ha hade han hans har hennes hon hur i
    icke inte jag kan kom man med men mig min mitt mycket nar nu och om oss pa sa sedan sig sin ska skulle som till
    under upp ut utan vad var vi vid
    """,
    "danish": """
    af alle at blev blive da de deres det dig din du efter eller en er et for fra ham han hans har havde hende hun hvad
    hvor i ikke ind jeg jo kan kunne man med meget men mig min mit ned nu nogen noget og om op os pa selv sig sin skal
    som til ud under var ved vi vil
    """,
    "finnish": """
    ei en ennen ette etta han hanen he heidan hyvin ja jo joka jos kanssa koska kuin kuka kun me meidan mika milloin
    mina minulla minun missa mita mutta myos ne nyt oli olen olet olin on ovat se sen siella sina sinun sita tai tama
    te vain voi
    """,
}
_IN_LANGUAGE: Final = {language: frozenset(words.split()) for language, words in _COMMONEST.items()}
_LANGUAGES_OF: Final = {
    word: tuple(language for language, words in _IN_LANGUAGE.items() if word in words)
    for word in frozenset().union(*_IN_LANGUAGE.values())
}

_SCRIPTS: Final = (
    (re.compile("[\u0400-\u052f]"), "russian"),
    (re.compile("[\u0370-\u03ff\u1f00-\u1fff]"), "greek"),
    (re.compile("[\u0600-\u06ff\u0750-\u077f]"), "arabic"),
    (re.compile("[\u0900-\u097f]"), "hindi"),
    (re.compile("[\u0530-\u058f]"), "armenian"),
    (re.compile("[\u0b80-\u0bff]"), "tamil"),
)
# Without their caches, which are slower than the one below.
_STEMMERS: Final = {
    language: Stemmer.Stemmer(language, 0) for language in (*_COMMONEST, *(language for _, language in _SCRIPTS))
}
_lock = threading.Lock()  # a Stemmer may serve one thread at a time


def language_of(words: Iterable[str]) -> str:
    """Of words in Latin letters, folded: the language they are in."""
    votes: dict[str, int] = {}
    for word in words:
        for language in _LANGUAGES_OF.get(word, ()):
            votes[language] = votes.get(language, 0) + 1
    best = max(votes, key=votes.__getitem__, default=ENGLISH)
    return best if votes and votes[best] > max(1, votes.get(ENGLISH, 0)) else ENGLISH


@lru_cache(maxsize=200_000)
def stem(word: str, language: str) -> str:
    """The folded word's stem in that language, or in its script's; "" for one of the language's commonest words."""
    if not word.isascii():
        language = next((own for script, own in _SCRIPTS if script.search(word)), language)
    if word in _IN_LANGUAGE.get(language, ()):
        return ""
    with _lock:
        return str(_STEMMERS[language].stemWord(word))
