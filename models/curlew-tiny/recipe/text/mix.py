"""Every skill in its share, alone or as turns of a longer chat, with system prompts and thinking."""
from . import about, arithmetic, facts, follow, stories, talk, tools, translate
from .grammar import Sample, is_held
from .words import name

# The shares of the conversations, in stages that begin at these steps: first the forms, then much
# copying, then sums and facts, then what was still weak.
STAGES = (0, 400, 600, 1000, 1250, 1580)
SHARES = {
    arithmetic.sample:       (13, 13, 22, 22, 24, 40),
    arithmetic.compare:      (3, 3, 4, 5, 7, 14),
    facts.sample:            (17, 17, 22, 22, 22, 17),
    facts.follow_up:         (2, 2, 2, 1, 3, 3),
    translate.sample:        (11, 11, 13, 18, 23, 17),
    stories.sample:          (6, 6, 5, 5, 6, 10),
    follow.one_word:         (6, 6, 8, 9, 13, 10),
    follow.upper:            (6, 6, 11, 12, 20, 14),
    follow.list_of_three:    (5, 5, 5, 3, 4, 3),
    follow.obj:              (9, 9, 9, 10, 10, 11),
    follow.repeat:           (4, 9, 7, 7, 9, 9),
    tools.sample:            (17, 19, 24, 32, 36, 46),
    tools.use_result:        (8, 8, 6, 7, 6, 9),
    tools.no_tool:           (7, 7, 5, 5, 5, 8),
    about.sample:            (14, 14, 14, 19, 10, 9),
    talk.greet:              (5, 5, 5, 7, 8, 12),
    talk.remember:           (5, 5, 4, 5, 6, 7),
    talk.unknown:            (10, 9, 9, 6, 5, 6),
}
_makers = list(SHARES)
_weights = list(zip(*SHARES.values()))


def stage_of(step):
    return sum(step > s for s in STAGES) - 1


SYSTEM = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.",
          "You are a [helpful|friendly|kind|polite|careful|small] [assistant|AI assistant|model][.|that answers questions.]",
          "You are curlew-tiny[.|, a small model.]", "[Be|Please be] [brief|helpful|polite|kind|friendly].",
          "Answer [briefly|the user|the question|questions][.| as well as you can.]", "You help people[.| with curlew.]",
          "Today is [Monday|Tuesday|Friday|Sunday].", "[Use|Speak] [simple|plain] English.", "You are an AI.",
          "You are [a helpful|an] AI assistant[.| called curlew-tiny.]"]


def one(r, maker=None, stage=-1):
    """A sample on the right side of the hold-out line."""
    while True:
        s = (maker or r.choices(_makers, _weights[stage])[0])(r)
        if s.key == "" or is_held(s.key) == r.held:
            return s


def persona(r):
    """A system prompt that gives the model another name."""
    n = name(r)
    ask = r.x("[Who are you?|What is your name?|What's your name?|Introduce yourself.|Tell me your name.]")
    return Sample("system prompt", ask, f"I am {n}.", {"has": [n]}, key="persona " + n, fresh=True,
                  system=r.x("[You are|Your name is|You are called] {n}[.|, a helpful assistant.|. Be kind.]", n=n),
                  think=f"My name is {n}.")


def ordered(r):
    """A system prompt that orders the form of every answer."""
    if r.p(0.5):
        s = follow_form(r, follow.upper)
        s.system = r.x("[Answer|Always answer|Reply|Write] in [upper case|capital letters|uppercase|all caps].")
    else:
        s = follow_form(r, follow.one_word)
        s.system = r.x("[Answer|Always answer|Reply] [in|with] one word[.| only.]")
    return s


def follow_form(r, maker):
    if maker is follow.upper:
        kind, q, _, full = facts.fact(r)
        return Sample("system prompt", q, full.upper(), {"has": [full.upper().rstrip(".")], "upper": True},
                      key="", fresh=True, think=r.x("Upper case. {f}", f=full))
    while True:
        kind, q, short, _ = facts.fact(r)
        if " " not in short and kind != "counting":
            return Sample("system prompt", q, short[0].upper() + short[1:], {"equals": short},
                          key="", fresh=True, think=f"One word only: {short[0].upper() + short[1:]}.")


def conversation(r, stage=-1):
    """One training conversation: a Sample whose messages may hold several turns."""
    if r.p(0.04):
        s = one(r, persona if r.p(0.4) else ordered)
    else:
        s = one(r, None, stage)
    if not s.fresh and r.p(0.45):
        turns = []
        for _ in range(r.choices([1, 2, 3, 5], [8, 5, 3, 1])[0]):
            t = one(r, None, stage)
            while t.fresh or t.tools or t.skill == "stories":
                t = one(r, None, stage)
            turns += t.msgs
        s.msgs = turns + s.msgs
    elif s.tools and r.p(0.15) and s.skill != "tool results":
        t = one(r, r.of([facts.sample, talk.greet]))
        s.msgs = t.msgs + s.msgs
    if s.system is None and r.p(0.25):
        s.system = r.x(r.of(SYSTEM))
    return s


def long_chat(r, n_turn, stage=-1):
    """Many turns about everything, to learn that what came long before may matter or not."""
    s = talk.remember(r)
    turns = []
    for _ in range(n_turn):
        t = one(r, None, stage)
        while t.fresh or t.tools:
            t = one(r, None, stage)
        turns += t.msgs
    s.msgs = s.msgs[:2] + turns + s.msgs[2:] if len(s.msgs) > 2 else turns + s.msgs
    return s
