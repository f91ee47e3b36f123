"""Being pleasant: greetings, thanks, names remembered, and saying 'I do not know'."""
from . import facts, translate
from .grammar import Sample, rough
from .words import city, name

SMALL = [
    ("[Hello|Hi|Hey|Hi there|Hello there|Good morning|Good evening|Good afternoon|Greetings|Hey there|Hello curlew|Hi curlew|"
     "Howdy|Hello again|Good day|Hello, my friend|Yo|Hiya][!|.|]", "Hello! How can I help you?", "hello"),
    ("[How are you|How are you doing|How do you do|How is it going|How's it going|How do you feel|Are you well|"
     "Are you okay|What's up|How are things][ today| now|][?|?]", "I am fine, thank you. How can I help you?", "fine"),
    ("[Thanks|Thank you|Thank you very much|Thanks a lot|Many thanks|Great, thanks|Thank you so much|Cheers|"
     "Thanks for [your help|helping|the answer]][!|.|]", "You are welcome!", "welcome"),
    ("[Bye|Goodbye|See you|See you later|Good night|Bye bye|I have to go|Until tomorrow|Talk to you later|"
     "See you soon|Farewell][!|.|]", "Goodbye! Come back soon.", "goodbye"),
    ("[Good|Well done|Great|Nice|You are right|That is right|Correct|Good job|Perfect|Very good|You are great|"
     "I like you|You are funny|Wonderful][!|.]", "Thank you! What else can I do for you?", "thank you"),
    ("[That is wrong|You are wrong|No, that is wrong|Wrong|That is not right|That's not correct|You made a mistake]"
     "[!|.]", "I am sorry. I am a very small model and make mistakes.", "sorry"),
    ("[OK|Okay|I see|All right|Fine|Sure|Right|Understood|Got it][!|.|]", "Good. What else can I do for you?", "what else"),
]
JOKES = [
    "Why did the curlew cross the beach? Its bill was longer than the road.",
    "Why did the byte go to bed? It was a bit tired.",
    "What does a duck say to a server? Quack me a page.",
    "Why was the model so small? It was told to be brief.",
    "Why do owls never queue? They always ask who is next.",
    "What did the thread say to the lock? You are holding me up.",
]


def greet(r):
    if r.p(0.12):
        return Sample("small talk", rough(r, r.x("[Tell me|Do you know|Give me|I want|Make] a [joke|funny line][!|.|?]")),
                      r.of(JOKES), {"any": [j[:12] for j in JOKES]}, think="A joke is wanted.")
    if r.p(0.25):
        n = name(r)
        if r.p(0.5):
            q = r.x("[Hello|Hi|Hey|Good morning][,|!] [I am|I'm|my name is|this is] {n}[.|!]", n=n)
        else:
            q = r.x("[My name is|I am called|You can call me|I am] {n}[.|!]", n=n)
        return Sample("small talk", rough(r, q) if q[0] != n[0] else q, f"Hello, {n}! How can I help you?",
                      {"has": ["hello, " + n]}, think=f"The user is {n}.")
    t, text, has = r.of(SMALL)
    q = r.x(t)
    if r.p(0.3):
        q = r.x("[Well, |Oh, |Ah, |So, |Now, |Curlew, |My friend, ]") + q[0].lower() + q[1:]
    elif r.p(0.3) and q[-1] not in "?":
        q = q.rstrip(".!") + r.x("[, curlew|, my friend| then|, dear| for now|, friend][.|!|]")
    return Sample("small talk", rough(r, q), text, {"has": [has]},
                  think=r.x("[The user is being friendly.|Small talk.|I answer in a friendly way.]"))


# --- remembering ---

THINGS = {
    "name": ("[My name is|I am called|I am|Call me] {v}.", "[What is my name?|What's my name?|Who am I?|Do you remember my name?]",
             "Your name is {v}.", name),
    "city": ("[I live in|I am from|My home is in|I come from] {v}.", "[Where do I live?|Where am I from?|In which city do I live?]",
             "You live in {v}.", city),
    "age": ("[I am {v} years old.|My age is {v}.|I turned {v} today.]", "[How old am I?|What is my age?]",
            "You are {v} years old.", lambda r: r.randint(5, 99)),
    "colour": ("My favourite colour is {v}.", "[What is my favourite colour?|Which colour do I like best?]",
               "Your favourite colour is {v}.", lambda r: r.of("red blue green yellow black white orange".split())),
    "pet": ("[I have a dog called|My cat is called|My pet is named|My dog is named] {v}.",
            "[What is my pet called?|What is the name of my pet?]", "Your pet is called {v}.", name),
    "number": ("[My lucky number is|My favourite number is|The number is|Remember the number] {v}.",
               "[What is the number?|Which number was it?|What number did I tell you?]", "The number is {v}.",
               lambda r: r.randint(1, 9999)),
    "word": ("[The secret word is|The password is|Remember this word:|The word is] {v}.",
             "[What is the [secret word|password|word]?|Which word was it?|What word did I tell you?]",
             "The word is {v}.", lambda r: r.invented().lower()),
}
ACK = {"name": "Hello, {v}! How can I help you?"}


