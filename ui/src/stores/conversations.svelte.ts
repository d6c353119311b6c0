/** Which conversations are there? */
import * as api from '../api';
import type { Conversation } from '../types';
import { chats } from './chats.svelte';
import { events } from './events.svelte';

const PAGE = 50;

class Conversations {
  /** Where something was said last first; null until they are known. */
  all = $state.raw<Conversation[] | null>(null);
  more = $state(false);
  error = $state<string | null>(null);
  /** What `all` was searched for. */
  found = $state('');
  #search = '';
  #asked: AbortController | null = null;

  constructor() {
    // Whoever looked at them wants to know what became of them meanwhile.
    events.onConnected(() => this.all && void this.load());
  }

  find(id: string | null): Conversation | undefined {
    return this.all?.find((conversation) => conversation.id === id);
  }

  /** The one that a session is of: it is named after it; branches have a dot and more. */
  ofSession(id: string): Conversation | undefined {
    return this.find(id.split('.')[0] ?? null);
  }

  /** Those with all of these words; all for none. */
  search(words: string): Promise<void> {
    this.#search = words.trim();
    return this.load();
  }

  /** Asks again for the first page. */
  async load(): Promise<void> {
    await this.#ask(undefined);
  }

  /** Adds the next page. */
  async loadMore(): Promise<void> {
    await this.#ask(this.all?.at(-1)?.updated_at);
  }

  async rename(id: string, title: string): Promise<void> {
    this.#note(await api.changeConversation(id, { title }));
    const chat = chats.find(id);
    if (chat) chat.title = title;
  }

  async remove(id: string): Promise<void> {
    chats.find(id)?.stop();
    await api.removeConversation(id);
    chats.forget(id);
    this.all = this.all?.filter((conversation) => conversation.id !== id) ?? null;
  }

  #note(changed: Conversation): void {
    this.all = this.all?.map((one) => (one.id === changed.id ? { ...one, ...changed, snippet: one.snippet ?? '' } : one)) ?? null;
  }

  async #ask(before: number | undefined): Promise<void> {
    this.#asked?.abort();
    const { signal } = (this.#asked = new AbortController());
    const q = this.#search;
    try {
      const { conversations, more } = await api.conversations({ q, limit: PAGE, ...(before ? { before } : {}) }, signal);
      this.all = before ? [...(this.all ?? []), ...conversations] : conversations;
      [this.more, this.found, this.error] = [more, q, null];
    } catch (error) {
      if (!api.isAbort(error)) this.error = api.sentence(error);
    }
  }
}

export const conversations = new Conversations();
