// The Models page: finding a model, and all that can be done with one that is here.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { choose, copied, gone, row, setUp } from "./browser.mjs";
import { install, own } from "./shelves.mjs";

const stage = setUp((home) => install(own(home), "tiny", "old", "busy"));

const more = (page, name) => page.getByRole("button", { name: `More for ${name}` });
const search = (page) => page.getByRole("searchbox", { name: "Search models" });
const dialog = (page) => page.getByRole("dialog");

stage.test("words and filters find a model", {}, async (page) => {
  await search(page).fill("gemma 12b");
  await row(page, "Gemma 3 12B, text only").waitFor();
  await gone(row(page, "Ember"));
  await search(page).fill("no such model");
  await page.getByText("No model is like that").waitFor();
  await search(page).press("Escape");
  await page.getByText("Installed", { exact: true }).first().click();
  await row(page, "tiny").waitFor();
  await gone(row(page, "Gemma 3 12B, text only"));
  await page.getByText("All", { exact: true }).click();
  await page.getByRole("combobox", { name: "Ability" }).selectOption("Vision");
  await row(page, "Gemma 4 E4B").waitFor();
  await gone(row(page, "tiny"));
  await page.getByRole("combobox", { name: "Ability" }).selectOption("Any ability");
  await page.getByRole("combobox", { name: "Size" }).selectOption("Under 2 GB");
  await row(page, "Qwen3 0.6B").waitFor();
  await gone(row(page, "Qwen3 32B"));
});

stage.test("a word about how a model fits opens the whole reckoning", {}, async (page) => {
  await page.getByRole("button", { name: "Fits well: how tiny fits this computer" }).click();
  const reckoning = page.getByRole("dialog", { name: "How it fits this computer" });
  await reckoning.getByText("Longest conversation").waitFor();
  await page.keyboard.press("Escape");
  await gone(reckoning);
});

stage.test("a model is renamed, and programs call it by its new name", { expects: [/status of 409/] }, async (page) => {
  await choose(page, more(page, "tiny"), "Rename…");
  const name = dialog(page).getByRole("textbox", { name: "Name" });
  await name.fill("Ember");
  await name.press("Enter");
  const clash = await dialog(page).getByRole("alert").textContent();
  assert.match(clash, /ember/i);
  await name.fill("My Own");
  await dialog(page).getByText("Programs call it my-own.").waitFor();
  await name.press("Enter");
  // The list hears of it a little before programs can use it; the dialog stays until they can.
  await gone(dialog(page));
  await row(page, "My Own").waitFor();
  assert.ok((await stage.ask("GET", "/v1/models")).data.some(({ id }) => id === "my-own"));
  await choose(page, more(page, "My Own"), "Copy API name");
  await page.getByText("my-own is copied.").waitFor();
  assert.equal(await copied(page), "my-own");
});

stage.test("a model has settings of its own, and wrong ones are told beside the field", { expects: [/status of 400/] }, async (page) => {
  const open = () => choose(page, more(page, "old"), "Settings…");
  const field = (name) => dialog(page).getByRole("textbox", { name });
  const save = dialog(page).getByRole("button", { name: "Save" });
  await open();
  await field("Temperature").fill("warm");
  await dialog(page).getByText("This is not a number.").waitFor();
  assert.ok(await save.isDisabled());
  await field("Temperature").fill("7");
  await save.click();
  await dialog(page).getByRole("alert").filter({ hasText: "temperature" }).waitFor();
  await field("Temperature").fill("0.3");
  await field("Further names").fill("favourite");
  await dialog(page).getByRole("switch", { name: "Keep it loaded" }).click();
  await save.click();
  await row(page, "old").getByText("Stays loaded").waitFor();
  const { settings, aliases, pinned } = await stage.ask("GET", "models/favourite");
  assert.deepEqual([settings.temperature, aliases, pinned], [0.3, ["favourite"], true]);
  await open();
  assert.equal(await field("Temperature").inputValue(), "0.3");
});

stage.test("a model is started and stopped", {}, async (page) => {
  await page.getByRole("button", { name: "Start busy" }).click();
  await row(page, "busy").getByText(/Loaded/).waitFor();
  await page.getByRole("button", { name: "Stop busy" }).click();
  await page.getByRole("button", { name: "Start busy" }).waitFor();
});

stage.test("a model that goes says what that frees", {}, async (page) => {
  const { dir } = await stage.ask("GET", "models/busy");
  await choose(page, more(page, "busy"), "Delete…");
  await dialog(page).getByText(dir).waitFor();
  await dialog(page).getByRole("button", { name: "Delete" }).click();
  await page.getByText(/busy is deleted: 1\.\d MB are free again/).waitFor();
  await gone(row(page, "busy"));
  assert.ok(!existsSync(join(dir, "config.json")));
});
