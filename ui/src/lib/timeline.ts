/** Where a request's time went, as the parts of one bar. */
import type { RequestRecord } from '../types';

export const phases = ['queue', 'load', 'restore', 'prefill', 'decode'] as const;
export type Phase = (typeof phases)[number];

export interface Part {
  /** `open`: it is still going on, and it is not known yet which phases it will have been. */
  phase: Phase | 'open';
  ms: number;
}

type Timed = Pick<RequestRecord, 'at' | 'state' | 'timings' | 'first_token_ms' | 'total_ms'>;

export const isOpen = ({ state }: Pick<RequestRecord, 'state'>): boolean => state === 'waiting' || state === 'answering';

/** How long it has taken by `now`, both in milliseconds since 1970. */
export const elapsed = (request: Timed, now: number): number =>
  isOpen(request) ? Math.max(0, now - request.at) : (request.total_ms ?? 0);

/** Its parts in order, those that took time; together they are `elapsed` long. */
export function parts(request: Timed, now: number): Part[] {
  const total = elapsed(request, now);
  if (request.timings) return closed(request.timings, total);
  const waited = Math.min(total, request.first_token_ms ?? total);
  const answered: Part = { phase: 'decode', ms: total - waited };
  return [{ phase: 'open' as const, ms: waited }, answered].filter(({ ms }) => ms > 0);
}

function closed(timings: NonNullable<Timed['timings']>, total: number): Part[] {
  const known = phases.map((phase) => ({ phase, ms: timings[`${phase}_ms`] })).filter(({ ms }) => ms >= 0.5);
  const rest = total - known.reduce((sum, { ms }) => sum + ms, 0);
  // What no phase counts (a client that reads slowly) would leave a gap at the end.
  return rest >= 0.5 ? [...known, { phase: 'open', ms: rest }] : known;
}

/**
 * The time that the whole width stands for: the longest request's. One that took far longer than most fills it, or the others
 * would be too short to see; and it is never so short that noise looks like work.
 */
export function span(requests: readonly Timed[], now: number): number {
  const times = requests.map((request) => elapsed(request, now)).sort((a, b) => a - b);
  const [middle = 0, longest = 0] = [times[Math.floor(times.length / 2)], times.at(-1)];
  return Math.max(500, Math.min(longest, 6 * middle));
}

/** The list with a record that is new or has changed; newest first, and no more than `most`. */
export function noted(requests: readonly RequestRecord[], record: RequestRecord, most: number): RequestRecord[] {
  const at = requests.findIndex(({ id }) => id === record.id);
  return at >= 0 ? requests.with(at, record) : [record, ...requests].slice(0, most);
}
