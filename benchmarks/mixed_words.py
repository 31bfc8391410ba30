"""The words of the mixed suite: what its people say, as templates whose {slots} are filled by chance.

A question never uses the words of its answer where it can help it: who asks does not know them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = [
    "ACTIVITIES",
    "ANCHORS",
    "CHATTER",
    "CIRCLE",
    "ECHOES",
    "FACTS",
    "HAPPENINGS",
    "KIN",
    "OUTER",
    "PLACES",
    "SCENES",
    "SLOTS",
    "TIES",
    "TRAITS",
    "Fact",
    "Happening",
    "Scene",
    "Tie",
    "Trait",
]


class Happening(NamedTuple):
    """Something that happens at many places; `asked` ends with the place."""

    asked: Sequence[str]
    told: Sequence[str]


class Fact(NamedTuple):
    """Something that is one thing at a time of a person, and changes. `values` are drawn without being put back."""

    asked: Sequence[str]
    told: Sequence[str]
    values: Sequence[str]


class Tie(NamedTuple):
    """How two people are bound: as it is told (of {a} by {b}), and as it is named in a question."""

    told: Sequence[str]
    named: str


class Trait(NamedTuple):
    asked: str
    told: Sequence[str]


class Scene(NamedTuple):
    """Something that is remembered; `asked` says the same in other words."""

    told: str
    asked: str


def _split(text: str) -> list[str]:
    """By line and semicolon."""
    return [part for line in text.splitlines() for part in (piece.strip() for piece in line.split(";")) if part]


CIRCLE: Final = ("Bea", "Ivo", "Noor", "Tomas", "Greta", "Amos", "Lien", "Pavel", "Rosa", "Kofi", "Maud", "Sven")
OUTER: Final = re.findall(
    r"\w+",
    """
    Odile Marguerite Anselm Berit Cosmo Delphine Eskil Fenna Gideon Hanneke Ignace Jolanta Kasimir Leonie Matthis
    Nadja Oskar Petronella Quirin Roswitha Severin Tilda Ulrich Vesna Wanda Xaver Yolande Zdenka Alard Brunhild
    Ciaran Dagny Ebbe Frieda Gaspard Hedwig Isolde Jurgen Klaartje Ludo Mirthe Norbert Orsolya Piet Rainier Sigrid
    Theda Urbain Viggo Wiebke Ysbrand Zora Aldo Bodil Corneel Dieuwke Emeric Floor Gunnar Hilde Ilse Joachim Katya
    Lennart Mechteld Nils Ottilie Pauwel Ragna Steffen Truus Umberto Verena Wolfram Yannick Zeger Agathe Birger
    Clovis Desta Elif Fulgence Giselher Hortense Idunn Kunegonde Lodewijk Melchior
    """,
)
PLACES: Final = (
    "harbour/pier 3",
    "harbour/pier 7",
    "harbour/fish hall",
    "harbour/slipway",
    "old town/market square",
    "old town/bakery",
    "old town/library",
    "old town/town hall steps",
    "station/platform 2",
    "station/ticket office",
    "riverside/boathouse",
    "riverside/allotments",
    "riverside/footbridge",
    "hill/observatory",
    "hill/chapel",
    "hill/upper car park",
    "school/gym",
    "school/kitchen",
)

HAPPENINGS: Final[Mapping[str, Happening]] = {
    "drop": Happening(
        ("What slipped out of somebody's hands {at}?", "What was dropped {at}?"),
        _split("""
        {who} let go of {load} for one second and it was all over the ground
        and there went {load}, the whole lot, {who} went bright red
        {who} dropped {load}, says it was the gloves
        """),
    ),
    "quarrel": Happening(
        ("What was the quarrel {at} about?", "What did people argue over {at}?"),
        _split("""
        {who} and {other} were at it again about {matter}, quite loud
        things got heated over {matter} and {who} walked off
        a proper quarrel, {who} and {other}, all because of {matter}
        """),
    ),
    "find": Happening(
        ("What turned up {at}?", "What did somebody come across {at}?"),
        _split("""
        look what was lying under the bench: {oddment}
        {who} just picked up {oddment}, no idea whose it is
        {who} turned the cushion up and there was {oddment}
        """),
    ),
    "animal": Happening(
        ("Which creature showed up {at}?", "What animal was seen {at}?"),
        _split("""
        {creature} just strolled past as if it owned everything
        {who} is trying to coax {creature} out with a bit of ham
        an animal at last, says {who}, and points at {creature}
        """),
    ),
    "music": Happening(
        ("What was being played {at}?", "Who made music {at}?"),
        _split("""
        some old fellow with {instrument} did the same tune four times over
        {who} took up {instrument} and people actually stopped to listen
        they made {who} play {instrument}, it was hardly music
        """),
    ),
    "breakdown": Happening(
        ("What stopped working {at}?", "What broke down {at}?"),
        _split("""
        {machine} gave up, smoke and everything
        {machine} broke and {who} tried kicking it
        {who} pressed the button and {machine} made a noise like a goose and that was that
        """),
    ),
    "smell": Happening(
        ("What did it smell of {at}?", "What was the stink {at}?"),
        _split("""
        ugh, {smell}, my coat will need a week on the line
        {who} can't stop sneezing, it's the {smell}
        {who} says it smells of {smell}, I say it stinks
        """),
    ),
    "injury": Happening(
        ("Who got hurt {at}?", "What injury did somebody have {at}?"),
        _split("""
        {who} {mishap}, nothing that a plaster can't fix
        had to sit {who} down, {mishap} and went quite pale
        {who} {mishap}, it must have hurt
        """),
    ),
    "delay": Happening(
        ("Why did we have to wait {at}?", "What kept us waiting {at}?"),
        _split("""
        forty minutes on our feet because {reason}
        nobody told us anything, then it turns out {reason}
        more waiting for {who} and me, {reason}
        """),
    ),
    "bargain": Happening(
        ("What did somebody buy cheaply {at}?", "What was the bargain {at}?"),
        _split("""
        {who} got {goods} for next to nothing
        two coins for {goods}! {who} haggled like a pirate
        {goods}, so cheap that {who} had to buy it
        """),
    ),
    "weather": Happening(
        ("What did the weather do {at}?", "What came down from the sky {at}?"),
        _split("""
        {sky}, we squeezed under {who}'s umbrella
        {sky} all of a sudden and {who} in sandals
        what weather! {sky}, {who} is soaked
        """),
    ),
    "stranger": Happening(
        ("What did a stranger want {at}?", "What were we asked by somebody {at}?"),
        _split("""
        a man in a green hat came up to {who} and wanted {request}
        {who} is too polite, twenty minutes with a lady who needed {request}
        some stranger asked {who} for {request}
        """),
    ),
}

# What one person did on a day; each is said once.
ACTIVITIES: Final = _split("""
    finally repainted the {room}, two coats
    spent the whole morning sorting {stuff}
    baked {cake} and burnt the bottom
    sat for three hours over {paper}, never again
    took {vehicle} to be looked at
    planted {plants} along the fence
    went swimming before sunrise with {outer}
    started reading {book}
    had {tooth} seen to, cannot feel my lip
    sold {goods} to a neighbour
    cycled to {village} and back, headwind both ways
    fixed {machine} with a hairpin
    queued for tickets to {show}
    cooked {dish} for nine people
    learned to {skill} from a video
    cleaned out the {room} and found {oddment}
    wrote a long letter to {outer}
    walked along the {path} until my boots gave in
    tried {sport} for the first time
    helped {outer} carry {load} up four flights
    """)

ANCHORS: Final = _split("""
    the regatta
    the school play
    the power cut
    the lantern parade
    the chess final
    the book fair
    the harvest supper
    the fire drill
    the brass concert
    the flea market
    the marathon
    the pottery exhibition
    the choir audition
    the quiz night
    the beach clean-up
    the kite festival
    the tram strike
    the charity auction
    """)

FACTS: Final[Mapping[str, Fact]] = {
    "home": Fact(
        ("Where does {who} live now?", "In which town is {who}'s home these days?"),
        _split("""
        I live in {value} now, third floor, no lift
        I moved to {value} on Saturday, boxes everywhere
        I've moved to {value}. The window looks on a canal
        so that's me in {value}. The post should go there from now on
        """),
        ("Ghent", "Leuven", "Delft", "Bruges", "Lille", "Aachen", "Breda", "Namur", "Ostend", "Mechelen"),
    ),
    "work": Fact(
        ("Who does {who} work for these days?", "What is {who}'s present job?"),
        _split("""
        I work for {value} now, first week and my feet hurt
        I work at {value}, they gave me a badge with the wrong face
        I work for {value} now. Monday was mostly forms
        handed in my notice, it's {value} from here on
        """),
        (
            "Halvard Pumps",
            "Klokgieterij Oost",
            "Trammel Lines",
            "Zaadhuis",
            "Parasol Brothers",
            "Octave Pianos",
            "Seaway Ferries",
            "Drukkerij Noord",
            "Lantern Books",
            "Kobalt Glass",
        ),
    ),
    "drink": Fact(
        ("What does {who} drink in the morning now?", "What is {who}'s morning drink at present?"),
        _split("""
        I prefer {value} at breakfast these days, doctor's idea
        I love {value}, nothing else before nine since last week
        I enjoy {value} now. I sleep like a stone, too
        a pot of {value} and then I can talk to people
        """),
        ("oat coffee", "green tea", "hot lemon", "black tea", "barley brew", "cocoa", "mint tea", "chicory"),
    ),
    "instrument": Fact(
        ("What is {who} learning to play now?", "Which instrument does {who} practise at the moment?"),
        _split("""
        I play the {value} now, the neighbours are being kind
        gave the old thing away, the {value} suits my hands better
        I'm playing the {value} now. Tuesday lessons, I squeak a lot
        I play the {value}, there are blisters on my fingers
        """),
        ("cello", "accordion", "flute", "banjo", "trombone", "harp", "oboe", "mandolin"),
    ),
}

TIES: Final[Sequence[Tie]] = (
    Tie(("{b} took me on, so that's my boss now", "my boss is called {b}, short temper, good heart"), "boss"),
    Tie(("I pay the rent to {b} on the first", "{b} owns the building, my landlord since spring"), "landlord"),
    Tie(("{b} looked at my knee again, best doctor in town", "my doctor is {b}, she never hurries"), "doctor"),
    Tie(("{b} and I share a wall, and a hedge to argue over", "my neighbour {b} sings in the stairwell"), "neighbour"),
)
KIN: Final[Sequence[Tie]] = (
    Tie(("{a}'s sister {b} was there too", "met {b}, who turns out to be the sister of {a}"), "sister"),
    Tie(("{a} brought a brother along, {b}, same nose", "{b} is {a}'s brother, can you believe it"), "brother"),
    Tie(("{a} has a daughter, {b}, all grown up", "{b} came by, {a}'s daughter"), "daughter"),
    Tie(("{a} got married to {b}, quietly, last year", "{b} and {a} are husband and wife, since when?"), "spouse"),
)
# What others say of it, whenever it was so.
ECHOES: Final = (
    "{who} never stops about {value}",
    "does {who} miss {value}?",
    "{who} and {value}, that was a story",
    "I'd never have thought {who} would take to {value}",
)

TRAITS: Final[Sequence[Trait]] = (
    Trait(
        "What does {chain} collect?",
        (
            "{b} has shelves and shelves of {hoard}",
            "you can hardly get in at {b}'s for all the {hoard}",
        ),
    ),
    Trait(
        "What is {chain} afraid of?",
        (
            "{b} won't go near {dread}, goes white as chalk",
            "never mention {dread} in front of {b}",
        ),
    ),
    Trait(
        "Where did {chain} grow up?",
        (
            "{b} was a child in {village}, you can hear it",
            "{b} still talks about {village} and the goats of those years",
        ),
    ),
    Trait(
        "What is {chain} good at?",
        (
            "{b} can {skill} like nobody else",
            "you should see {b} {skill}",
        ),
    ),
)

SCENES: Final[Sequence[Scene]] = (
    Scene("the handle came off {machine} in my hand", "somebody broke the handle of {machine}"),
    Scene("{who} called from the attic, stuck behind {load}", "{who} was trapped by {load}"),
    Scene("we missed the last bus because of {matter}", "the bus left without us over {matter}"),
    Scene("the lights went out just as I lifted {goods}", "it went dark while I was holding {goods}"),
    Scene("{creature} got into the kitchen and ate half a loaf", "{creature} helped itself to our bread"),
    Scene("somebody has painted {goods} blue, nobody admits it", "{goods} had been coloured blue"),
    Scene("a parcel came for {outer}, full of {stuff}", "{outer} was sent {stuff}"),
    Scene("the door fell shut with {oddment} inside", "we were locked out while {oddment} was indoors"),
    Scene("{who} laughed until the tears ran over {book}", "{book} had {who} in stitches"),
    Scene("the photographer wanted {creature} in the picture", "a picture was taken with {creature}"),
)

CHATTER: Final = _split("""
    did you lock the {room}?
    I keep thinking about {book}, the ending especially
    {outer} says hello, by the way
    could someone bring {stuff} next time?
    the bus was late again, {reason}
    my knees are not made for this
    who wants the last bit of {cake}?
    honestly I could eat {dish} every day
    there was something on the radio about {matter}
    remind me to give {goods} back to {outer}
    {outer} was in a mood, something with {matter}
    has anybody tried {sport}? {outer} won't stop talking about it
    I can't find {oddment} anywhere
    they're closing the {path} for repairs
    it's colder than it looks
    let's go before it gets dark
    tell {who} I'll call on Thursday
    {who} still owes me for {show}
    that was {outer} on the phone, about {stuff}
    not now, I'm counting
    I dreamt about {creature} again
    is that {outer} over there, with {goods}?
    we should do this more often
    the {smell} in the stairwell is back
    you were right about {outer}
    I had {dish} at {outer}'s, too much salt
    wait, where did I put my gloves
    {village} must be lovely this time of year
    no, really, I'm fine
    there's a new poster for {show}
    {who}, hold this for a second
    {who}, you look tired, was it {matter}?
    I'd rather {skill} than do that again
    Thanks!
    ha, true
    {machine} needs a new fuse, I think
    my aunt swears by {cake} with {dish}
    ask {outer}, {outer} knows everyone
    {outer} moved away from {village}, did you hear
    somebody left the window of the {room} open
    {outer} works at the harbour now and then
    is it me or does it smell of {smell}
    I gave {plants} too much water
    two trains and a taxi to {village}, for one signature
    I never understood {sport}
    {outer} is selling {vehicle}
    """)

SLOTS: Final[Mapping[str, Sequence[str]]] = {
    "load": _split("""
        a crate of eels; a tray of jam jars; the big ladder; a box of light bulbs; two buckets of paint; a stack of
        plates; the wedding cake; a sack of flour; an armful of maps; the aquarium; a basket of plums; a drawer full
        of cutlery
        """),
    "matter": _split("""
        the parking fines; whose turn it was; the recipe for the soup; the old bridge; the price of a ticket; a
        borrowed drill; the colour of the curtains; the seating plan; the missing keys; last year's election; the
        thermostat; a chess move from 1998
        """),
    "oddment": _split("""
        a brass key; one red mitten; a glass eye; a wallet with no money in it; a postcard from 1961; a set of false
        teeth; a silver thimble; a child's tooth in a matchbox; a medal with a ribbon; half a violin bow; a love
        letter; a dog's lead
        """),
    "creature": _split("""
        a heron; a ginger cat; a very fat seagull; a runaway goat; a fox with one ear; a swan; a hedgehog; a parrot;
        a donkey; a weasel; a stray greyhound; an otter
        """),
    "instrument": _split("""
        a hurdy-gurdy; a tin whistle; bagpipes; a saw and a bow; a tuba; steel drums; a zither; a concertina; a
        bassoon; spoons
        """),
    "machine": _split("""
        the coffee machine; the ticket printer; the lift; the floodlight; the cash register; the pump; the
        loudspeaker; the dishwasher; the kettle; the projector; the outboard motor; the bread slicer
        """),
    "smell": _split("""
        tar; fried onions; wet dog; incense; diesel; boiled cabbage; lilac; fresh varnish; burnt sugar; seaweed;
        mothballs; sour milk
        """),
    "mishap": _split("""
        sliced a thumb on a tin lid; twisted an ankle on the kerb; walked into a glass door; got a fish hook in the
        sleeve and the arm; burnt a hand on the urn; was stung twice on the neck; bumped a head on the beam; got a
        splinter the size of a pencil; fell off a bicycle standing still; caught a finger in the hinge
        """),
    "reason": _split("""
        someone had lost the stamp; a swan sat on the rails; the man with the keys was at lunch; they had to count
        everything twice; the mayor wanted a photograph; the computer wanted to restart; a pipe had burst; the paper
        had run out; the driver had to move a piano; they couldn't find the list
        """),
    "goods": _split("""
        a brass lamp; six wicker chairs; an enamel bathtub; a globe without Australia; a typewriter; a barometer; a
        pair of skis; a moth-eaten rug; a box of gramophone records; a copper kettle; a sewing table; a stuffed pike
        """),
    "sky": _split("""
        hail like marbles; a rainbow, a double one; fog you could spoon; sleet from the side; a bolt of lightning
        right next to us; warm rain in fat drops; snowflakes the size of stamps; a gust that took three hats; red
        dust from the south
        """),
    "request": _split("""
        directions to the lighthouse; a photograph with all of us; a signature against the motorway; change for the
        telephone; a good place for mussels; help with a pushchair; the time in Lisbon; a light for a pipe; somebody
        to hold a dog; a recommendation for a dentist
        """),
    "room": ("hallway", "cellar", "bathroom", "attic", "shed", "spare room", "pantry", "balcony", "garage"),
    "stuff": _split("""
        old photographs; jam jars; tax receipts; odd socks; seed packets; extension leads; sheet music; board games;
        spare buttons; Christmas lights
        """),
    "cake": ("a plum cake", "a rye loaf", "cinnamon buns", "a lemon tart", "gingerbread", "a cheesecake", "scones"),
    "paper": (
        "the insurance forms",
        "my tax return",
        "the visa papers",
        "the pension letter",
        "a lease in Dutch",
        "the will",
    ),
    "vehicle": ("the van", "my scooter", "the old Volvo", "the cargo bike", "the motorbike", "the canoe", "a trailer"),
    "plants": ("gooseberries", "twelve tulips", "runner beans", "a pear tree", "lavender", "rhubarb", "sunflowers"),
    "book": _split("""
        that book about the lighthouse keeper; a life of Spinoza; the whale novel; a history of salt; the detective
        one set in Trieste; a field guide to mosses; poems about trains
        """),
    "tooth": ("a wisdom tooth", "a filling", "the loose crown", "two molars"),
    "village": ("Zelzate", "Doel", "Watou", "Lillo", "Damme", "Sluis", "Retie", "Kemmel", "Vresse", "Hamont", "Lierde"),
    "show": (
        "the puppet opera",
        "that one-man Hamlet",
        "the ice show",
        "the jazz weekend",
        "the circus",
        "the organ recital",
    ),
    "dish": ("a lentil stew", "stuffed peppers", "mussels", "pea soup", "dumplings", "a fish pie", "beetroot curry"),
    "skill": _split("""
        juggle with knives; fold napkins into swans; whistle with two fingers; solder; pick a lock; splice a rope;
        knit socks on a train; carve ducks; walk on stilts; do sums backwards
        """),
    "path": ("towpath", "ridge trail", "sea dyke", "old railway line", "forest loop", "pilgrims' way"),
    "sport": ("curling", "fencing", "rowing", "bouldering", "korfball", "archery", "roller skating", "judo"),
    "hoard": _split("""
        tin toys; beer mats; doorknobs; snow globes; stamps from Peru; fossil sharks' teeth; train timetables;
        teaspoons; thimbles; ships in bottles
        """),
    "dread": _split("""
        lifts; geese; thunder; balloons; moths; the dentist's chair; deep water; masks; clowns; heights
        """),
}
