/** How did the last hour go? */
import * as api from '../api';
import { poll } from '../lib/poll';
import type { Bucket } from '../types';

const EVERY_MS = 10_000;

class Activity {
  /** null until they are known. */
  buckets = $state.raw<Bucket[] | null>(null);
  /** When they were asked for. */
  at = $state(Date.now());
  error = $state<string | null>(null);

  /** Asks again and again until the function that it gives is called. */
  follow = () => poll(() => this.load(), EVERY_MS);

  async load(): Promise<void> {
    try {
      const { buckets } = await api.activity();
      [this.buckets, this.at, this.error] = [buckets, Date.now(), null];
    } catch (error) {
      this.error = api.sentence(error);
    }
  }
}

export const activity = new Activity();
