"""Short stories about a named animal in a named place: eight plots, told sentence by sentence.

A plot is a list of lines; every line is a template over the same slots, so that who lost the kite in
line two is who finds it in line seven.
"""
from .grammar import Sample, a, cap, rough
from .words import ANIMALS, city, name

# adjectives that may stand before the animal
TRAITS = "small brave curious kind clever shy young old lonely cheerful gentle sleepy".split()
PLACES = """the forest|the desert|the mountains|the garden|the jungle|the village|the meadow|the valley|
the old mill|the harbour|the lighthouse|the castle|the farm|the island|the swamp|the park|the orchard|
the library|the bakery|the market""".replace("\n", "").split("|")
AT = {"the mountains": "in", "the old mill": "at", "the harbour": "at", "the lighthouse": "at",
      "the farm": "on", "the island": "on", "the market": "at", "the bakery": "at"}
THINGS = """kite|lantern|bell|map|ball|basket|drum|boat|hat|scarf|key|flute|book|ribbon|whistle|
shell|spoon|button|blanket|cart""".replace("\n", "").split("|")
FOODS = "soup bread cake honey berries pancakes cookies apples nuts porridge".split()

OPEN = ["[Once there was|There once was|Long ago there lived|There was once] {a_hero} [named|called] {N} "
        "who lived {at}.",
        "{N} was {a_hero} who lived {at}.",
        "[Once upon a time, |One spring, |]{a_hero} [named|called] {N} lived {at}."]
CLOSE = ["[From that day on|After that day], {N} and {M} were [best friends|good friends|never apart].",
         "That night {N} [slept well|fell asleep with a smile|dreamed of the next day].",
         "{N} [never forgot that day|told this story for many years|was happy for a long time].",
         "And {at} they still [talk about|tell the story of] {N}."]

PLOTS = {
    "lost": [
        "{H} had a {thing} and loved it [very much|more than anything].",
        "One [windy|rainy|cold|bright] [morning|day], the {thing} was gone.",
        "{N} looked [under the stones|behind the door|in every corner] and [could not find it|found nothing].",
        "Then {M} the {B} came by and said, \"[Let me help you|I will help you look|We can look together].\"",
        "They [searched|looked] until the sun was [low|almost down].",
        "At last {M} saw the {thing} [in a tall tree|beside the river|under a bush|in an old nest].",
        "\"[Thank you|Thank you so much], {M}!\" said {N}[ and danced with joy| and laughed|].",
    ],
    "friend": [
        "{N} had no one to play with and felt [alone|sad|lonely].",
        "One [morning|evening|day], {h} met {M} the {B}, who was [sitting on a stone|singing a song|looking at the sky].",
        "\"[May I sit with you|Do you want to play|Would you like some {food}]?\" asked {N}.",
        "\"[Yes, please|I would like that|Of course],\" said {M}.",
        "They [played|walked|talked] all day and shared [some|their] {food}.",
        "When it got dark, {M} said, \"[Come back tomorrow|Let us meet again tomorrow|I am glad I met you].\"",
    ],
    "storm": [
        "One [night|evening], a [great|loud|terrible] storm came, and the wind [blew|roared|howled].",
        "{H} heard a [small|quiet|thin] voice outside.",
        "It was {M} the {B}, who was [wet and cold|afraid of the thunder|far from home].",
        "\"[Come in|Come inside|You can stay here],\" said {N}[ and opened the door|].",
        "They [sat by the fire|shared a blanket|told each other jokes] and ate {food}.",
        "In the morning the sky was [blue|clear] and the storm was over.",
        "\"[You are a good friend|You were very kind to me|I will never forget this],\" said {M}.",
    ],
    "fear": [
        "{N} was afraid of [the dark|deep water|high places|loud noises].",
        "One day {M} the {B} [called for help|was in trouble|fell into a hole] [near the river|behind the hill].",
        "{N} was [shaking|very scared], but {h} [ran|went] to help.",
        "{H} used a {thing} to [pull|get] {M} out.",
        "\"You [saved|helped] me!\" said {M}. \"You are [very brave|braver than you think].\"",
        "{N} [smiled|felt proud], because {h} was not afraid any more.",
    ],
    "party": [
        "It was {N}'s birthday, and {h} wanted to [bake|make] {food} for everyone.",
        "But the [kitchen|cupboard|basket] was empty, and {N} [sighed|was sad|did not know what to do].",
        "{M} the {B} said, \"[Wait here|Do not worry|I have an idea].\"",
        "Soon all the [neighbours|animals|friends] came, and each one [brought|carried] something.",
        "{M} [gave|handed] {N} a {thing} with a [red|blue|yellow|green] bow.",
        "They ate {food}, [sang songs|danced|played games] and laughed until the moon came up.",
    ],
    "contest": [
        "Every year there was a race, and {N} wanted to win it.",
        "{M} the {B} was the [fastest|best] of all, and [everyone knew|nobody doubted] it.",
        "On the day of the race, {N} ran as fast as {h} could.",
        "[Halfway|Near the end], {M} [fell over a root|hurt a foot|slipped in the mud].",
        "{N} stopped and helped {M} [to stand up|to walk].",
        "They crossed the line together, and everyone [cheered|clapped].",
        "The prize was a {thing}, and they [shared it|took turns with it].",
    ],
    "seed": [
        "One day, {h} found a [tiny|strange|shiny] seed and planted it.",
        "\"[Nothing will grow|That seed is too small|It takes too long],\" said {M} the {B}.",
        "But {N} [watered it every day|waited and waited|sang to it every morning].",
        "After [a week|a month|many days], a [green leaf|small flower|little tree] came up.",
        "It grew [taller than the house|higher and higher] and gave the sweetest {food2}.",
        "{N} shared them with {M}, who said, \"[I was wrong|You were right|Now I will plant one too].\"",
    ],
    "journey": [
        "{N} had always wanted to see [the sea|the snow|the big city|the end of the river].",
        "So {h} packed a {thing} and some {food} and [set off|started to walk].",
        "On the way {h} met {M} the {B}, who [had lost the path|was tired|wanted to see it too].",
        "\"[Come with me|Let us go together|Two are better than one],\" said {N}.",
        "They walked for [two|three|many] days, [over hills and through fields|in sun and in rain].",
        "When they [arrived|got there], it was [more beautiful|bigger] than they had dreamed.",
        "But the best part was [going home|telling everyone about it].",
    ],
}


