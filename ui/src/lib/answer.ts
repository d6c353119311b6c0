/** An answer that is put together from the chunks of its stream. */
import type { ChatChunk, Report, ToolCall, ToolCallDelta } from '../types';

export interface Answer {
  content: string;
  reasoning: string;
  calls: ToolCall[];
  finish: string | null;
  report: Report | null;
  /** When its first token came, and the first that was not thought; milliseconds, of the clock that `take` is given. */
  firstAt: number | null;
  spokeAt: number | null;
}

export const newAnswer = (): Answer => ({
  content: '',
  reasoning: '',
  calls: [],
  finish: null,
  report: null,
  firstAt: null,
  spokeAt: null,
});

/** Adds what a chunk brings, at the time `now`. */
export function take(answer: Answer, chunk: ChatChunk, now: number): void {
  if (chunk.usage) answer.report = { ...answer.report, usage: chunk.usage };
  if (chunk.hearth) answer.report = { ...answer.report, ...chunk.hearth };
  const choice = chunk.choices[0];
  if (!choice) return;
  const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta;
  if (content || reasoning || calls) answer.firstAt ??= now;
  if (content || calls) answer.spokeAt ??= now;
  answer.content += content ?? '';
  answer.reasoning += reasoning ?? '';
  for (const call of calls ?? []) takeCall(answer.calls, call);
  answer.finish = choice.finish_reason ?? answer.finish;
}

function takeCall(calls: ToolCall[], { index, id, function: part }: ToolCallDelta): void {
  const call = (calls[index] ??= { id: id ?? '', type: 'function', function: { name: '', arguments: '' } });
  call.function.name += part?.name ?? '';
  call.function.arguments += part?.arguments ?? '';
}

export const isEmpty = ({ content, reasoning, calls }: Answer): boolean => !content && !reasoning && calls.length === 0;

/** How long it thought; null where it did not. */
export const thinkingTime = ({ reasoning, firstAt, spokeAt }: Answer, now: number): number | null =>
  reasoning && firstAt !== null ? (spokeAt ?? now) - firstAt : null;

/** A tool's arguments, one to a line; as they are where they are not JSON (yet). */
export function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
