"""Random text from small grammars, and the line between training and evaluation.

A template is text with choices in brackets and slots in braces:

    r.x("[Hi|Hello][ there|], {who}[!|.]", who="Ada")

Choices nest; an empty choice is allowed.  A Random with held=True draws from the part of the world
that training never sees: names and cities whose checksum falls in the held-out tenth, and samples
whose key does.  The same code therefore makes both sets, and they cannot overlap.
"""
import random
import zlib
from functools import lru_cache

SYLLABLES = ("ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no ra re ri ro ru ta te ti to "
             "sa se si so va vi be bo da do fi ga ha ja pi po wen bar tom lin zo zel").split()
HEAD = ("b br c ch cl d dr f fl fr g gr h j k kr l m n p pl qu r s sh sk st t th tr v w z".split() + [""] * 3)
HEART = "a a a e e e i i o o u u y ai au ea ee ie oo ou".split()
TAIL = "n r l s t nd rk ll m x ck th ng st p d ld".split() + [""] * 12


def is_held(key):
    """True for the tenth of all keys kept for the evaluation."""
    return zlib.crc32(key.lower().encode()) % 10 == 0


@lru_cache(maxsize=None)
def _parse(t):
    """Template text -> ('seq', parts), where a part is text or ('alt', [seq, ...])."""
    def seq(i, inside):
        parts, text = [], []
        while i < len(t):
            c = t[i]
            if c == "[":
                if text:
                    parts.append("".join(text))
                    text = []
                alts, i = alt(i + 1)
                parts.append(alts)
            elif inside and c in "|]":
                break
            else:
                text.append(c)
                i += 1
        if text:
            parts.append("".join(text))
        return tuple(parts), i

    def alt(i):
        alts = []
        while True:
            s, i = seq(i, True)
            alts.append(s)
            if i >= len(t):
                raise ValueError("unclosed [ in " + t)
            i += 1
            if t[i - 1] == "]":
                return alts, i

    parts, _ = seq(0, False)
    if any(isinstance(p, str) and ("|" in p or "]" in p) for p in parts):
        raise ValueError("a choice outside brackets: " + t)
    return parts


@lru_cache(maxsize=None)
def _pools(items):
    return ([i for i in items if not is_held(i)], [i for i in items if is_held(i)])


class Random(random.Random):
    def __init__(self, seed, held=False):
        super().__init__(seed)
        self.held = held

    def _emit(self, parts, out):
        for p in parts:
            if isinstance(p, str):
                out.append(p)
            else:
                self._emit(p[int(self.random() * len(p))], out)

    def x(self, template, **slots):
        """Expand one template."""
        out = []
        self._emit(_parse(template), out)
        s = "".join(out)
        return s.format(**slots) if slots else s

    def of(self, items):
        """One of a sequence, or of a text of words."""
        if isinstance(items, str):
            items = items.split()
        return items[int(self.random() * len(items))]

    def open(self, items):
        """One of an open class (names, cities): the evaluation draws from members of its own."""
        seen, held = _pools(tuple(items))
        return self.of(held if self.held and held else seen)

    def some(self, items, n):
        return self.sample(list(items), n)

    def p(self, chance):
        return self.random() < chance

    def invented(self):
        """A word that is in no list: copying it is the only way to get it right."""
        while True:
            if self.p(0.5):
                w = "".join(self.of(SYLLABLES) for _ in range(self.randint(2, 3)))
            else:
                w = "".join(self.of(HEAD) + self.of(HEART) + self.of(TAIL) for _ in range(self.randint(1, 2)))
            if is_held(w) == self.held:
                return w.capitalize()


def rough(r, s, lower=True):
    """What people really type: no capital, no question mark, now and then.

    lower=False where the answer must copy what was written, capitals and all.
    """
    if r.p(0.12):
        s = s[0].lower() + s[1:]
    if r.p(0.12):
        s = s.rstrip("?.!")
    elif lower and r.p(0.04):
        s = s.lower()
    return s


def a(noun):
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def cap(s):
    return s[:1].upper() + s[1:]


class Sample:
    """One conversation whose last message is the assistant's.

    msgs    [{"role", "content"} or with "calls": [(name, args)]]; the last one is the answer
    tools   [(name, description, [(arg, type, required)])]
    think   what to think before the last answer, or None
    check   what a right answer must satisfy; see evaluate.py
    key     the sample is training or evaluation by is_held(key); "" if its parts have decided that
    system  the system prompt, or None
    fresh   it must begin its conversation
    """
    __slots__ = "skill key msgs tools think check fresh system".split()

    def __init__(self, skill, ask, answer, check, key=None, think=None, tools=(), before=(),
                 system=None, fresh=False):
        self.skill = skill
        self.msgs = list(before)
        self.msgs.append(ask if isinstance(ask, dict) else {"role": "user", "content": ask})
        self.msgs.append(answer if isinstance(answer, dict)
                         else {"role": "assistant", "content": answer})
        self.key = key if key == "" else skill + ":" + (key or self.msgs[-2]["content"].strip("?.! "))
        self.think = think
        self.tools = list(tools)
        self.check = check
        self.system = system
        self.fresh = fresh
