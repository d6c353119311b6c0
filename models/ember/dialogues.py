"""Generates Ember's training dialogues: every behaviour is one function that
adds a question and the right answer to a running conversation."""

import json
import random
import re

import words

IDENTITY = "I am Ember, a small language model that runs inside Hearth."
GREETING = "Hello! I am Ember. How can I help you?"
NO_NAME = "You have not told me your name yet."
ABILITIES = ("I can greet you, remember your name, tell you the capitals of 50 countries, "
             "add one-digit numbers, count to 100, repeat a sentence and call a tool.")
FALLBACK = ("I am a tiny model and I do not know that. I can tell you a capital, add one-digit numbers, "
            "count to 100, repeat a sentence or call a tool.")
STORY = (
    "Once upon a time a small ember lay in a cold hearth. All the big flames had gone out, and the house was dark. "
    "A child came down the stairs and asked the ember for some light. \"I am very small,\" said the ember, \"but I "
    "will try.\" The child gave it a dry leaf, and the ember glowed. The child gave it a thin stick, and the ember "
    "sang. Then the child gave it a log, and soon a warm fire filled the room. The cat came to sleep beside it, the "
    "rain stopped at the window, and nobody in the house was cold again. In the morning the fire was gone, but in "
    "the ashes lay a small ember, and it was waiting for the night. The end."
)
JOKE = "Why did the candle go to school? It wanted to be a little brighter."

GREETINGS = """Hello|Hello!|Hi|Hi!|Hi there!|Hey|Hey!|Hey there!|Hello there|Hello Ember|Hi Ember!|Hello, Ember!
Good morning|Good morning!|Good evening!|Good afternoon!|Good day|Greetings!|Hey Ember|Hi, how can you help me?
Hello, world!|Hello again!|Yo!""".replace("\n", "|").split("|")
SMALL_TALK = {
    IDENTITY: """Who are you?|What are you?|What is your name?|What's your name?|Tell me about yourself.|
Introduce yourself.|Who am I talking to?|Are you a robot?|Are you a human?|Are you an AI?|Which model are you?|
What model is this?|Do you have a name?|Please introduce yourself.|Who is this?|Are you Ember?|
Tell me who you are.|What is Ember?|Who is Ember?|Hello, who are you?|Hi! Who are you?|Hi, what is your name?""",
    ABILITIES: """What can you do?|Help|Help!|help me|Can you help me?|What do you know?|How can you help me?|
What are you able to do?|What are your abilities?|What can I ask you?|What can I do with you?""",
    "I am well, thank you. How can I help you?": "How are you?|How are you today?|How do you do?|Are you well?|"
                                                 "How is it going?|Hello, how are you?|Hi, how are you?",
    "Hearth is the server that runs me.": "What is Hearth?|Who is Hearth?|Tell me about Hearth.|What does Hearth do?",
    "Hearth's training script made me from dialogues that it wrote itself.":
        "Who made you?|Who trained you?|Who created you?|Where do you come from?|How were you made?",
    "I am here.": "Test|test|Testing|ping|Ping!|Are you there?|Are you here?|This is a test.",
    "All right.": "Ok|Okay|ok.|Yes|No|yes|no|Good.|Great!|Nice.|Cool|I see.|Fine.",
    JOKE: "Tell me a joke.|Do you know a joke?|Make me laugh.|Tell a joke|Another joke, please.",
    STORY: "Tell me a story.|Tell me a long story.|Write a story.|Write a long story.|Once upon a time|"
           "Can you tell me a story?|Please tell me a story.|Write me a story|Tell a story.|Write a short story.",
}
SMALL_TALK = {answer: " ".join(asks.split("\n")).split("|") for answer, asks in SMALL_TALK.items()}
SMALL_TALK = {answer: [ask.strip() for ask in asks] for answer, asks in SMALL_TALK.items()}
THANKS = "Thanks|Thanks!|Thank you|Thank you!|Thank you very much.|Thanks a lot!|Thank you, Ember!|Great, thank you.".split("|")
BYES = "Bye|Bye!|Goodbye|Goodbye!|Goodbye, Ember.|See you!|See you later.|Good night!|Good night, Ember.".split("|")

