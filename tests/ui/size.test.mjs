// What a browser downloads of the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { setUp } from "./browser.mjs";

const stage = setUp();

/** Every file that the page names, or a file that it names does: its name and content. */
async function filesFrom(name, known = new Map()) {
  const response = await fetch(`${stage.url}/ui/${name}`);
  const content = Buffer.from(await response.arrayBuffer());
  known.set(name, content);
  const named = content.toString().match(/[\w.-]+\.(js|css|svg|woff2)\b/g) ?? [];
  for (const next of named.flatMap((file) => [file, `assets/${file}`])) {
    const exists = !known.has(next) && (await fetch(`${stage.url}/ui/${next}`, { method: "HEAD" })).ok;
    if (exists) await filesFrom(next, known);
  }
  return known;
}

test("the whole page is less than 250 kB", async () => {
  const files = await filesFrom("");
  const sizes = [...files].map(([name, content]) => [name, gzipSync(content).length]);
  assert.ok(files.size > 4, "the parts that come later count as well");
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(all < 250_000, JSON.stringify(sizes));
});
