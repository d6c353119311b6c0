/** How the next word is chosen, as it is typed and as the server takes it. */
import type { Sampling } from '../types';

/** Of each field: from where to where it goes, and whether it is counted. */
export const limits = {
  temperature: { from: 0, to: 2, whole: false },
  top_p: { from: 0, to: 1, whole: false },
  top_k: { from: 0, to: null, whole: true },
  min_p: { from: 0, to: 1, whole: false },
  max_tokens: { from: 1, to: null, whole: true },
} as const;

export type SamplingField = keyof typeof limits;
type Words = Record<SamplingField, string>;

const fields = Object.keys(limits) as SamplingField[];

export const wordsOf = (sampling: Sampling | null): Words =>
  Object.fromEntries(fields.map((field) => [field, sampling?.[field]?.toString() ?? ''])) as Words;

/** What was typed, without what was left empty; null if that is all. `wrong` names what is no such number. */
export function readSampling(words: Words, effort: string): { sampling: Sampling | null; wrong: SamplingField[] } {
  const typed = fields.filter((field) => words[field].trim() !== '');
  const numbers = typed.map((field) => [field, Number(words[field].trim().replace(',', '.'))] as const);
  const wrong = numbers.filter(([field, number]) => !isWithin(field, number)).map(([field]) => field);
  const sampling: Sampling = { ...Object.fromEntries(numbers), ...(effort ? { reasoning_effort: effort } : {}) };
  return { sampling: Object.keys(sampling).length > 0 ? sampling : null, wrong };
}

function isWithin(field: SamplingField, number: number): boolean {
  const { from, to, whole } = limits[field];
  return number >= from && number <= (to ?? Infinity) && (!whole || Number.isInteger(number));
}
