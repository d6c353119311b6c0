import { expect, test } from 'vitest';
import type { Bucket } from '../types';
import { hitRate, hourOf, mean, memoryOf, rowsOf, stacked, sum } from './series';

const bucket = (at: number, more: Partial<Bucket> = {}): Bucket => ({
  at,
  requests: 1,
  failed: 0,
  prompt_tokens: 0,
  cached_tokens: 0,
  completion_tokens: 0,
  first_token_ms: null,
  decode_tokens_per_second: null,
  memory: {},
  ...more,
});

const MINUTE = 60_000;
const now = 100 * MINUTE + 5000;

test('an hour has sixty minutes, and what is older is left out', () => {
  const buckets = [bucket(MINUTE), bucket(99 * MINUTE), bucket(99 * MINUTE + 50_000), bucket(100 * MINUTE)];
  const { times, minutes } = hourOf(buckets, now);
  expect([times.length, times[0], times.at(-1)]).toEqual([60, 41 * 60, 100 * 60]);
  expect(minutes.slice(-3).map(({ length }) => length)).toEqual([0, 2, 1]);
  expect(sum(minutes.flat(), 'requests')).toBe(3);
});

test('of what was read, a share was cached', () => {
  expect(hitRate([bucket(0, { prompt_tokens: 300, cached_tokens: 50 }), bucket(0, { prompt_tokens: 100, cached_tokens: 50 })])).toBe(0.25);
  expect(hitRate([bucket(0)])).toBeNull();
});

test('a longer answer says more about the speed than a short one', () => {
  const buckets = [
    bucket(0, { decode_tokens_per_second: 40, completion_tokens: 300 }),
    bucket(0, { decode_tokens_per_second: 80, completion_tokens: 100 }),
    bucket(0, { completion_tokens: 7 }),
  ];
  expect(mean(buckets, 'decode_tokens_per_second', 'completion_tokens')).toBe(50);
  expect(mean([bucket(0)], 'first_token_ms', 'requests')).toBeNull();
});

test('memory stays as it was seen last, until it is seen again', () => {
  const minutes = [[], [bucket(0, { memory: { b: 2, gone: 0 } })], [], [bucket(0, { memory: { a: 1, b: 3 } })], []];
  const series = memoryOf(minutes, { b: 5 });
  expect(series).toEqual([
    { label: 'a', values: [0, 0, 0, 1, 0] },
    { label: 'b', values: [0, 2, 2, 3, 5] },
  ]);
  expect(stacked(series).map(({ values }) => values)).toEqual([
    [0, 0, 0, 1, 0],
    [0, 2, 2, 4, 5],
  ]);
});

test('the table has what was measured, newest first', () => {
  const chart = { times: [1, 2, 3], series: [{ label: 'a', values: [4, null, 6] }] };
  expect(rowsOf(chart).map(({ time, values }) => [time, ...values])).toEqual([
    [3, 6],
    [1, 4],
  ]);
});
