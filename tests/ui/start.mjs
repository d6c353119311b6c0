// How long the app takes until it can be used, and what it costs when nobody uses it: `node start.mjs [TIMES]`, with HEARTH_BIN a
// release build. The time is that of WebKit's driver too, which starts the app and looks for its first page.
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { App, beginDesktop, endDesktop } from "./app.mjs";
import { descendants, freePort } from "./programs.mjs";

const TICKS_PER_SECOND = 100;
const IDLE_SECONDS = 60;

/** Seconds of processor time that the app and all that it started have had. */
function used(app) {
  const ticks = [app.id, ...descendants(app.id)].map((id) => {
    const fields = readFileSync(`/proc/${id}/stat`, "utf8").split(") ")[1].split(" ");
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, own) => sum + own, 0) / TICKS_PER_SECOND;
}

await beginDesktop();
try {
  const times = [];
  let idle;
  for (let left = Number(process.argv[2] ?? 5); left > 0; left -= 1) {
    const app = await App.open(await freePort());
    try {
      await app.find("button", "Continue");
      times.push(performance.now() - app.begun);
      if (left > 1) continue;
      await wait(10_000);
      const before = used(app);
      await wait(IDLE_SECONDS * 1000);
      idle = (used(app) - before) / IDLE_SECONDS;
    } finally {
      await app.close();
    }
  }
  console.log(`interactive after ${times.map((ms) => (ms / 1000).toFixed(2)).join(", ")} s; idle ${(idle * 100).toFixed(2)} % of a processor`);
} finally {
  await endDesktop();
}
