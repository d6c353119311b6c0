// Chats with Ember: a streamed answer, all that can be done with it, and what becomes of a conversation.
import assert from "node:assert/strict";
import { becomes, choose, copied, gone, setUp, visit } from "./browser.mjs";
import { answer, answers, ask, begin, message, questions } from "./chats.mjs";

const stage = setUp();

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const list = (page) => page.getByRole("complementary", { name: "Conversations" });

stage.test("a question is answered, word by word", {}, async (page) => {
  await visit(page, "Chat");
  await page.evaluate(() => {
    globalThis.seen = new Set();
    const look = () => globalThis.seen.add(document.querySelector("article[aria-label=Answer]")?.innerText.length);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await ask(page, "What is the capital of France?");
  assert.match(await answer(page), /Paris/);
  const steps = await page.evaluate(() => globalThis.seen.size);
  assert.ok(steps > 4, `it came in ${steps} steps`);
  await answers(page).getByText(/tokens\/s · first after/).waitFor();
  await page.getByRole("meter", { name: "Context used" }).waitFor();
  await becomes(() => page.getByRole("heading", { level: 1 }).textContent(), "What is the capital of France?", "the title");
  await answers(page).getByRole("button", { name: "Copy" }).click();
  assert.match(await copied(page), /^The capital of France is Paris\.$/);
});

stage.test("a question need not wait until the models are known", {}, async (page) => {
  await visit(page, "Chat");
  let known;
  const asked = new Promise((resolve) => (known = resolve));
  await page.route("**/admin/v1/models", (route) => asked.then(() => route.continue()));
  await page.reload();
  await ask(page, "What is the capital of France?");
  assert.match(await answer(page), /Paris/);
  known();
  await page.getByRole("button", { name: "Model: Ember" }).waitFor();
});

stage.test("an answer is stopped, and what has come of it stays", {}, async (page) => {
  await visit(page, "Chat");
  await ask(page, "Count to 100.");
  await answers(page).getByText("1, 2, 3").waitFor();
  await press(page, "Stop");
  await page.getByText("You stopped this answer.").waitFor();
  await page.reload();
  const kept = await answer(page);
  assert.match(kept, /1, 2, 3/);
  assert.doesNotMatch(kept, /100/);
  await ask(page, "Count to 100.");
  await answers(page).nth(1).getByText("1, 2, 3").waitFor();
  await page.keyboard.press("Escape");
  await becomes(() => page.getByText("You stopped this answer.").count(), 2, "the number of stopped answers");
});

stage.test("a question is answered again, and both answers stay", {}, async (page) => {
  await begin(page, 'Say "warm coals"');
  await page.getByRole("button", { name: "Answer again" }).click();
  await page.getByRole("group", { name: "2 of 2" }).waitFor();
  await answer(page);
  await press(page, "Previous version");
  await page.getByRole("group", { name: "1 of 2" }).waitFor();
  await page.reload();
  await page.getByRole("group", { name: "1 of 2" }).waitFor();
});

stage.test("a question is worded anew on a branch whose beginning is still warm", {}, async (page) => {
  await begin(page, "Hi, my name is Quillon.");
  await ask(page, "What is the capital of Spain?");
  assert.match(await answer(page, 1), /Madrid/);
  await questions(page).nth(1).hover();
  await questions(page).nth(1).getByRole("button", { name: "Edit" }).click();
  const edit = page.getByRole("textbox", { name: "Edit this message" });
  await edit.fill("What is my name?");
  await edit.press("Enter");
  await page.getByRole("group", { name: "2 of 2" }).waitFor();
  assert.match(await answer(page, 1), /Quillon/);
  const [, cached] = /(\d+) of \d+ tokens cached/.exec(await answers(page).nth(1).innerText()) ?? [];
  assert.ok(Number(cached) > 10, `${cached} tokens of the branch were warm`);
  await questions(page).nth(1).getByRole("button", { name: "Previous version" }).click();
  await answers(page).nth(1).getByText("Madrid").waitFor();
});

stage.test("a conversation is found by its words, renamed and deleted", {}, async (page) => {
  await begin(page, "What is the capital of Norway?");
  const id = page.url().split("/").at(-1);
  await press(page, "New chat");
  await message(page).waitFor();
  await list(page).getByRole("searchbox").fill("osl");
  const found = list(page).getByRole("link", { name: "What is the capital of Norway?" });
  await found.getByText("Oslo").waitFor();
  await becomes(() => list(page).getByRole("listitem").count(), 1, "the number of conversations");
  await found.click();
  await answers(page).getByText("Oslo").waitFor();
  await choose(page, page.getByRole("region").getByRole("button", { name: "More" }), "Rename…");
  await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill("North");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "North" }).waitFor();
  await choose(page, page.getByRole("region").getByRole("button", { name: "More" }), "Delete…");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Nothing found").waitFor();
  const { conversations } = await stage.ask("GET", "conversations");
  assert.ok(conversations.every((one) => one.id !== id));
});

stage.test("a system prompt and sampling hold for one conversation", {}, async (page) => {
  await visit(page, "Chat");
  await press(page, "System prompt and sampling");
  const sheet = page.getByRole("dialog", { name: "This conversation" });
  await sheet.getByRole("textbox", { name: "Temperature" }).fill("9");
  await sheet.getByRole("button", { name: "Save" }).click();
  await sheet.getByText("A number from 0 to 2 is needed here.").waitFor();
  await sheet.getByRole("textbox", { name: "Temperature" }).fill("0");
  await sheet.getByRole("textbox", { name: "Longest answer" }).fill("5");
  await sheet.getByRole("button", { name: "Save" }).click();
  await gone(sheet);
  await ask(page, "Count to 100.");
  await page.getByText("The answer reached its longest length.").waitFor();
  await press(page, "New chat");
  await ask(page, "What is 3 + 4?");
  assert.match(await answer(page), /7/);
});
