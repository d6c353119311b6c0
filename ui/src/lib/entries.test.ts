import { expect, test } from 'vitest';
import type { CatalogModel, Download, Fit, Model, SearchHit } from '../types';
import { join, select, type Sources, type Wanted } from './entries';

const fit = (verdict: Fit['verdict'], speed: number) => ({ verdict, tokens_per_second: speed }) as Fit;

const model = (name: string, more: Partial<Model> = {}): Model =>
  ({ id: name, name, repo: `mlx/${name}`, aliases: [], bytes: 1e9, state: { value: 'ready' }, fit: fit('fits_well', 5), ...more }) as Model;

const recommended = (name: string, bytes: number, more: Partial<CatalogModel> = {}): CatalogModel =>
  ({
    id: name,
    name,
    runs: true,
    capabilities: ['chat'],
    variants: [4, 8].map((bits) => ({ repo: `mlx/${name}-${bits}bit`, bits, bytes: bytes * bits, fit: fit('fits_well', 80 / bits) })),
    ...more,
  }) as CatalogModel;

const hit = (repo: string): SearchHit => ({ repo }) as SearchHit;
const download = (id: number, repo: string): Download => ({ id, repo, state: 'running' }) as Download;

const sources = (given: Partial<Sources>): Sources => ({ models: [], catalog: [], hits: [], downloads: [], ...given });
const keys = (given: Partial<Sources>): string[] => join(sources(given)).map((entry) => entry.key);

const anything: Wanted = { words: '', which: 'all', capability: 'any', size: 'any', sort: 'recommended' };

test('each model is listed once, wherever it is known from', () => {
  const given = {
    models: [model('Qwen-4bit', { repo: 'MLX/Qwen-4bit' })],
    catalog: [recommended('Qwen', 1e8), recommended('Phi', 1e8)],
    hits: [hit('mlx/qwen-4bit'), hit('mlx/Phi-8bit'), hit('other/New')],
  };
  expect(keys(given)).toEqual(['installed Qwen-4bit', 'catalog Qwen', 'catalog Phi', 'hub other/New']);
  const [here, rest] = join(sources(given));
  expect(here?.catalog?.name).toBe('Qwen');
  expect(rest?.variants.map(({ bits }) => bits)).toEqual([8]);
});

test('what is coming stays in the row from which it was asked for', () => {
  const partial = model('Phi-8bit', { state: { value: 'partial', reason: 'half' } });
  const coming = download(1, 'mlx/Phi-8bit');
  const entries = join(sources({ models: [partial], catalog: [recommended('Phi', 1e8)], downloads: [coming] }));
  expect(entries.map(({ key, repo, download }) => [key, repo, download])).toEqual([['catalog Phi', 'mlx/Phi-8bit', coming]]);
});

test('a download that no list knows, and a half model that nobody downloads, are among the installed', () => {
  const partial = model('Half', { state: { value: 'partial', reason: 'half' } });
  expect(keys({ models: [partial], downloads: [download(7, 'some/Where')] })).toEqual(['installed download 7', 'installed Half']);
});

test('an entry of which nothing changed stays the same object', () => {
  const [one, other] = [model('One'), model('Other')];
  const before = join(sources({ models: [one, other] }));
  const after = join(sources({ models: [one, { ...other, pinned: true }] }), before);
  expect(after[0]).toBe(before[0]);
  expect(after[1]).not.toBe(before[1]);
});

const shelf = join(
  sources({
    models: [model('Bravo', { bytes: 3e9, last_used: 5 }), model('Alfa', { last_used: 9, aliases: ['gpt-4o'] })],
    catalog: [
      recommended('Later', 1e8, { runs: false }),
      recommended('Coder', 1e9, { capabilities: ['chat', 'code'] }),
      recommended('Giant', 9e9, {
        variants: [{ repo: 'mlx/Giant', bits: 4, bytes: 36e9, estimated: false, installed: false, fit: fit('will_not_fit', 1) }],
      }),
    ],
  }),
);

test.each<[string, Partial<Wanted>, string[]]>([
  ['as it comes, with what does not run yet last', {}, ['Bravo', 'Alfa', 'Coder', 'Giant', 'Later']],
  ['every word somewhere', { words: 'MLX  cod' }, ['Coder']],
  ['by another name', { words: 'gpt-4o' }, ['Alfa']],
  ['installed', { which: 'installed' }, ['Bravo', 'Alfa']],
  ['that fit and run', { which: 'fits' }, ['Bravo', 'Alfa', 'Coder']],
  ['with an ability', { capability: 'code' }, ['Coder']],
  ['of a size', { size: 'medium' }, ['Bravo', 'Coder']],
  ['by name', { sort: 'name' }, ['Alfa', 'Bravo', 'Coder', 'Giant', 'Later']],
  ['the smallest first', { sort: 'size' }, ['Later', 'Alfa', 'Bravo', 'Coder', 'Giant']],
  ['the fastest first', { sort: 'speed' }, ['Later', 'Coder', 'Bravo', 'Alfa', 'Giant']],
  ['the last used first', { sort: 'used' }, ['Alfa', 'Bravo', 'Later', 'Coder', 'Giant']],
])('select: %s', (_, wanted, expected) => {
  expect(select(shelf, { ...anything, ...wanted }).map(({ name }) => name)).toEqual(expected);
});
