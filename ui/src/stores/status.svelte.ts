/** How is the server? */
import type { Status } from '../types';
import { events } from './events.svelte';

class ServerStatus {
  now = $state.raw<Status | null>(null);

  constructor() {
    events.on('status', (status) => (this.now = status));
  }
}

export const status = new ServerStatus();
