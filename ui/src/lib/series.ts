/** The last hour as lines of a chart: one point for each bucket of time, also where nothing happened. */
import type { Bucket } from '../types';

export interface Series {
  label: string;
  /** null: nothing was measured then. */
  values: (number | null)[];
}

export interface Chart {
  /** Seconds since 1970, as charts count. */
  times: number[];
  series: Series[];
}

const HOUR = 3600;

/** The hour up to `now` (milliseconds), a bucket or null for each step of it. */
export function hourOf(buckets: readonly Bucket[], seconds: number, now: number): { times: number[]; buckets: (Bucket | null)[] } {
  const last = Math.floor(now / 1000 / seconds) * seconds;
  const times = Array.from({ length: HOUR / seconds }, (_, step) => last - HOUR + (step + 1) * seconds);
  const byTime = new Map(buckets.map((bucket) => [Math.floor(bucket.at / 1000 / seconds) * seconds, bucket]));
  return { times, buckets: times.map((time) => byTime.get(time) ?? null) };
}

/** The share of prompts that caches had; null where nothing was read. */
export const hitRate = ({ prompt_tokens: all, cached_tokens: cached }: Bucket): number | null => (all > 0 ? cached / all : null);

/** The memory of each model on top of that of those before it; the first is the lowest. */
export function stacked(buckets: readonly (Bucket | null)[]): Series[] {
  const models = [...new Set(buckets.flatMap((bucket) => Object.keys(bucket?.memory ?? {})))].sort();
  const below = buckets.map(() => 0);
  return models.map((label) => ({
    label,
    values: buckets.map((bucket, at) => (below[at] = (below[at] ?? 0) + (bucket?.memory[label] ?? 0))),
  }));
}

/** What a stack is made of, model by model. */
export const unstacked = (series: readonly Series[]): Series[] =>
  series.map(({ label, values }, layer) => ({
    label,
    values: values.map((value, at) => (value ?? 0) - (series[layer - 1]?.values[at] ?? 0)),
  }));

/** The points of a chart at which something was measured, newest first: what its table shows. */
export const rowsOf = ({ times, series }: Chart): { time: number; values: (number | null)[] }[] =>
  times
    .map((time, at) => ({ time, values: series.map(({ values }) => values[at] ?? null) }))
    .filter(({ values }) => values.some((value) => value !== null && value !== 0))
    .reverse();
