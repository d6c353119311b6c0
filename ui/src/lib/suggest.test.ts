import { expect, test } from 'vitest';
import type { CatalogModel, Verdict } from '../types';
import { suggest } from './suggest';

const model = (name: string, gigabytes: number, more: Partial<CatalogModel> = {}, verdict: Verdict = 'fits_well') =>
  ({ name, runs: true, capabilities: ['chat'], variants: [{ bytes: gigabytes * 1e9, fit: { verdict } }], ...more }) as CatalogModel;

const slow = (name: string, gigabytes: number) =>
  model(name, gigabytes, { variants: [{ bytes: gigabytes * 1e9, fit: { verdict: 'fits_well', tokens_per_second: 3 } }] } as CatalogModel);

const names = (catalog: CatalogModel[]): string[] => suggest(catalog).map(({ name }) => name);

test('three sizes, the smallest first', () => {
  const catalog = [model('9', 9), model('0.5', 0.5), model('4', 4), model('1', 1), model('2.9', 2.9)];
  expect(names(catalog)).toEqual(['1', '2.9', '9']);
});

test('nothing that does not run, does not fit well, or is for something special', () => {
  const catalog = [
    model('later', 5, { runs: false }),
    model('tight', 12, {}, 'tight'),
    model('coder', 6, { capabilities: ['chat', 'code'] }),
    slow('slow', 4),
    model('good', 3),
  ];
  expect(names(catalog)).toEqual(['good']);
});

test('the smallest where all are slow', () => expect(names([slow('2', 2), slow('1', 1)])).toEqual(['1']));

test('none from none', () => expect(names([])).toEqual([]));
