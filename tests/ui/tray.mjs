// The app's icon as a desktop sees it: its menu is on the session bus (com.canonical.dbusmenu), where entries can be read and clicked.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

const MENU = "/org/ayatana/NotificationItem/tray_icon_tray_app_hearth/Menu";

/** `[id, label]` of each entry in what gdbus prints. */
const entriesOf = (layout) => [...layout.matchAll(/\((\d+), \{'label': <['"](.*?)['"]>\}/g)].map(([, id, label]) => [id, label]);

export class Tray {
  /** `bus`: the address of the session bus; `process`: the app's id. */
  constructor(bus, process) {
    this.env = { DBUS_SESSION_BUS_ADDRESS: bus, LANG: "C.UTF-8", PATH: globalThis.process.env.PATH };
    this.process = process;
  }

  async #call(destination, path, method, ...args) {
    // A connection that never answers is not the menu's.
    const options = ["call", "--session", "--timeout", "2", "--dest", destination, "--object-path", path, "--method", method, ...args];
    return (await run("gdbus", options, { env: this.env })).stdout;
  }

  #bus(method, ...args) {
    return this.#call("org.freedesktop.DBus", "/org/freedesktop/DBus", `org.freedesktop.DBus.${method}`, ...args);
  }

  /** `[id, label]` of each entry; none while there is no menu. */
  async entries() {
    this.name ??= await this.#find();
    return this.name ? entriesOf(await this.#layout(this.name)) : [];
  }

  /** The app's connection that has the menu. */
  async #find() {
    const names = (await this.#bus("ListNames")).match(/:[\d.]+/g) ?? [];
    for (const name of names) {
      const owner = await this.#bus("GetConnectionUnixProcessID", name).catch(() => "");
      const isOurs = owner.includes(`uint32 ${this.process},`);
      if (isOurs && (await this.#layout(name).catch(() => ""))) return name;
    }
    return undefined;
  }

  #layout(name) {
    return this.#call(name, MENU, "com.canonical.dbusmenu.GetLayout", "0", "1", "['label']");
  }

  async labels() {
    return (await this.entries()).map(([, label]) => label);
  }

  /** The id of an entry. */
  async entry(label) {
    const [id] = (await this.entries()).find(([, known]) => known === label) ?? [];
    if (!id) throw new Error(`the menu has no ${label}`);
    return id;
  }

  async click(label) {
    const id = await this.entry(label);
    await this.#call(this.name, MENU, "com.canonical.dbusmenu.Event", id, "clicked", "<''>", "0");
  }
}
