"""The same facts in the form that was asked for: one word, upper case, a list of three, JSON."""
import json

from . import facts, translate
from .grammar import Sample, cap, rough
from .words import CLASSES, city, name

LIST = ["[List|Name|Give me|Tell me|Write down|I need] three {c} as a list.",
        "[Name|Give me|Tell me|List] three {c}[.| in a list.| as a list of three.]",
        "[Make|Write|Give me] a list of three {c}.", "Three {c}, [please|as a list].",
        "[Which three {c} do you know|Can you list three {c}|What are three {c}]?"]


def one_word(r):
    """Only words, not numbers or phrases: then 'one word' is a promise that can be kept."""
    while True:
        if r.p(0.2):
            q, short = translate.short(r)
            kind = "translation"
        else:
            kind, q, short, _ = facts.fact(r)
        if " " not in short and "'" not in short and kind != "counting":
            break
    ask = r.x("[[[Answer|Reply|Respond] [in|with] one word[ only|]:|In one word:|One word[ only|]:|"
              "[Answer|Reply] with [a single|just one|only one] word:|Use one word[ only|]:] {q}|"
              "{q} [[Answer|Reply|Respond] [in|with] one word[.| only.|, please.]|In one word[.|, please.]|"
              "One word[.| only.|, please.]|[Answer|Reply] with [a single|just one|only one] word.|"
              "[Just|Only] one word.]]", q=q)
    return Sample("one word", rough(r, ask), cap(short), {"equals": short}, key="",
                  think=r.x("[One word only|The answer must be one word]: {s}.", s=cap(short)))


def upper(r):
    kind, q, short, full = facts.fact(r)
    ask = r.x("[[[Answer|Reply|Respond|Write] in [upper case|uppercase|capital letters|capitals|all caps]:|"
              "In [upper case|uppercase|capital letters|all caps]:|Use [only |]capital letters:] {q}|"
              "{q} [[Answer|Reply|Respond|Write] in [upper case|uppercase|capital letters|capitals|all caps]"
              "[.|, please.]|In [upper case|uppercase|capital letters|all caps], please.|"
              "Use [only |]capital letters.]]", q=q)
    return Sample("upper case", rough(r, ask), full.upper(), {"has": [short.upper()], "upper": True}, key="",
                  think=r.x("Upper case[ is wanted|]. {f}", f=full))


def list_of_three(r):
    c = r.of(list(CLASSES))
    three = CLASSES[c][:3]      # always the same ones: a model that takes the likeliest word cannot shuffle
    n = r.random() < 0.25
    ask = r.x(r.of(LIST), c=c)
    if n:
        ask += " " + r.x("[Number them.|Use numbers.|As a numbered list.]")
    body = "\n".join(f"{i + 1}. {w}" if n else f"- {w}" for i, w in enumerate(three))
    return Sample("list of three", rough(r, cap(ask)), body, {"items": 3, "among": c},
                  think=f"Three {c}: {', '.join(three)}.")


FIELDS = {
    "name": lambda r: name(r), "age": lambda r: r.randint(1, 99), "city": lambda r: city(r),
    "colour": lambda r: r.of("red blue green yellow black white".split()),
    "animal": lambda r: r.of("dog cat fox bear horse owl".split()),
    "price": lambda r: r.randint(1, 99), "count": lambda r: r.randint(1, 20),
    "title": lambda r: r.invented(), "year": lambda r: r.randint(1900, 2030),
    "size": lambda r: r.of("small medium large".split()), "open": lambda r: r.p(0.5),
    "id": lambda r: r.randint(1, 999), "language": lambda r: r.of("German French English".split()),
    "day": lambda r: r.of(CLASSES["days of the week"]), "fruit": lambda r: r.of(CLASSES["fruits"]),
}


