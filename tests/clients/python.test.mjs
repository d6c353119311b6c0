// Runs openai_python.py and hub_python.py, with the packages of requirements.txt installed once beside the build's output.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { program, root, startServer } from "./server.mjs";

const python = process.env.PYTHON ?? "python3";
const folder = new URL(".", import.meta.url).pathname;
const requirements = join(folder, "requirements.txt");
const packages = join(root, "target/clients/python");

let server;

before(async () => {
  install();
  server = await startServer();
});
after(() => server?.stop());

test("the openai SDK for Python", () => {
  const env = { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: "1", HEARTH_BASE_URL: server.baseURL };
  run(["-m", "unittest", "openai_python"], { cwd: folder, env });
});

test("huggingface_hub for Python", () => {
  const debug = dirname(program);
  const programs = { TEST_HUB: join(debug, "test_hub"), PULL: join(debug, "examples/pull") };
  const env = { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: "1", ...programs };
  run(["-m", "unittest", "hub_python"], { cwd: folder, env });
});

/** A folder of packages needs no virtual environment, for which Debian would want another system package. */
function install() {
  const wanted = readFileSync(requirements, "utf8");
  const installed = join(packages, "installed.txt");
  if (existsSync(installed) && readFileSync(installed, "utf8") === wanted) return;
  rmSync(packages, { recursive: true, force: true });
  const options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--root-user-action", "ignore"];
  run(["-m", "pip", "install", ...options, "--target", packages, "--requirement", requirements]);
  writeFileSync(installed, wanted);
}

function run(args, options) {
  const result = spawnSync(python, args, { encoding: "utf8", ...options });
  assert.ifError(result.error);
  assert.equal(result.status, 0, `${python} ${args.join(" ")}\n${result.stdout}${result.stderr}`);
}
