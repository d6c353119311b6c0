/**
 * The server, as this page asks it. Every `fetch` is here. What goes wrong is an `ApiError`: one sentence for a person,
 * the server's own where it said one.
 */
import { backoff, pause } from './lib/backoff';
import { EventParser, type ServerEvent } from './lib/sse';
import { strings } from './strings';
import type * as T from './types';

export class ApiError extends Error {
  /** HTTP's; 0 where the server did not answer. */
  readonly status: number;
  readonly code: string | null;

  constructor(message: string, status = 0, code: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get isUnreachable(): boolean {
    return this.status === 0;
  }

  /** Whether the management API does not know who asks. */
  get refusesToken(): boolean {
    return this.code === 'invalid_token';
  }
}

/** What to show of something that was thrown. */
export const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether somebody stopped it on purpose. */
export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

let token: string | null = null;
let signedOut = (): void => {};

/** The token of every further request, and what to do when the server does not take it. */
export function authorize(newToken: string | null, whenRefused: () => void): void {
  token = newToken;
  signedOut = whenRefused;
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

async function send(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = new Headers();
  if (token) headers.set('Authorization', `Bearer ${token}`);
  if (method === 'POST' || method === 'PATCH') headers.set('Content-Type', 'application/json');
  const text = headers.has('Content-Type') ? JSON.stringify(body ?? {}) : null;
  // A change goes out even if the page closes; browsers send 64 kB so, and a character may take three.
  const keepalive = method === 'PATCH' && (text?.length ?? 0) < 20_000;
  const asked = fetch(path, { method, headers, body: text, signal: signal ?? null, keepalive });
  const response = await asked.catch((error: unknown) => {
    throw isAbort(error) ? error : new ApiError(strings.errors.unreachable);
  });
  if (response.ok) return response;
  const error = await refusal(response);
  if (error.refusesToken) signedOut();
  throw error;
}

async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  return errorOf(body, response.status) ?? new ApiError(strings.errors.status(response.status), response.status);
}

/** The error that a body in OpenAI's shape tells of. */
function errorOf(body: unknown, status: number): ApiError | null {
  const { error } = (body ?? {}) as { error?: { message?: string; code?: string | null } };
  return error?.message ? new ApiError(error.message, status, error.code ?? null) : null;
}

async function ask<A>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<A> {
  const response = await send(method, path, body, signal);
  // The types are those of the server's documentation; it is the one that built this page.
  return (await response.json()) as A;
}

async function* events(response: Response): AsyncGenerator<ServerEvent> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw isAbort(error) ? error : new ApiError(strings.errors.interrupted);
      });
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

const ADMIN = '/admin/v1';

function query(path: string, values: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return search ? `${path}?${search}` : path;
}

const at = (...parts: (string | number)[]): string => [ADMIN, ...parts.map((part) => encodeURIComponent(part))].join('/');

// Signing in

export const signIn = (key: string): Promise<{ token: string }> => ask('POST', at('session'), { key });
export const makeLink = (): Promise<{ url: string }> => ask('POST', at('links'));

// Models

export const models = async (): Promise<T.Model[]> => (await ask<{ models: T.Model[] }>('GET', at('models'))).models;
export const changeModel = (id: string, change: T.ModelChange): Promise<T.Model> => ask('PATCH', at('models', id), change);
export const removeModel = (id: string, force = false): Promise<{ id: string; freed_bytes: number }> =>
  ask('DELETE', query(at('models', id), { force: force || undefined }));
export const loadModel = (model: string): Promise<unknown> => ask('POST', '/v1/models/load', { model });
export const unloadModel = (model: string, force = false): Promise<unknown> =>
  ask('POST', at('unload'), { model, force });

/** The models as clients see them. */
export const offered = async (): Promise<T.OfferedModel[]> => (await ask<{ data: T.OfferedModel[] }>('GET', '/v1/models')).data;

// Models that could be here

export const catalog = async (): Promise<T.CatalogModel[]> =>
  (await ask<{ models: T.CatalogModel[] }>('GET', at('catalog'))).models;
export const search = async (q: string, sort: T.SearchSort, limit: number, signal?: AbortSignal): Promise<T.SearchHit[]> =>
  (await ask<{ models: T.SearchHit[] }>('GET', query(at('search'), { q, sort, limit }), undefined, signal)).models;
export const fit = (repo: string, signal?: AbortSignal): Promise<T.RepoFit> =>
  ask('GET', query(at('fit'), { repo }), undefined, signal);

// Downloads

export const downloads = async (): Promise<T.Download[]> =>
  (await ask<{ downloads: T.Download[] }>('GET', at('downloads'))).downloads;
