"""Calling tools: the right one, with the right arguments, only when one fits, and using the result.

Most tools are made up on the spot from a verb, a noun and arguments (`cancel_ticket(id)`), so that
names cannot be learnt by heart: the model has to read the list it is given.  A tenth of all names is
kept for the evaluation.
"""
import json

from . import arithmetic, facts
from .grammar import Sample, a, cap, is_held, rough
from .words import COLOURS, DAYS, MONTHS, city, name

# verb in the name -> ways to ask for it
VERBS = {
    "get": ["get", "show me", "give me", "tell me", "what is"], "find": ["find", "look for", "search for"],
    "check": ["check", "look at", "verify"], "open": ["open", "open up"], "close": ["close", "shut"],
    "start": ["start", "begin", "launch"], "stop": ["stop", "end", "halt"], "book": ["book", "reserve"],
    "cancel": ["cancel", "call off"], "order": ["order", "buy"], "send": ["send", "send off"],
    "delete": ["delete", "remove", "erase"], "create": ["create", "make", "add"],
    "update": ["update", "change", "edit"], "print": ["print", "print out"], "read": ["read", "read out"],
    "list": ["list", "show me all"], "move": ["move", "shift"], "lock": ["lock", "lock up"],
    "track": ["track", "follow"], "share": ["share", "pass on"], "save": ["save", "store", "keep"],
    "pay": ["pay", "settle"], "rate": ["rate", "review"], "call": ["call", "ring"], "play": ["play", "put on"],
}
NOUNS = """price flight train bus parcel ticket invoice email message note task event meeting room table hotel
song movie photo file folder report order account password user customer product recipe lamp door window
heater alarm timer camera printer robot garage car bike taxi letter package calendar contact document map
route score game match team player book article page website server database backup job queue log sensor
battery light fan pump valve machine stock rate balance bill payment loan salary budget discount coupon
gift card address phone number code key lock plant garden pool oven fridge washer lesson course exam grade
class school library museum concert show channel station radio podcast album playlist video picture
doctor appointment prescription medicine menu dish pizza drink reservation review comment post""".split()

ARGS = {   # argument -> (its names, type, how it is said, value)
    "city": ("city city town location place destination", "string", ["in {v}", "for {v}"], city),
    "name": ("name name person customer guest owner", "string", ["named {v}", "for {v}", "of {v}"], name),
    "id": ("id id number order_id ref nr", "integer", ["number {v}", "with id {v}", "with the id {v}", "{v}"],
           lambda r: r.randint(1, 9999)),
    "day": ("day day date weekday on", "string", ["on {v}", "for {v}"], lambda r: r.of(DAYS)),
    "month": ("month period", "string", ["in {v}", "for {v}"], lambda r: r.of(MONTHS)),
    "count": ("count times quantity n repeat", "integer", ["{v} times"], lambda r: r.randint(2, 99)),
    "color": ("color colour paint", "string", ["in {v}", "with the color {v}"], lambda r: r.of(COLOURS)),
    "user": ("user username login account", "string", ["for user {v}", "of the user {v}"], lambda r: name(r).lower()),
    "to": ("to to recipient receiver", "string", ["to {v}"], name),
    "from": ("from origin source start", "string", ["from {v}"], city),
    "minutes": ("minutes duration length", "integer", ["for {v} minutes"], lambda r: r.randint(1, 90)),
    "hour": ("hour time at", "integer", ["at {v} o'clock"], lambda r: r.randint(0, 23)),
    "code": ("code code key token serial", "string", ["with code {v}", "with the code {v}"],
             lambda r: "".join(r.sample("ABCDEFGHKLMNPRSTXYZ", 2)) + str(r.randint(10, 999))),
    "year": ("year", "integer", ["of the year {v}"], lambda r: r.randint(1950, 2029)),
    "room": ("room area zone", "string", ["in the {v}"], lambda r: r.of("kitchen bedroom hall office cellar attic".split())),
    "title": ("title label subject heading", "string", ["called {v}", "with the title {v}"], lambda r: r.invented()),
}


