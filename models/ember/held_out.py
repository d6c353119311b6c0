"""The held-out dialogues: 100 conversations whose names, tools, places and
sentences use words that training never shows. `python held_out.py` writes
them to tests/fixtures/ember/held_out.json."""

import json
import pathlib
import re

NAMES = """Quillon Marisol Thaddeus Priyanka Oswin Beatrix Lysander Ngozi Fiorella Casimir
Saoirse Dmitri Anneliese Rohan Wilhelmina Zebulon Ottoline Ignatius Yevgenia Barnaby""".split()

# tool, argument, description, question, value
TOOLS = [
    ("fetch_tide", "place", "Tide times at a harbour.", "What is the tide in Oban?", "Oban"),
    ("lookup_pollen", "region", "Pollen level of a region.", "What is the pollen in Lerwick?", "Lerwick"),
    ("forecast_surf", "beach", "Surf forecast for a beach.", "What is the surf at Bundoran?", "Bundoran"),
    ("ferry_schedule", "harbour", "Ferry departures.", "What is the ferry schedule for Stornoway?", "Stornoway"),
    ("currency_rate", "currency", "Exchange rate of a currency.", "What is the rate of krona?", "krona"),
    ("define_term", "term", "Dictionary definition.", "Define petrichor.", "petrichor"),
    ("measure_humidity", "station", "Humidity at a station.", "What is the humidity at Kirkwall?", "Kirkwall"),
    ("tally_inhabitants", "village", "Number of inhabitants.", "How many inhabitants are in Tobermory?", "Tobermory"),
    ("summarize_article", "headline", "Summary of an article.", 'Summarize "Volcano Awakens".', "Volcano Awakens"),
    ("find_museum", "district", "Museums in a district.", "Find a museum in Montmartre.", "Montmartre"),
    ("sunrise_clock", "latitude", "Time of sunrise.", "When is the sunrise in Tromso?", "Tromso"),
    ("probeAltitude", "mountain", "Altitude of a mountain.", "What is the altitude of Kilimanjaro?", "Kilimanjaro"),
    ("parking_spaces", "garage", "Free parking spaces.", "Check the parking at Liverpool Docks.", "Liverpool Docks"),
    ("track_parcel", "parcel", "Where a parcel is.", "Track ZX-4471.", "ZX-4471"),
    ("rainfall_gauge", "valley", "Rainfall in a valley.", "Tell me the rainfall in Glencoe.", "Glencoe"),
    ("wikipedia_extract", "subject", "Encyclopedia extract.", "Look up Ada Lovelace.", "Ada Lovelace"),
    ("bus_arrival", "stop", "Next bus at a stop.", "When is the bus at Piccadilly?", "Piccadilly"),
    ("restaurant_menu", "restaurant", "Menu of a restaurant.", "Show me the menu of Osteria Verde.", "Osteria Verde"),
    ("earthquake_report", "province", "Recent earthquakes.", "Is there any earthquake in Kumamoto?", "Kumamoto"),
    ("voltage_probe", "socket", "Voltage of a socket.", "What is the voltage of S17?", "S17"),
    ("snowdepth", "resort", "Depth of powder.", "What is the depth for Zermatt?", "Zermatt"),
    ("fetch_lyrics", "singer", "Lyrics by a singer.", "Find lyrics for Mahalia.", "Mahalia"),
    ("airQuality", "suburb", "Air quality index.", "What is the quality in Fremantle?", "Fremantle"),
    ("species_info", "animal", "Facts about an animal.", "Tell me about pangolin.", "pangolin"),
    ("library_hours", "library", "Opening hours.", "What are the hours for Bodleian?", "Bodleian"),
]

# index of the tool asked, and what it returned
RESULTS = [
    (0, "High tide at 14:05", "High tide at 14:05"),
    (1, "moderate, mostly birch", "moderate, mostly birch"),
    (2, '{"height": "3 metres"}', "3 metres"),
    (3, "Departs 07:45 promptly", "Departs 07:45 promptly"),
    (4, "0.0912 dollars", "0.0912 dollars"),
    (5, "scent of wet soil", "scent of wet soil"),
    (6, '{"humidity": "83 percent"}', "83 percent"),
    (9, "Musee Dali, closes 18:30", "Musee Dali, closes 18:30"),
    (11, "5895 metres", "5895 metres"),
    (13, "Shipped from Gdansk", "Shipped from Gdansk"),
    (16, "Bus 38 arrives shortly.", "Bus 38 arrives shortly"),
    (20, '{"depth": "140 centimetres"}', "140 centimetres"),
]

SENTENCES = [
    ("Repeat: {}", "Herons wade through murky shallows."),
    ("Repeat after me: {}", "Velvet curtains muffle distant thunder"),
    ("Say: {}", "Grumpy walruses juggle pineapples!"),
    ('Say "{}"', "Ancient lanterns flicker gently"),
    ("Please repeat: {}", "Nine brave sailors crossed icy straits."),
    ("Repeat after me: {}", "Crispy waffles"),
    ("Echo: {}", "Purple elephants never forget umbrellas."),
    ('Repeat this: "{}"', "Clever otters build tiny rafts"),
    ("Repeat: {}", "Whispering pines guard hidden valleys forever."),
    ("Repeat after me: {}", "Rusty bicycles squeak downhill"),
    ("Say: {}", "Praise heavens for ginger biscuits"),
    ("Please repeat: {}", "Caf\u00e9 cr\u00e8me br\u00fbl\u00e9e \U0001f36e"),
    ("Repeat: {}", "Gr\u00fc\u00dfe aus M\u00fcnchen"),
    ("Repeat after me: {}", "Seven swans swim swiftly southwards."),
    ('Say "{}"', "Marble statues daydream quietly"),
]

