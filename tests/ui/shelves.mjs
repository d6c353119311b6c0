// Models to try things with: Ember under other names, in a folder of the server's own or on a Hub. And the line to that Hub,
// which a test holds and lets go, so that a download is caught half way at any speed of the machine.
import { cpSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { hub, root } from "./programs.mjs";

const EMBER = join(root, "models/ember");

/** What of Ember's folder is the model, without how it is made: Hearth removes no folder with anything else in it. */
const isModel = (path) => path === EMBER || /\.(json|jinja|safetensors)$/.test(path);

/** Puts Ember into a folder of models under these names. */
export function install(folder, ...names) {
  for (const name of names) cpSync(EMBER, join(folder, name), { recursive: true, filter: isModel });
}

/** Where a server with this home looks for models of one's own. */
export const own = (home) => join(home, "hearth/models");

/** A Hub that has Ember under each of these names. */
export function hubWith(folder, repos, ...args) {
  for (const repo of repos) {
    mkdirSync(join(folder, dirname(repo)), { recursive: true });
    symlinkSync(EMBER, join(folder, repo));
  }
  return hub(folder, ...args);
}

/** The smallest format of each model that Hearth recommends. */
export const recommended = () =>
  JSON.parse(readFileSync(join(root, "crates/hearth-hub/catalog.json"), "utf8")).map(({ variants }) => variants[0].repo);

const GONE = "whoever downloads went away";

/** A line to `hub`: of the weights it lets through so many bytes as it is told, and holds the rest. */
export class Line {
  /** Answers with this status itself, if there is one. */
  refuses = null;
  #left = Infinity;
  #more = new EventTarget();

  constructor(hub) {
    this.hub = hub;
    this.server = createServer((request, response) => this.#forward(request, response).catch(() => response.destroy()));
  }

  async begin() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  /** Lets so many bytes through from now on. */
  allow(bytes) {
    this.#left = bytes;
    this.#more.dispatchEvent(new Event("more"));
  }

  end() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async #forward({ method, url, headers }, response) {
    if (this.refuses) return void response.writeHead(this.refuses).end();
    const { host: _, connection: __, ...kept } = headers;
    const answer = await fetch(this.hub.url + url, { method, headers: kept, redirect: "manual" });
    const told = Object.fromEntries(answer.headers);
    // The weights lie at another host's name, as those of the real Hub do.
    if (told.location) told.location = this.url + new URL(told.location, this.hub.url).pathname;
    response.writeHead(answer.status, told);
    for await (const piece of answer.body ?? []) await this.#pass(piece, url, response);
    response.end();
  }

  async #pass(piece, url, response) {
    for (let rest = piece; rest.length > 0; ) {
      if (response.destroyed) throw new Error(GONE);
      const now = url.startsWith("/cdn/") ? Math.min(rest.length, this.#left) : rest.length;
      if (url.startsWith("/cdn/")) this.#left -= now;
      response.write(rest.subarray(0, now));
      rest = rest.subarray(now);
      if (rest.length > 0) await this.#waits(response);
    }
  }

  #waits(response) {
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error(GONE));
      const goOn = () => resolve(response.off("close", gone));
      this.#more.addEventListener("more", goOn, { once: true });
      response.once("close", gone);
    });
  }
}

/** Makes an installed model as large as so many bytes, of which the disk holds next to nothing. */
export function swell(model, bytes) {
  const file = join(model, "model.safetensors");
  const content = readFileSync(file);
  const data = content.subarray(8 + Number(content.readBigUInt64LE()));
  const tensors = JSON.parse(content.subarray(8, content.length - data.length));
  tensors["swollen.weight"] = { dtype: "U8", shape: [bytes], data_offsets: [data.length, data.length + bytes] };
  const header = Buffer.from(JSON.stringify(tensors));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header, data]));
  truncateSync(file, 8 + header.length + data.length + bytes);
}
