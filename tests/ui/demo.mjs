// A server as somebody has it who uses it: Ember has answered programs, conversations are kept, and of two downloads from the
// test hub one is paused and one goes on. All of it is asked of the server; only the conversations are written for it.
import { execFile } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { Stage } from "./browser.mjs";
import { hub, until } from "./programs.mjs";
import { conversations, questions } from "./scenes.mjs";
import { Line } from "./shelves.mjs";

/** What is on the hub: names and sizes as they are on Hugging Face, and nothing inside. */
const REPOS = [
  { repo: "mlx-community/Qwen3-0.6B-4bit", bytes: 335_372_288, model_type: "qwen3" },
  { repo: "mlx-community/gemma-3-1b-it-4bit", bytes: 732_498_176, model_type: "gemma3_text" },
];
const BYTES_PER_SECOND = 2.4e6;

const run = promisify(execFile);

/** Starts it on `port`; programs ask for so many minutes. */
export async function demo({ port, minutes }) {
  let store;
  let line;
  const stage = new Stage(async (home) => {
    store = await hub(fill(join(home, "hub")));
    line = await new Line(store).begin();
    return { env: { HF_ENDPOINT: line.url }, port };
  });
  const end = async () => {
    await stage.end();
    await line?.end();
    await store?.end();
  };
  try {
    await stage.begin();
    const chats = await remember(stage);
    await converse(stage.url, minutes);
    await download(stage, line);
    return { stage, chats, end };
  } catch (error) {
    await end();
    throw error;
  }
}

function fill(folder) {
  for (const { repo, bytes, model_type } of REPOS) {
    mkdirSync(join(folder, repo), { recursive: true });
    writeFileSync(join(folder, repo, "config.json"), JSON.stringify({ model_type }));
    writeFileSync(join(folder, repo, "model.safetensors"), "");
    truncateSync(join(folder, repo, "model.safetensors"), bytes);
  }
  return folder;
}

/** Gives the server the conversations; returns their ids in the order of the list. */
async function remember(stage) {
  const ids = [];
  for (const { title, turns } of conversations.toReversed()) {
    const { id } = await stage.ask("POST", "conversations", { title, model: "ember" });
    let parent = null;
    for (const [turn, content] of turns.entries()) {
      const said = turn % 2 ? { role: "assistant", finish_reason: "stop" } : { role: "user" };
      ({ id: parent } = await stage.ask("POST", `conversations/${id}/messages`, { ...said, parent, content }));
    }
    ids.unshift(id);
  }
  return ids;
}

/** Programs ask Ember: each goes through its questions once in a session, and then, for so long, again and again without. */
async function converse(url, minutes) {
  const end = Date.now() + minutes * 60_000;
  for (let isFirst = true; isFirst || Date.now() < end; isFirst = false) {
    await Promise.all(questions.map(({ by, session, texts }) => askAll(url, programs[by], isFirst ? session : undefined, texts)));
    await wait(Math.max(0, Math.min(end - Date.now(), 5000 + Math.random() * 30_000)));
  }
}

async function askAll(url, program, session_id, texts) {
  for (const content of texts) {
    const body = JSON.stringify({ model: "ember", session_id, messages: [{ role: "user", content }] });
    await program(`${url}/v1/chat/completions`, "content-type: application/json", body);
  }
}

const programs = {
  curl: (url, header, body) => run("curl", ["-fsS", url, "-H", header, "-d", body]),
  node: (url, header, body) => fetch(url, { method: "POST", headers: [header.split(": ")], body }).then((answer) => answer.text()),
};

/** One download that is paused on its way, and one that goes on slowly. */
async function download(stage, line) {
  for (const { repo, bytes } of REPOS) {
    line.allow(bytes * 0.42);
    const { id } = await stage.ask("POST", "downloads", { repo });
    const now = async () => (await stage.ask("GET", "downloads")).downloads.find((one) => one.id === id);
    await until(async () => (await now()).bytes > bytes * 0.4, `${repo} is well under way`, 60_000);
    if (repo !== REPOS.at(-1).repo) await stage.ask("POST", `downloads/${id}/pause`);
  }
  // The line's end is the process's.
  setInterval(() => line.allow(BYTES_PER_SECOND / 10), 100).unref();
}
