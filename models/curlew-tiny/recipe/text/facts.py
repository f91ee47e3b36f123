"""Small facts: capitals, colours, opposites, the calendar, plurals, counting.

fact(r) returns (question, short, sentence): 'What is the capital of France?', 'Paris', 'The capital
of France is Paris.'  follow.py asks the same facts for other forms of answer.
"""
from .grammar import Sample, cap, is_held, rough
from .words import DAYS, MONTHS, NUMBERS

CAPITALS = dict(zip(
    """France Germany Italy Spain Portugal Norway Sweden Finland Denmark Iceland Ireland Belgium
    Austria Switzerland Poland Hungary Romania Bulgaria Greece Turkey Russia Ukraine Croatia Serbia
    Slovakia Slovenia Estonia Latvia Lithuania Netherlands Czechia England Scotland Wales Japan China
    India Thailand Vietnam Indonesia Philippines Malaysia Mongolia Nepal Iran Iraq Egypt Morocco
    Tunisia Kenya Ethiopia Ghana Senegal Canada Mexico Cuba Peru Chile Argentina Brazil Colombia Ecuador
    Uruguay Australia""".split(),
    """Paris Berlin Rome Madrid Lisbon Oslo Stockholm Helsinki Copenhagen Reykjavik Dublin Brussels
    Vienna Bern Warsaw Budapest Bucharest Sofia Athens Ankara Moscow Kyiv Zagreb Belgrade Bratislava
    Ljubljana Tallinn Riga Vilnius Amsterdam Prague London Edinburgh Cardiff Tokyo Beijing Delhi Bangkok
    Hanoi Jakarta Manila KualaLumpur Ulaanbaatar Kathmandu Tehran Baghdad Cairo Rabat Tunis
    Nairobi AddisAbaba Accra Dakar Ottawa MexicoCity Havana Lima Santiago BuenosAires Brasilia Bogota
    Quito Montevideo Canberra""".split()))
CAPITALS.update({"India": "New Delhi", "Malaysia": "Kuala Lumpur", "Ethiopia": "Addis Ababa",
                 "Mexico": "Mexico City", "Argentina": "Buenos Aires"})
THE = {"Netherlands", "Philippines"}

COLOUR_OF = {
    "the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "blood": "red",
    "a lemon": "yellow", "coal": "black", "the sun": "yellow", "a tomato": "red", "milk": "white",
    "a carrot": "orange", "chocolate": "brown", "an elephant": "grey", "a frog": "green",
    "the sea": "blue", "a strawberry": "red", "a crow": "black", "a leaf": "green", "a pumpkin": "orange",
    "a swan": "white", "a flamingo": "pink", "a cherry": "red", "the night": "black", "a pea": "green",
    "a mouse": "grey", "a bear": "brown", "an eggplant": "purple", "a cloud": "white", "salt": "white",
    "a pig": "pink", "a cucumber": "green", "a chick": "yellow", "wood": "brown", "a fire engine": "red",
}
MIXES = {("blue", "yellow"): "green", ("red", "yellow"): "orange", ("red", "blue"): "purple",
         ("red", "white"): "pink", ("black", "white"): "grey", ("red", "green"): "brown"}

OPPOSITES = [tuple(p.split("/")) for p in """hot/cold big/small tall/short fast/slow up/down left/right
day/night good/bad happy/sad old/new open/closed full/empty light/dark heavy/light hard/soft wet/dry
clean/dirty early/late loud/quiet rich/poor strong/weak young/old high/low near/far long/short
wide/narrow thick/thin deep/shallow sharp/blunt sweet/sour true/false yes/no on/off in/out begin/end
start/stop win/lose push/pull buy/sell give/take love/hate laugh/cry front/back first/last
north/south east/west summer/winter black/white same/different easy/difficult cheap/expensive
beautiful/ugly brave/afraid awake/asleep alive/dead inside/outside above/below before/after
always/never friend/enemy question/answer enter/leave remember/forget arrive/depart rough/smooth
safe/dangerous simple/complicated warm/cool wrong/right""".split()]
OPPOSITE = {}
for _x, _y in OPPOSITES:
    OPPOSITE.setdefault(_x, _y)
    OPPOSITE.setdefault(_y, _x)

IRREGULAR = dict(p.split("/") for p in """mouse/mice child/children foot/feet tooth/teeth goose/geese
man/men woman/women person/people sheep/sheep fish/fish deer/deer ox/oxen leaf/leaves wolf/wolves
knife/knives life/lives wife/wives half/halves shelf/shelves loaf/loaves thief/thieves calf/calves
potato/potatoes tomato/tomatoes hero/heroes""".split())
REGULAR = """cat dog house tree book car table chair apple pear bird river door window garden school
teacher friend letter flower stone cloud star boat train road shop king queen cow horse farm field
lamp cup plate spoon pen song game toy boy girl day key monkey donkey box fox bus glass dish brush
peach church watch city baby lady berry cherry story party puppy country family butterfly bench lunch
wish dress kiss class tax match witch sandwich fly army hobby""".split()