def story(r, hero, animal, place):
    pet = r.of("he she".split())
    helper = r.of([b for b in ANIMALS if b != animal])
    friend = name(r)
    while friend == hero:
        friend = name(r)
    at = f"{AT.get(place, 'in')} {place}"
    kind = r.of(TRAITS)
    s = dict(N=hero, A=animal, B=helper, M=friend, h=pet, H=cap(pet), at=at,
             a_hero=a(f"{kind} {animal}"), thing=r.of(THINGS), food=r.of(FOODS),
             food2=r.of(["apples", "pears", "plums", "cherries", "berries"]))
    plot = r.of(list(PLOTS))
    lines = [r.of(OPEN)] + PLOTS[plot] + [r.of(CLOSE)]
    return " ".join(cap(r.x(t, **s)) for t in lines), plot


def sample(r):
    hero, animal = name(r), r.of(ANIMALS)
    place = city(r) if r.p(0.4) else r.of(PLACES)
    at = f"{AT.get(place, 'in')} {place}"
    who = a(animal)
    ask = r.x("[Tell [me|us]|Write|Write me|Make up|I want|I would like|Can you tell me|Please tell me|Give me|Invent] "
              "a [short |little |nice |]story ")
    form = r.randrange(10)
    has = [hero, animal, place.removeprefix("the ")]
    if form < 5:
        q = ask + r.x("about {w} [named|called] {n} [{at}|who lives {at}|that lives {at}].", w=who, n=hero, at=at)
    elif form < 6:
        q = ask + r.x("about {n} the {x} [{at}|who lives {at}].", n=hero, x=animal, at=at)
    elif form < 7:
        q = ask + r.x("[{at} about {w} named {n}|set {at} about {n} the {x}].", n=hero, x=animal, at=at, w=who)
    elif form < 8:
        q, has = ask + r.x("about {w} [named|called] {n}.", w=who, n=hero), [hero, animal]
    elif form < 9:
        q, has = ask + r.x("about {w}[ {at}|].", w=who, at=at), [animal]
    else:
        q, has = ask.strip() + ".", []
    if not q.endswith("."):
        q += "."
    if q.startswith("Can"):
        q = q[:-1] + "?"
    text, plot = story(r, hero, animal, place)
    return Sample("stories", rough(r, q), text, {"has": has, "words_min": 50, "ends": True},
                  think=r.x("[A story about|The hero is|I will tell of] {n}, {w} {at}.", n=hero, w=who, at=at),
                  key=f"{hero} {animal} {place}" if r.held else q)
