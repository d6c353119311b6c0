// What the pictures of the page show: conversations that were had before, questions for Ember, and the states to picture.

/** The conversations in the list, the last one first; a person and a model speak by turns. */
export const conversations = [
  {
    title: "Read a large CSV file",
    turns: [
      "How do I add up a column of a huge CSV file in Python?",
      [
        "Read it **row by row**: `csv.DictReader` holds one row at a time, so the size of the file does not matter.",
        "```python\nimport csv\n\ndef total(path: str, column: str) -> float:\n    with open(path, newline=\"\") as file:\n        rows = csv.DictReader(file)\n        return sum(float(row[column]) for row in rows)\n\nprint(total(\"orders.csv\", \"amount\"))\n```",
        "Which way is best depends on what comes next:",
        "| Way | Memory | Good for |\n| --- | --- | --- |\n| `csv` | One row | Sums and filters |\n| `polars.scan_csv` | Some rows | Groups and joins |\n| SQLite | On disk | Many questions |",
      ].join("\n\n"),
    ],
  },
  { title: "Three days in Lisbon", turns: ["What should I see in Lisbon in three days?", "Walk **Alfama** on the first day."] },
  { title: "Names for a bakery", turns: ["Find names for a bakery by the sea.", "- Salt and Crumb\n- The Tide Oven\n- Harbour Loaf"] },
  { title: "Why bread rises", turns: ["Why does bread rise?", "Yeast eats sugar and gives off gas, which the dough holds."] },
];

/** What programs ask Ember: each a program, its session, and its questions. */
export const questions = [
  { by: "node", session: "greetings", texts: ["Hello!", "My name is Quillon.", "What is my name?"] },
  { by: "curl", session: "capitals", texts: ["What is the capital of France?", "What is the capital of Peru?"] },
  { by: "node", session: "sums", texts: ["What is 3 + 4?", "What is 5 + 2?"] },
];

/** What a person asks Ember in the page. */
export const chat = ["Hello! My name is Mira.", "What is the capital of Italy?", "What is my name?"];

const press = (name, role = "button") => (page) => page.getByRole(role, { name }).first().click();
const write = (label, words) => (page) => page.getByLabel(label).first().fill(words);

/** The pages, as docs/screenshots has them: a name, an address, and what is done there first. */
export const pages = [
  { name: "welcome", at: "welcome", act: [press("Continue")] },
  { name: "models", at: "models" },
  { name: "chat", at: "chat/written" },
  { name: "server", at: "server" },
  { name: "activity", at: "activity" },
  { name: "settings", at: "settings" },
];

/** What else they can look like, for whoever changes them. */
export const states = [
  { name: "welcome-first", at: "welcome" },
  { name: "welcome-last", at: "welcome", act: [press("Continue"), press("Continue")] },
  { name: "models-fit", at: "models", act: [press(/^Fits well/)] },
  { name: "models-menu", at: "models", act: [press("More for ember")] },
  { name: "models-settings", at: "models", act: [press("More for ember"), press("Settings…", "menuitem")] },
  { name: "models-none", at: "models", act: [write("Search models", "nothing like it")] },
  { name: "chat-new", at: "chat" },
  { name: "chat-own", at: "chat/own" },
  { name: "chat-settings", at: "chat/written", act: [press("System prompt and sampling")] },
  { name: "chat-search", at: "chat/written", act: [write("Search conversations", "sea")] },
  { name: "server-request", at: "server", act: [(page) => page.locator("summary, [aria-expanded]").last().click()] },
  { name: "server-log", at: "server", act: [(page) => page.getByRole("heading", { name: "Log" }).scrollIntoViewIfNeeded()] },
  { name: "activity-sessions", at: "activity", act: [(page) => page.getByRole("heading", { name: "Caches on disk" }).scrollIntoViewIfNeeded()] },
  { name: "settings-end", at: "settings", act: [(page) => page.getByText("Hugging Face mirror").first().scrollIntoViewIfNeeded()] },
  { name: "settings-network", at: "settings", act: [press("Other devices", "switch")] },
  { name: "signed-out", at: "models", signedOut: true },
];
