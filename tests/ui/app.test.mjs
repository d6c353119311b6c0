// The app as a person has it: its window, its icon's menu, a port that is taken.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, symlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { By, Key, until as located } from "selenium-webdriver";
import { App, WAIT, beginDesktop, endDesktop } from "./app.mjs";
import { commandOf, descendants, environment, freePort, isAlive, program, temporary, until } from "./programs.mjs";

before(beginDesktop);
after(endDesktop);

test("starts, chats, obeys its icon's menu, and leaves no process", async () => {
  const app = await App.open(await freePort());
  try {
    await until(() => app.isServing(), "the server answers", WAIT);
    await app.find("h1", "Welcome to Hearth");
    const ready = `Ready at 127.0.0.1:${app.port}`;
    await until(async () => (await app.tray.labels()).includes(ready), "the menu says where the server is", WAIT);
    assert.ok((await app.tray.labels()).includes("ember"));
    const settings = await app.tray.entry("Settings…");

    await (await app.find("button", "Skip")).click();
    await (await app.find("a", "Chat")).click();
    const field = await app.page.wait(located.elementLocated(By.css("textarea")), WAIT);
    await field.sendKeys("What is the capital of France?", Key.ENTER);
    await app.find("article", "Paris");

    // Where a page goes by itself nobody follows; what a person clicks is for their browser.
    const link = `document.querySelector("article").insertAdjacentHTML("beforeend", '<a href="https://example.com/">Example</a>')`;
    await app.page.executeScript(`location.href = "https://example.org/"; ${link}`);
    const example = await app.find("a", "Example");
    await example.click();
    // The driver lets go of the first button, whichever it pressed.
    const press = `for (const button of [2, 1]) arguments[0].dispatchEvent(new MouseEvent("auxclick", { button, bubbles: true, cancelable: true }))`;
    await app.page.executeScript(press, example);
    await until(() => app.opened().length > 1, "the link opens outside by the first and the middle button", WAIT);
    assert.deepEqual(app.opened(), ["https://example.com/", "https://example.com/"]);

    // A request that never ends makes its end last, and whoever wants it again waits for that.
    const held = connect(app.port, "127.0.0.1").on("error", () => {});
    const head = [`Host: 127.0.0.1:${app.port}`, "Content-Type: application/json", "Content-Length: 9", "Expect: 100-continue"];
    held.write(`POST /v1/chat/completions HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
    const [said] = await once(held, "data", { signal: AbortSignal.timeout(WAIT) });
    assert.match(String(said), /100 Continue/);
    await app.tray.click("Stop Server");
    await until(async () => (await app.tray.labels()).includes("The server stops"), "the menu says that it stops", WAIT);
    await app.tray.click("Start Server");
    await until(async () => (await app.tray.labels()).includes(ready), "it is back, where it was", WAIT);
    held.destroy();

    await app.tray.click("Stop Server");
    await until(async () => !(await app.isServing()), "the server has stopped", WAIT);
    await app.find("button", "Start");
    await app.tray.click("Start Server");
    await until(() => app.isServing(), "the server answers again", WAIT);
    await app.find("a", "Chat");

    assert.equal(await app.tray.entry("Settings…"), settings, "an entry that is made anew loses the click that is under way");
    await app.tray.click("Settings…");
    const login = await app.find("*[@role='switch']", "");
    await login.click();
    const entry = join(app.home.folder, ".config/autostart/Hearth.desktop");
    await until(() => existsSync(entry), "it starts at login", WAIT);
    await until(async () => (await login.getAttribute("aria-checked")) === "true", "the switch is on", WAIT);
    await login.click();
    await until(() => !existsSync(entry), "it does not start at login", WAIT);

    const second = spawn(program("hearth-app"), [], { env: app.env, stdio: "ignore" });
    const code = await new Promise((resolve) => second.once("exit", resolve));
    assert.equal(code, 0, "a second app hands over to the first");

    const family = [app.id, ...descendants(app.id)];
    assert.ok(family.some((id) => commandOf(id).includes("worker")), "a worker runs");
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
    const offer = await app.find("button", "Use port");
    await offer.click();
    await until(async () => (await app.page.getCurrentUrl()).includes("/ui/"), "the pages are there", WAIT);
    const url = new URL(await app.page.getCurrentUrl());
    assert.ok(Number(url.port) > port && (await app.isServing(url.port)));
  } finally {
    other.close();
    await app.close();
  }
});

test("called hearth, it is the command line", () => {
  const home = temporary();
  try {
    const link = join(home.folder, "hearth");
    symlinkSync(program("hearth-app"), link);
    const { stderr, stdout } = spawnSync(link, { env: environment(home.folder), encoding: "utf8", timeout: WAIT });
    assert.match(stdout + stderr, /Usage: hearth/);
  } finally {
    home.remove();
  }
});
