// Downloads from a Hub of our own, over a line that holds what a test wants to catch half way.
import assert from "node:assert/strict";
import { after } from "node:test";
import { gone, row, setUp } from "./browser.mjs";
import { temporary, until } from "./programs.mjs";
import { Line, hubWith } from "./shelves.mjs";

const HALF = 700_000;
const QWEN = "mlx-community/Qwen2.5-0.5B-Instruct-4bit";

const shelf = temporary();
let hub;
let line;

const stage = setUp(async () => {
  const repos = [QWEN, "mlx-community/Qwen3-0.6B-4bit", "mlx-community/gemma-3-1b-it-4bit", "acme/Sparks", "acme/Cinders"];
  hub = await hubWith(shelf.folder, repos, "--gated", "acme/Locked");
  line = await new Line(hub).begin();
  return { env: { HF_ENDPOINT: line.url } };
});

after(async () => {
  await line?.end();
  await hub?.end();
  shelf.remove();
});

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** How far a download is, in percent. */
const share = async (page, name) =>
  Number(await page.getByRole("progressbar", { name: `Download of ${name}` }).getAttribute("aria-valuenow"));

const half = (page, name) => until(async () => (await share(page, name)) > 40, `half of ${name} is here`);

stage.test("a download is paused, goes on, and ends as a model that answers", {}, async (page) => {
  const name = "Qwen2.5 0.5B Instruct";
  line.allow(HALF);
  await press(page, `Download ${name}`);
  await half(page, name);
  await page.getByLabel("1 download", { exact: true }).waitFor();
  await press(page, `Pause the download of ${name}`);
  await row(page, name).getByText(/^Paused · \d+ kB of 1\.\d MB/).waitFor();
  line.allow(Infinity);
  await press(page, `Resume the download of ${name}`);
  await page.getByText("Qwen2.5-0.5B-Instruct-4bit is ready.").waitFor();
  const { models } = await stage.ask("GET", "models");
  const here = models.find(({ repo }) => repo === QWEN);
  await press(page, `Start ${here.name}`);
  await row(page, here.name).getByText(/Loaded/).waitFor();
});

stage.test("a server that is killed goes on with its download at its next start", { expects: [/ERR_/] }, async (page) => {
  const name = "Qwen3 0.6B";
  line.allow(HALF);
  await press(page, `Download ${name}`);
  await half(page, name);
  await stage.server.end("SIGKILL");
  await page.getByText("The server does not answer. Trying again…").waitFor();
  await stage.start();
  await gone(page.getByText("The server does not answer. Trying again…"));
  await half(page, name);
  line.allow(Infinity);
  await page.getByText("Qwen3-0.6B-4bit is ready.").waitFor();
});

stage.test("a download that is cancelled leaves nothing", {}, async (page) => {
  const name = "Gemma 3 1B";
  line.allow(HALF);
  await press(page, `Download ${name}`);
  await half(page, name);
  await press(page, `Cancel the download of ${name}`);
  const dialog = page.getByRole("dialog", { name: `Cancel the download of ${name}?` });
  await dialog.getByText(/\d kB have come/).waitFor();
  await dialog.getByRole("button", { name: "Cancel download" }).click();
  await page.getByRole("button", { name: `Download ${name}` }).waitFor();
  await gone(page.getByRole("progressbar", { name: `Download of ${name}` }));
});

stage.test("what Hearth does not recommend is found on Hugging Face, with how it fits", {}, async (page) => {
  line.allow(Infinity);
  const search = page.getByRole("searchbox", { name: "Search models" });
  await search.fill("sparks");
  await search.press("Enter");
  await row(page, "Sparks").getByText("acme").waitFor();
  await row(page, "Sparks").getByRole("button", { name: "Fits well" }).waitFor();
  await press(page, "Download Sparks");
  await page.getByText("Sparks is ready.", { exact: true }).waitFor();
  await search.press("Escape");
  await page.getByRole("button", { name: "Start Sparks" }).waitFor();
});

stage.test("a model whose terms nobody has accepted says where to do that", { expects: [/status of 403/] }, async (page) => {
  const search = page.getByRole("searchbox", { name: "Search models" });
  await search.fill("locked");
  await search.press("Enter");
  await row(page, "Locked").getByText("Terms to accept").waitFor();
  await press(page, "Download Locked");
  await row(page, "Locked").getByText(`acme/Locked is gated: accept its terms at ${line.url}/acme/Locked`).waitFor();
  await press(page, "Try the download of Locked again");
  await row(page, "Locked").getByText(/^Failed/).waitFor();
});

stage.test("a Hub that answers no search is told, and asked again", { expects: [/status of 50\d/] }, async (page) => {
  line.refuses = 410;
  const search = page.getByRole("searchbox", { name: "Search models" });
  await search.fill("cinders");
  await search.press("Enter");
  const trouble = page.getByRole("alert");
  await trouble.getByText("410").waitFor();
  line.refuses = null;
  await trouble.getByRole("button", { name: "Try again" }).click();
  await gone(trouble);
  await row(page, "Cinders").waitFor();
});
