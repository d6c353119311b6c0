// The Settings page: what counts at once, what counts from the next start, and who may use the server.
import assert from "node:assert/strict";
import { join } from "node:path";
import { becomes, copied, gone, row, setUp, visit } from "./browser.mjs";
import { freePort } from "./programs.mjs";
import { install } from "./shelves.mjs";

const stage = setUp();

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const field = (page, name) => page.getByRole("textbox", { name, exact: true });
const network = (page) => page.getByRole("switch", { name: "Other devices" });
const shown = (page) => page.evaluate(() => document.documentElement.dataset.theme);
const statusWith = async (key) =>
  (await fetch(`${stage.url}/v1/models`, { headers: key ? { authorization: `Bearer ${key}` } : {} })).status;

stage.test("the theme is the system's until another is chosen, and stays chosen", { colorScheme: "dark" }, async (page) => {
  await visit(page, "Settings");
  assert.equal(await shown(page), "dark");
  await page.getByText("Light", { exact: true }).click();
  assert.equal(await shown(page), "light");
  await page.reload();
  await page.getByRole("radio", { name: "Light" }).waitFor();
  assert.equal(await shown(page), "light");
});

stage.test("a port counts from the next start, and one that cannot be is told", {}, async (page) => {
  const type = async (text) => {
    await field(page, "Port").fill(text);
    await field(page, "Port").press("Enter");
  };
  const first = String(await freePort());
  await visit(page, "Settings");
  await type("80");
  await page.getByText("A port is a whole number from 1024 to 65535.").waitFor();
  await type(first);
  await becomes(async () => (await stage.ask("GET", "settings")).port, Number(first), "the port that is set");
  await page.getByText(`The server was started with ${new URL(stage.url).port}, and that comes first.`).waitFor();
  // Else it would go on asking where the server was.
  await page.goto("about:blank");
  await stage.server.end();
  stage.options = { port: null };
  await stage.start();
  assert.equal(new URL(stage.url).port, first);
  await page.goto(await stage.link());
  await visit(page, "Settings");
  await gone(page.getByText("Some changes count from the next start of the server."));
  await type("18080");
  await page.getByText("Some changes count from the next start of the server.").waitFor();
});

stage.test("an amount of memory is typed as people write it", {}, async (page) => {
  await visit(page, "Settings");
  const disk = field(page, "Disk for conversations");
  await disk.fill("a lot");
  await disk.press("Enter");
  await page.getByText("This is not an amount in GB.").waitFor();
  await disk.fill("1,5");
  await disk.press("Enter");
  await becomes(async () => (await stage.ask("GET", "settings")).cache_disk, 1.5e9, "the disk for conversations");
  await page.getByRole("combobox", { name: "Stop unused models after" }).selectOption("Never");
  await becomes(async () => (await stage.ask("GET", "settings")).idle_timeout, -1, "the time after which models go");
});

stage.test("other devices need a key, which is shown once and then needed", { expects: [/status of 409/] }, async (page) => {
  await visit(page, "Settings");
  assert.equal(await statusWith(null), 200);
  await network(page).click();
  await page.getByRole("dialog", { name: "Other devices need a key" }).getByRole("button", { name: "Cancel" }).click();
  assert.equal(await network(page).getAttribute("aria-checked"), "false");
  await network(page).click();
  await press(page, "Make a key and open");
  const dialog = page.getByRole("dialog", { name: "Your API key" });
  await dialog.getByRole("button", { name: "Copy" }).click();
  const key = await copied(page);
  await dialog.getByRole("button", { name: "Done" }).click();
  await gone(page.getByText(key));
  await page.getByText("Whoever is in this network and has the key can use the models.").waitFor();
  assert.deepEqual([await statusWith(null), await statusWith("wrong"), await statusWith(key)], [401, 401, 200]);
  await press(page, "Remove");
  await page.getByRole("region", { name: "Notifications" }).getByText(/key/).waitFor();
  assert.equal(await statusWith(key), 200, "it is kept as long as others may come");
  await network(page).click();
  await becomes(() => network(page).getAttribute("aria-checked"), "false", "the switch");
  await press(page, "Replace…");
  await press(page, "Replace");
  await dialog.getByRole("button", { name: "Done" }).click();
  assert.equal(await statusWith(key), 401, "the old one is no key any more");
  await press(page, "Remove");
  await page.getByRole("button", { name: "Make a key" }).waitFor();
  assert.equal(await statusWith(null), 200);
});

stage.test("models in a folder of one's own are found as soon as it is named", { expects: [/status of 400/] }, async (page) => {
  await visit(page, "Settings");
  const folder = join(stage.home.folder, "elsewhere");
  await field(page, "Path of a folder").fill("not/absolute");
  await press(page, "Add folder");
  await page.getByRole("alert").waitFor();
  install(folder, "mine");
  await field(page, "Path of a folder").fill(folder);
  await press(page, "Add folder");
  await visit(page, "Models");
  await row(page, "mine").waitFor();
  await visit(page, "Settings");
  await press(page, `Remove ${folder} from the list`);
  await gone(page.getByText(folder, { exact: true }));
  await visit(page, "Models");
  await gone(row(page, "mine"));
});

stage.test("the welcome guide is shown again", {}, async (page) => {
  await visit(page, "Settings");
  await press(page, "Show");
  await page.getByRole("heading", { level: 1, name: "Welcome to Hearth" }).waitFor();
});
