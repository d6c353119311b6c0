// The first launch: the guide from what Hearth is, over a first model, to the line that people copy.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after } from "node:test";
import { promisify } from "node:util";
import { copied, setUp } from "./browser.mjs";
import { temporary } from "./programs.mjs";
import { hubWith, recommended } from "./shelves.mjs";

const run = promisify(execFile);
const shelf = temporary();
let hub;

const stage = setUp(async () => {
  hub = await hubWith(shelf.folder, recommended());
  return { env: { HF_ENDPOINT: hub.url } };
});

after(async () => {
  await hub?.end();
  shelf.remove();
});

const heading = (page, name) => page.getByRole("heading", { level: 1, name });
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

stage.test("the first visit is welcomed, and the next one is not", { first: true }, async (page) => {
  await heading(page, "Welcome to Hearth").waitFor();
  assert.ok(!page.url().includes("key="), "the key does not stay in the address");
  await press(page, "Skip");
  await heading(page, "Models").waitFor();
  await page.goto(`${stage.url}/`);
  await heading(page, "Models").waitFor();
});

stage.test("a first model is picked, downloaded, and answers the line that is copied", { first: true }, async (page) => {
  await press(page, "Continue");
  await heading(page, "Pick a first model").waitFor();
  const first = page.getByRole("listitem").first();
  await first.getByRole("button", { name: /^Download / }).click();
  await first.getByText("Installed").waitFor();
  await press(page, "Continue");
  await heading(page, "Use it").waitFor();
  await press(page, "Copy: Model");
  const model = await copied(page);
  assert.notEqual(model, "ember", "it is the one that was picked");
  await press(page, "Copy: Or ask in a terminal");
  const command = await copied(page);
  assert.ok(command.includes(`${stage.url}/v1`) && command.includes(`"${model}"`), command);
  const { stdout } = await run("sh", ["-c", command]);
  assert.ok(JSON.parse(stdout).choices[0].message.content.length > 0, stdout);
  await press(page, "Try the chat");
  await page.getByRole("textbox", { name: "Message" }).waitFor();
});
