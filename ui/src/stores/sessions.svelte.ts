/** Which conversations does the server keep warm? */
import * as api from '../api';
import type { SessionCard } from '../types';

class Sessions {
  /** The last used first; null until they are known. */
  all = $state.raw<SessionCard[] | null>(null);
  error = $state<string | null>(null);

  async load(): Promise<void> {
    try {
      [this.all, this.error] = [await api.sessions(), null];
    } catch (error) {
      this.error = api.sentence(error);
    }
  }

  async rename({ id, model }: SessionCard, title: string): Promise<void> {
    await api.renameSession(id, title, model);
    await this.load();
  }

  async fork({ id, model }: SessionCard): Promise<void> {
    await api.forkSession(id, undefined, model);
    await this.load();
  }

  async remove({ id, model }: SessionCard): Promise<void> {
    await api.removeSession(id, model);
    await this.load();
  }
}

export const sessions = new Sessions();
