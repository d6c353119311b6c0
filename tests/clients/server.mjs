// A running `hearth serve` for one test file: started on a free port, ready when it says so, ended by `stop`.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const root = new URL("../..", import.meta.url).pathname;
export const program = process.env.HEARTH_BIN ?? join(root, "target/debug/hearth");

/** Starts Ember; resolves to the base URL for an OpenAI client and a function that ends the server. */
export async function startServer(...flags) {
  const home = mkdtempSync(join(tmpdir(), "hearth-"));
  const foreign = Object.keys(process.env).filter((name) => name.startsWith("HEARTH_"));
  const env = { ...process.env, ...Object.fromEntries(foreign.map((name) => [name, undefined])), HEARTH_HOME: home };
  const server = spawn(program, ["serve", "ember", "--port", "0", "--log-level", "warn", ...flags], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  const stop = async () => {
    server.kill("SIGTERM");
    await ended;
    rmSync(home, { recursive: true, force: true });
  };
  const baseURL = await readBaseUrl(server.stdout);
  if (!baseURL) {
    await stop();
    throw new Error(`${program} serve ended before it was ready`);
  }
  return { baseURL, stop };
}

/** The address in the banner, once the banner is whole; undefined if the output ends before. */
async function readBaseUrl(output) {
  let found;
  for await (const line of createInterface({ input: output })) {
    found ??= /^OpenAI URL: (.*)$/.exec(line)?.[1];
    if (found && line.startsWith("=")) return found;
  }
  return undefined;
}