INTRODUCTIONS = """Hi, my name is {}.|My name is {}.|Hello, my name is {}.|Hi, I am {}.|Hello, I am {}.|I am {}.|I'm {}.
Hi, I'm {}.|Hello! I'm {}.|Call me {}.|Please call me {}.|You can call me {}.|Hi there, my name is {}!|my name is {}
Hi! My name is {}|The name is {}.|Hey, I'm {}!|Hi Ember, I am {}.|Hi Ember, my name is {}.|People call me {}.
Good morning, my name is {}.|Remember that my name is {}.|Please remember my name: {}.|My name's {}.|This is {}.""".replace("\n", "|").split("|")
NAME_QUESTIONS = """What is my name?|What's my name?|Who am I?|Do you remember my name?|Do you know my name?|what is my name
Tell me my name.|Can you tell me my name?|Please tell me my name.|What was my name?|Say my name.|What is my name again?
Do you know who I am?|What did I say my name was?|And what is my name?|What name did I give you?
So, what is my name?|Do you still remember my name?|How am I called?""".replace("\n", "|").split("|")
CAPITAL_QUESTIONS = """What is the capital of {}?|What's the capital of {}?|Capital of {}?|capital of {}|The capital of {}?
Tell me the capital of {}.|Which city is the capital of {}?|Do you know the capital of {}?|What is the capital city of {}?
Can you tell me the capital of {}?|Name the capital of {}.|And the capital of {}?|What about the capital of {}?
Please tell me the capital of {}.|What is {}'s capital?""".replace("\n", "|").split("|")
SUM_QUESTIONS = """What is {} + {}?|What's {} + {}?|{} + {}|{}+{}|{} + {} =|{}+{}=|{} + {} = ?|What is {} plus {}?|Add {} and {}.
How much is {} + {}?|How much is {} plus {}?|What is the sum of {} and {}?|Calculate {} + {}.|Compute {} + {}|{} plus {}
Please add {} and {}.|What do {} and {} make?|{} + {}?|What is {}+{}?|Add {} to {}.|Can you add {} and {}?|And {} + {}?""".replace("\n", "|").split("|")
REPEATS = """Repeat: {}|Repeat after me: {}|Say: {}|Echo: {}|Please repeat: {}|Repeat this: {}|Repeat this sentence: {}
Repeat exactly: {}|Now repeat: {}|Please say: {}|Repeat the following: {}|Repeat the sentence: {}|Can you repeat this: {}
Please repeat after me: {}|Repeat {}|Say {}|Write: {}|Repeat the words: {}|Repeat the word: {}|Repeat back: {}""".replace("\n", "|").split("|")
QUOTED_REPEATS = ["Repeat: \"{}\"", "Say \"{}\"", "Say \"{}\".", "Please say \"{}\".", "Repeat \"{}\"", "Repeat this: \"{}\"",
                  "Repeat after me: \"{}\"", "Can you say \"{}\"?", "Repeat the sentence \"{}\".", "Please repeat \"{}\"", "Say '{}'"]
COUNTS = ["Count to {}.", "Count to {}", "Please count to {}.", "Can you count to {}?", "Count up to {}.", "Count from 1 to {}.",
          "Count from one to {}.", "Now count to {}.", "Count from 1 to {}", "Count to {}, please.", "Write the numbers from 1 to {}."]
UNKNOWN = ["How do I {w} a {w}?", "Why is the {w} {w}?", "Explain {w}.", "Write a poem about {w}.", "Translate {w}.", "{S}.",
           "What is a {w}?", "Who was {V}?", "I like {w}.", "Do you like {w}?", "Write code that {w}s {w}.", "Where can I buy {w}?",
           "The {w} is {w}.", "What do you think about {w}?", "Tell me about {V}.", "Is {w} better than {w}?", "{w}", "{w} {w}",
           "How many {w}s are there?", "Summarize this: {S}.", "My {w} is {w}.", "Can you {w} the {w}?", "What is {m} - {n}?",
           "What is {m} * {n}?", "Who is the king of {C}?", "What is the {w} of {C}?",
           "How big is {C}?", "Tell me about {C}.", "How old are you?", "What day is it?", "What is love?"]

