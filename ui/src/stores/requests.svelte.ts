/** What has been asked of the server, and how far is it? */
import * as api from '../api';
import { isOpen, noted } from '../lib/timeline';
import type { CacheReport, RequestRecord } from '../types';
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

  /** Where the last answer in a session began. */
  cacheOf(session: string, model: string): CacheReport | null {
    return this.all?.find((record) => record.session === session && record.model === model && record.cache)?.cache ?? null;
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
