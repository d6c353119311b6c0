import { expect, test } from 'vitest';
import type { RequestRecord, Timings } from '../types';
import { elapsed, noted, parts, span } from './timeline';

const timings: Timings = {
  queue_ms: 0.1,
  load_ms: 300,
  restore_ms: 0,
  prefill_ms: 100,
  decode_ms: 400,
  prefill_tokens_per_second: null,
  decode_tokens_per_second: null,
};

const request = (more: Partial<RequestRecord>): RequestRecord => ({
  id: 'r',
  at: 1000,
  protocol: 'openai',
  path: '/v1/chat/completions',
  client: null,
  model: 'ember',
  session: null,
  stream: true,
  state: 'done',
  error: null,
  finish_reason: 'stop',
  prompt_tokens: 1,
  cached_tokens: 0,
  completion_tokens: 1,
  first_token_ms: null,
  total_ms: null,
  timings: null,
  cache: null,
  ...more,
});

test('one that is done has its phases, and what no phase counts', () => {
  expect(parts(request({ timings, total_ms: 820.1 }), 9000)).toEqual([
    { phase: 'load', ms: 300 },
    { phase: 'prefill', ms: 100 },
    { phase: 'decode', ms: 400 },
    { phase: 'open', ms: expect.closeTo(20.1) },
  ]);
});

test('one that waits grows with the clock', () => {
  const waiting = request({ state: 'waiting' });
  expect(parts(waiting, 1250)).toEqual([{ phase: 'open', ms: 250 }]);
  expect(elapsed(waiting, 1400)).toBe(400);
  // A clock that is behind the server's takes nothing back.
  expect(parts(waiting, 900)).toEqual([]);
});

test('one that answers has waited, and answers', () => {
  expect(parts(request({ state: 'answering', first_token_ms: 200 }), 1500)).toEqual([
    { phase: 'open', ms: 200 },
    { phase: 'decode', ms: 300 },
  ]);
});

test.each([
  [[], 500],
  [[20, 30], 500],
  [[900, 2000], 2000],
  [[400, 500, 600, 60_000], 3600],
])('for requests of %j ms the width is %d ms', (times, width) => {
  expect(span(times.map((total_ms) => request({ total_ms })), 0)).toBe(width);
});

test('a record takes the place of its earlier self, or comes first', () => {
  const [one, two, three] = ['1', '2', '3'].map((id) => request({ id }));
  const list = noted(noted([one!], two!, 2), { ...one!, state: 'failed' }, 2);
  expect(list.map(({ id, state }) => [id, state])).toEqual([
    ['2', 'done'],
    ['1', 'failed'],
  ]);
  expect(noted(list, three!, 2).map(({ id }) => id)).toEqual(['3', '2']);
});
