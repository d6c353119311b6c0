/** What is being downloaded? */
import { SvelteMap } from 'svelte/reactivity';
import { shortName } from '../lib/entries';
import { strings } from '../strings';
import type { Download } from '../types';
import { events } from './events.svelte';
import { toasts } from './toasts.svelte';

const ENDED = new Set(['done', 'cancelled']);

class Downloads {
  #byId = new SvelteMap<number, Download>();

  constructor() {
    events.onConnected(() => this.#byId.clear());
    events.on('download', (download) => {
      // What was done before this page came is no news.
      const before = this.#byId.get(download.id);
      if (download.state === 'done' && before && before.state !== 'done') {
        toasts.note(strings.models.ready(shortName(download.repo)));
      }
      this.#byId.set(download.id, download);
    });
    events.on('forgotten', ({ id }) => this.#byId.delete(id));
  }

  /** Those that are not done: under way, paused or failed. */
  get open(): Download[] {
    return [...this.#byId.values()].filter((download) => !ENDED.has(download.state));
  }

  /** The one of a repository, if it is not done. */
  of(repo: string | null): Download | undefined {
    return repo === null ? undefined : this.open.find((download) => sameRepo(download.repo, repo));
  }

  /** Notes one that was asked for, as the server answered. What its events have told since is newer. */
  note(download: Download): void {
    if (!this.#byId.has(download.id)) this.#byId.set(download.id, download);
  }
}

/** The Hub does not tell cases apart. */
const sameRepo = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

export const downloads = new Downloads();