def obj(r):
    """A JSON object from values in the request, or from a fact."""
    if r.p(0.35):
        return fact_object(r)
    keys = r.some(FIELDS, r.randint(1, 4))
    if r.p(0.3):
        keys[0] = r.invented().lower()
    val = {k: (FIELDS[k](r) if k in FIELDS else r.of([r.randint(0, 99), r.invented()])) for k in keys}
    said = {k: ("true" if v else "false") if isinstance(v, bool) else str(v) for k, v in val.items()}
    style = r.randrange(3)
    if style == 0:
        listing = ", ".join(f"{k} {said[k]}" for k in keys)
    elif style == 1:
        listing = ", ".join(f"{k}: {said[k]}" for k in keys)
    else:
        listing = ", ".join(f"{k} is {said[k]}" for k in keys)
    listing = " and ".join(listing.rsplit(", ", 1)) if style != 1 else listing
    ask = r.x("[[Write|Give me|Make|Return|Create|Answer with|Reply with] [a JSON object|an object in JSON|JSON] "
              "[with|for|from|where] {l}.|[Put this into|Turn this into|Write this as|Convert to] "
              "[JSON|a JSON object]: {l}.|{L}. [Answer|Reply|Write that] [as|in] JSON[.| only.]|"
              "JSON[ please|]: {l}]", l=listing, L=cap(listing))
    return Sample("JSON", rough(r, ask, False) if style else ask, json.dumps(val, ensure_ascii=False), {"json": val},
                  think=f"A JSON object with {', '.join(keys)}.")


def fact_object(r):
    """'Answer as JSON with the keys country and capital': keys are given, values are known."""
    kind = r.of(["capitals", "opposites", "plurals", "colours"])
    if kind == "capitals":
        x, k1, k2 = r.of(list(facts.CAPITALS)), "country", "capital"
        y, topic = facts.CAPITALS[x], r.x("[the capital of {x}|{x} and its capital]", x=x)
    elif kind == "opposites":
        x, k1, k2 = r.of(list(facts.OPPOSITE)), "word", "opposite"
        y, topic = facts.OPPOSITE[x], f"the opposite of {x}"
    elif kind == "plurals":
        x, k1, k2 = r.of(facts.REGULAR), r.of(["word", "singular"]), "plural"
        y, topic = facts.plural(x), f"the plural of {x}"
    else:
        x, k1, k2 = r.of(list(facts.COLOUR_OF)), "thing", "colour"
        y, topic = facts.COLOUR_OF[x], f"the colour of {x}"
    both = r.p(0.6)
    val = {k1: x, k2: y} if both else {k2: y}
    ask = r.x("[[Give me|Tell me|Write|Return|Answer with] {t} as [JSON|a JSON object] with [the |]{k}.|"
              "What is {t}? [Answer|Reply] [as|in] JSON with [the |]{k}.|"
              "[JSON|A JSON object] with [the |]{k} for {t}[.|, please.]]", t=topic,
              k=r.x("[keys|fields] {a} and {b}", a=k1, b=k2) if both else r.x("[key|field] {b}", b=k2))
    ask = ask.replace(f"What is {x} and its", f"What is {x}, and what is its")
    return Sample("JSON", rough(r, cap(ask), False), json.dumps(val, ensure_ascii=False), {"json": val},
                  think=f"JSON with {', '.join(val)}.")


def repeat(r):
    """Say it again: plain copying."""
    n = r.choice([1, 1, 2, 2, 3, 4, 5, 6, 8])
    words = [r.invented() if r.p(0.5) else r.of(CLASSES[r.of(list(CLASSES))]) for _ in range(n)]
    t = " ".join(words)
    if r.p(0.3):
        t = t.lower()
    ask = r.x("[[Repeat|Say|Echo|Write|Copy] [after me|this|exactly this|this text]: {t}|"
              "[Say|Repeat|Write] \"{t}\".|[Reply|Answer] with [exactly|only|just][ this|]: {t}|"
              "Say {t}[.| and nothing else.]]", t=t)
    return Sample("repeating", ask, t, {"equals": t}, think=f"Repeat: {t}.")
