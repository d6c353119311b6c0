import { expect, test } from 'vitest';
import { apiName, names } from './names';

test('programs call a model by its name in lower case with hyphens', () => {
  expect(apiName(' My Qwen 3 ')).toBe('my-qwen-3');
});

test('names are told apart at commas, and said once', () => {
  expect(names(' gpt-4o,  gpt-4o , ,my model')).toEqual(['gpt-4o', 'my model']);
});
