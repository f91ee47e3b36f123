"""The word lists.  Facts live beside the skill that uses them; here is what several skills share."""

NAMES = """Ada Alma Amir Anna Anton Arlo Asha Bella Ben Bruno Cara Carlos Celia Clara Dana Daniel David
Dora Edda Elena Eli Ella Emil Emma Enzo Erik Esther Eva Felix Fiona Frida Gina Greta Hana Hannah Harry
Hugo Ida Igor Ines Iris Ivan Ivy Jack Jana Jonas Julia Kai Karim Kira Klara Lara Laura Leila Lena Leo
Lila Lily Linus Lola Luca Lucas Lucy Luna Maja Malik Mara Marco Maria Marta Max Maya Mia Mila Milo Mina
Nadia Nana Nico Nina Noah Nora Odin Olga Oliver Omar Oscar Otto Pablo Paula Peter Petra Pia Pip Quinn
Rana Remy Rex Rita Robin Rosa Ruby Ruth Sam Sana Sara Sasha Selma Simon Sofia Stella Sven Tara Teo Tess
Theo Tilda Tim Tina Toby Tom Uma Vera Victor Viola Wanda Will Xenia Yara Yuki Zara Zoe Bo Finn Otis
Percy Poppy Rufus Hazel Olive Basil Biscuit Pepper Sunny Willow Juniper Maple Clover Bramble""".split()

CITIES = """Oslo Paris Rome Berlin Madrid London Tokyo Cairo Lima Quito Delhi Dublin Vienna Prague Warsaw
Athens Lisbon Bern Hamburg Munich Milan Naples Turin Porto Seville Lyon Nice Geneva Zurich Basel Ghent
Antwerp Bergen Malmo Turku Riga Tallinn Vilnius Krakow Boston Chicago Denver Dallas Austin Seattle Miami
Toronto Montreal Sydney Perth Brisbane Auckland Nairobi Lagos Accra Tunis Dakar Mumbai Chennai Seoul
Osaka Kyoto Hanoi Manila Jakarta Bogota Caracas Havana Leeds York Bristol Cardiff Glasgow Leipzig
Dresden Cologne Bonn Graz Linz Split Varna Izmir Haifa Doha Muscat Tampere Aarhus Odense Utrecht""".split()

ANIMALS = """fox bear rabbit owl mouse cat dog hedgehog squirrel duck frog turtle horse goat sheep pig
hen crow swan otter beaver badger deer wolf lion tiger elephant monkey penguin seal whale snail bee
ant donkey cow goose lamb pony hare mole parrot camel panda koala curlew""".split()

COLOURS = "red blue green yellow black white brown grey pink orange purple".split()
FRUIT = "apple pear plum cherry banana orange lemon peach grape melon mango fig".split()
VEGETABLES = "carrot potato onion tomato cabbage pea bean leek radish pumpkin".split()
TOOLS_HAND = "hammer saw screwdriver drill wrench chisel".split()
INSTRUMENTS = "piano guitar violin drum flute trumpet cello harp".split()
SPORTS = "football tennis swimming running cycling rowing skiing judo".split()
FURNITURE = "table chair bed sofa desk shelf lamp cupboard".split()
CLOTHES = "shirt coat hat sock shoe scarf glove dress".split()
BIRDS = "curlew owl crow swan duck goose robin sparrow gull".split()
TREES = "oak pine birch maple willow beech".split()
DRINKS = "water tea coffee milk juice cocoa".split()
SEASONS = "spring summer autumn winter".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
           "fifteen sixteen seventeen eighteen nineteen twenty").split()

CLASSES = {
    "colours": COLOURS, "fruits": FRUIT, "vegetables": VEGETABLES, "animals": ANIMALS,
    "tools": TOOLS_HAND, "musical instruments": INSTRUMENTS, "sports": SPORTS,
    "pieces of furniture": FURNITURE, "clothes": CLOTHES, "birds": BIRDS, "trees": TREES,
    "drinks": DRINKS, "seasons": SEASONS, "days of the week": DAYS, "months": MONTHS,
}


def name(r):
    return r.invented() if r.p(0.35) else r.open(NAMES)


def city(r):
    return r.invented() if r.p(0.35) else r.open(CITIES)
