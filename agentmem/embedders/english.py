"""What the hash embedder knows of English before it has seen any text: how common words are, and which belong together.

Plain tables and the three look-ups over them. Written by hand from general knowledge, not counted on any corpus, so
that nothing has to be trained, downloaded or kept in step with a memory's contents. Words are compared by Snowball
stem, after irregular forms have been led back to their base ("bought" -> "buy"). Languages it does not know pass
through untouched. Any change here changes the vectors: raise `hashing.VERSION` with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["English"]

# Words that carry grammar rather than matter. Given as they are written: "being" is one, "be" too.
_FUNCTION: Final = """
a about above after against ain all also am an and any anyone anything are aren as at be because been before being
below between both but by can cannot could couldn d did didn do does doesn doing don down during each either else ever
every everyone everything few for from further had hadn has hasn have haven having he her here hers herself him himself
his how however i if in into is isn it its itself just ll m many me might mine more most much must mustn my myself
neither no nobody none nor not nothing now of off often on once one only onto or other others ought our ours ourselves
out over own per quite rather re really s same shall shan she should shouldn since so some somebody someone something
such t than that the their theirs them themselves then there these they this those though through thus to too toward
towards under until up upon us ve very via was wasn we well were weren what whatever when whenever where whether which
while who whoever whom whose why will with within without won would wouldn y yes yet you your yours yourself yourselves
"""
# What people say to keep a conversation going.
_SMALL_TALK: Final = """
absolutely ah aha amazing anyway anyways aw awesome aww bye chat congrats congratulations cool definitely fine glad good
goodbye great haha hello hey hi hmm hope lol lot lots maybe nah nice oh ok okay perhaps please pretty probably sorry
sound stuff sure thank thing totally true truly uh um wonderful wow yay yeah yep yup
"""
# The few hundred words found in nearly every long text.
_COMMON: Final = """
able add again ago agree allow almost alone along already always amount appear area around ask away back bad base become
begin believe best better big bit bring call care carry case catch cause certain chance change check choose clear close
come common complete consider continue cover cut day deal decide deep describe detail develop die differ different
difficult do draw drive drop early easy effect end enjoy enough even event exactly example excite expect experience
explain face fact fall far fast feel figure find finish first five follow force form four free full fun general get give
go group grow guess half hand happen happy hard head hear help high hold hour idea imagine important include inspire
interest join keep kind know large last late lead learn leave left less let level life light like likely line list
little live long look lose love low main make man manage matter may mean meet mention mind minute miss moment month
morning most move name near need never new next night note notice number offer old open opportunity order part
particular pass past people perfect person place plan play point possible power present problem put question quick
quiet reach read ready real realize reason receive recent remember remind reply result return right room run say second
see seem sense set several share short show side similar simple small sort special spend stand start state stay step
still stop story strong suggest support suppose surprise take talk tell ten think third three time today together
tomorrow tonight try turn two type understand unless use usual view wait walk want watch way week weekend whole wish
woman wonder word work world worry write wrong year yesterday young
"""
# Everyday matter: says what a text is about, yet comes up often.
_EVERYDAY: Final = """
accept account achieve act activity actual address admit adult advice afford afraid afternoon age air answer apply
arrive art article attend attention average avoid baby ball bank bear beat beautiful bed black blood blue board body
book born bother bottom box boy break bright brother brown budget build business busy buy camera capture car card career
center challenge character child city class clean clothes club coffee cold collect college color comfort company compare
computer concern connect control conversation cook cost count country couple create culture cup customer daily dance
dark data date daughter dead dear death decision degree dinner discover discuss dog door doubt dream dress drink eat
eight email energy environment evening evidence exercise eye fail family famous fan father favorite fear fight fill film
final fire fit fix floor fly focus food foot forget forward fresh friend front future game garden gift girl glass goal
god government green ground guide guy hair handle hang health heart heat heavy hit holiday home hospital host hot house
huge human hundred hurt husband ill image impact improve increase industry information inside instead issue job journey
kid kill kitchen lady land language laugh law lay lesson letter lie local lucky lunch machine mail major market marry
meal media medical member memory message middle mile million mix model modern money mother mountain mouth movie music
national natural nature nervous news nine north nurse office official oil online opinion option original outside pack
page paint pair paper parent park partner party patient pay peace perform period pet phone photo pick picture piece
plant pleasure policy poor popular position positive practice prepare press pressure price print private process produce
product program progress project proud provide public pull purpose push quality race rain raise rate record red relate
relationship relax rent report require research respond rest restaurant rich ride ring rise risk road rock role rule sad
safe save school science score sea season seat self sell send serious serve service seven sex shape shop sick sign
single sister sit situation six size skill sky sleep slow smile social society son song soon soul south space speak
spirit sport spot spring staff stage star stick stone store street stress student study style subject success summer sun
system table teach teacher team technology television term test text theme thousand throw tire top total touch tough
town track trade tradition train travel treat tree trip trouble trust truth uncle unique university update value video
visit voice wall war warm wash water wear weather west white wife win wind window winter wood worth
"""
_WEIGHTS: Final = ((_FUNCTION, 0.03), (_SMALL_TALK, 0.25), (_COMMON, 0.45), (_EVERYDAY, 0.75))

# Base first, then the forms a stemmer cannot lead back to it. A form that more often is a word of its own
# ("ground", "rose", "lives", "leaves") is left out.
_IRREGULAR: Final = """
arise arose arisen|awake awoke|become became|begin began begun|bend bent|bite bit bitten|bleed bled|blow blew blown
break broke broken|bring brought|build built|burn burnt|buy bought|catch caught|choose chose chosen|come came|deal dealt
dig dug|draw drew drawn|dream dreamt|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed
feel felt|fight fought|find found|flee fled|fly flew flown|forget forgot forgotten|forgive forgave forgiven
freeze froze frozen|get got gotten|give gave given|go went gone|grow grew grown|hang hung|hear heard|hide hid hidden
hold held|keep kept|know knew known|lay laid|lead led|leap leapt|learn learnt|leave left|lend lent|lose lost|make made
mean meant|meet met|mistake mistook mistaken|pay paid|ride rode ridden|ring rang rung|rise risen|run ran|say said
see saw seen|seek sought|sell sold|send sent|shake shook shaken|shine shone|shoot shot|show shown|shrink shrank shrunk
sing sang sung|sink sank sunk|sit sat|sleep slept|slide slid|speak spoke spoken|spend spent|spin spun
spring sprang sprung|stand stood|steal stole stolen|stick stuck|sting stung|strike struck|swear swore sworn|sweep swept
swim swam swum|swing swung|take took taken|teach taught|tear tore torn|tell told|think thought|throw threw thrown
understand understood|wake woke woken|wear wore worn|weave wove woven|weep wept|win won|withdraw withdrew withdrawn
write wrote written|child children|foot feet|goose geese|half halves|knife knives|man men
mouse mice|person people|shelf shelves|tooth teeth|wife wives|wolf wolves|woman women
"""
# Words that answer one another: a question says "siblings", the memory says "my sister". One shared feature a group.
_CONCEPTS: Final = """
mother mom mum mommy mummy parent|father dad daddy parent|child kid son daughter toddler baby|sibling brother sister
husband wife spouse marry marriage wedding|girlfriend boyfriend partner date relationship fiance
grandmother grandma granny grandparent|grandfather grandpa grandparent|family relative household|friend buddy pal mate
job career occupation profession employ employee employer work|boss manager supervisor|salary wage income
company firm business startup|office workplace|colleague coworker teammate
school college university campus class course|student pupil|teacher instructor tutor mentor coach professor
study research learn education degree|exam test quiz|skill talent ability|buy purchase shop|money cash finance budget
cost price expensive cheap afford|gift present|car vehicle auto truck van|bike bicycle cycle
travel trip journey vacation holiday tour|flight plane fly airport|hotel hostel accommodation|beach sea ocean coast
mountain hike trail climb|camp tent campfire|country nation abroad|city town|home house apartment flat condo
move relocate|live reside|neighbor neighbour neighborhood|food meal dish cuisine|cook bake recipe
dinner lunch breakfast supper|restaurant cafe diner|drink beverage|dessert cake cookie sweet candy chocolate pastry
vegetable vegetarian vegan|dog puppy pup|cat kitten kitty|pet animal dog cat|music band concert tune song
instrument guitar piano violin drum|sing singer vocal choir|dance dancer ballet|movie film cinema
series episode tv television|book novel read author|write writer poem journal|art paint draw artist sketch
photo photograph picture image camera|game gamer console|sport match league tournament|exercise workout gym fitness
run jog marathon|yoga meditate meditation|hobby pastime leisure|happy glad joy joyful delight
sad upset unhappy depress|afraid scare fear frighten|angry mad furious|anxious anxiety nervous stress worry
calm relax peaceful soothe|tired exhaust|grateful thankful appreciate|favorite favourite prefer|hate dislike
sick ill illness disease|doctor physician nurse hospital clinic|medicine drug medication|injury hurt injure wound
pain ache|therapy therapist counsel counselor|health wellness|die death dead funeral|born birth birthday
meet encounter|talk speak chat discuss|call phone|message text email letter|help assist aid|volunteer charity donate
church religion religious faith spiritual|begin start launch|end finish|win victory award prize trophy medal
lose lost defeat loss|succeed success achieve accomplish|goal aim dream ambition
problem issue trouble challenge difficulty struggle|large huge big|small little tiny
beautiful gorgeous lovely pretty|funny hilarious humor joke|smart intelligent clever|repair fix mend
build construct|break damage|make craft create|computer laptop pc|code coding software program developer engineer
website site blog online internet|garden gardening plant flower|tree forest wood|rain storm snow weather
clothes dress outfit fashion|shoe boot sneaker|type sort kind|area region location|celebrate celebration party festival
elderly aged old|army military soldier veteran
politics political government election|lawyer legal court law|police crime criminal
color colour|center centre|theater theatre|program programme|organize organise|realize realise
"""


def _groups(table: str) -> list[list[str]]:
    return [group.split() for group in table.strip().replace("\n", "|").split("|")]


class English:
    """The tables, keyed by the stems that `stem` gives. Built in a few milliseconds."""

    def __init__(self, stem: Callable[[str], str]) -> None:
        self._stem = stem
        self._base = {form: base for base, *forms in _groups(_IRREGULAR) for form in forms}
        self._written: dict[str, float] = {}
        self._stemmed: dict[str, float] = {}
        for table, weight in _WEIGHTS:
            for word in table.split():
                if table is _FUNCTION:
                    self._written[word] = weight
                else:
                    self._stemmed.setdefault(self.root(word), weight)
        self._concepts: dict[str, list[int]] = {}
        for number, group in enumerate(_groups(_CONCEPTS)):
            for root in sorted({self.root(word) for word in group}):
                self._concepts.setdefault(root, []).append(number)

    def root(self, word: str) -> str:
        """The stem of the word's base form: `bought` and `buying` both give that of `buy`."""
        return self._stem(self._base.get(word, word))

    def rarity(self, word: str, root: str) -> float:
        """A stand-in for idf in [0.03, 1]: nearly nothing for grammar, 1 for a word that is in no table."""
        known = self._written.get(word, self._stemmed.get(root))
        if known is not None:
            return known
        return 1.0 if len(word) > 2 else 0.4 + 0.2 * len(word)

    def concepts(self, root: str) -> list[int]:
        """The numbers of the groups a root belongs to; none for most."""
        return self._concepts.get(root, [])
