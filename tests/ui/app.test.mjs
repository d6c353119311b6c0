// The app itself in a window under Xvfb, driven by WebKit's own driver, and its icon on the session bus.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Builder, By, Capabilities, Key, until as located } from "selenium-webdriver";
import { descendants, environment, freePort, isAlive, program, start, temporary, until } from "./programs.mjs";
import { Tray } from "./tray.mjs";

const WAIT = 30_000;

let bus;
let display;

before(async () => {
  display = await start("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], { ready: /\d+/ });
  bus = await start("dbus-daemon", ["--session", "--nofork", "--nopidfile", "--print-address"], { ready: /unix:\S+/ });
});

after(async () => {
  await bus?.end();
  await display?.end();
});

/** The app with a home of its own, as WebKit's driver starts it. */
class App {
  static async open(port) {
    const app = new App();
    app.port = port;
    app.home = temporary();
    app.env = app.#environment();
    const listening = await freePort();
    const options = [`--port=${listening}`, "--host=127.0.0.1"];
    app.webkit = spawn("WebKitWebDriver", options, { env: app.env, stdio: ["ignore", "ignore", "inherit"] });
    const url = `http://127.0.0.1:${listening}`;
    await until(async () => (await fetch(`${url}/status`).catch(() => null))?.ok, "WebKitWebDriver answers");
    const browser = { browserName: "wry", "webkitgtk:browserOptions": { binary: program("hearth-app"), args: [] } };
    app.page = await new Builder().usingServer(url).withCapabilities(new Capabilities(browser)).build();
    app.id = descendants(app.webkit.pid).find((id) => commandOf(id).endsWith("/hearth-app"));
    app.tray = new Tray(bus.match[0], app.id);
    return app;
  }

  #environment() {
    const runtime = join(this.home.folder, "run");
    mkdirSync(runtime, { mode: 0o700 });
    return environment(this.home.folder, {
      DBUS_SESSION_BUS_ADDRESS: bus.match[0],
      DISPLAY: `:${display.match[0]}`,
      HEARTH_PORT: String(this.port),
      LIBGL_ALWAYS_SOFTWARE: "1",
      TAURI_WEBVIEW_AUTOMATION: "true",
      WEBKIT_DISABLE_DMABUF_RENDERER: "1",
      XDG_RUNTIME_DIR: runtime,
    });
  }

  async isServing(port = this.port) {
    return (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.ok ?? false;
  }

  /** The first element that is one of these and holds this text. */
  async find(css, text = "") {
    const holds = By.xpath(`//${css}[contains(normalize-space(.), ${JSON.stringify(text)})]`);
    return this.page.wait(located.elementLocated(holds), WAIT, `no ${css} with ${text}`);
  }

  async close() {
    const ended = new Promise((resolve) => this.webkit.once("exit", resolve));
    if (isAlive(this.id)) process.kill(this.id);
    this.webkit.kill();
    await ended;
    await until(() => !isAlive(this.id), "the app has ended");
    this.home.remove();
  }
}

function commandOf(id) {
  try {
    return readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0")[0];
  } catch {
    return "";
  }
}

test("starts, chats, obeys its icon's menu, and leaves no process", async () => {
  const app = await App.open(await freePort());
  try {
    await until(() => app.isServing(), "the server answers", WAIT);
    await app.find("h1", "Welcome to Hearth");
    const ready = `Ready at 127.0.0.1:${app.port}`;
    await until(async () => (await app.tray.labels()).includes(ready), "the menu says where the server is", WAIT);
    assert.ok((await app.tray.labels()).includes("ember"));

    await (await app.find("button", "Skip")).click();
    await (await app.find("a", "Chat")).click();
    const field = await app.page.wait(located.elementLocated(By.css("textarea")), WAIT);
    await field.sendKeys("What is the capital of France?", Key.ENTER);
    await app.find("article", "Paris");

    await app.tray.click("Stop Server");
    await until(async () => !(await app.isServing()), "the server has stopped", WAIT);
    await app.find("button", "Start");
    await app.tray.click("Start Server");
    await until(() => app.isServing(), "the server answers again", WAIT);
    await app.find("a", "Chat");

    const second = spawn(program("hearth-app"), [], { env: app.env, stdio: "ignore" });
    const code = await new Promise((resolve) => second.once("exit", resolve));
    assert.equal(code, 0, "a second app hands over to the first");

    const family = [app.id, ...descendants(app.id)];
    assert.ok(family.some((id) => readFileSync(`/proc/${id}/cmdline`, "utf8").includes("\0worker\0")), "a worker runs");
    await app.tray.click("Quit Hearth");
    await until(() => !family.some(isAlive), "the app and all that it started have ended", WAIT);
  } finally {
    await app.close();
  }
});

test("a port that somebody has is named, and the next one is offered", async () => {
  const port = await freePort();
  const other = createServer().listen(port, "127.0.0.1");
  const app = await App.open(port);
  try {
    await app.find("*", `process ${process.pid}`);
    const offer = await app.find("button", String(port).slice(0, 1));
    await offer.click();
    await until(async () => (await app.page.getCurrentUrl()).includes("/ui/"), "the pages are there", WAIT);
    const url = new URL(await app.page.getCurrentUrl());
    assert.ok(Number(url.port) > port && (await app.isServing(url.port)));
  } finally {
    other.close();
    await app.close();
  }
});
