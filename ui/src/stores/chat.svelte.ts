/** What is said in one conversation, and what is being answered? */
import * as api from '../api';
import { requestOf } from '../lib/request';
import { branchTo, newestLeaf, sessionFor, treeOf } from '../lib/tree';
import type { Conversation, ConversationChange, Message, Role } from '../types';
import { LiveAnswer } from './answer.svelte';
import { models } from './models.svelte';

type Settings = Pick<Conversation, 'model' | 'system' | 'sampling'>;

export class Chat {
  /** null until something is said. */
  id = $state<string | null>(null);
  title = $state<string | null>(null);
  settings = $state.raw<Settings>({ model: null, system: null, sampling: null });
  messages = $state.raw<Message[]>([]);
  leaf = $state<string | null>(null);
  live = $state.raw<LiveAnswer | null>(null);
  /** Why the last answer to a message failed. */
  failure = $state.raw<{ parent: string; error: unknown } | null>(null);
  state = $state<'loading' | 'ready' | 'failed'>('ready');
  error = $state<string | null>(null);
  /** What is being written. */
  draft = $state('');
  /** A message is on its way to the server. */
  sending = $state(false);
  tree = $derived(treeOf(this.messages));
  branch = $derived(branchTo(this.tree, this.leaf));
  #changed: (chat: Chat) => void;
  #keys = new Map<string, string>();
  /** What the server could not take. */
  #unkept = new Set<LiveAnswer>();

  constructor(id: string | null, changed: (chat: Chat) => void) {
    this.#changed = changed;
    if (id === null) return;
    this.id = id;
    this.state = 'loading';
  }

  /** The model that answers next: the chosen one, else the default. */
  get model(): string | null {
    return this.settings.model ?? models.default?.id ?? models.ready[0]?.id ?? null;
  }

  /** What shows: the branch, and behind it what is being answered. */
  get shown(): Message[] {
    return this.live && this.live.parent === this.leaf ? [...this.branch, this.live.message] : this.branch;
  }

  /** What tells a message apart while it is shown: an answer keeps its key when the server has given it an id. */
  keyOf = ({ id }: Message): string => this.#keys.get(id) ?? id;

  /** Asks the server how the conversation is. */
  async load(): Promise<void> {
    if (this.id === null || this.live) return;
    try {
      await this.settle();
      const { conversation, messages } = await api.conversation(this.id);
      this.#take(conversation);
      this.messages = messages;
      this.leaf = conversation.leaf ?? newestLeaf(treeOf(messages), null);
      [this.state, this.error] = ['ready', null];
    } catch (error) {
      [this.state, this.error] = ['failed', api.sentence(error)];
    }
  }

  async change(change: ConversationChange): Promise<void> {
    this.settings = { ...this.settings, ...change };
    if (this.id !== null) this.#take(await api.changeConversation(this.id, change));
  }

  /** Says `text` at the end of the branch. */
  send(text: string): Promise<void> {
    return this.#say(text, () => this.leaf);
  }

  /** Says `text` in the place of a message, on a branch of its own. */
  edit(message: Message, text: string): Promise<void> {
    return this.#say(text, () => message.parent);
  }

  /** Answers a message: for the first time, again, or once more after it failed. */
  async answer(parent: string): Promise<void> {
    if (this.id === null || this.live) return;
    this.leaf = parent;
    this.failure = null;
    const fresh = this.messages.some(({ session }) => session !== null) ? `${this.id}.${Date.now().toString(36)}` : this.id;
    const plan = sessionFor(this.tree, parent, fresh);
    // The server has a default too, should somebody write before it has said which.
    const model = this.model ?? 'default';
    const request = requestOf({ ...this.settings, model, session: plan.id }, branchTo(this.tree, parent));
    const live = (this.live = new LiveAnswer(this.id, parent, request));
    // Where there is nothing to fork any more, the answer is only slower.
    if (plan.from) await api.forkSession(plan.from, plan.id).catch(() => null);
    const { message, isKept, error } = await live.run(request);
    if (!isKept) this.#unkept.add(live);
    if (message) this.#add(message, parent, live.message.id);
    if (error && !api.isAbort(error)) this.failure = { parent, error };
    this.live = null;
    this.#changed(this);
  }

  stop(): void {
    this.live?.stop();
  }

  /** Writes what the server could not take, so that nothing is lost while its page is open. */
  async settle(): Promise<void> {
    for (const answer of this.#unkept) {
      this.#add(await answer.keep(), answer.parent, answer.message.id);
      this.#unkept.delete(answer);
    }
  }

  /** Shows the branch that leads through `message`. */
  async show(message: Message): Promise<void> {
    this.leaf = newestLeaf(this.tree, message.id);
    if (this.id !== null && this.leaf !== null) await api.changeConversation(this.id, { leaf: this.leaf });
  }

  /** `parentOf` is asked once all that is shown has the server's ids. */
  async #say(text: string, parentOf: () => string | null): Promise<void> {
    if (this.sending || this.live) return;
    this.sending = true;
    try {
      await this.settle();
      const parent = parentOf();
      const id = await this.#begin();
      const said = await api.addMessage(id, { parent, role: 'user' satisfies Role, content: text });
      this.#add(said, parent);
      this.#changed(this);
      void this.answer(said.id);
    } finally {
      this.sending = false;
    }
  }

  async #begin(): Promise<string> {
    if (this.id !== null) return this.id;
    const { system, sampling } = this.settings;
    const started = await api.newConversation({ model: this.model, system, sampling });
    this.id = started.id;
    return started.id;
  }

  #add(message: Message, parent: string | null, key = message.id): void {
    this.#keys.set(message.id, key);
    this.messages = [...this.messages.filter(({ id }) => id !== message.id && id !== key), message];
    // Whoever looks at another branch by now stays there.
    if (this.leaf === parent || this.leaf === key || message.role === 'user') this.leaf = message.id;
  }

  #take({ title, model, system, sampling }: Conversation): void {
    this.title = title;
    this.settings = { model, system, sampling };
  }
}