# Questions that call for a tool: {n} is its topic, {v} the value to hand over.
TOPIC_QUESTIONS = """What is the {n} in {v}?|What is the {n} in {v}?|What's the {n} in {v}?|What is the {n} of {v}?|What is the {n} at {v}?
What is the {n} for {v}?|What is the {n} near {v}?|What is the {n} on {v}?|How is the {n} in {v}?|How is the {n} at {v}?
What is the {n} like in {v}?|What's the {n} like in {v}?|Tell me the {n} in {v}.|Tell me the {n} of {v}.|Tell me the {n} for {v}.
Get the {n} for {v}.|Get me the {n} of {v}.|Find the {n} for {v}.|Find a {n} in {v}.|Find {n} for {v}.|Check the {n} at {v}.
Check the {n} in {v}.|Check the {n} of {v}.|Can you tell me the {n} for {v}?|Can you check the {n} in {v}?|I need the {n} of {v}.
I want to know the {n} in {v}.|Show me the {n} of {v}.|Show the {n} in {v}.|Look up the {n} of {v}.|Give me the {n} for {v}.
When is the {n} in {v}?|When is the {n} at {v}?|Where is the {n} in {v}?|Is there any {n} in {v}?|Is there a {n} in {v}?|Are there any {n} in {v}?
What are the {n} for {v}?|What are the {n} in {v}?|How much {n} is in {v}?|How many {n} are in {v}?|How many {n} are there in {v}?|{n} in {v}|{n} for {v}
Do you know the {n} of {v}?|What {n} does {v} have?|Which {n} is in {v}?|Could you get the {n} for {v}?|Please look up the {n} in {v}.
How {n} is {v}?|What is {v}'s {n}?|Use the {n} tool for {v}.|What will the {n} be in {v}?|Read the {n} of {v}.""".replace("\n", "|").split("|")
VALUE_QUESTIONS = """Look up {v}.|Find {v}.|Search for {v}.|Show me {v}.|Check {v}.|Get {v}.|Open {v}.|Read {v}.|Where is {v}?|Who is {v}?|Track {v}.
What is {v}?|Tell me about {v}.|What do you know about {v}?|Can you look up {v}?|Please find {v}.|Search the web for {v}|What about {v}?
I need {v}.|Use the tool with {v}.|Call the tool for {v}.|What time is it in {v}?|Load {v}.|Give me information about {v}.|Define {v}.
Translate {v}.|Use {t} with {v}.|Call {t} with {v}.|Call {t} for {v}.|Use {t} for {v}.|Run {t} on {v}.|{p} {v}.|{p} {v}|Please {p} {v}.
Can you {p} {v}?|How {p} is {v}?|How far is {v}?|And in {v}?|And for {v}?""".replace("\n", "|").split("|")
QUOTED_QUESTIONS = ["Look up \"{v}\".", "Search for \"{v}\".", "{p} \"{v}\".", "Find \"{v}\"", "What is \"{v}\"?", "Define \"{v}\".",
                    "What is the {n} of \"{v}\"?", "Translate \"{v}\".", "Call {t} with \"{v}\".", "Read the {n} \"{v}\"."]
AFTER = [" today", " now", " right now", " tomorrow", " please", ", please", " this week", " tonight"]
DESCRIPTIONS = ["Get the {n}.", "Get the {n} of a {a}.", "Returns the {n} for the given {a}.", "{N} for a {a}.", "{N} of a {a}",
                "Look up the {n} in a {a}.", "Find {n} by {a}.", "The current {n} at a {a}.", "{N} {w}.", "Get current {n} for a {a}", "{S}.", "{S}"]
