/** Which models does Hearth recommend? */
import * as api from '../api';
import type { CatalogModel } from '../types';
import { events } from './events.svelte';

class Catalog {
  all = $state.raw<CatalogModel[] | null>(null);
  error = $state<string | null>(null);

  constructor() {
    // What is installed changed, or how much memory there is.
    events.on('models', () => void (this.all && this.load()));
  }

  async load(): Promise<void> {
    try {
      this.all = await api.catalog();
      this.error = null;
    } catch (error) {
      this.error = api.sentence(error);
    }
  }
}

export const catalog = new Catalog();
