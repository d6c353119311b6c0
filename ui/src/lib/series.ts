/** The last hour minute by minute, as charts and their tables show it. */
import type { Bucket } from '../types';

export interface Series {
  label: string;
  /** null: nothing was measured then. */
  values: (number | null)[];
}

export interface Chart {
  /** Seconds since 1970, as charts count; a point for each minute, also where nothing happened. */
  times: number[];
  series: Series[];
}

/** What happened within one minute. */
export type Minute = readonly Bucket[];

const MINUTES = 60;

/** The hour up to `now`, in milliseconds since 1970. */
export function hourOf(buckets: readonly Bucket[], now: number): { times: number[]; minutes: Minute[] } {
  const minuteOf = (ms: number) => Math.floor(ms / 60_000) * 60;
  const times = Array.from({ length: MINUTES }, (_, step) => minuteOf(now) - (MINUTES - 1 - step) * 60);
  const byMinute = new Map(times.map((time) => [time, [] as Bucket[]]));
  for (const bucket of buckets) byMinute.get(minuteOf(bucket.at))?.push(bucket);
  return { times, minutes: [...byMinute.values()] };
}

type Field = 'requests' | 'failed' | 'prompt_tokens' | 'cached_tokens' | 'completion_tokens';

export const sum = (buckets: Minute, field: Field): number => buckets.reduce((total, bucket) => total + bucket[field], 0);

/** The share of prompts that caches had; null where nothing was read. */
export function hitRate(buckets: Minute): number | null {
  const read = sum(buckets, 'prompt_tokens');
  return read > 0 ? sum(buckets, 'cached_tokens') / read : null;
}

/** The mean of a measure, in which those count more that stand for more; null where nothing was measured. */
export function mean(buckets: Minute, measure: 'first_token_ms' | 'decode_tokens_per_second', weight: Field): number | null {
  const measured = buckets.flatMap((bucket) => {
    const value = bucket[measure];
    return value === null ? [] : [{ value, weight: Math.max(1, bucket[weight]) }];
  });
  const weights = measured.reduce((total, one) => total + one.weight, 0);
  return weights > 0 ? measured.reduce((total, one) => total + one.value * one.weight, 0) / weights : null;
}

/**
 * The memory of each model, in bytes. It is only looked at when something is asked, so between two looks it counts as
 * unchanged; `current` is how it is now.
 */
export function memoryOf(minutes: readonly Minute[], current: Record<string, number>): Series[] {
  let last: Record<string, number> = {};
  const known = minutes.map((buckets) => (last = buckets.at(-1)?.memory ?? last)).with(-1, current);
  const models = [...new Set(known.flatMap(Object.keys))].sort();
  const series = models.map((label) => ({ label, values: known.map((memory) => memory[label] ?? 0) }));
  return series.filter(({ values }) => values.some((value) => value > 0));
}

/** Each on top of those before it; the first is the lowest. */
export function stacked(series: readonly Series[]): Series[] {
  const below: number[] = [];
  return series.map(({ label, values }) => ({
    label,
    values: values.map((value, at) => (below[at] = (below[at] ?? 0) + (value ?? 0))),
  }));
}

/** The points at which something was measured, newest first: what a table shows. */
export const rowsOf = ({ times, series }: Chart): { time: number; values: (number | null)[] }[] =>
  times
    .map((time, at) => ({ time, values: series.map(({ values }) => values[at] ?? null) }))
    .filter(({ values }) => values.some((value) => value !== null && value !== 0))
    .reverse();
