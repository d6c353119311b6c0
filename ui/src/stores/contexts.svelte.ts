/** How many tokens does each model hold? */
import { SvelteMap } from 'svelte/reactivity';
import * as api from '../api';
import { events } from './events.svelte';
import { models } from './models.svelte';

class Contexts {
  #byModel = new SvelteMap<string, number>();

  constructor() {
    events.on('models', () => void this.#load());
    // Where a model's files do not say it, its worker does.
    events.on('status', ({ models }) => models.some(({ id, state }) => state === 'ready' && !this.#byModel.has(id)) && void this.#load());
  }

  /** Tokens; null where it is not known. */
  of(model: string | null): number | null {
    const set = models.find(model)?.settings.context_length;
    return set ?? (model === null ? null : (this.#byModel.get(model) ?? null));
  }

  async #load(): Promise<void> {
    // What is not known is not shown: the page does without.
    const offered = await api.offered().catch(() => []);
    for (const { id, context_length: length } of offered) if (length) this.#byModel.set(id, length);
  }
}

export const contexts = new Contexts();
