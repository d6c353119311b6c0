// A server as somebody has it who uses it: Ember has answered programs, conversations are kept, and of two downloads from the
// test hub one is paused and one goes on. All of it is asked of the server; only the conversations are written for it.
import { execFile } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { hub, serve, temporary, until } from "./programs.mjs";
import { conversations, questions } from "./scenes.mjs";

/** What is on the hub: names and sizes as they are on Hugging Face, and nothing inside. */
const REPOS = [
  { repo: "mlx-community/Qwen3-0.6B-4bit", bytes: 335_372_288, model_type: "qwen3" },
  { repo: "mlx-community/gemma-3-1b-it-4bit", bytes: 732_498_176, model_type: "gemma3_text" },
];
const BYTES_PER_SECOND = 2.4e6;

const run = promisify(execFile);

/** Starts it on `port`; programs ask for so many minutes. */
export async function demo({ port, minutes }) {
  const home = temporary();
  const store = await hub(fill(join(home.folder, "hub")));
  const line = await slowed(store.url);
  const server = await serve(home.folder, { env: { HF_ENDPOINT: line.url }, port });
  const end = async () => {
    await server.end();
    await store.end();
    line.close();
    home.remove();
  };
  try {
    const { ask, token } = await signIn(server);
    const chats = await remember(ask);
    await converse(server.url, minutes);
    await download(ask, line);
    return { url: server.url, token, chats, end };
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

/** The hub over a line that is fast for as many bytes as it is granted, so that nobody has to wait, and then slow. */
async function slowed(target) {
  const line = { granted: 0, free: 0 };
  const server = createServer(async ({ url, method, headers }, response) => {
    const range = headers.range ? { range: headers.range } : {};
    const answer = await fetch(target + url, { method, headers: range, redirect: "manual" });
    const told = Object.fromEntries(answer.headers);
    // The weights lie at another host's name, as those of the real Hub do.
    if (told.location) told.location = new URL(told.location).pathname;
    response.writeHead(answer.status, told);
    await copy(answer, response, line).catch(() => response.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    grant: (bytes) => (line.granted += bytes),
    close: () => (server.closeAllConnections(), server.close()),
  };
}

async function copy(answer, response, line) {
  for await (const piece of answer.body ?? []) {
    if (response.destroyed) return;
    if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    line.granted -= piece.length;
    if (line.granted > 0) continue;
    line.free = Math.max(line.free, Date.now()) + (piece.length / BYTES_PER_SECOND) * 1000;
    await wait(line.free - Date.now());
  }
  response.end();
}

/** The management API, with the token that a link gives. */
async function signIn({ url, link }) {
  const headers = { "content-type": "application/json" };
  const ask = async (method, path, body) => {
    const answer = await fetch(`${url}/admin/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const { token } = await ask("POST", "session", { key: link.split("#key=")[1] });
  headers.authorization = `Bearer ${token}`;
  return { token, ask };
}

/** Gives the server the conversations; returns their ids in the order of the list. */
async function remember(ask) {
  const ids = [];
  for (const { title, turns } of conversations.toReversed()) {
    const { id } = await ask("POST", "conversations", { title, model: "ember" });
    let parent = null;
    for (const [turn, content] of turns.entries()) {
      const said = turn % 2 ? { role: "assistant", finish_reason: "stop" } : { role: "user" };
      ({ id: parent } = await ask("POST", `conversations/${id}/messages`, { ...said, parent, content }));
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

/** One download that is paused on its way, and one that goes on. */
async function download(ask, line) {
  for (const { repo, bytes } of REPOS) {
    line.grant(bytes * 0.42);
    const { id } = await ask("POST", "downloads", { repo });
    const now = async () => (await ask("GET", "downloads")).downloads.find((one) => one.id === id);
    await until(async () => (await now()).bytes > bytes * 0.4, `${repo} is well under way`, 60_000);
    if (repo !== REPOS.at(-1).repo) await ask("POST", `downloads/${id}/pause`);
  }
}
