/** How far is an answer? It shows once a frame, and is kept in the server every few seconds: if it breaks off, little is lost. */
import * as api from '../api';
import { isEmpty, newAnswer, take, thinkingTime } from '../lib/answer';
import { perFrame } from '../lib/frames';
import type { ChatRequest, Message, MessageChange } from '../types';

const KEEP_MS = 3000;
let made = 0;

/** Why an answer ended that was stopped here, in the place of the model's reason. */
export const STOPPED = 'cancelled';

/** One whole answer or what there is of it; `message` is null where nothing came. */
export interface Outcome {
  message: Message | null;
  /** Whether the server has all of it. */
  isKept: boolean;
  error: unknown;
}

export class LiveAnswer {
  readonly parent: string;
  readonly model: string;
  /** As far as it has come. Its id is this page's own. */
  message: Message;
  #answer = newAnswer();
  #asked = performance.now();
  #stop = new AbortController();
  #frames = perFrame(() => (this.message = { ...this.message, ...this.#change() }));
  #kept: { conversation: string; id: string | null; at: number };
  #keeping: Promise<Message | null> = Promise.resolve(null);

  constructor(conversation: string, parent: string, request: ChatRequest) {
    this.parent = parent;
    this.model = request.model;
    this.#kept = { conversation, id: null, at: -Infinity };
    const session = request.session_id ?? null;
    const empty = { reasoning: null, tool_calls: null, finish_reason: null, report: null };
    this.message = $state.raw({ ...empty, id: `live:${(made += 1)}`, parent, role: 'assistant', content: '', session, created_at: Date.now() });
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Asks, and gives what came of it. */
  async run(request: ChatRequest): Promise<Outcome> {
    const error = await this.#follow(request).catch((thrown: unknown) => thrown ?? null);
    if (api.isAbort(error)) this.#answer.finish ??= STOPPED;
    this.#frames.flush();
    if (isEmpty(this.#answer)) return { message: null, isKept: true, error };
    // If it cannot be kept it is still shown.
    const kept = await this.keep().catch(() => null);
    return { message: kept ?? { ...this.message, id: this.#kept.id ?? this.message.id }, isKept: kept !== null, error };
  }

  async #follow(request: ChatRequest): Promise<null> {
    for await (const chunk of api.chat(request, this.#stop.signal)) {
      take(this.#answer, chunk, performance.now());
      this.#frames.ask();
      if (!isEmpty(this.#answer) && performance.now() - this.#kept.at > KEEP_MS) void this.keep().catch(() => {});
    }
    return null;
  }

  /** Writes what there is: the first time as a new message. One after the other, or an older one could come last. */
  keep(): Promise<Message> {
    this.#kept.at = performance.now();
    const { conversation } = this.#kept;
    const kept = this.#keeping
      .catch(() => this.#taken())
      .then((before) => {
        const change = this.#change();
        if (before) return api.changeMessage(conversation, before.id, change);
        return api.addMessage(conversation, { ...change, parent: this.parent, role: 'assistant' });
      })
      .then((message) => ((this.#kept.id = message.id), message));
    this.#keeping = kept;
    return kept;
  }

  /** What the server has of it, even if its reply was lost: no two answers to one message share a session. */
  async #taken(): Promise<Message | null> {
    const { messages } = await api.conversation(this.#kept.conversation);
    const { parent, role, session } = this.message;
    return messages.find((one) => one.parent === parent && one.role === role && one.session === session) ?? null;
  }

  #change(): MessageChange & { content: string } {
    const { content, reasoning, calls, finish, report, firstAt } = this.#answer;
    const thought = thinkingTime(this.#answer, performance.now());
    const times = { first_token_ms: (firstAt ?? this.#asked) - this.#asked, ...(thought === null ? {} : { reasoning_ms: thought }) };
    return {
      content,
      reasoning: reasoning || null,
      tool_calls: calls.length > 0 ? structuredClone(calls) : null,
      finish_reason: finish,
      session: this.message.session,
      report: firstAt === null ? null : { ...report, ...times },
    };
  }
}
