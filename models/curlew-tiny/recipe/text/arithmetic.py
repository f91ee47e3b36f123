"""Adding and subtracting up to 100, bare and in little stories.

One digit is one token, so 47 + 28 is a sum of columns.  The answer repeats the question first
("47 + 28 = 75."), which gives the model a step to look at both numbers; when it thinks it goes
column by column.  A tenth of all pairs is never seen in training, in no form.
"""
from .grammar import Sample, is_held, rough
from .words import name

THINGS = "apples pears books stones coins shells balls stamps cards eggs cookies flowers pencils nuts".split()


def pair(r):
    """(a, op, b, result) on the right side of the hold-out line."""
    while True:
        if r.p(0.5):
            a, b = r.randint(0, 100), r.randint(0, 100)
            if a + b > 100:
                a, b = 100 - a, 100 - b
            op, c = "+", a + b
            key = f"{min(a, b)}+{max(a, b)}"
        else:
            a, b = r.randint(0, 100), r.randint(0, 100)
            a, b = max(a, b), min(a, b)
            op, c = "-", a - b
            key = f"{a}-{b}"
        if is_held(key) == r.held:
            return a, op, b, c


def columns(a, op, b):
    """The columns of a sum, said aloud."""
    (at, ao), (bt, bo) = divmod(a, 10), divmod(b, 10)
    if op == "+":
        s = ao + bo
        t = at + bt
        if s < 10:
            return f"Ones: {ao} + {bo} = {s}. Tens: {at} + {bt} = {t}. So {a + b}."
        return f"Ones: {ao} + {bo} = {s}, carry 1. Tens: {at} + {bt} + 1 = {t + 1}. So {a + b}."
    if ao >= bo:
        return f"Ones: {ao} - {bo} = {ao - bo}. Tens: {at} - {bt} = {at - bt}. So {a - b}."
    return (f"Ones: {ao + 10} - {bo} = {ao + 10 - bo}, borrow 1. "
            f"Tens: {at} - {bt} - 1 = {at - bt - 1}. So {a - b}.")


def plain(r):
    a, op, b, c = pair(r)
    word = (r.of(["plus", "+", "+", "+"]) if op == "+" else r.of(["minus", "-", "-", "-"]))
    if op == "+":
        q = r.x("[[What is|What's|Calculate|Compute|How much is|Tell me|Please work out|Work out|Solve] "
                "{a} {w} {b}[?|.|?]|{a} {w} {b}[ =| = ?|?|]|Add {a} and {b}.|What is the sum of {a} and {b}?|"
                "What do {a} and {b} make[ together|]?|Can you add {a} and {b}?]", a=a, w=word, b=b)
    else:
        q = r.x("[[What is|What's|Calculate|Compute|How much is|Tell me|Please work out|Work out|Solve] "
                "{a} {w} {b}[?|.|?]|{a} {w} {b}[ =| = ?|?|]|Subtract {b} from {a}.|Take {b} away from {a}.|"
                "What is the difference between {a} and {b}?|What is left if you take {b} from {a}?]",
                a=a, w=word, b=b)
    if r.p(0.12):
        q = q.replace(" + ", "+").replace(" - ", "-")
    return q, a, op, b, c, f"{a} {op} {b} = {c}."


def problem(r):
    a, op, b, c = pair(r)
    n, t = name(r), r.of(THINGS)
    if op == "+":
        q = r.x("[{n} has {a} {t}[ and|, then {n}] [gets|finds|buys] {b} more.|"
                "There are {a} {t} in one box and {b} {t} in another.|"
                "{n} [finds|picks|buys] {a} {t} on Monday and {b} {t} on Tuesday.] "
                "How many {t} [are there|is that|does that make][ in all| together|]?", n=n, a=a, b=b, t=t)
        full = f"{a} + {b} = {c}, so there are {c} {t}."
    else:
        q = r.x("[{n} has {a} {t} and [gives away|loses|sells|eats up] {b}[ of them|].|"
                "There are {a} {t} [in a box|on a table|in the kitchen]. {n} takes {b} [of them|away].] "
                "How many {t} are left?", n=n, a=a, b=b, t=t)
        full = f"{a} - {b} = {c}, so there are {c} {t} left."
    return q, a, op, b, c, full


def sample(r):
    words = r.p(0.2)
    q, a, op, b, c, full = (problem if words else plain)(r)
    return Sample("sums in words" if words else "arithmetic", rough(r, q), full,
                  {"number": c}, key="",
                  think=columns(a, op, b))


def compare(r):
    a, b = r.sample(range(101), 2)
    big = r.p(0.5)
    q = r.x("[Which is {w}[,|:] {a} or {b}?|Which number is {w}, {a} or {b}?|What is {w}, {a} or {b}?]",
            w=r.of(["bigger", "larger", "greater"] if big else ["smaller", "less"]), a=a, b=b)
    hi, lo = max(a, b), min(a, b)
    return Sample("comparing", rough(r, q),
                  f"{hi} is bigger than {lo}." if big else f"{lo} is smaller than {hi}.",
                  {"has": [f"{hi} is bigger" if big else f"{lo} is smaller"]},
                  think=f"Compare {a} and {b}.")
