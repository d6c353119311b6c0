/** Which models are on this machine, and what are they doing? */
import * as api from '../api';
import type { Card, Model } from '../types';
import { events } from './events.svelte';

class Models {
  /** null until they are known. */
  all = $state.raw<Model[] | null>(null);
  error = $state<string | null>(null);
  #loading: Promise<void> | null = null;
  #again = false;

  constructor() {
    events.on('models', () => void this.load());
    events.on('status', (status) => this.#update(status.models));
  }

  /** Those that can be used, the default one first. */
  get ready(): Model[] {
    return this.all?.filter((model) => model.state.value === 'ready') ?? [];
  }

  get default(): Model | undefined {
    return this.ready.find((model) => model.default);
  }

  /** What was downloaded of a repository, once it can be used. */
  readyOf(repo: string | null): Model | undefined {
    return this.ready.find((model) => model.repo !== null && model.repo === repo);
  }

  find(id: string | null): Model | undefined {
    return this.all?.find((model) => model.id === id);
  }

  /** Asks again. Changes that come in a row are asked for once, and once more at their end. */
  load(): Promise<void> {
    this.#again = this.#loading !== null;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
      if (this.#again) void this.load();
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    try {
      this.all = await api.models();
      this.error = null;
    } catch (error) {
      this.error = api.sentence(error);
    }
  }

  #update(cards: Card[]): void {
    const loaded = new Map(cards.filter((card) => card.state !== 'unloaded').map((card) => [card.id, card]));
    const update = (model: Model): Model => {
      const card = loaded.get(model.id) ?? null;
      return card === model.loaded ? model : { ...model, loaded: card };
    };
    this.all = this.all?.map(update) ?? null;
  }
}

export const models = new Models();
