// Chromium, a server of its own for each file of tests, and pages that are signed in by a link as people do it. A page that
// complains on its console, breaks its content security policy or asks anybody but its server makes its test fail.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { serve, temporary, until } from "./programs.mjs";

const PATH = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS =
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

/** A folder for pictures of pages whose tests fail. */
const SHOTS = process.env.HEARTH_SHOTS;

/** The longest that anything in a page may take. */
const WAIT = 20_000;

export const launch = () => chromium.launch({ executablePath: PATH, args: FLAGS.split(" ") });

/** A stage that stands while the tests of a file run. */
export function setUp(prepare) {
  const stage = new Stage(prepare);
  before(() => stage.begin());
  after(() => stage.end());
  return stage;
}

/** A server with a home of its own, and a browser. */
export class Stage {
  /** `prepare(home)` fills the home, and gives options for `serve`. */
  constructor(prepare = () => ({})) {
    this.prepare = prepare;
  }

  async begin() {
    this.home = temporary();
    this.options = await this.prepare(this.home.folder);
    this.browser = await launch();
    await this.start();
  }

  async end() {
    await this.browser?.close();
    await this.server?.end();
    this.home.remove();
  }

  /** Starts the server, the second time where the first one was unless `options` say otherwise. */
  async start() {
    const port = this.server ? new URL(this.server.url).port : 0;
    this.server = await serve(this.home.folder, { port, ...this.options });
    this.token = await signIn(this.server);
  }

  get url() {
    return this.server.url;
  }

  /** Asks the management API (`/admin/v1`), or any other path of the server. */
  async ask(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    const url = `${this.url}${path.startsWith("/") ? path : `/admin/v1/${path}`}`;
    const response = await fetch(url, { method, headers, body: method === "GET" ? undefined : JSON.stringify(body ?? {}) });
    const answer = await response.json();
    assert.ok(response.ok, `${method} ${path}: ${answer.error?.message}`);
    return answer;
  }

  /** A new link that signs in. */
  async link() {
    return (await this.ask("POST", "links")).url;
  }

  /** A page, and what it complains of. `first` is a browser that has never been here; the rest is for Playwright. */
  async open({ first = false, ...options } = {}) {
    const context = await this.browser.newContext({ permissions: ["clipboard-read", "clipboard-write"], ...options });
    // about:blank has no storage.
    if (!first) await context.addInitScript(() => location.protocol !== "about:" && localStorage.setItem("hearth.welcomed", "yes"));
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT);
    return { page, complaints: listen(page, this) };
  }

  /** A test in a page that is signed in. `expects`: what its console will and may complain of. */
  test(name, { expects = [], ...options }, work) {
    test(name, async () => {
      const { page, complaints } = await this.open(options);
      try {
        await page.goto(await this.link());
        await work(page);
      } catch (error) {
        if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}.png`) });
        throw error;
      } finally {
        await page.context().close();
      }
      for (const expected of expects) assert.ok(complaints.some((said) => expected.test(said)), `nothing says ${expected}`);
      assert.deepEqual(complaints.filter((said) => !expects.some((expected) => expected.test(said))), []);
    });
  }
}

/** Signs in by a server's link, and gives its token. */
export async function signIn({ url, link }) {
  const body = JSON.stringify({ key: link.split("#key=")[1] });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/admin/v1/session`, { method: "POST", headers, body });
  return (await response.json()).token;
}

function listen(page, stage) {
  const complaints = [];
  page.on("console", (said) => said.type() === "error" && complaints.push(`${said.text()} (${said.location().url})`));
  page.on("pageerror", (error) => complaints.push(`${error.stack}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== stage.url && url.protocol !== "data:") complaints.push(`asks ${url}`);
  });
  return complaints;
}

/** Goes to a page by its link at the left. */
export async function visit(page, name) {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
  if (name !== "Chat") await page.getByRole("heading", { level: 1, name }).waitFor();
}

/** The row of a model on the Models page. */
export const row = (page, name) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });

/** Chooses from a menu: the one of a button. */
export async function choose(page, button, item) {
  await button.click();
  await page.getByRole("menuitem", { name: item }).click();
}

/** Waits until something is gone. */
export const gone = (locator) => locator.waitFor({ state: "hidden" });

/** Waits until `read` gives what is wanted. */
export const becomes = (read, wanted, what) => until(async () => (await read()) === wanted, `${what} is ${wanted}`);

/** What was copied last. */
export const copied = (page) => page.evaluate(() => navigator.clipboard.readText());
