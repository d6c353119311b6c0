// The Activity page: how the last hour went, and the conversations that are kept warm.
import assert from "node:assert/strict";
import { becomes, choose, gone, setUp, visit } from "./browser.mjs";
import { begin } from "./chats.mjs";

const stage = setUp();

const sessions = (page) => page.getByRole("region", { name: "Sessions" });
const charts = (page) => page.getByRole("region", { name: "Last hour" });

stage.test("nothing was asked yet", {}, async (page) => {
  await visit(page, "Activity");
  await page.getByText("Nothing in the last hour").waitFor();
  await page.getByText("No sessions").waitFor();
});

stage.test("an answer shows in the charts, and in the same numbers as a table", {}, async (page) => {
  await begin(page, "What is the capital of Italy?");
  await visit(page, "Activity");
  const total = charts(page).getByRole("definition").first();
  await becomes(() => total.textContent(), "1", "the number of requests");
  await charts(page).getByRole("img", { name: /^Tokens per second, over the last hour: on average \d/ }).waitFor();
  await charts(page).getByRole("button", { name: "Show as a table" }).first().click();
  await charts(page).getByRole("table").getByRole("cell", { name: /\d\/s$/ }).first().waitFor();
});

stage.test("a session is given a name, and a chat's is the chat's", {}, async (page) => {
  const messages = [{ role: "user", content: "What is 1 + 1?" }];
  await stage.ask("POST", "/v1/chat/completions", { session_id: "script", messages });
  await begin(page, "What is the capital of Spain?");
  await visit(page, "Activity");
  const rename = async (from, to) => {
    const of = sessions(page).getByRole("row").filter({ hasText: from });
    await choose(page, of.getByRole("button"), "Rename…");
    await page.getByRole("dialog").getByRole("textbox", { name: "Name" }).fill(to);
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await sessions(page).getByRole("rowheader", { name: to }).waitFor();
  };
  await rename("script", "Sums");
  await rename("What is the capital of Spain?", "Madrid");
  await page.reload();
  await sessions(page).getByRole("rowheader", { name: "Sums" }).waitFor();
  await sessions(page).getByRole("link", { name: "Madrid" }).click();
  await page.getByRole("heading", { name: "Madrid" }).waitFor();
});

stage.test("a session is forked, opened and deleted", {}, async (page) => {
  await begin(page, "What is the capital of Japan?");
  const id = page.url().split("/").at(-1);
  const warm = async () => (await stage.ask("GET", "/v1/sessions")).data.map((session) => session.id);
  const before = (await warm()).length;
  await visit(page, "Activity");
  const menu = sessions(page).getByRole("button", { name: `What can be done with ${id}`, exact: true });
  await choose(page, menu, "Fork");
  await page.getByText("The session was forked.").waitFor();
  await becomes(() => sessions(page).getByRole("rowheader").count(), before + 1, "the number of sessions");
  await choose(page, menu, "Delete…");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await gone(menu);
  await becomes(() => sessions(page).getByRole("rowheader").count(), before, "the number of sessions");
  assert.ok(!(await warm()).includes(id));
});

stage.test("the caches on disk say what they take", {}, async (page) => {
  await visit(page, "Activity");
  await page.getByRole("region", { name: "Caches on disk" }).getByText(/ of \d/).waitFor();
});