export const startDownload = (repo: string): Promise<T.Download> => ask('POST', at('downloads'), { repo });
export const pauseDownload = (id: number): Promise<T.Download> => ask('POST', at('downloads', id, 'pause'));
export const resumeDownload = (id: number): Promise<T.Download> => ask('POST', at('downloads', id, 'resume'));
export const cancelDownload = (id: number): Promise<unknown> => ask('DELETE', at('downloads', id));

// The server

export const status = (): Promise<T.Status> => ask('GET', at('status'));
export const settings = (): Promise<T.Settings> => ask('GET', at('settings'));
export const changeSettings = (change: T.SettingsChange): Promise<T.Settings> => ask('PATCH', at('settings'), change);
export const makeKey = (): Promise<{ key: string }> => ask('POST', at('key'));
export const removeKey = (): Promise<unknown> => ask('DELETE', at('key'));
export const logs = async (lines: number): Promise<string[]> =>
  (await ask<{ lines: string[] }>('GET', query(at('logs'), { lines }))).lines;

// Conversations

export const conversations = (
  wanted: { q?: string; limit?: number; before?: number },
  signal?: AbortSignal,
): Promise<{ conversations: T.Conversation[]; more: boolean }> =>
  ask('GET', query(at('conversations'), wanted), undefined, signal);
export const conversation = (id: string): Promise<{ conversation: T.Conversation; messages: T.Message[] }> =>
  ask('GET', at('conversations', id));
export const newConversation = (start: T.ConversationChange): Promise<T.Conversation> =>
  ask('POST', at('conversations'), start);
export const changeConversation = (id: string, change: T.ConversationChange): Promise<T.Conversation> =>
  ask('PATCH', at('conversations', id), change);
export const removeConversation = (id: string): Promise<unknown> => ask('DELETE', at('conversations', id));
export const addMessage = (conversation: string, message: T.NewMessage): Promise<T.Message> =>
  ask('POST', at('conversations', conversation, 'messages'), message);
export const changeMessage = (conversation: string, id: string, change: T.MessageChange): Promise<T.Message> =>
  ask('PATCH', at('conversations', conversation, 'messages', id), change);

// Sessions

const sessionAt = (id: string): string => `/v1/sessions/${encodeURIComponent(id)}`;

export const sessions = async (): Promise<T.SessionCard[]> => (await ask<{ data: T.SessionCard[] }>('GET', '/v1/sessions')).data;
export const renameSession = (id: string, title: string, model: string): Promise<unknown> =>
  ask('PATCH', query(sessionAt(id), { model }), { title });
/** A second session that begins like the first. */
export const forkSession = (id: string, newId?: string, model?: string): Promise<unknown> =>
  ask('POST', query(`${sessionAt(id)}/fork`, { model }), { id: newId });
export const removeSession = (id: string, model: string): Promise<unknown> =>
  ask('DELETE', query(sessionAt(id), { model }));

// Answers

/** An answer, chunk by chunk. Aborting `signal`, or leaving the loop, cancels it in the server. */
export async function* chat(request: T.ChatRequest, signal: AbortSignal): AsyncGenerator<T.ChatChunk> {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const response = await send('POST', '/v1/chat/completions', body, signal);
  for await (const { data } of events(response)) {
    if (data === '[DONE]') return;
    const chunk: unknown = JSON.parse(data);
    const error = errorOf(chunk, response.status);
    if (error) throw error;
    yield chunk as T.ChatChunk;
  }
}

// Activity

export const requests = async (): Promise<T.RequestRecord[]> =>
  (await ask<{ requests: T.RequestRecord[] }>('GET', at('requests'))).requests;
export const activity = (): Promise<{ bucket_seconds: number; buckets: T.Bucket[] }> => ask('GET', at('activity'));

/** Something that changed in the server, by its name. */
export type Told = { [Name in keyof T.Events]: { name: Name; data: T.Events[Name] } }[keyof T.Events];

/**
 * Follows what changes in the server until `signal` says stop, connecting again whenever the stream ends. `connected` hears
 * whether it stands; each time that it does, the server first tells how all is.
 */
export async function follow(
  tell: (event: Told) => void,
  connected: (stands: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      const response = await send('GET', at('events'), undefined, signal);
      connected(true);
      failures = 0;
      for await (const { event, data } of events(response)) tell({ name: event, data: JSON.parse(data) } as Told);
    } catch (error) {
      // A refusal has been acted on where it was met; anything else is worth another try.
      if (error instanceof ApiError && error.refusesToken) return;
    }
    if (signal.aborted) return;
    connected(false);
    await pause(backoff(failures), signal);
  }
}
