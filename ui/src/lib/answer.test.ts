import { expect, test } from 'vitest';
import type { ChatChunk } from '../types';
import { isEmpty, newAnswer, pretty, take, thinkingTime } from './answer';

const chunk = (delta: ChatChunk['choices'][0]['delta'], finish: string | null = null): ChatChunk => ({
  id: 'c',
  model: 'ember',
  choices: [{ index: 0, delta, finish_reason: finish }],
  usage: null,
});

const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

test('an answer grows by its chunks', () => {
  const answer = newAnswer();
  take(answer, chunk({ role: 'assistant', content: '' }), 10);
  expect(isEmpty(answer)).toBe(true);
  take(answer, chunk({ reasoning_content: 'Hm' }), 100);
  take(answer, chunk({ reasoning_content: '.' }), 200);
  expect(thinkingTime(answer, 250)).toBe(150);
  take(answer, chunk({ content: 'Yes' }), 400);
  take(answer, chunk({ content: '.' }), 500);
  expect(thinkingTime(answer, 900)).toBe(300);
  take(answer, { ...chunk({}, 'stop'), hearth: { session: null } }, 500);
  take(answer, { id: 'c', model: 'ember', choices: [], usage }, 500);
  expect(answer).toMatchObject({ content: 'Yes.', reasoning: 'Hm.', finish: 'stop', report: { session: null, usage } });
});

test('calls come in pieces, several at once', () => {
  const answer = newAnswer();
  take(answer, chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'tide', arguments: '' } }] }), 1);
  take(answer, chunk({ tool_calls: [{ index: 0, function: { arguments: '{"at"' } }] }), 1);
  take(answer, chunk({ tool_calls: [{ index: 1, id: 'b', function: { name: 'moon' } }] }), 1);
  take(answer, chunk({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }), 1);
  expect(answer.calls.map(({ id, function: { name, arguments: given } }) => [id, name, given])).toEqual([
    ['a', 'tide', '{"at":1}'],
    ['b', 'moon', ''],
  ]);
});

test('without thoughts there is no time for them', () => {
  const answer = newAnswer();
  take(answer, chunk({ content: 'Yes' }), 400);
  expect(thinkingTime(answer, 900)).toBeNull();
});

test.each([
  ['{"a":1}', '{\n  "a": 1\n}'],
  ['{"a":', '{"a":'],
])('%s reads %j', (given, shown) => expect(pretty(given)).toBe(shown));
