// The app itself in a window under Xvfb, driven by WebKit's own driver, and its icon on the session bus.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Builder, By, Capabilities, error } from "selenium-webdriver";
import { commandOf, descendants, environment, freePort, isAlive, program, start, temporary, until } from "./programs.mjs";
import { Tray } from "./tray.mjs";

/** The longest that anything in the app may take. */
export const WAIT = 30_000;

let bus;
let display;

/** A screen and a session bus. */
export async function beginDesktop() {
  display = await start("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], { ready: /\d+/ });
  bus = await start("dbus-daemon", ["--session", "--nofork", "--nopidfile", "--print-address"], { ready: /unix:\S+/ });
}

export async function endDesktop() {
  await bus?.end();
  await display?.end();
}

/** The app with a home of its own, as WebKit's driver starts it. */
export class App {
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
    app.begun = performance.now();
    app.page = await new Builder().usingServer(url).withCapabilities(new Capabilities(browser)).build();
    app.id = descendants(app.webkit.pid).find((id) => commandOf(id)[0]?.endsWith("/hearth-app"));
    app.tray = new Tray(bus.match[0], app.id);
    return app;
  }

  #environment() {
    const runtime = join(this.home.folder, "run");
    mkdirSync(runtime, { mode: 0o700 });
    const programs = join(this.home.folder, "bin");
    mkdirSync(programs);
    writeFileSync(join(programs, "xdg-open"), `#!/bin/sh\necho "$1" >> ${this.#opened}\n`, { mode: 0o755 });
    return environment(this.home.folder, {
      DBUS_SESSION_BUS_ADDRESS: bus.match[0],
      DISPLAY: `:${display.match[0]}`,
      HEARTH_PORT: String(this.port),
      LIBGL_ALWAYS_SOFTWARE: "1",
      PATH: programs + delimiter + process.env.PATH,
      TAURI_WEBVIEW_AUTOMATION: "true",
      WEBKIT_DISABLE_DMABUF_RENDERER: "1",
      XDG_RUNTIME_DIR: runtime,
    });
  }

  get #opened() {
    return join(this.home.folder, "opened");
  }

  /** The addresses that it opened in the browser. */
  opened() {
    return existsSync(this.#opened) ? readFileSync(this.#opened, "utf8").trim().split("\n") : [];
  }

  async isServing(port = this.port) {
    return (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null))?.ok ?? false;
  }

  /** The first element that is one of these and holds this text. */
  async find(css, text = "") {
    const holds = By.xpath(`//${css}[contains(normalize-space(.), ${JSON.stringify(text)})]`);
    // A page that gives way to the next one breaks off what is looked up in it.
    const first = () => this.page.findElement(holds).catch((failure) => (isPassing(failure) ? null : Promise.reject(failure)));
    return this.page.wait(first, WAIT, `no ${css} with ${text}`, 20);
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

const isPassing = (failure) => failure instanceof error.NoSuchElementError || failure instanceof error.NoSuchFrameError;