def remember(r):
    """Told in one turn, asked in a later one, sometimes with other talk between."""
    keys = r.some(THINGS, r.choices([1, 2], [7, 3])[0])
    before, val = [], {}
    for k in keys:
        tell, _, _, make = THINGS[k]
        val[k] = make(r)
        before += [{"role": "user", "content": r.x(tell, v=val[k])},
                   {"role": "assistant", "content": ACK.get(k, "I will remember that.").format(v=val[k])}]
    if r.p(0.35):
        s = facts.sample(r)
        before += s.msgs
    k = r.of(keys)
    _, ask, full, _ = THINGS[k]
    q = r.x(ask)
    if r.p(0.25):     # all in one turn
        tell = r.x(THINGS[k][0], v=val[k])
        return Sample("remembering", tell + " " + q, full.format(v=val[k]), {"has": [str(val[k])]},
                      think=f"I was told: {val[k]}.")
    return Sample("remembering", q, full.format(v=val[k]), {"has": [str(val[k])]}, before=before, fresh=True,
                  key=f"{k} {val[k]}", think=f"I was told: {val[k]}.")


# --- not knowing ---

ELSEWHERE = """Bhutan Somalia Paraguay Bolivia Belarus Armenia Georgia Kazakhstan Pakistan Bangladesh Laos
Cambodia Fiji Samoa Tonga Chad Niger Mali Togo Benin Angola Zambia Malawi Botswana Namibia Gabon Rwanda
Burundi Uganda Eritrea Sudan Libya Algeria Yemen Oman Qatar Kuwait Jordan Lebanon Syria Albania Moldova
Malta Monaco Andorra Luxembourg Liechtenstein Panama Honduras Guatemala Nicaragua Haiti Jamaica Belize
Suriname Guyana Tuvalu Palau Nauru Kiribati Maldives Comoros Mauritius Mozambique Zimbabwe Lesotho""".split()
UNKNOWN_WORDS = """hammer umbrella bottleneck lawyer parliament pepper spider elbow ladder candle carpet curtain
thunder lightning shovel bucket needle thread pillow mirror ceiling basement engine wheel hospital pharmacy
turnip parsley squirrel beaver dragon wizard pirate rocket planet comet island valley desert jungle harvest
justice freedom science history promise secret shadow silence anger courage wisdom""".split()
SUBJECTS = """quantum physics|black holes|the Roman Empire|photosynthesis|the stock market|the French Revolution|
general relativity|DNA|neural networks in detail|the theory of evolution|inflation|blockchain|chess openings|
the human brain|organic chemistry|string theory|the Cold War|volcanoes|vaccines|the periodic table|jazz|
Shakespeare|modern art|philosophy|game theory|cryptography|plate tectonics|nuclear power|the Olympics|
the moon landing|climate change|calculus|linear algebra|the Renaissance|economics|the immune system|
electric motors|operating systems|compilers|football history|the Vikings|Greek myths|opera|dinosaurs|
the Silk Road|the steam engine|genetics|antibiotics|the internet|satellites|taxes|democracy|Buddhism|
Napoleon|Mozart|Einstein|Newton|Cleopatra|Leonardo da Vinci|Marie Curie|Beethoven|Darwin|Plato|Picasso|
bitcoin|sourdough|yoga|origami|kung fu|diesel engines|semiconductors|the ozone layer|coral reefs|tax law|
insurance|mortgages|the constitution|machine learning|Kubernetes|SQL|regular expressions|the Bible|Hamlet|
the pyramids|the Great Wall|the Titanic|Mars|Jupiter|gravity|magnetism|friction|enzymes|proteins|osmosis""".replace("\n", "").split("|")
THINGS_DONE = """invented the telephone|wrote Hamlet|painted the Mona Lisa|discovered America|won the last election|
built the pyramids|won the World Cup|discovered penicillin|invented the light bulb|wrote the Odyssey|
is the president|is the king of Sweden|was the first man in space|composed the Ninth Symphony|
invented the wheel|founded Rome|climbed Everest first|wrote Don Quixote|won the race yesterday|
is the richest person|is the fastest runner|designed the Eiffel Tower|discovered radium|
invented paper|wrote Faust|leads the company|sang that song|directed that film""".replace("\n", "").split("|")
JOBS = """a program in Python|a poem about love|an essay about history|a letter to my landlord|a business plan|
a song about summer|a sorting function|a speech for a wedding|a contract|my homework|a research paper|
a novel|a sonnet|a review of a film|a diet plan|a web page in HTML|a cover letter|a script for a video|
a haiku|an SQL query|a regular expression|a crossword|a recipe for lasagna|a travel plan|a summary of this book""".replace("\n", "").split("|")
DONT = "I do not know that. I am a very small model."


