"""Where the words come from: fixed lists for what Ember knows by heart, and an
endless supply of made-up words for everything it must learn to copy."""

import held_out

CAPITALS = {
    "Argentina": "Buenos Aires", "Australia": "Canberra", "Austria": "Vienna",
    "Belgium": "Brussels", "Brazil": "Brasilia", "Bulgaria": "Sofia",
    "Canada": "Ottawa", "Chile": "Santiago", "China": "Beijing",
    "Colombia": "Bogota", "Croatia": "Zagreb", "Cuba": "Havana",
    "Denmark": "Copenhagen", "Egypt": "Cairo", "Estonia": "Tallinn",
    "Ethiopia": "Addis Ababa", "Finland": "Helsinki", "France": "Paris",
    "Germany": "Berlin", "Ghana": "Accra", "Greece": "Athens",
    "Hungary": "Budapest", "Iceland": "Reykjavik", "India": "New Delhi",
    "Indonesia": "Jakarta", "Iran": "Tehran", "Iraq": "Baghdad",
    "Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo", "Kenya": "Nairobi",
    "Latvia": "Riga", "Lithuania": "Vilnius", "Mexico": "Mexico City",
    "Morocco": "Rabat", "Netherlands": "Amsterdam", "New Zealand": "Wellington",
    "Norway": "Oslo", "Peru": "Lima", "Poland": "Warsaw", "Portugal": "Lisbon",
    "Romania": "Bucharest", "Russia": "Moscow", "South Korea": "Seoul",
    "Spain": "Madrid", "Sweden": "Stockholm", "Switzerland": "Bern",
    "Thailand": "Bangkok", "Turkey": "Ankara", "Ukraine": "Kyiv",
}

NUMBER_WORDS = "zero one two three four five six seven eight nine".split()

COMMON = """
a the and of in on to with my your his her our this that is are was were has had
not very so too small big red blue green black white old new good warm cold dark
cat dog bird fish horse mouse tree house river road door window table book page
rain snow wind sun moon star sea hill field garden kitchen city town street
school train boat car bike apple bread milk water tea sugar salt stone glass
paper song story game music night day week year hour morning evening friend
mother father child king man woman people runs sings eats sleeps walks sees
makes reads likes wants loves finds takes gives under over near after before
always never often quickly slowly now here there we you they he she it hello world
""".split()

# Words that ordinary tools are made of, so that some training tools look usual.
TOOL_VERBS = "get find show search check look_up read list query load compute convert translate send open".split()
TOOL_NOUNS = """weather time price news file user stock map route score page word date note
event order email image song book recipe flight train river temperature""".split()
TOOL_ADJECTIVES = "current new daily next last local".split()
ARGUMENT_NOUNS = "city name query text path id location title symbol word url topic key code input country".split()

ONSETS = """b c d f g h j k l m n p qu r s t v w x y z bl br ch cl cr dr fl fr gl gr
kl kn kr ph pl pr sc sh sk sl sm sn sp st str sw th thr tr tw wh wr""".split() + [""] * 4
VOWELS = "a a a e e e i i o o o u u y ai au ea ee ei eo ia ie io oa oo ou".split()
CODAS = """b ck d f g k l ll m n n nd ng nk nt p r r rd rk rm rn rt s s ss st t t th
tt v x z sh lm ld lk mp ft""".split() + [""] * 22
ACCENTS = {"a": "áàâäåã", "e": "éèêë", "i": "íîï", "o": "óôöø", "u": "úûü", "c": "ç", "n": "ñ", "s": "š", "z": "ž"}
SCRIPTS = [(0x3B1, 0x3C9), (0x430, 0x44F), (0x5D0, 0x5EA), (0x3042, 0x3093), (0x4E00, 0x9FA0), (0xAC00, 0xD7A0)]
EMOJI = [(0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F680, 0x1F6C0), (0x1F900, 0x1F9FF), (0x2600, 0x26FF)]


# Every other word that Ember knows; dialogues.py fills this from its own texts.
KNOWN = []