def plural(w):
    if w in IRREGULAR:
        return IRREGULAR[w]
    if w.endswith(("s", "x", "ch", "sh")):
        return w + "es"
    if w.endswith("y") and w[-2] not in "aeiou":
        return w[:-1] + "ies"
    return w + "s"


def capital(r):
    land = r.of(list(CAPITALS))
    town = CAPITALS[land]
    the = "the " + land if land in THE else land
    if r.p(0.12):
        return (r.x("[Which country has the capital {c}?|{c} is the capital of [which|what] country?|"
                    "Of which country is {c} the capital?|What country is {c} the capital of?]", c=town),
                land, f"{town} is the capital of {the}.")
    q = r.x("[[What is|What's|Which city is|Tell me|Name|Do you know|Can you tell me|Give me|"
            "Please tell me|I want to know|I forgot] the capital [of|city of] {c}[?|.|?]|"
            "{c}'s capital?|Capital of {c}?|What city is the capital of {c}?|What is {c}'s capital[ city|]?|"
            "Which city is {c}'s capital?|The capital of {c} is [which city|what]?|"
            "What capital does {c} have?]", c=the)
    return cap(q), town, f"The capital of {the} is {town}."


def colour(r):
    if r.p(0.3):
        (x, y), z = r.of(list(MIXES.items()))
        if r.p(0.5):
            x, y = y, x
        return (r.x("[What [colour|color] do you get [when you mix|if you mix|from mixing|by mixing] {x} and "
                    "{y}?|Mix {x} and {y}.|What do {x} and {y} make?|{X} and {y} make [what|which colour]?|"
                    "Which [colour|color] comes from {x} and {y}?]", x=x, y=y, X=cap(x)),
                z, f"{cap(x)} and {y} make {z}.")
    thing, c = r.of(list(COLOUR_OF.items()))
    return (r.x("[[What|Which] [colour|color] is {t}?|What is the [colour|color] of {t}?|"
                "Tell me the [colour|color] of {t}.|What [colour|color] does {t} have?|"
                "The [colour|color] of {t}?|Do you know [the colour of {t}|what colour {t} is]?|"
                "{T} is what [colour|color]?]", t=thing, T=cap(thing)),
            c, f"{cap(thing)} is {c}.")


def opposite(r):
    w, o = r.of(list(OPPOSITE.items()))
    return (r.x("[[What is|What's|Tell me|Give me|Name|Do you know] the opposite of {w}[?|.|?]|"
                "What is the [antonym|contrary] of {w}?|Opposite of {w}?|"
                "Which word [is the opposite of|means the opposite of] {w}?|{W} is the opposite of [what|which word]?]",
                w=r.x("[{w}|{w}|\"{w}\"]", w=w), W=cap(w)),
            o, f"The opposite of {w} is {o}.")


def plural_of(r):
    w = r.of(list(IRREGULAR) if r.p(0.4) else REGULAR)
    v = plural(w)
    return (r.x("[[What is|What's|Tell me|Give me|Do you know] the plural [of|form of] {w}[?|.|?]|Plural of {w}?|"
                "One {w}, two [what|...]?|How do you [write|say|form] the plural of {w}?|"
                "What do you call more than one {w}?]", w=r.x("[{w}|{w}|\"{w}\"]", w=w)),
            v, f"The plural of {w} is {v}.")


