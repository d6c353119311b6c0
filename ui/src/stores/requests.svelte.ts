/** What has been asked of the server, and how far is it? */
import * as api from '../api';
import { isOpen, noted } from '../lib/timeline';
import type { RequestRecord } from '../types';
import { events } from './events.svelte';

/** As many as the server keeps. */
const MOST = 200;

class Requests {
  /** The newest first; null until they are known. */
  all = $state.raw<RequestRecord[] | null>(null);
  error = $state<string | null>(null);

  constructor() {
    events.on('request', (record) => (this.all = noted(this.all ?? [], record, MOST)));
    events.onConnected(() => void this.load());
  }

  get anyOpen(): boolean {
    return this.all?.some(isOpen) ?? false;
  }

  /** The last one of a session. */
  ofSession(id: string, model: string): RequestRecord | undefined {
    return this.all?.find((record) => record.session === id && record.model === model);
  }

  async load(): Promise<void> {
    try {
      [this.all, this.error] = [await api.requests(), null];
    } catch (error) {
      this.error = api.sentence(error);
    }
  }
}

export const requests = new Requests();