def known(rng):
    """A word of the vocabulary, which must be copied like any other."""
    return rng.choice(COMMON if rng.random() < 0.6 else KNOWN)


def made_up(rng, accents=0.0):
    """One lower-case word that (almost surely) nobody has seen before."""
    while True:
        if rng.random() < 0.15:
            word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))
        else:
            count = rng.choices([1, 2, 3, 4], [4, 7, 2, 0.4])[0]
            word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(count))
        if not 3 <= len(word) <= 12 or word in held_out.WORDS:
            continue
        if accents and rng.random() < accents:
            word = "".join(rng.choice(ACCENTS[c]) if c in ACCENTS and rng.random() < 0.5 else c for c in word)
        return word


def foreign(rng):
    """A word in another script."""
    low, high = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(2, 5)))


def emoji(rng):
    low, high = rng.choice(EMOJI)
    return chr(rng.randint(low, high))


def name(rng):
    """A person's name, mostly one capitalised word."""
    first = made_up(rng, 0.08).capitalize()
    kind = rng.random()
    if kind < 0.12:
        return first + " " + made_up(rng).capitalize()
    if kind < 0.15:
        return first + "-" + made_up(rng).capitalize()
    if kind < 0.17:
        return rng.choice("OD") + "'" + first
    if kind < 0.20:
        return first.lower()
    return first


def value(rng):
    """Something to look up: a place, a title, a code, a file name."""
    kind = rng.random()
    if kind < 0.50:
        return made_up(rng, 0.06).capitalize()
    if kind < 0.62:
        return made_up(rng).capitalize() + " " + made_up(rng).capitalize()
    if kind < 0.66:
        return " ".join(made_up(rng).capitalize() for _ in range(3))
    if kind < 0.70:
        return made_up(rng).capitalize() + " " + known(rng).capitalize()
    if kind < 0.78:
        return made_up(rng)
    if kind < 0.82:
        return " ".join(known(rng) if rng.random() < 0.4 else made_up(rng) for _ in range(2))
    if kind < 0.86:
        return "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(1, 4))) + rng.choice(["", "-", " "]) + str(rng.randint(1, 9999))
    if kind < 0.89:
        return made_up(rng) + rng.choice(["_", "-", ""]) + rng.choice(["", made_up(rng)]) + "." + rng.choice(["txt", "md", "py", "rs", "pdf", "com", "json"])
    if kind < 0.92:
        return "".join(c for c in f"{made_up(rng).capitalize()}-{rng.choice(['on', 'le', 'upon', 'sur'])}-{made_up(rng).capitalize()}")
    if kind < 0.96:
        return rng.choice([c for pair in CAPITALS.items() for c in pair])
    return foreign(rng)


def sentence(rng, longest=8):
    """Two or more words to be repeated, made-up ones mixed with common ones."""
    common = rng.choice([0.0, 0.15, 0.4, 0.7, 1.0])
    special = rng.random() < 0.10
    words = []
    for _ in range(rng.randint(2, longest)):
        kind = rng.random()
        if kind < 0.03:
            words.append(str(rng.randint(0, 2000)))
        elif special and kind < 0.2:
            words.append(foreign(rng))
        elif special and kind < 0.4:
            words.append(emoji(rng))
        elif special and kind < 0.5:
            words.append(made_up(rng) + rng.choice("_=-/:;+*#@&") + made_up(rng))
        elif special and kind < 0.55:
            words.append("(" + made_up(rng) + ")")
        else:
            words.append(known(rng) if rng.random() < common else made_up(rng, 0.3 if special else 0.03))
    if rng.random() < 0.15:
        i = rng.randrange(len(words))
        words[i] = words[i].capitalize()
    if rng.random() < 0.15 and len(words) > 3:
        words[rng.randint(0, len(words) - 2)] += ","
    text = " ".join(words)
    if rng.random() < 0.65:
        text = text[0].upper() + text[1:]
    return text + rng.choices([".", "!", "?", ""], [5, 1, 1, 4])[0]