def made_up(r, fit_hold=True):
    """(name, description, args, verb, noun, kinds of the args)"""
    while True:
        v, n = r.of(list(VERBS)), r.of(NOUNS)
        if is_held(v + "_" + n) == (r.held and fit_hold):
            break
    style = r.randrange(10)
    tool = (f"{v}_{n}" if style < 6 else v + cap(n) if style < 8 else f"{n}_{v}" if style < 9 else n)
    args = r.some(ARGS, r.choices([0, 1, 2, 3], [1, 6, 4, 1])[0])
    if len({"city", "month", "room"} & set(args)) > 1:       # "in" and "in": whose is which?
        args = args[:1]
    args = [(x, r.open(ARGS[x][0].split())) for x in args]
    if len({k for _, k in args}) < len(args):
        args = args[:1]
    if args and r.p(0.6):           # names nobody has heard of: they must be read, not guessed
        i = r.randrange(len(args))
        x, key = args[i]
        args[i] = x, r.x("[{w}|{w}|{w}|{k}_{w}|{w}_{k}|the_{k}|my_{k}|{k}{W}]", w=r.invented().lower(), k=key, W=r.invented())
    desc = r.x("[{V} {a}|{V} {a}|{V} the {n}|{V} {a} of the user]", V=cap(v), a=a(n), n=n)
    if r.p(0.1):
        desc = ""
    return tool, desc, [(key, ARGS[x][1], True) for x, key in args], v, n, [x for x, _ in args]


def wish(r, tool):
    """A user's words for a made-up tool, and the arguments in them."""
    _, _, args, v, n, kinds = tool
    verb = v if r.p(0.5) else r.of(VERBS[v])
    what = r.x("[the|the|a|my]", ) if verb not in ("show me all",) else "the"
    if what == "a":
        what = a(n).split()[0]
    vals, said = {}, []
    for x, (key, _, _) in zip(kinds, args):
        _, _, forms, make = ARGS[x]
        vals[key] = make(r)
        said.append(r.of(forms).format(v=vals[key]))
    core = f"{verb} {what} {n}" + "".join(" " + s for s in said)
    if verb == "what is":
        return cap(core) + "?", vals
    return r.x("[{C}.|Please {c}.|Can you {c}?|Could you {c}[, please|]?|I want you to {c}.|I need you to {c}.|"
               "Would you {c}?|{C}, please.|Hey, {c}[!|.]]", c=core, C=cap(core)), vals


# --- tools everybody has ---

SKIES = "sunny cloudy rainy windy snowy foggy clear stormy".split()
LOOKUPS = """the weather on Mars|a good book about trees|news about trains|the best pizza|how to repair a bike|
cheap flights|the history of glass|the oldest bridge|the population of Iceland|a recipe for soup|
the tallest building|the winner of the race|the price of gold|the next train|famous painters|
a museum of clocks|the height of the mountain|the speed of sound|how bees make honey|
the inventor of the telephone|new films|jobs for gardeners|a song about rain""".replace("\n", "").split("|")


def weather(r):
    key = r.of(["city", "city", "location", "place"])
    args = [(key, "string", True)]
    town = city(r)
    val = {key: town}
    when = ""
    if r.p(0.2):
        args.append(("day", "string", False))
        if r.p(0.6):
            val["day"] = r.of(DAYS)
            when = " on " + val["day"]
    tool = (r.of(["get_weather", "get_weather", "weather", "get_current_weather", "weather_now"]),
            r.x("[Get|Returns|Look up|Shows] the [current |]weather [in|for|of] a [city|place]"), args)
    q = r.x("[[What's|What is|How is|How's|Tell me|Get me|Check] the weather [like |]in {c}{w}[?|.|?]|"
            "[Is it raining|Is it cold|Is it sunny|Do I need an umbrella] in {c}{w}?|Weather in {c}{w}?|"
            "What will the weather be in {c}{w}?]", c=town, w=when)
    return tool, q, val


def calculator(r):
    if r.p(0.35):
        x, op, y, _ = arithmetic.pair(r)
    else:
        x, op, y = r.randint(101, 9999), r.choice("+-*/"), r.randint(2, 999)
    e = f"{x} {op} {y}"
    words = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[op]
    key = r.of(["expression", "expression", "input"])
    tool = (r.of(["calculator", "calculator", "calculate", "compute"]),
            r.x("[Calculate|Evaluate|Work out|Compute] [an expression|a sum|an arithmetic expression]"),
            [(key, "string", True)])
    q = r.x("[What is|Calculate|Compute|Work out|How much is|Tell me] {x} {w} {y}[?|.|?]",
            x=x, y=y, w=r.of([op, words]))
    return tool, q, {key: e}