def calendar(r):
    week = r.p(0.5)
    names, unit = (DAYS, "day") if week else (MONTHS, "month")
    n = len(names)
    i = r.randrange(n)
    form = r.randrange(4)
    if form == 0:
        b = names[(i + 1) % n]
        return (r.x("[[Which|What] {u} [comes|is|follows] [right |]after {a}?|What comes after {a}?|"
                    "What is the {u} after {a}?|Tell me the {u} after {a}.]", u=unit, a=names[i]),
                b, f"{b} comes after {names[i]}.")
    if form == 1:
        b = names[(i - 1) % n]
        return (r.x("[[Which|What] {u} [comes|is] [right |]before {a}?|What comes before {a}?|"
                    "What is the {u} before {a}?|Tell me the {u} before {a}.]", u=unit, a=names[i]),
                b, f"{b} comes before {names[i]}.")
    if form == 2:
        nth = ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh "
               "twelfth").split()[i]
        of = "the week" if week else "the year"
        return (r.x("[[What|Which] is the {nth} {u} of {of}?|Name the {nth} {u} of {of}.|"
                    "Tell me the {nth} {u} of {of}.|The {nth} {u} of {of}?]", nth=nth, u=unit, of=of),
                names[i], f"The {nth} {unit} of {of} is {names[i]}.")
    if r.p(0.5):
        k, of = [("seven", "days are in a week"), ("twelve", "months are in a year"),
                 ("24", "hours are in a day"), ("60", "minutes are in an hour"),
                 ("60", "seconds are in a minute"), ("four", "seasons are in a year")][r.randrange(6)]
        noun, rest = of.split(" ", 1)
        where = rest[4:]
        return (r.x("[How many {n} [are there|are] {w}?|How many {n} does {o} have?|"
                    "What is the number of {n} {w}?|Tell me how many {n} are {w}.]",
                    n=noun, w=where, o=where[3:]),
                k, f"There are {k} {noun} {where}.")
    days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][names.index(names[i])] if not week else None
    if days is None:
        ok = i < 5
        return (r.x("[Is {d} [part of the weekend|on the weekend|a weekend day]?|"
                    "Does {d} belong to the weekend?]", d=names[i]),
                "no" if ok else "yes",
                f"No, {names[i]} is a working day." if ok else f"Yes, {names[i]} is on the weekend.")
    return (r.x("[How many days are [there |]in {m}?|How many days does {m} have?|"
                "How long is {m}[ in days|]?]", m=names[i]),
            str(days), f"{names[i]} has {days} days.")


def counting(r):
    if r.p(0.3):
        k = r.randrange(len(NUMBERS))
        w = NUMBERS[k]
        if r.p(0.5):
            return (r.x("[Write|Spell|Say] {k} as a word.", k=k), w, cap(w) + ".")
        return r.x("[Write {w} [as a number|in digits].|Which number is {w}?]", w=w), str(k), f"{k}."
    lo = r.randint(1, 30)
    hi = lo + r.randint(2, 9)
    back = r.p(0.25)
    seq = list(range(lo, hi + 1))[::-1 if back else 1]
    return (r.x("[Count{w} from {a} to {b}.|Can you count{w} from {a} to {b}?|"
                "Please count{w} from {a} to {b}.|List the numbers from {a} to {b}.]",
                a=seq[0], b=seq[-1], w=" back" if back and r.p(0.7) else ""),
            ", ".join(map(str, seq)), ", ".join(map(str, seq)) + ".")


KINDS = {"capitals": (capital, 6), "colours": (colour, 3), "opposites": (opposite, 4),
         "calendar": (calendar, 6), "plurals": (plural_of, 5), "counting": (counting, 4)}
_names, _weights = list(KINDS), [w for _, w in KINDS.values()]


def fact(r, kind=None):
    """(kind, question, short answer, sentence), the question on the right side of the hold-out line."""
    kind = kind or r.choices(_names, _weights)[0]
    while True:
        q, short, full = KINDS[kind][0](r)
        if is_held(q.strip("?.")) == r.held:
            return kind, q, short, full


def follow_up(r):
    """'And of Spain?' after a question about the capital of France."""
    x, y = r.sample(list(CAPITALS), 2)
    x2, y2 = ("the " + c if c in THE else c for c in (x, y))
    if r.p(0.6):
        before = (f"What is the capital of {x2}?", f"The capital of {x2} is {CAPITALS[x]}.")
        q = r.x("[And [of |]{y}?|And the capital of {y}?|And what about {y}?|What about {y}?|Of {y}?|And {y}'s?]", y=y2)
        short, full = CAPITALS[y], f"The capital of {y2} is {CAPITALS[y]}."
    else:
        x, y = r.sample(list(OPPOSITE), 2)
        before = (f"What is the opposite of {x}?", f"The opposite of {x} is {OPPOSITE[x]}.")
        q = r.x("[And [of |]{y}?|What about {y}?|And what about {y}?|Of {y}?]", y=y)
        short, full = OPPOSITE[y], f"The opposite of {y} is {OPPOSITE[y]}."
    return Sample("following up", rough(r, q), full, {"has": [short]}, key=f"{x} {y}", fresh=True,
                  before=[{"role": "user", "content": before[0]}, {"role": "assistant", "content": before[1]}],
                  think=full)


def sample(r, kind=None):
    kind, q, short, full = fact(r, kind)
    return Sample(kind, rough(r, q), full, {"has": [short]}, key="",
                  think=r.x("[The user asks about|A question about|This is about|The question is about] "
                            "{k}. {f}", k=kind, f=full))
