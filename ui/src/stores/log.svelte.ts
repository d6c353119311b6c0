/** What has the server logged? */
import * as api from '../api';
import { linesOf, type Line } from '../lib/log';

const LINES = 500;
const EVERY_MS = 2000;

class Log {
  /** null until they are known. */
  lines = $state.raw<Line[] | null>(null);
  error = $state<string | null>(null);

  /** Asks again and again until the function that it gives is called. */
  follow(): () => void {
    void this.load();
    const timer = setInterval(() => document.hidden || void this.load(), EVERY_MS);
    return () => clearInterval(timer);
  }

  async load(): Promise<void> {
    try {
      [this.lines, this.error] = [linesOf(await api.logs(LINES)), null];
    } catch (error) {
      this.error = api.sentence(error);
    }
  }
}

export const log = new Log();
