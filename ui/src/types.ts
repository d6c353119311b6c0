/** What the server says and is told, as it stands on the wire. */

// Models

export type ModelState = { value: 'ready' | 'partial' | 'unsupported' | 'damaged'; reason?: string };
export type Verdict = 'fits_well' | 'tight' | 'will_not_fit';
export type Capability = 'chat' | 'code' | 'reasoning' | 'tools' | 'vision';

/** How a model fits this machine; sizes in bytes. */
export interface Fit {
  verdict: Verdict;
  sentence: string;
  weights: number;
  conversation: number;
  tokens: number;
  token_bytes: number;
  /** What a process may hold; 0: not known. */
  limit: number;
  largest_context: number;
  tokens_per_second: number | null;
}

export interface ModelSettings {
  context_length: number | null;
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  repetition_penalty: number | null;
  chat_template: string | null;
  /** Seconds; below 0 for ever. */
  keep_alive: number | null;
}

/** What the worker of a model does. */
export interface Card {
  id: string;
  state: 'unloaded' | 'loading' | 'ready' | 'answering';
  /** Of a load, from 0 to 1. */
  progress: number | null;
  pid: number | null;
  memory: { weights: number; kept: number; running: number };
  pinned: boolean;
  /** Seconds since 1970. */
  last_used: number | null;
  /** Seconds. */
  unloads_in: number | null;
  running: number;
  queued: number;
}

export interface Model {
  id: string;
  name: string;
  source: string;
  repo: string | null;
  dir: string;
  bytes: number;
  model_type: string | null;
  bits: number | null;
  state: ModelState;
  default: boolean;
  pinned: boolean;
  settings: ModelSettings;
  aliases: string[];
  uses: number;
  /** Seconds since 1970. */
  last_used: number | null;
  fit: Fit | null;
  builtin: boolean;
  loaded: Card | null;
}

export interface ModelChange {
  name?: string;
  aliases?: string[];
  pinned?: boolean;
  settings?: Partial<ModelSettings>;
}

export interface CatalogVariant {
  repo: string;
  bits: number;
  bytes: number;
  estimated: boolean;
  installed: boolean;
  fit: Fit | null;
}

export interface CatalogModel {
  id: string;
  repo: string;
  name: string;
  family: string;
  parameters: number;
  active_parameters: number;
  licence: string;
  capabilities: Capability[];
  context_length: number | null;
  description: string;
  runs: boolean;
  variants: CatalogVariant[];
}

export interface SearchHit {
  repo: string;
  downloads: number;
  likes: number;
  tags: string[];
  gated: boolean;
  /** ISO 8601. */
  updated: string | null;
  installed: boolean;
}

export type SearchSort = 'trending' | 'downloads' | 'likes' | 'updated';

export interface RepoFit {
  repo: string;
  bytes: number;
  model_type: string | null;
  runs: boolean;
  fit: Fit;
}

// Downloads

export type DownloadState =
  | 'queued'
  | 'checking'
  | 'running'
  | 'paused'
  | 'verifying'
  | 'done'
  | 'failed'
  | 'cancelled';

export interface Download {
  id: number;
  repo: string;
  revision: string;
  state: DownloadState;
  reason?: string;
  bytes: number;
  total: number | null;
  bytes_per_second: number;
  seconds_left: number | null;
  files: { name: string; state: DownloadState; bytes: number; total: number }[];
  /** Seconds since 1970. */
  created: number;
  updated: number;
}

// The server

export interface Status {
  version: string;
  pid: number;
  uptime_seconds: number;
  url: string;
  models: Card[];
  /** Bytes; a limit of 0 is not known. */
  memory: { limit: number; used: number };
  disk: { dir: string; free: number | null };
  cache?: { dir: string | null; limit: number; used: number };
  requests: { running: number; waiting: number };
}

/** What the running server can be told to be; `null` is the default. */
export interface ServerSettings {
  port: number | null;
  network: boolean | null;
  /** Bytes. */
  memory: number | null;
  cache_memory: number | null;
  cache_disk: number | null;
  /** Seconds; -1 never. */
  idle_timeout: number | null;
}

export interface Settings extends ServerSettings {
  model_folders: string[];
  default_model: string | null;
  hub_endpoint: string | null;
  in_force: ServerSettings;
  from: Record<keyof ServerSettings, 'setting' | 'flag' | 'default'>;
  needs_restart: boolean;
  api_key: { set: boolean };
}

