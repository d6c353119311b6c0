import { expect, test } from 'vitest';
import { readSampling, wordsOf } from './sampling';

const nothing = wordsOf(null);

test('what was chosen reads as it was typed', () => {
  const sampling = { temperature: 0.7, top_k: 40, max_tokens: 512, reasoning_effort: 'low' };
  expect(readSampling(wordsOf(sampling), 'low')).toEqual({ sampling, wrong: [] });
});

test('nothing chosen is nothing sent', () => expect(readSampling(nothing, '')).toEqual({ sampling: null, wrong: [] }));

test('a comma is a point', () => {
  expect(readSampling({ ...nothing, top_p: ' 0,9 ' }, '').sampling).toEqual({ top_p: 0.9 });
});

test.each([
  ['temperature', '2.1'],
  ['temperature', 'warm'],
  ['top_p', '-0.1'],
  ['top_k', '1.5'],
  ['max_tokens', '0'],
])('%s %s is wrong', (field, text) => expect(readSampling({ ...nothing, [field]: text }, '').wrong).toEqual([field]));
