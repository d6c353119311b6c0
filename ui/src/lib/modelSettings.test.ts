import { expect, test } from 'vitest';
import type { ModelSettings } from '../types';
import { asTexts, changes, isReadable } from './modelSettings';

const settings: ModelSettings = {
  context_length: 8192,
  temperature: 0,
  top_p: null,
  top_k: null,
  min_p: null,
  repetition_penalty: null,
  chat_template: '/tmp/template.jinja',
  keep_alive: -1,
};

test('what is shown and not touched changes nothing', () => {
  expect(changes(asTexts(settings), settings)).toEqual({});
});

test('only what was changed is told, and an emptied field is taken back', () => {
  const texts = { ...asTexts(settings), context_length: '', top_p: ' 0.9 ', chat_template: '' };
  expect(changes(texts, settings)).toEqual({ context_length: null, top_p: 0.9, chat_template: null });
});

test.each([
  ['temperature', '', true],
  ['temperature', ' 0.7', true],
  ['keep_alive', '-1', true],
  ['temperature', 'warm', false],
  ['top_k', '1e999', false],
  ['chat_template', 'a path', true],
] as const)('%s as %j can be read: %j', (name, text, readable) => expect(isReadable(name, text)).toBe(readable));
