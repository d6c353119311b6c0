// The Server page: lines for other programs that work as they are, and what those programs then do.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { becomes, copied, setUp, visit } from "./browser.mjs";

const run = promisify(execFile);
const stage = setUp(() => ({ log: "info" }));

const region = (page, name) => page.getByRole("region", { name, exact: true });
const rows = (page) => region(page, "Requests").getByRole("button");

stage.test("it says that it runs, and where", {}, async (page) => {
  await visit(page, "Server");
  await page.getByText("Running").waitFor();
  await page.getByRole("button", { name: "Copy the base URL" }).click();
  assert.equal(await copied(page), `${stage.url}/v1`);
});

stage.test("the lines for curl work as they are, and their requests show", {}, async (page) => {
  await visit(page, "Server");
  const connect = region(page, "Connect a program");
  await connect.getByRole("button", { name: "Copy", exact: true }).click();
  const whole = await run("sh", ["-c", await copied(page)]);
  assert.ok(JSON.parse(whole.stdout).choices[0].message.content);
  await connect.getByRole("switch", { name: "Streamed" }).click();
  await connect.getByRole("button", { name: /^Cop/ }).click();
  await becomes(async () => (await copied(page)).includes("curl -N"), true, "what was copied is streamed:");
  const streamed = await run("sh", ["-c", await copied(page)]);
  assert.match(streamed.stdout, /^data: .*\n[^]*data: \[DONE\]/);
  await becomes(() => rows(page).count(), 2, "the number of requests");
  await rows(page).first().getByText("curl/").waitFor();
  await rows(page).first().click();
  const details = region(page, "Requests").getByRole("definition");
  await details.getByText("/v1/chat/completions (streamed)").waitFor();
  await details.getByText(/^\d+ tokens, \d+ of them cached$/).waitFor();
});

stage.test("Python and Node have lines of their own", {}, async (page) => {
  await visit(page, "Server");
  const connect = region(page, "Connect a program");
  const lines = connect.getByLabel("Connect a program");
  await connect.getByText("Python", { exact: true }).click();
  await lines.getByText(`OpenAI(base_url="${stage.url}/v1"`).waitFor();
  await connect.getByText("pip install openai").waitFor();
  await connect.getByText("Node", { exact: true }).click();
  await lines.getByText(`baseURL: "${stage.url}/v1"`).waitFor();
});

stage.test("a request shows while it is answered, and that its program left", {}, async (page) => {
  await visit(page, "Server");
  const before = await stage.ask("GET", "requests");
  const body = { model: "ember", stream: true, messages: [{ role: "user", content: "Count to 100." }] };
  const stop = new AbortController();
  const headers = { "content-type": "application/json" };
  await fetch(`${stage.url}/v1/chat/completions`, { method: "POST", headers, body: JSON.stringify(body), signal: stop.signal });
  await rows(page).first().getByText("Answering", { exact: true }).waitFor();
  stop.abort();
  await rows(page).first().getByText("Cancelled", { exact: true }).waitFor();
  await becomes(() => rows(page).count(), before.requests.length + 1, "the number of requests");
});

stage.test("the log shows what the server says, as grave as is wanted", {}, async (page) => {
  await visit(page, "Server");
  const log = region(page, "Log");
  await log.getByRole("log").getByText("info").first().waitFor();
  await log.getByRole("combobox", { name: "Least level" }).selectOption("Errors");
  await log.getByText("Nothing logged").waitFor();
});