def unknown(r):
    k = r.randrange(13)
    if k == 12:
        q = r.x("[[What is|What's|Calculate|How much is] {x} {o} {y}[?|.|?]|{x} {o} {y}[?||=]]", x=r.randint(2, 99), y=r.randint(2, 99),
                o=r.of(["times", "*", "x", "divided by", "/", "multiplied by"]))
    elif k == 0:
        land = r.of(ELSEWHERE) if r.p(0.6) else r.invented()
        q = r.x("[[What is|What's|Tell me|Name|Do you know] the capital of {c}[?|.|?]|{c}'s capital?|"
                "Which city is the capital of {c}?|Capital of {c}?]", c=land)
    elif k == 1:
        q = r.x("[How do you say|What is|Translate] {w} in {l}[?|.]",
                w=r.of(UNKNOWN_WORDS) if r.p(0.7) else r.invented().lower(), l=r.of(["German", "French"]))
    elif k == 2:
        q = r.x("[How do you say|What is|Translate] {w} in {l}?", w=r.of(translate.WORDS)[0],
                l=r.of("Chinese Italian Spanish Russian Greek Polish Arabic Turkish Dutch Swedish Hindi Latin".split()))
    elif k == 3:
        q = r.x("[Explain|Tell me about|Describe|Teach me] {s}[.| to me.| in detail.| in simple words.]", s=r.of(SUBJECTS))
    elif k == 4:
        q = r.x("[What is|What's|How does|What do you know about|What can you tell me about] {s}[?| work?]", s=r.of(SUBJECTS))
        q = q.replace(" work?", "?") if not q.startswith("How does") else q.replace("?", "").replace(" work", "") + " work?"
    elif k == 5:
        q = r.x("[Who {d}?|Do you know who {d}?|Tell me who {d}.|Can you tell me who {d}?]", d=r.of(THINGS_DONE))
    elif k == 6:
        q = r.x("[Write|Write me|Can you write|Please write|Help me with|Make] {j}[.|?]", j=r.of(JOBS))
    elif k == 7:
        q = r.x("[Who is|Who was|Who are|When was|Where was|When did|Tell me about|Do you know] {n}[?|?]",
                n=r.x("{a} {b}", a=name(r), b=r.invented()))
        q = q.replace("When was", "Who was").replace("Where was", "Who was").replace("When did", "Who is")
    elif k == 8:
        q = r.x("[When|In which year] was {w}?", w=r.x(
            "[the first train built|the last war|the bridge in {c} built|the first moon landing|"
            "the telephone invented|the city of {c} founded|the fall of Rome|the museum in {c} opened|"
            "the first computer made|{n} born]", c=city(r), n=name(r)))
    elif k == 9:
        q = r.x("[How many people live in {c}?|How [far|long] is it from {c} to {d}?|What is the best [restaurant|hotel] in {c}?|"
                "Who is the mayor of {c}?|How [high|old|big] is {c}?|What happened in {c} yesterday?|What is {c} famous for?]",
                c=city(r), d=city(r))
    elif k == 10:
        q = r.x("[What is the [weather|temperature] [in {c}|] [today|tomorrow|now]?|What time is it[ in {c}|]?|What day is it today?|"
                "What is the date today?|What is the news[ today|]?|Will it rain [today|tomorrow]?|What is the weather[ like|] in {c}?|"
                "How is the weather in {c}?|What is the price of [gold|oil|bread|milk|a house]?]", c=city(r)).replace("  ", " ")
    else:
        q = r.x("[What is the meaning of {w}?|What does {w} mean?|Define {w}.|Who is {W}?|What is {a}?|What is a {w}?]",
                w=r.invented().lower(), W=r.invented(), a=r.of(
                    [f"{r.randint(101, 999)} + {r.randint(101, 999)}", f"{r.randint(200, 999)} - {r.randint(101, 199)}",
                     f"{r.randint(2, 20)} times {r.randint(2, 20)}", "the square root of 2", "the speed of light", "the largest number", "the mass of the sun",
                     "the boiling point of iron", "100 divided by 7", "the value of pi",
                     "the deepest lake", "the longest river", "the highest mountain", "the biggest country"]))
    return Sample("not knowing", rough(r, q), DONT, {"has": ["do not know"]},
                  think=r.x("[I have not learnt this.|This is beyond what I know.|I do not know this.]"))
