/**
 * Which models to begin with: of those that run well, the largest, one a third of it, and one a third of that. Where all are
 * slow, the smallest, for that is the fastest.
 */
import type { CatalogModel } from '../types';

const SHARES = [1 / 9, 1 / 3, 1];

/** Tokens per second that one can read along with. */
const READABLE = 10;

/** At most three, the smallest first. */
export function suggest(catalog: readonly CatalogModel[]): CatalogModel[] {
  const size = (model?: CatalogModel): number => model?.variants[0]?.bytes ?? 0;
  const fitting = catalog
    .filter(({ runs, variants: [first] }) => runs && first?.fit?.verdict === 'fits_well')
    // Those that are for code or think at length are a poor first impression.
    .filter(({ capabilities }) => !capabilities.includes('code') && !capabilities.includes('reasoning'))
    .sort((a, b) => size(a) - size(b));
  const good = fitting.filter(({ variants: [first] }) => (first?.fit?.tokens_per_second ?? READABLE) >= READABLE);
  if (good.length === 0) return fitting.slice(0, 1);
  const most = size(good.at(-1));
  const picked = SHARES.map((share) => good.findLast((model) => size(model) <= most * share));
  return [...new Set(picked)].filter((model) => model !== undefined);
}