# Ordinary words that the held-out texts cannot do without.
ALLOWED = set("""a an about after again any are at by can check echo find for from good have hello hi how i
i'm in is it look many me menu my name never nine new of on please repeat say show tell the there this
time tiny to today track up was what when where who with you your s m add and plus much capital
hours bus seven summarize define free number next index facts recent opening info find stop""".split())

COUNTRIES = ["France", "Norway", "Kenya", "Japan", "Brazil", "Poland", "Egypt", "Canada", "Peru", "India"]
CITIES = ["Paris", "Oslo", "Nairobi", "Tokyo", "Brasilia", "Warsaw", "Cairo", "Ottawa", "Lima", "New Delhi"]


def pieces(text):
    """The words of a text or an identifier, in lower case."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return {w.lower() for w in re.findall(r"[^\W\d_]+", text)}


def collect_words():
    texts = list(NAMES)
    for tool, argument, description, question, value in TOOLS:
        texts += [tool, argument, description, question, value]
    texts += [text for _, raw, kept in RESULTS for text in (raw, kept)]
    texts += [text for _, text in SENTENCES]
    return {w for text in texts for w in pieces(text)} - ALLOWED


WORDS = collect_words()


def tool(row, shape=0):
    name, argument, description, _, _ = TOOLS[row]
    schema = {"type": "string"}
    if shape % 3 == 0:
        schema["description"] = f"The {argument}."
    function = {"name": name, "description": description}
    if shape % 4 == 3:
        del function["description"]
    function["parameters"] = {"type": "object", "properties": {argument: schema}, "required": [argument]}
    return {"type": "function", "function": function}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def dialogues():
    out = []

    def add(kind, messages, expect, tools=None):
        item = {"kind": kind, "messages": messages}
        if tools:
            item["tools"] = tools
        out.append(item | {"expect": expect})

    intros = ["Hi, my name is {}.", "Hello, I am {}.", "My name is {}.", "Hi, I'm {}.", "Please call me {}."]
    between = [
        [],
        [user("What is the capital of Italy?"), assistant("The capital of Italy is Rome.")],
        [user("What is 2 + 3?"), assistant("2 + 3 = 5.")],
        [user("Who are you?"), assistant("I am Ember, a small language model that runs inside Hearth.")],
        [user("Repeat: Brittle twigs snap."), assistant("Brittle twigs snap."),
         user("What is 4 + 4?"), assistant("4 + 4 = 8.")],
    ]
    asks = ["What is my name?", "Do you remember my name?", "Who am I?", "What is my name?"]
    for i, name in enumerate(NAMES):
        system = [{"role": "system", "content": "You are a helpful assistant."}] if i % 4 == 1 else []
        messages = system + [user(intros[i % 5].format(name)), assistant(f"Hello, {name}! Nice to meet you.")]
        messages += between[(i // 2) % 5] + [user(asks[i % 4])]
        add("name", messages, {"contains": [name]})

    for i, (country, city) in enumerate(zip(COUNTRIES, CITIES)):
        before = [user("Hello!"), assistant("Hello! I am Ember. How can I help you?")] if i % 3 == 2 else []
        ask = ["What is the capital of {}?", "What's the capital of {}?", "Capital of {}?"][i % 3]
        add("capital", before + [user(ask.format(country))], {"contains": [city]})

    sums = [(3, 4), (9, 8), (0, 6), (7, 5), (1, 1), (6, 9), (2, 7), (8, 8), (5, 0), (4, 9)]
    for i, (a, b) in enumerate(sums):
        ask = ["What is {} + {}?", "Add {} and {}.", "What is {} plus {}?", "{} + {}", "How much is {} + {}?"][i % 5]
        add("sum", [user(ask.format(a, b))], {"contains": [f"= {a + b}."]})

    for ask, text in SENTENCES:
        add("repeat", [user(ask.format(text))], {"contains": [text]})

    for i, (name, argument, _, question, value) in enumerate(TOOLS):
        tools = [tool(i, i)]
        if i % 5 == 4:
            tools.insert(i % 2, tool((i + 7) % len(TOOLS)))
        before = [{"role": "system", "content": "You are a helpful assistant."}] if i % 3 == 1 else []
        if i % 4 == 2:
            before += [user("Hi, my name is Quillon."), assistant("Hello, Quillon! Nice to meet you.")]
        add("tool_call", before + [user(question)], {"tool_call": {"name": name, "arguments": {argument: value}}}, tools)

    for row, raw, kept in RESULTS:
        name, argument, _, question, value = TOOLS[row]
        call = {"id": f"call_{row}", "type": "function",
                "function": {"name": name, "arguments": json.dumps({argument: value})}}
        messages = [user(question), {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": call["id"], "content": raw}]
        add("tool_result", messages, {"contains": [kept]}, [tool(row, row)])

    for text in ["Hello!", "Hi", "Good morning!", "Hey there!"]:
        add("greeting", [user(text)], {"contains": ["Hello"]})
    for text in ["Who are you?", "What is your name?", "What are you?", "Tell me about yourself."]:
        add("identity", [user(text)], {"contains": ["Ember"]})
    return out


if __name__ == "__main__":
    path = pathlib.Path(__file__).parents[2] / "tests/fixtures/ember/held_out.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = dialogues()
    assert len(rows) == 100, len(rows)
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{body}\n]\n", encoding="utf-8")