export type SettingsChange = Partial<
  ServerSettings & Pick<Settings, 'default_model' | 'hub_endpoint'> & { model_folders: string[] | null }
>;

// Conversations

export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  max_tokens?: number;
  reasoning_effort?: string;
}

/** Times are in milliseconds since 1970, here and below. */
export interface Conversation {
  id: string;
  title: string | null;
  model: string | null;
  system: string | null;
  sampling: Sampling | null;
  leaf: string | null;
  created_at: number;
  updated_at: number;
  /** Of a search: the words around the hit. */
  snippet?: string;
}

export type ConversationChange = Partial<Pick<Conversation, 'title' | 'model' | 'system' | 'sampling' | 'leaf'>>;

export type Role = 'user' | 'assistant' | 'tool';

export interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

export interface Message {
  id: string;
  parent: string | null;
  role: Role;
  content: string;
  reasoning: string | null;
  tool_calls: ToolCall[] | null;
  finish_reason: string | null;
  session: string | null;
  report: Report | null;
  created_at: number;
}

export type MessageChange = Partial<
  Pick<Message, 'content' | 'reasoning' | 'tool_calls' | 'finish_reason' | 'session' | 'report'>
>;
export type NewMessage = Pick<Message, 'parent' | 'role' | 'content'> & MessageChange;

// Answers

export interface CacheReport {
  source: 'memory' | 'disk' | 'none';
  matched_tokens: number;
  miss: { reason: 'cold' | 'changed' | 'evicted' | 'uncuttable'; message_index: number | null } | null;
}

export interface Timings {
  queue_ms: number;
  load_ms: number;
  restore_ms: number;
  prefill_ms: number;
  decode_ms: number;
  prefill_tokens_per_second: number | null;
  decode_tokens_per_second: number | null;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens: number };
  completion_tokens_details?: { reasoning_tokens: number };
}

/** The `hearth` object of an answer. */
export interface Report {
  session?: { id: string; turn: 'new' | 'continued' | 'delta' | 'replaced'; kept: boolean } | null;
  cache?: CacheReport | null;
  timings?: Timings | null;
  /** Kept with a message beside what the server says. */
  usage?: Usage | null;
  /** As this page saw it, in milliseconds. */
  first_token_ms?: number;
  reasoning_ms?: number;
}

export interface ChatMessage {
  role: 'system' | Role;
  content: string | null;
  reasoning_content?: string;
  tool_calls?: ToolCall[];
  tool_call_id?: string;
}

export interface ChatRequest extends Sampling {
  model: string;
  messages: ChatMessage[];
  session_id?: string;
  tools?: unknown[];
}

export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: 'function';
  function?: { name?: string; arguments?: string };
}

/** One frame of a streamed answer. */
export interface ChatChunk {
  id: string;
  model: string;
  choices: {
    index: number;
    delta: { role?: string; content?: string | null; reasoning_content?: string | null; tool_calls?: ToolCallDelta[] };
    finish_reason: string | null;
  }[];
  usage: Usage | null;
  hearth?: Report;
}

/** A model as clients see it. */
export interface OfferedModel {
  id: string;
  /** Tokens; null where only its files know. */
  context_length: number | null;
}

/** A conversation that the server keeps warm. */
export interface SessionCard {
  id: string;
  /** What people call it. */
  title: string | null;
  model: string;
  /** Seconds since 1970, both. */
  created: number;
  last_used: number;
  message_count: number;
  /** Of the last prompt and its answer. */
  tokens: number;
  bytes: number;
  busy: boolean;
}

// Activity

export interface RequestRecord {
  id: string;
  at: number;
  protocol: string;
  path: string;
  client: string | null;
  model: string;
  session: string | null;
  stream: boolean;
  state: 'waiting' | 'answering' | 'done' | 'failed' | 'cancelled';
  error: string | null;
  finish_reason: string | null;
  prompt_tokens: number | null;
  cached_tokens: number | null;
  completion_tokens: number;
  first_token_ms: number | null;
  total_ms: number | null;
  timings: Timings | null;
  cache: CacheReport | null;
}

/** Ten seconds of activity. */
export interface Bucket {
  at: number;
  requests: number;
  failed: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  first_token_ms: number | null;
  decode_tokens_per_second: number | null;
  /** Bytes by model. */
  memory: Record<string, number>;
}

/** What `/events` tells, by the event's name. */
export interface Events {
  download: Download;
  forgotten: { id: number };
  models: Record<string, never>;
  status: Status;
  request: RequestRecord;
}
