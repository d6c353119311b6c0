// Every page and dialog for whoever sees little, or uses no mouse: axe-core's rules, light and dark, and a keyboard alone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { choose, row, setUp, visit } from "./browser.mjs";
import { answers, begin, message } from "./chats.mjs";
import { install, own } from "./shelves.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const stage = setUp((home) => install(own(home), "tiny"));

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Nothing is serious or worse of what axe-core finds in what shows now; the colours are looked at in the dark as well. */
async function look(page, where) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  assert.deepEqual(await findings(page, {}), [], where);
  await turn(page, "dark");
  assert.deepEqual(await findings(page, { runOnly: "color-contrast" }), [], `${where}, dark`);
  await turn(page, "light");
}

async function turn(page, colorScheme) {
  await page.emulateMedia({ colorScheme });
  await page.locator(`html[data-theme=${colorScheme}]`).waitFor();
}

async function findings(page, options) {
  await page.evaluate(finishAnimations);
  const { violations } = await page.evaluate((given) => globalThis.axe.run(given), options);
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return grave.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

/** What moves in, or changes its colour, is half seen while it does. */
function finishAnimations() {
  const ends = ({ effect }) => effect.getTiming().iterations !== Infinity;
  for (const animation of document.getAnimations().filter(ends)) animation.finish();
}

async function lookAtDialog(page, where) {
  await page.getByRole("dialog").waitFor();
  await look(page, where);
  await page.keyboard.press("Escape");
}

stage.test("nothing serious is wrong with any page", { first: true }, async (page) => {
  await page.getByRole("heading", { name: "Welcome to Hearth" }).waitFor();
  await look(page, "welcome");
  await press(page, "Continue");
  await page.getByRole("button", { name: /^Download / }).first().waitFor();
  await look(page, "welcome, pick");
  await press(page, "Continue");
  await look(page, "welcome, use");
  await press(page, "See all models");
  await row(page, "tiny").waitFor();
  await look(page, "models");
  await begin(page, "What is the capital of France?");
  await look(page, "chat");
  await visit(page, "Server");
  await page.getByRole("region", { name: "Requests" }).getByRole("button").first().click();
  await look(page, "server");
  await visit(page, "Activity");
  await page.getByRole("button", { name: "Show as a table" }).first().click();
  await look(page, "activity");
  await visit(page, "Settings");
  await page.getByRole("textbox", { name: "Port" }).waitFor();
  await look(page, "settings");
});

stage.test("nothing serious is wrong with any dialog", {}, async (page) => {
  const more = page.getByRole("button", { name: "More for tiny" });
  await more.click();
  await page.getByRole("menu").waitFor();
  await look(page, "menu");
  await page.keyboard.press("Escape");
  for (const item of ["Settings…", "Rename…", "Delete…"]) {
    await choose(page, more, item);
    await lookAtDialog(page, item);
  }
  await page.getByRole("button", { name: /how tiny fits/ }).click();
  await lookAtDialog(page, "fit");
  await visit(page, "Chat");
  await press(page, "System prompt and sampling");
  await lookAtDialog(page, "chat settings");
  await visit(page, "Settings");
  await page.getByRole("switch", { name: "Other devices" }).click();
  await lookAtDialog(page, "network");
});

stage.test("narrow as a phone, nothing serious is wrong either", { viewport: { width: 390, height: 800 } }, async (page) => {
  await row(page, "tiny").waitFor();
  await look(page, "models");
  await begin(page, "What is the capital of France?");
  await look(page, "chat");
  await press(page, "Conversations");
  await lookAtDialog(page, "conversations");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `the page is ${wide} wide`);
});

/** Presses Tab until this has the focus. */
async function tabTo(page, locator, most = 60) {
  await locator.waitFor();
  for (let at = 0; at < most; at += 1) {
    if (await locator.evaluate((node) => node === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`${locator} is not reached by Tab`);
}

stage.test("a keyboard alone starts a model, renames it and gives the focus back", {}, async (page) => {
  await tabTo(page, page.getByRole("button", { name: "Start tiny" }));
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Stop tiny" }).waitFor();
  const more = page.getByRole("button", { name: "More for tiny" });
  await tabTo(page, more);
  await page.keyboard.press("Enter");
  const rename = page.getByRole("menuitem", { name: "Rename…" });
  for (let at = 0; !(await rename.evaluate((node) => node === document.activeElement)); at += 1) {
    assert.ok(at < 10, "the arrows reach every item");
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.ok(await more.evaluate((node) => node === document.activeElement), "the focus is back where it was");
});

stage.test("a keyboard alone asks, stops, and takes back what was said", {}, async (page) => {
  await tabTo(page, page.getByRole("link", { name: "Chat" }));
  await page.keyboard.press("Enter");
  await message(page).fill("Count to 100.");
  await page.getByRole("button", { name: "Send", disabled: false }).waitFor();
  await page.keyboard.press("Enter");
  await answers(page).getByText("1, 2, 3").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("You stopped this answer.").waitFor();
  await page.keyboard.press("ArrowUp");
  const edit = page.getByRole("textbox", { name: "Edit this message" });
  await edit.fill("What is 4 + 4?");
  await page.keyboard.press("Enter");
  await page.getByRole("group", { name: "2 of 2" }).waitFor();
  await answers(page).getByText("= 8").waitFor();
});
