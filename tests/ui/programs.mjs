// The programs under test, started on free ports of the loopback with homes of their own, and ended by id.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

export const root = new URL("../..", import.meta.url).pathname;
const programs = dirname(process.env.HEARTH_BIN ?? join(root, "target/debug/hearth"));

/** A folder for one test, removed by `remove`. */
export function temporary() {
  const folder = mkdtempSync(join(tmpdir(), "hearth-ui-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** This process's variables without those that a person may have set for Hearth or the Hub. */
export function environment(home, more = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(HEARTH_|HF_)/.test(name));
  const own = { HEARTH_HOME: join(home, "hearth"), HF_HOME: join(home, "huggingface"), HOME: home };
  return { ...Object.fromEntries(kept), ...own, ...more };
}

export const program = (name) => join(programs, name);

/** A program that prints a line when it is ready: resolves to the first match of `ready` in it. */
export async function start(command, args, { env, ready }) {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const end = async (signal = "SIGTERM") => {
    child.kill(signal);
    return ended;
  };
  return { child, ended, end, match: await firstMatch(child, ready, command) };
}

async function firstMatch(child, ready, command) {
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    const match = ready.exec(line);
    if (match) {
      child.stdout.resume();
      return match;
    }
  }
  throw new Error(`${command} ended before it was ready`);
}

/** `hearth serve` with Ember: its address and a link to its page. With `port: null` it listens where its settings say. */
export async function serve(home, { env = {}, args = [], port = 0, log = "warn" } = {}) {
  const options = ["serve", ...(port === null ? [] : ["--port", String(port)]), "--log-level", log, ...args];
  const ready = /(http:\/\/127\.0\.0\.1:\d+)\/ui\/#key=\S+/;
  const server = await start(program("hearth"), options, { env: environment(home, env), ready });
  return { ...server, link: server.match[0], url: server.match[1] };
}

/** A Hub of our own that serves the folders `OWNER/NAME` below `folder`. */
export async function hub(folder, ...args) {
  const server = await start(program("test_hub"), ["--root", folder, ...args], { env: process.env, ready: /http:\S+/ });
  return { ...server, url: server.match[0] };
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Ids of the processes that `id` has started, and those have, as the kernel lists them by thread. */
export function descendants(id) {
  const threads = whileThere(() => readdirSync(`/proc/${id}/task`));
  const childrenOf = (thread) => whileThere(() => readFileSync(`/proc/${id}/task/${thread}/children`, "utf8").match(/\d+/g) ?? []);
  return threads.flatMap(childrenOf).flatMap((child) => [Number(child), ...descendants(child)]);
}

/** What a process was started with: its program and its arguments; nothing where it has ended. */
export const commandOf = (id) => whileThere(() => readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0"));

/** A list; an empty one of what has ended. */
function whileThere(list) {
  try {
    return list();
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(error.code)) return [];
    throw error;
  }
}

export function isAlive(id) {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until `check` is true; the test's own time-out bounds it. */
export async function until(check, what, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
