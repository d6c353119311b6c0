/** What does the Hub have? It is asked only when somebody says so. */
import { SvelteMap } from 'svelte/reactivity';
import * as api from '../api';
import type { RepoFit, SearchHit } from '../types';

const LIMIT = 30;

/** Fits that are asked for at a time: each costs the server two requests to the Hub. */
const AT_ONCE = 2;

class Hub {
  /** null before a search, and while the first one is under way. */
  hits = $state.raw<SearchHit[] | null>(null);
  busy = $state(false);
  error = $state<string | null>(null);
  /** How the repositories would fit that somebody has looked at; null where that cannot be told. */
  fits = new SvelteMap<string, RepoFit | null>();
  #stop = new AbortController();
  #asked = new Set<string>();
  #waiting: string[] = [];
  #running = 0;

  async search(words: string): Promise<void> {
    this.#stop.abort();
    const { signal } = (this.#stop = new AbortController());
    this.busy = true;
    try {
      this.hits = await api.search(words, words ? 'downloads' : 'trending', LIMIT, signal);
      this.error = null;
    } catch (error) {
      if (!signal.aborted) this.error = api.sentence(error);
    }
    if (!signal.aborted) this.busy = false;
  }

  clear(): void {
    this.#stop.abort();
    this.#waiting.splice(0).forEach((repo) => this.#asked.delete(repo));
    [this.hits, this.busy, this.error] = [null, false, null];
  }

  /** Asks how a repository would fit, once. */
  wantFit(repo: string): void {
    if (this.#asked.has(repo)) return;
    this.#asked.add(repo);
    this.#waiting.push(repo);
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running === AT_ONCE) return;
    this.#running += 1;
    // The one that was looked at last comes first: it is the one on the screen.
    for (let repo = this.#waiting.pop(); repo; repo = this.#waiting.pop()) {
      this.fits.set(repo, await api.fit(repo).catch(() => null));
    }
    this.#running -= 1;
  }
}

export const hub = new Hub();