def search(r):
    t = r.open(LOOKUPS) if r.p(0.6) else r.x("[{a}|the {a}|news about {a}]", a=r.invented())
    key = r.of(["query", "query", "q"])
    tool = (r.of(["search", "web_search", "search_web", "search"]),
            r.x("[Search the web|Search the internet|Find pages on the web|Look something up on the web]"),
            [(key, "string", True)])
    return tool, r.x("[Search for|Search the web for|Look up|Google|Find|Please search for] {t}[.|.|, please.]",
                     t=t), {key: t}


def clock(r):
    town = city(r)
    key = r.of(["city", "timezone", "place"])
    return ((r.of(["get_time", "time_in", "current_time"]), r.x("[Get|Tell] the [current |]time in a [city|place]"),
             [(key, "string", True)]),
            r.x("[What time is it|What is the time|What's the time|Tell me the time] in {c}[?|.|?]", c=town),
            {key: town})


def mail(r):
    who, word = name(r), " ".join(r.some("see you on Monday I am late lunch is ready call me back happy "
                                         "birthday the door is open bring some milk".split(), r.randint(1, 4)))
    return ((r.of(["send_message", "send_email", "text"]), r.x("Send [a message|an email] to a person"),
             [("to", "string", True), (r.of(["text", "body", "message"]), "string", True)]),
            None, (who, word))


KNOWN = [weather, weather, calculator, search, clock]


def wanted(r):
    """(tool, question, arguments)"""
    k = r.random()
    if k < 0.45:
        return r.of(KNOWN)(r)
    if k < 0.53:
        tool, _, (who, word) = mail(r)
        return tool, r.x("[Send|Write] {p} [a message|an email] that says \"{t}\".",
                         p=who, t=word), {"to": who, tool[2][1][0]: word}
    m = made_up(r)
    q, vals = wish(r, m)
    return m[:3], q, vals


def others(r, tool, n):
    """n more tools that do something else than `tool`."""
    out, names = [], {tool[0]}
    while len(out) < n:
        t = (r.of(KNOWN)(r)[0] if r.p(0.3) else made_up(r, fit_hold=False)[:3])
        same = set(t[0].lower().replace("_", " ").split()) & set(tool[0].lower().replace("_", " ").split())
        if t[0] in names or same or {t[1][:12], tool[1][:12]} == {tool[1][:12]} \
                or _kind(t[0]) == _kind(tool[0]):
            continue
        names.add(t[0])
        out.append(t)
    return out


def _kind(n):
    n = n.lower()
    for k in ("weather", "calc", "search", "time", "text", "send"):
        if k in n or (k == "calc" and n == "compute"):
            return k
    return n


def offer(r, tool):
    box = [tool] + others(r, tool, r.choices([0, 1, 2, 3], [5, 5, 2, 1])[0])
    r.shuffle(box)
    return box


def sample(r):
    """A fitting tool is called, now and then twice."""
    if r.p(0.06):
        tool, _, val = r.of([weather, clock])(r)
        key = next(iter(val))
        two = [city(r), city(r)]
        what = "weather" if "weather" in tool[0] else "time"
        q = r.x("[What is|What's|Tell me|Get me] the {k} in {a} and [in |]{b}[?|.|?]", k=what, a=two[0], b=two[1])
        calls = [(tool[0], {key: t}) for t in two]
        return Sample("tool calls", rough(r, q, False), {"role": "assistant", "content": "", "calls": calls},
                      {"calls": [list(c) for c in calls]}, tools=offer(r, tool), fresh=True,
                      think=f"I should call {tool[0]} twice.")
    tool, q, val = wanted(r)
    return Sample("tool calls", rough(r, q, False) if '"' not in q else q,
                  {"role": "assistant", "content": "", "calls": [(tool[0], val)]},
                  {"call": [tool[0], val]}, tools=offer(r, tool), fresh=True,
                  think=r.x("[I can use|The right tool is|I should call|This needs] {t}.", t=tool[0]))


