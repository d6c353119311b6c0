/** The rows of the Models page: what is installed, what is recommended and what the Hub has found, each model once. */
import type { Capability, CatalogModel, CatalogVariant, Download, Fit, Model, SearchHit } from '../types';

export type Section = 'installed' | 'catalog' | 'hub';

export interface Entry {
  key: string;
  section: Section;
  name: string;
  /** Where it comes from; null for a folder of one's own. */
  repo: string | null;
  model: Model | null;
  catalog: CatalogModel | null;
  /** The catalog's formats that are not here yet. */
  variants: CatalogVariant[];
  hit: SearchHit | null;
  download: Download | null;
}

export interface Sources {
  models: readonly Model[];
  catalog: readonly CatalogModel[];
  hits: readonly SearchHit[];
  downloads: readonly Download[];
}

/**
 * Joins the sources by their repositories. An entry of which nothing changed is the one of `before`, so that a long list
 * draws anew only what did.
 */
export function join({ models, catalog, hits, downloads }: Sources, before: readonly Entry[] = []): Entry[] {
  const openDownload = new Map(downloads.map((download) => [key(download.repo), download]));
  const inCatalog = new Map(catalog.flatMap((model) => model.variants.map(({ repo }) => [key(repo), model] as const)));
  // What is still coming stays in the row from which it was asked for.
  const isComing = ({ repo, state }: Model): boolean => state.value === 'partial' && openDownload.has(key(repo));
  const here = models.filter((model) => !isComing(model));
  const repos = new Set(here.map((model) => key(model.repo)));
  const isAway = ({ repo }: { repo: string }): boolean => !repos.has(key(repo));

  const installed = here.map((model) => ({
    ...entry('installed', model.id, model.name, model.repo),
    model,
    catalog: inCatalog.get(key(model.repo)) ?? null,
    download: openDownload.get(key(model.repo)) ?? null,
  }));
  const recommended = catalog.flatMap((model) => {
    const variants = model.variants.filter(isAway);
    const coming = variants.map(({ repo }) => openDownload.get(key(repo))).find(Boolean) ?? null;
    const repo = coming?.repo ?? variants[0]?.repo;
    return repo ? [{ ...entry('catalog', model.id, model.name, repo), catalog: model, variants, download: coming }] : [];
  });
  const found = hits.filter((hit) => isAway(hit) && !inCatalog.has(key(hit.repo))).map((hit) => ({
    ...entry('hub', hit.repo, shortName(hit.repo), hit.repo),
    hit,
    download: openDownload.get(key(hit.repo)) ?? null,
  }));
  const shown = new Set([...recommended, ...found, ...installed].map(({ download }) => download));
  const others = downloads.filter((download) => !shown.has(download)).map((download) => ({
    ...entry('installed', `download ${download.id}`, shortName(download.repo), download.repo),
    download,
  }));
  return keep(before, [...others, ...installed, ...recommended, ...found]);
}

/** The Hub does not tell cases apart. */
const key = (repo: string | null): string => repo?.toLowerCase() ?? '';

export const shortName = (repo: string): string => repo.split('/').at(-1) ?? repo;

const entry = (section: Section, id: string, name: string, repo: string | null): Entry => ({
  key: `${section} ${id}`,
  section,
  name,
  repo,
  model: null,
  catalog: null,
  variants: [],
  hit: null,
  download: null,
});

function keep(before: readonly Entry[], now: Entry[]): Entry[] {
  const old = new Map(before.map((entry) => [entry.key, entry]));
  const isSame = (one: Entry, other: Entry): boolean =>
    one.model === other.model &&
    one.catalog === other.catalog &&
    one.hit === other.hit &&
    one.download === other.download &&
    one.name === other.name &&
    one.variants.length === other.variants.length;
  return now.map((entry) => {
    const known = old.get(entry.key);
    return known && isSame(known, entry) ? known : entry;
  });
}

export const bytesOf = ({ model, variants, download }: Entry): number | null =>
  model?.bytes ?? variants[0]?.bytes ?? download?.total ?? null;

export const fitOf = ({ model, variants }: Entry): Fit | null => model?.fit ?? variants[0]?.fit ?? null;

/** Whether this build runs it, as far as is known. */
export const runs = ({ model, catalog }: Entry): boolean => (model ? model.state.value !== 'unsupported' : (catalog?.runs ?? true));

export interface Wanted {
  words: string;
  which: 'all' | 'installed' | 'fits';
  capability: Capability | 'any';
  size: SizeName;
  sort: SortName;
}

const GB = 1e9;

/** From, and up to, so many bytes. */
const sizes = {
  any: [0, Infinity],
  small: [0, 2 * GB],
  medium: [2 * GB, 8 * GB],
  large: [8 * GB, 20 * GB],
  huge: [20 * GB, Infinity],
} as const;

export type SizeName = keyof typeof sizes;

/** What comes first has the smaller number, or the earlier word. */
const orders = {
  recommended: (entry: Entry) => (runs(entry) ? 0 : 1),
  name: (entry: Entry) => entry.name.toLowerCase(),
  size: (entry: Entry) => bytesOf(entry) ?? Infinity,
  speed: (entry: Entry) => -(fitOf(entry)?.tokens_per_second ?? 0),
  used: (entry: Entry) => -(entry.model?.last_used ?? 0),
};

export type SortName = keyof typeof orders;

/** Those that are wanted, in the order that is wanted; what is equal stays as it was. */
export function select(entries: readonly Entry[], wanted: Wanted): Entry[] {
  const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
  const [least, most] = sizes[wanted.size];
  const order = orders[wanted.sort];
  const isWanted = (entry: Entry): boolean => {
    // The Hub has looked for the words itself; the rest is not known of its models before they are looked at.
    if (entry.section === 'hub') return wanted.which !== 'installed' || entry.download !== null;
    const bytes = bytesOf(entry);
    return (
      matches(entry, words) &&
      (wanted.which !== 'installed' || entry.section === 'installed' || entry.download !== null) &&
      (wanted.which !== 'fits' || (runs(entry) && fitOf(entry) !== null && fitOf(entry)?.verdict !== 'will_not_fit')) &&
      (wanted.capability === 'any' || Boolean(entry.catalog?.capabilities.includes(wanted.capability))) &&
      (wanted.size === 'any' || (bytes !== null && bytes >= least && bytes < most))
    );
  };
  return entries
    .filter(isWanted)
    .map((entry) => ({ entry, at: order(entry) }))
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    .map(({ entry }) => entry);
}

function matches({ name, repo, model, catalog }: Entry, words: string[]): boolean {
  const about = [name, repo, model?.id, model?.model_type, model?.aliases, catalog?.family, catalog?.licence, catalog?.capabilities];
  const text = about.flat().join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
}
