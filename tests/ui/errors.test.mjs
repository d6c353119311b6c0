// What people are told when something goes wrong, and that they can go on from there.
import assert from "node:assert/strict";
import { join } from "node:path";
import { becomes, choose, gone, row, setUp, signIn, visit } from "./browser.mjs";
import { answer, answers, ask } from "./chats.mjs";
import { install, own, swell } from "./shelves.mjs";

const stage = setUp((home) => {
  install(own(home), "going", "huge");
  swell(join(own(home), "huge"), 300e9);
});

const trouble = (page) => page.getByRole("alert");
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const use = (page, model) => choose(page, page.getByRole("button", { name: /^Model:/ }), model);

stage.test("a link that was used does not sign in, and says how to get another", { expects: [/status of 401/] }, async (page) => {
  const link = await stage.link();
  await signIn({ url: stage.url, link });
  await page.getByRole("heading", { level: 1, name: "Models" }).waitFor();
  await page.evaluate(() => localStorage.removeItem("hearth.token"));
  await page.reload();
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  await page.goto(link);
  await page.getByText(/`hearth ui`/).waitFor();
});

stage.test("a message longer than the model can hold is told, and a new chat is offered", { expects: [/status of 400/] }, async (page) => {
  await visit(page, "Chat");
  await ask(page, "word ".repeat(3000));
  await trouble(page).getByText("The conversation is too long for the model").waitFor();
  await trouble(page).getByText(/context holds 2048 tokens/).waitFor();
  await trouble(page).getByRole("button", { name: "New chat" }).click();
  await ask(page, "What is 2 + 2?");
  assert.match(await answer(page), /4/);
});

stage.test("a model that is gone is told, and another one answers in its place", { expects: [/status of 404/] }, async (page) => {
  await visit(page, "Chat");
  await use(page, "going");
  await ask(page, "What is 1 + 1?");
  await answer(page);
  await stage.ask("DELETE", "models/going?force=true");
  await ask(page, "What is 1 + 2?");
  await trouble(page).getByText("The model cannot be used").waitFor();
  await trouble(page).getByText(/going/).waitFor();
  await use(page, "Ember");
  await trouble(page).getByRole("button", { name: "Try again" }).click();
  assert.match(await answer(page, 1), /3/);
});

stage.test("a model that is too large is told with what it needs", { expects: [/status of 500/] }, async (page) => {
  await row(page, "huge").getByRole("button", { name: "Too large" }).waitFor();
  await press(page, "Start huge");
  await page.getByRole("region", { name: "Notifications" }).getByText(/needs at least .* of memory/).waitFor();
  await press(page, "Close");
  await visit(page, "Chat");
  await use(page, "huge");
  await ask(page, "Hello!");
  await trouble(page).getByText(/needs at least .* of memory/).waitFor();
});

stage.test("an answer that could not be kept is kept before what is said next", { expects: [/ERR_FAILED/] }, async (page) => {
  await visit(page, "Chat");
  // The first attempt to keep the answer arrives without a reply, the second not at all.
  const isAnswer = (request) => request.method() !== "GET" && request.postDataJSON().role !== "user";
  let lost = 0;
  await page.route(/\/conversations\/\w+\/messages/, async (route) => {
    if (lost === 2 || !isAnswer(route.request())) return route.continue();
    if ((lost += 1) === 1) await route.fetch();
    return route.abort();
  });
  await ask(page, "What is 1 + 1?");
  const first = await answer(page);
  await ask(page, "What is 1 + 2?");
  const second = await answer(page, 1);
  const { messages } = await stage.ask("GET", `conversations/${page.url().split("/").at(-1)}`);
  assert.equal(messages.length, 4);
  assert.ok(first.startsWith(messages[1].content) && second.startsWith(messages[3].content));
  assert.equal(messages[2].parent, messages[1].id);
});

stage.test("what is told of a server that does not answer moves nothing from under a click", {}, async (page) => {
  const title = page.getByRole("heading", { level: 1, name: "Models" });
  await title.waitFor();
  const place = await title.boundingBox();
  let goOn;
  const held = new Promise((resolve) => (goOn = resolve));
  await page.route("**/admin/v1/events", (route) => held.then(() => route.continue()));
  await page.reload();
  await page.getByText("The server does not answer. Trying again…").waitFor();
  assert.deepEqual(await title.boundingBox(), place);
  goOn();
  await gone(page.getByText("The server does not answer. Trying again…"));
});

// Its session died with the server, so there is none to fork.
const dead = [/ERR_/, /status of 404.*fork/];

stage.test("a server that dies in the middle of an answer loses none of what its page shows", { expects: dead }, async (page) => {
  await visit(page, "Chat");
  await ask(page, "Count to 100.");
  await answers(page).getByText("1, 2, 3").waitFor();
  await stage.server.end("SIGKILL");
  await trouble(page).getByText("The server went away").waitFor();
  await page.getByText("The server does not answer. Trying again…").waitFor();
  await answers(page).getByText("1, 2, 3").waitFor();
  const shown = (await answers(page).locator("p").first().innerText()).trim();
  await stage.start();
  await gone(page.getByText("The server does not answer. Trying again…"));
  const id = page.url().split("/").at(-1);
  const kept = async () => (await stage.ask("GET", `conversations/${id}`)).messages.slice(1).map(({ content }) => content.trim()).join();
  await becomes(kept, shown, "what the server has of the answer");
  await page.reload();
  await answers(page).getByText("This answer broke off.").waitFor();
  await answers(page).getByText(shown).waitFor();
  await press(page, "Answer again");
  await page.getByRole("group", { name: "2 of 2" }).waitFor();
});