def answer_of(r, tool, val):
    """(tool result, the sentence made of it, words that must be in it)"""
    what = next(iter(val.values()), None)
    n = tool[0].lower()
    if "weather" in n:
        t, s = r.randint(-15, 38), r.of(SKIES)
        res = {r.of("temperature temp temp_c degrees celsius value".split()): t,
               r.of("condition conditions sky weather summary description".split()): s}
        if r.p(0.3):
            res = {r.of(["city", "place", "location"]): what, **res}
        elif r.p(0.2):
            res = dict(reversed(res.items()))
        k = r.random()
        if k < 0.2:
            said = s if r.p(0.7) else cap(s)
            res = r.of([f"{t} degrees, {s}", f"{said}, {t} degrees", f"{t}C and {s}", f"{said}, {t} C", f"{said} and {t} degrees"])
        elif k < 0.35:      # only the sky
            res = {r.of("weather condition conditions sky summary description forecast result".split()): s}
            res = r.of([res, s, cap(s), f"It is {s}.", f"{cap(s)} in {what}"])
            return res, f"It is {s} in {what}.", [s, str(what)]
        elif k < 0.45:      # only the temperature
            res = r.of([{r.of("temperature temp temp_c degrees celsius value".split()): t}, f"{t} degrees", f"{t}C", f"{t} C"])
            return res, f"It is {t} degrees in {what}.", [str(t), str(what)]
        return res, f"It is {t} degrees and {s} in {what}.", [str(t), s, str(what)]
    if "calc" in n or n == "compute":
        x, op, y = what.split()
        x, y = int(x), int(y)
        k = {"+": x + y, "-": x - y, "*": x * y, "/": round(x / max(y, 1), 2)}[op]
        return (r.of([{"result": k}, str(k), {"value": k}]), f"{what} = {k}.", [str(k)])
    if "search" in n:
        f = r.x("[It is|It was|There is|You need|Try] {a} {b}", a=r.of("near in from with".split()), b=r.invented())
        res = r.of([{"results": [f]}, f, {"answer": f}])
        return res, f"I found this: {f}.", [f]
    if "time" in n:
        t = f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"
        return r.of([{"time": t}, t]), f"It is {t} in {what}.", [t]
    k = r.randrange(4)
    if k == 0:
        ok = r.of(["ok", "done", "success"])
        return r.of([{"status": ok}, ok, {"ok": True}]), "Done.", ["done"]
    if k == 1:
        e = r.of(["not found", "no permission", "not available", "no connection", "unknown id", "time out"])
        return {"error": e}, f"That did not work: {e}.", [e]
    v = r.of([r.randint(1, 9999), r.invented(), r.of(COLOURS), f"{r.randint(1, 99)} EUR"])
    key = r.of("result value status price state total name place".split())
    return {key: v}, f"The {key} is {v}.", [str(v)]


def use_result(r):
    """The call is in the history, its result has come; say it."""
    tool, q, val = wanted(r)
    res, text, has = answer_of(r, tool, val)
    ask = {"role": "tool", "content": res if isinstance(res, str) else json.dumps(res, ensure_ascii=False)}
    before = [{"role": "user", "content": rough(r, q, False) if '"' not in q else q},
              {"role": "assistant", "content": "", "calls": [(tool[0], val)]}]
    return Sample("tool results", ask, text, {"has": has, "no_call": True}, tools=offer(r, tool), before=before,
                  fresh=True, key=q + ask["content"], think="The tool has answered. I say it in words.")


CHAT = [("[Hello|Hi|Hey|Good morning][!|.|]", "Hello! How can I help you?", "hello"),
        ("[Thanks|Thank you][!|.]", "You are welcome!", "welcome")]


def no_tool(r):
    """Tools are offered, none fits: answer without them, or say so."""
    k = r.random()
    t = r.of(KNOWN)(r)[0] if r.p(0.5) else made_up(r)[:3]
    if k < 0.55:
        s = facts.sample(r)
        if "calc" in _kind(t[0]):
            t = weather(r)[0]
    elif k < 0.65:
        tmpl, text, has = r.of(CHAT)
        s = Sample("x", r.x(tmpl), text, {"has": [has]})
    else:
        m = made_up(r)
        q, _ = wish(r, m)
        box = [x for x in offer(r, m[:3]) if x[0] != m[0]] or others(r, m, 1)
        return Sample("no tool fits", rough(r, q), r.of(["None of my tools can do that."]),
                      {"no_call": True, "has": ["none of my tools"]}, tools=box, fresh=True,
                      think="No tool fits.")
    box = [t] + others(r, t, r.randint(0, 2))
    if any("calc" in _kind(b[0]) for b in box):
        box = [b for b in box if "calc" not in _kind(b[0])] or [weather(r)[0]]
    r.shuffle(box)
    chk = dict(s.check)
    chk["no_call"] = True
    return Sample("no tool fits", s.msgs[0]["content"], s.msgs[-1]["content"], chk, tools=box, fresh=True,
                  key="", think="No tool is needed. " + s.msgs[-1]["content"])
