/** What has the server logged? */
import * as api from '../api';
import { linesOf, type Line } from '../lib/log';
import { poll } from '../lib/poll';

const LINES = 500;
const EVERY_MS = 2000;

class Log {
  /** null until they are known. */
  lines = $state.raw<Line[] | null>(null);
  error = $state<string | null>(null);

  /** Asks again and again until the function that it gives is called. */
  follow = () => poll(() => this.load(), EVERY_MS);

  async load(): Promise<void> {
    try {
      [this.lines, this.error] = [linesOf(await api.logs(LINES)), null];
    } catch (error) {
      this.error = api.sentence(error);
    }
  }
}

export const log = new Log();
