// Pictures of the page: of a real server, which somebody uses. `npm run screenshots` makes those of the pages for the documents,
// `npm run screenshots -- FOLDER` also those of other states, in a folder of yours. MINUTES is for how long programs ask before,
// so that the charts of the last hour have a course; PORT is the server's, 8080 unless that is taken.
import { mkdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { demo } from "./demo.mjs";
import { root } from "./programs.mjs";
import { chat, pages, states } from "./scenes.mjs";

const VIEW = { viewport: { width: 1000, height: 700 }, deviceScaleFactor: 2, reducedMotion: "reduce" };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

const folder = process.argv[2] ?? join(root, "docs/screenshots");
const scenes = process.argv[2] ? [...pages, ...states] : pages;

/** A page of the build in this folder, also where the program was built elsewhere. */
async function open(browser, { url, token }, colorScheme) {
  const context = await browser.newContext({ ...VIEW, colorScheme });
  await context.route(`${url}/ui/**`, (route) => {
    const path = new URL(route.request().url()).pathname.replace("/ui/", "") || "index.html";
    return route.fulfill({ body: readFileSync(join(root, "ui/dist", path)), contentType: TYPES[extname(path)] });
  });
  await context.addInitScript((token) => {
    if (token) localStorage.setItem("hearth.token", token);
    localStorage.setItem("hearth.welcomed", "yes");
  }, token);
  return context.newPage();
}

/** A person chats in the page; returns the id of the conversation. */
async function chatWithEmber(page, url) {
  await page.goto(`${url}/ui/#/chat`);
  for (const [turn, text] of chat.entries()) {
    await page.getByPlaceholder("Ask Ember").fill(text);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Answer again" }).nth(turn).waitFor({ state: "attached" });
  }
  return new URL(page.url()).hash.split("/").at(-1);
}

async function picture(page, url, { name, at, act = [] }, theme) {
  await page.goto("about:blank");
  await page.goto(`${url}/ui/#/${at}`);
  await page.waitForLoadState("networkidle", { timeout: 1500 }).catch(() => {});
  for (const step of act) await step(page);
  await page.getByLabel("Loading…").waitFor({ state: "detached" });
  await page.mouse.move(0, 0);
  await wait(600);
  await page.screenshot({ path: join(folder, `${name}-${theme}.png`) });
}

mkdirSync(folder, { recursive: true });
const { stage, chats, end } = await demo({ port: Number(process.env.PORT ?? 8080), minutes: Number(process.env.MINUTES ?? 0) });
const { browser, token, url } = stage;
try {
  const own = await chatWithEmber(await open(browser, { token, url }, "light"), url);
  const shown = { "chat/written": `chat/${chats[0]}`, "chat/own": `chat/${own}` };
  for (const theme of ["light", "dark"]) {
    const page = await open(browser, { token, url }, theme);
    const stranger = await open(browser, { url }, theme);
    for (const scene of scenes) {
      const at = shown[scene.at] ?? scene.at;
      await picture(scene.signedOut ? stranger : page, url, { ...scene, at }, theme);
    }
  }
} finally {
  await end();
}
