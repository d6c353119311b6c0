/** Which conversations have been opened here? They stay, so that an answer goes on while another one is read. */
import { SvelteMap } from 'svelte/reactivity';
import { Chat } from './chat.svelte';
import { conversations } from './conversations.svelte';
import { events } from './events.svelte';
import { router } from './router.svelte';

class Chats {
  #open = new SvelteMap<string, Chat>();
  /** The one in which nothing has been said. */
  #fresh = $state.raw(this.#new());

  constructor() {
    events.onConnected(() => this.#open.forEach((chat) => void chat.settle().catch(() => {})));
  }

  get fresh(): Chat {
    return this.#fresh;
  }

  find(id: string | null): Chat | undefined {
    return id === null ? undefined : this.#open.get(id);
  }

  /** Makes ready what the address names, and looks whether it has changed. */
  open(id: string | null): void {
    if (id === null) return;
    if (!this.#open.has(id)) this.#open.set(id, new Chat(id, (chat) => this.#changed(chat)));
    void this.find(id)?.load();
  }

  /** Goes to a new chat, with a model of somebody's choice. */
  begin(model: string | null): void {
    if (model !== null) void this.#fresh.change({ model });
    router.go('chat');
  }

  forget(id: string): void {
    this.#open.delete(id);
  }

  #new(): Chat {
    return new Chat(null, (chat) => this.#changed(chat));
  }

  /** Something was said in it. */
  #changed(chat: Chat): void {
    if (chat === this.#fresh && chat.id !== null) this.#begun(chat, chat.id);
    void conversations.load();
  }

  #begun(chat: Chat, id: string): void {
    this.#open.set(id, chat);
    this.#fresh = this.#new();
    if (router.page === 'chat' && router.id === null) router.replace('chat', id);
  }
}

export const chats = new Chats();
