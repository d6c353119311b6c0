/** What is set, and what is in force? */
import * as api from '../api';
import type { Settings, SettingsChange } from '../types';

class SettingsStore {
  now = $state.raw<Settings | null>(null);
  error = $state<string | null>(null);

  async load(): Promise<void> {
    try {
      this.now = await api.settings();
      this.error = null;
    } catch (error) {
      this.error = api.sentence(error);
    }
  }

  /** Changes settings; what the server refuses is thrown. */
  async change(change: SettingsChange): Promise<void> {
    this.now = await api.changeSettings(change);
  }

  /** Makes a new API key, which nobody is told again. */
  async makeKey(): Promise<string> {
    const { key } = await api.makeKey();
    await this.load();
    return key;
  }

  async removeKey(): Promise<void> {
    await api.removeKey();
    await this.load();
  }
}

export const settings = new SettingsStore();
