// How smoothly long lists scroll: `node tests/ui/frames.mjs` prints the frames of more than 50 ms while a chat of 500 messages
// and a list of 1,000 models pass by. It measures a machine, and is no test.
import { mkdirSync, copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { Stage, visit } from "./browser.mjs";
import { root } from "./programs.mjs";
import { own } from "./shelves.mjs";

const [MESSAGES, MODELS, LONG_MS] = [500, 1000, 50];
const EMBER = join(root, "models/ember");

/** Many models that are one on the disk. */
function fill(home) {
  for (let at = 0; at < MODELS; at += 1) {
    const folder = join(own(home), `model-${String(at).padStart(4, "0")}`);
    mkdirSync(folder, { recursive: true });
    for (const file of ["config.json", "tokenizer.json"]) copyFileSync(join(EMBER, file), join(folder, file));
    symlinkSync(join(EMBER, "model.safetensors"), join(folder, "model.safetensors"));
  }
}

const ANSWER = `Some **words**, then a list:

1. one with \`code\` in it
2. and [a link](https://example.org)

\`\`\`python
def answer(question: str) -> str:
    return f"{question}? 42"  # always
\`\`\`

| a | table |
| - | ----- |
| 1 | ${"cell ".repeat(12)} |
`;

/** A conversation of many turns. */
async function converse(stage) {
  const { id } = await stage.ask("POST", "conversations", { model: "ember", title: "A long one" });
  for (let at = 0, parent = null; at < MESSAGES; at += 1) {
    const said = at % 2 ? { role: "assistant", content: `${at}. ${ANSWER}`, finish_reason: "stop" } : { role: "user", content: `Question ${at}` };
    ({ id: parent } = await stage.ask("POST", `conversations/${id}/messages`, { parent, ...said }));
  }
}

/** Scrolls what is at `selector` up to its beginning and down to its end, `step` pixels each frame; the time of every frame. */
function scroll(page, selector, step = 40) {
  const work = async ([wanted, step]) => {
    const box = document.querySelector(wanted);
    const frame = () => new Promise(requestAnimationFrame);
    const isThere = [() => box.scrollTop <= 0, () => box.scrollTop + box.clientHeight >= box.scrollHeight - 1];
    const times = [];
    let last = await frame();
    for (const [way, pixels] of [-step, step].entries()) {
      while (!isThere[way]()) {
        box.scrollTop += pixels;
        const now = await frame();
        times.push(now - last);
        last = now;
      }
    }
    return times;
  };
  return page.evaluate(work, [selector, step]);
}

/** CPU time in ms of each task that the page ran meanwhile: what it costs, however busy the machine is with other things. */
async function tasksOf(browser, page, work) {
  await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
  const result = await work();
  const { traceEvents: all } = JSON.parse(await browser.stopTracing());
  const mains = all.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(({ pid, tid }) => `${pid} ${tid}`);
  const ours = all.filter(({ name, pid, tid, tdur }) => /RunTask$/.test(name) && tdur && mains.includes(`${pid} ${tid}`));
  return { result, tasks: ours.map(({ tdur }) => tdur / 1000) };
}

async function measure(what, page, selector) {
  const { result: frames, tasks } = await tasksOf(stage.browser, page, () => scroll(page, selector));
  const sorted = frames.toSorted((a, b) => a - b);
  const at = (share) => `${sorted[Math.floor(share * (sorted.length - 1))].toFixed(1)} ms`;
  const long = (times) => times.filter((time) => time > LONG_MS).length;
  console.log(`${what}: ${frames.length} frames, ${long(frames)} over ${LONG_MS} ms; median ${at(0.5)}, 99 of 100 within ${at(0.99)}, longest ${at(1)}`);
  console.log(`  ${tasks.length} tasks, ${long(tasks)} with more than ${LONG_MS} ms of CPU time, the longest with ${Math.max(...tasks).toFixed(1)} ms`);
}

const stage = new Stage(fill);
await stage.begin();
try {
  const { page } = await stage.open();
  await page.goto(await stage.link());
  await page.getByText("model-0999", { exact: true }).waitFor({ state: "attached", timeout: 120_000 });
  await measure("1,000 models", page, "main > .overflow-y-auto");
  await converse(stage);
  await visit(page, "Chat");
  await page.getByRole("link", { name: "A long one" }).click();
  await page.getByText(`${MESSAGES - 1}. Some`).waitFor();
  await measure("500 messages", page, "main section [tabindex='0']");
} finally {
  await stage.end();
}
