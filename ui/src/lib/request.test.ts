import { expect, test } from 'vitest';
import type { Message, Role } from '../types';
import { requestOf, tokensOf } from './request';

const message = (role: Role, content: string, more: Partial<Message> = {}): Message => ({
  id: content,
  parent: null,
  role,
  content,
  reasoning: null,
  tool_calls: null,
  finish_reason: null,
  session: null,
  report: null,
  created_at: 0,
  ...more,
});

const asked = { model: 'ember', system: null, sampling: null, session: 's' };

test('the system prompt comes first, and only if there is one', () => {
  const branch = [message('user', 'Hi')];
  expect(requestOf({ ...asked, system: 'Be brief.', sampling: { temperature: 0 } }, branch)).toEqual({
    model: 'ember',
    session_id: 's',
    temperature: 0,
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ],
  });
  expect(requestOf({ ...asked, system: ' \n' }, branch).messages).toHaveLength(1);
});

test('an answer that never came leaves no gap', () => {
  const branch = [message('user', 'One'), message('assistant', ''), message('user', 'Two')];
  expect(requestOf(asked, branch).messages).toEqual([{ role: 'user', content: 'One\n\nTwo' }]);
});

test('thoughts, calls and their results go along', () => {
  const call = { id: 'c1', type: 'function' as const, function: { name: 'tide', arguments: '{}' } };
  const branch = [message('user', 'Tide?'), message('assistant', '', { reasoning: 'Ask.', tool_calls: [call] }), message('tool', 'high')];
  expect(requestOf(asked, branch).messages.slice(1)).toEqual([
    { role: 'assistant', content: '', reasoning_content: 'Ask.', tool_calls: [call] },
    { role: 'tool', content: 'high', tool_call_id: 'c1' },
  ]);
});

test('the last answer that counted says how much of the context is used', () => {
  const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
  expect(tokensOf([message('user', 'a'), message('assistant', 'b', { report: { usage } }), message('user', 'c')])).toBe(7);
  expect(tokensOf([message('user', 'a')])).toBe(0);
});
