import { expect, test } from 'vitest';
import type { Bucket } from '../types';
import { hitRate, hourOf, rowsOf, stacked, unstacked } from './series';

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

const now = 10_000_003_000;

test('an hour has a step every ten seconds, the last of them now', () => {
  const { times, buckets } = hourOf([bucket(9_999_990_000), bucket(1_000)], 10, now);
  expect(times).toHaveLength(360);
  expect(times.at(-1)).toBe(10_000_000);
  expect(buckets.flatMap((one, step) => (one ? [times[step]] : []))).toEqual([9_999_990]);
});

test.each([
  [0, 0, null],
  [200, 50, 0.25],
])('of %d tokens %d were cached', (all, cached, rate) => {
  expect(hitRate(bucket(0, { prompt_tokens: all, cached_tokens: cached }))).toBe(rate);
});

test('models lie on top of each other, also while one is not loaded', () => {
  const buckets = [bucket(0, { memory: { a: 1, b: 2 } }), null, bucket(0, { memory: { b: 5 } })];
  const series = stacked(buckets);
  expect(series).toEqual([
    { label: 'a', values: [1, 0, 0] },
    { label: 'b', values: [3, 0, 5] },
  ]);
  expect(unstacked(series).map(({ values }) => values)).toEqual([
    [1, 0, 0],
    [2, 0, 5],
  ]);
});

test('the table has what was measured, newest first', () => {
  const chart = { times: [1, 2, 3], series: [{ label: 'a', values: [4, null, 6] }] };
  expect(rowsOf(chart).map(({ time, values }) => [time, ...values])).toEqual([
    [3, 6],
    [1, 4],
  ]);
});