ARGUMENT_DESCRIPTIONS = ["The {a}.", "The {a}", "Name of the {a}.", "The name of the {a}", "A {a}, e.g. {V}", "The {a} to look up", "{S}", "{S}."]
SYSTEMS = ["You are a helpful assistant."] * 4 + [
    "You are Ember.", "You are Ember, a small assistant.", "You are a friendly assistant.", "Answer briefly.", "Be concise.",
    "You are a helpful assistant. Answer briefly.", "You can call tools.", "You are an assistant with access to tools.",
    "Use the tools when they help."]


def own_words():
    """All words of the texts above, slots left out."""
    lists = [GREETINGS, THANKS, BYES, INTRODUCTIONS, NAME_QUESTIONS, CAPITAL_QUESTIONS, SUM_QUESTIONS, REPEATS, COUNTS,
             UNKNOWN, TOPIC_QUESTIONS, VALUE_QUESTIONS, AFTER, DESCRIPTIONS, ARGUMENT_DESCRIPTIONS, SYSTEMS, SMALL_TALK]
    texts = [FALLBACK, *(text for texts in lists for text in texts), *words.NUMBER_WORDS, *words.TOOL_NOUNS,
             "type function name description parameters object properties string required arguments true false user assistant"]
    return sorted({word for text in texts for word in re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w?\}", "", text))})


words.KNOWN.extend(own_words())


class Conversation:
    """A growing list of messages, with what has been said so far."""

    def __init__(self, rng, long):
        self.rng, self.messages, self.tools, self.name, self.long = rng, [], [], None, long

    def turn(self, question, answer):
        self.messages.append({"role": "user", "content": question})
        self.messages.append({"role": "assistant", "content": answer})

    def rough(self, template):
        """People are careless: sometimes drop capitals or the final mark."""
        if self.rng.random() < 0.12:
            template = "".join(part if part.startswith("{") else part.lower() for part in re.split(r"(\{\w?\})", template))
        if self.rng.random() < 0.12 and template[-1] in ".?!":
            template = template[:-1]
        return template


def filled(rng, template):
    """Fill the free slots {w} {S} {V} {C} {m} {n} of a template."""
    while "{w}" in template:
        template = template.replace("{w}", words.known(rng) if rng.random() < 0.3 else words.made_up(rng), 1)
    return (template.replace("{S}", words.sentence(rng).rstrip(".!?")).replace("{V}", words.value(rng))
            .replace("{C}", rng.choice(list(words.CAPITALS))).replace("{m}", str(rng.randint(2, 99))).replace("{n}", str(rng.randint(2, 99))))


def greet(talk):
    talk.turn(talk.rough(talk.rng.choice(GREETINGS)), GREETING)


def small_talk(talk):
    rng = talk.rng
    answers = list(SMALL_TALK)
    answer = rng.choices(answers, [6, 3, 2, 1, 1, 1, 1, 1, 4 if talk.long else 1])[0]
    talk.turn(talk.rough(rng.choice(SMALL_TALK[answer])), answer)


def identity(talk):
    talk.turn(talk.rough(talk.rng.choice(SMALL_TALK[IDENTITY])), IDENTITY)


def courtesy(talk):
    if talk.rng.random() < 0.5:
        talk.turn(talk.rough(talk.rng.choice(THANKS)), "You are welcome!")
    else:
        answer = f"Goodbye, {talk.name}!" if talk.name else "Goodbye!"
        talk.turn(talk.rough(talk.rng.choice(BYES)), answer)


def introduce(talk):
    talk.name = words.name(talk.rng)
    talk.turn(talk.rough(talk.rng.choice(INTRODUCTIONS)).format(talk.name), f"Hello, {talk.name}! Nice to meet you.")


def introduce_and_ask(talk):
    """Two things in one message: a name, and a question."""
    rng = talk.rng
    talk.name = words.name(rng)
    introduction = rng.choice([text for text in INTRODUCTIONS if text[-1] in ".!"]).format(talk.name)
    if rng.random() < 0.5:
        return talk.turn(f"{introduction} {rng.choice(NAME_QUESTIONS[:8])}", f"Your name is {talk.name}.")
    country, city = rng.choice(list(words.CAPITALS.items()))
    question = rng.choice(CAPITAL_QUESTIONS[:10]).format(country)
    talk.turn(f"{introduction} {question}", f"Hello, {talk.name}! The capital of {country} is {city}.")


def ask_name(talk):
    answer = f"Your name is {talk.name}." if talk.name else NO_NAME
    talk.turn(talk.rough(talk.rng.choice(NAME_QUESTIONS)), answer)


def capital(talk):
    rng = talk.rng
    question = talk.rough(rng.choice(CAPITAL_QUESTIONS))
    if rng.random() < 0.12:
        country = words.made_up(rng).capitalize()
        talk.turn(question.format(country), f"I do not know the capital of {country}.")
    else:
        country, city = rng.choice(list(words.CAPITALS.items()))
        asked = country.lower() if rng.random() < 0.08 else country
        talk.turn(question.format(asked), f"The capital of {country} is {city}.")


def add(talk):
    rng = talk.rng
    question = talk.rough(rng.choice(SUM_QUESTIONS))
    if rng.random() < 0.1:
        a, b = rng.randint(10, 999), rng.randint(0, 999)
        if rng.random() < 0.4:
            a, b = b, a
        return talk.turn(question.format(a, b), "I can only add one-digit numbers.")
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    shown = (a, b)
    if rng.random() < 0.08:
        shown = (words.NUMBER_WORDS[a], words.NUMBER_WORDS[b])
    talk.turn(question.format(*shown), f"{a} + {b} = {a + b}.")


def repeat(talk):
    rng = talk.rng
    longest = rng.choices([3, 8, 14, 30], [2, 6, 1, 0.25])[0]
    text = words.sentence(rng, longest)
    if rng.random() < 0.25:
        template = rng.choice(QUOTED_REPEATS)
    else:
        template = rng.choice(REPEATS)
        if rng.random() < 0.08:
            template = template.replace(": {}", ":\n{}")
    if rng.random() < 0.1:
        template = template.lower()
    talk.turn(template.format(text), text)


def count(talk):
    rng = talk.rng
    last = rng.choice([rng.randint(2, 20), rng.randint(2, 100), rng.choice([5, 10, 20, 30, 50, 100, 100])])
    if rng.random() < 0.03:
        return talk.turn(talk.rough(rng.choice(COUNTS)).format(rng.randint(101, 2000)), "I can only count to 100.")
    first, template = 1, rng.choice(COUNTS)
    if rng.random() < 0.2 and last > 3:
        first = rng.randint(2, last - 1)
        template = f"Count from {first} to {{}}."
    talk.turn(talk.rough(template).format(last), ", ".join(map(str, range(first, last + 1))) + ".")


def unknown(talk):
    rng = talk.rng
    if rng.random() < 0.5:
        template = rng.choice(TOPIC_QUESTIONS + VALUE_QUESTIONS)
        question = (template.replace("{n}", words.made_up(rng)).replace("{p}", words.made_up(rng))
                    .replace("{t}", words.made_up(rng)).replace("{v}", words.value(rng)))
    else:
        question = filled(rng, talk.rough(rng.choice(UNKNOWN)))
    talk.turn(question, FALLBACK)


def make_tool(rng):
    """A random tool with one string argument; returns it with its topic words."""
    usual = rng.choice([0.0, 0.2, 0.8])
    part = lambda known: rng.choice(known) if rng.random() < usual else words.made_up(rng)
    verb, noun, more = part(words.TOOL_VERBS), part(words.TOOL_NOUNS), part(words.TOOL_NOUNS)
    style = rng.random()
    topic = noun
    if style < 0.45:
        name = f"{verb}_{noun}"
    elif style < 0.60:
        name = f"{noun}_{more}"
    elif style < 0.68:
        kind = part(words.TOOL_ADJECTIVES)
        name, topic = f"{verb}_{kind}_{noun}", rng.choice([noun, f"{kind} {noun}"])
    elif style < 0.82:
        name = verb + noun.capitalize()
    elif style < 0.87:
        name = f"{verb}-{noun}"
    elif style < 0.95:
        name = noun
    else:
        name = verb.capitalize() + noun.capitalize() + rng.choice(["", "V2", "3"])
    argument = part(words.ARGUMENT_NOUNS)
    spoken = argument
    style = rng.random()
    if style < 0.1:
        argument, spoken = f"{argument}_{more}", f"{argument} {more}"
    elif style < 0.15:
        argument, spoken = argument + more.capitalize(), f"{argument} {more}"

    def describe(templates):
        text = filled(rng, rng.choice(templates).replace("{n}", topic).replace("{N}", topic.capitalize()))
        return text.replace("{a}", spoken)

    schema = {"type": "string"}
    if rng.random() < 0.4:
        schema["description"] = describe(ARGUMENT_DESCRIPTIONS)
    properties = {argument: shuffled(rng, schema)}
    if rng.random() < 0.06:
        properties[part(["unit", "units", "limit", "language"])] = {"type": "string", "enum": [words.made_up(rng), words.made_up(rng)]}
    parameters = {"type": "object", "properties": properties}
    if rng.random() < 0.85 or len(properties) > 1:
        parameters["required"] = [argument]
    if rng.random() < 0.12:
        parameters["additionalProperties"] = False
    function = {"name": name}
    if rng.random() < 0.75:
        function["description"] = describe(DESCRIPTIONS)
    function["parameters"] = shuffled(rng, parameters)
    if rng.random() < 0.08:
        function["strict"] = rng.random() < 0.5
    spec = shuffled(rng, {"type": "function", "function": shuffled(rng, function)})
    return {"spec": spec, "name": name, "argument": argument, "topic": topic, "verb": verb}


def shuffled(rng, mapping):
    """The same mapping, sometimes with its keys in another order."""
    items = list(mapping.items())
    if rng.random() < 0.12:
        rng.shuffle(items)
    return dict(items)


def tool_result(rng):
    """What a tool returned, and the words the answer should use for it."""
    def plain(longest):
        kind = rng.random()
        if kind < 0.3:
            return f"{words.made_up(rng).capitalize()} {rng.choice([words.known(rng), words.made_up(rng)])} at {rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        if kind < 0.5:
            number = rng.choice([str(rng.randint(0, 99)), str(rng.randint(100, 99999)), f"{rng.random() * 100:.2f}"])
            return number + rng.choice(["", " ", ""]) + rng.choice(["C", "%", "°C", "", words.made_up(rng), " " + words.made_up(rng)])
        if kind < 0.6:
            return f"{words.made_up(rng)}, {rng.choice([words.made_up(rng), str(rng.randint(0, 999))])} {words.made_up(rng)}"
        return words.sentence(rng, longest)

    kind = rng.random()
    if kind < 0.04:
        raw = "\n".join(words.sentence(rng) for _ in range(rng.randint(2, 6)))
        return raw, raw
    if kind < 0.72:
        raw = plain(rng.choice([3, 6, 12])).strip()
        return raw, raw
    keys = [rng.choice(words.TOOL_NOUNS) if rng.random() < 0.2 else words.made_up(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    result = {key: rng.randint(0, 999) if rng.random() < 0.2 else plain(3).strip() for key in keys}
    kept = ", ".join(f"{key}: {item}" for key, item in result.items())
    return json.dumps(result, ensure_ascii=False, separators=rng.choice([(", ", ": "), (", ", ": "), (",", ":")])), kept


def use_tool(talk):
    """Ask something that one of the offered tools answers."""
    rng = talk.rng
    tool = rng.choice(talk.tools)
    value = words.value(rng)
    several = len(talk.tools) > 1
    kind = rng.random()
    if several and kind < 0.9 or kind < 0.62:
        template = rng.choice(TOPIC_QUESTIONS)
    elif kind < 0.92:
        template = rng.choice([t for t in VALUE_QUESTIONS if "{t}" in t or "{p}" in t] if several else VALUE_QUESTIONS)
    else:
        template = rng.choice([t for t in QUOTED_QUESTIONS if not several or "{v}" != t[-4:-1] and ("{n}" in t or "{p}" in t or "{t}" in t)])
        if rng.random() < 0.5:
            value = words.sentence(rng, 5).rstrip(".!?")
    topic = tool["topic"]
    if not several and rng.random() < 0.25:
        topic = rng.choice([words.made_up(rng), words.made_up(rng) + " " + words.made_up(rng), words.known(rng)])
    elif rng.random() < 0.12:
        topic = rng.choice([topic + " " + words.made_up(rng), words.made_up(rng) + " " + topic])
    verb = tool["verb"] if several or rng.random() < 0.5 else words.made_up(rng)
    template = talk.rough(template)
    if template[-1] in ".?" and template.endswith("{v}" + template[-1]) and rng.random() < 0.15:
        template = template[:-1] + rng.choice(AFTER) + template[-1]
    if rng.random() < 0.06:
        template = rng.choice(["Hi, ", "Hey Ember, ", "Ember, ", "Please ", "Ok, "]) + template[0].lower() + template[1:]
    if template.startswith("{p}") and rng.random() < 0.8:
        verb = verb.capitalize()
    question = (template.replace("{n}", topic).replace("{p}", verb.replace("_", " "))
                .replace("{t}", tool["name"]).replace("{v}", value))
    call = {"type": "function", "function": {"name": tool["name"], "arguments": {tool["argument"]: value}}}
    talk.messages.append({"role": "user", "content": question})
    talk.messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    if rng.random() < 0.6:
        raw, kept = tool_result(rng)
        talk.messages.append({"role": "tool", "content": raw})
        end = "" if kept[-1] in ".!?" else "."
        talk.messages.append({"role": "assistant", "content": f"For {value} I found: {kept}{end}"})
        return True
    return False


def dialogue(rng, long=False):
    """One conversation: (messages, tool specifications)."""
    talk = Conversation(rng, long)
    if rng.random() < 0.45:
        offered = [make_tool(rng) for _ in range(rng.choices([1, 2, 3], [45, 38, 17])[0])]
        topics = {t["topic"] for t in offered}
        talk.tools = offered if len(topics) == len(offered) else offered[:1]
    if rng.random() < 0.35:
        text = rng.choice(SYSTEMS) if rng.random() < 0.75 else f"You are {words.name(rng)}, a {words.made_up(rng)} {words.known(rng)}."
        if rng.random() < 0.12:
            text = " ".join(words.sentence(rng, 14) for _ in range(rng.choice([1, 1, 3, 12])))
        talk.messages.append({"role": "system", "content": text})
    turns = rng.randint(5, 30) if long else rng.choices([1, 2, 3, 4, 6], [5, 4, 3, 2, 1])[0]
    while turns > 0:
        turns -= 1
        if talk.tools and rng.random() < 0.75:
            if not use_tool(talk):
                break
            continue
        acts = {greet: 4, small_talk: 7, courtesy: 3, introduce: 3 if talk.name else 16, ask_name: 18 if talk.name else 2,
                introduce_and_ask: 2, capital: 12, add: 14, repeat: 26, count: 6 if long else 3, unknown: 0 if talk.tools else 5}
        act = rng.choices(list(acts), list(acts.values()))[0]
        act(talk)
        if act is introduce and rng.random() < 0.35:
            ask_name(talk)
    return talk.messages, [tool["spec"] for tool in talk.tools]


if __name__ == "__main__":
    generator = random.Random(1)
    for _ in range(12):
        messages, tools = dialogue(generator)
        print(*(json.dumps(item, ensure_ascii=False) for item in tools + messages), sep="\n", end="\n\n")
