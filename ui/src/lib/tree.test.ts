import { expect, test } from 'vitest';
import type { Message } from '../types';
import { alternatives, branchTo, newestLeaf, sessionFor, treeOf } from './tree';

let time = 0;
const message = (id: string, parent: string | null, session: string | null = null): Message => ({
  id,
  parent,
  role: session ? 'assistant' : 'user',
  content: id,
  reasoning: null,
  tool_calls: null,
  finish_reason: null,
  session,
  report: null,
  created_at: (time += 1),
});

/** q1 has two answers; the first goes on with q2, which was edited once; the second ends there. */
const tree = treeOf([
  message('q1', null),
  message('a1', 'q1', 's'),
  message('q2', 'a1'),
  message('a2', 'q2', 's'),
  message('q2b', 'a1'),
  message('b1', 'q1', 't'),
]);

const ids = (messages: readonly Message[]) => messages.map(({ id }) => id);

test('a branch goes from the first message to its leaf', () => {
  expect(ids(branchTo(tree, 'a2'))).toEqual(['q1', 'a1', 'q2', 'a2']);
  expect(branchTo(tree, 'gone')).toEqual([]);
  expect(branchTo(tree, null)).toEqual([]);
});

test('alternatives have the same parent, oldest first', () => {
  expect(ids(alternatives(tree, { parent: 'q1' }))).toEqual(['a1', 'b1']);
  expect(ids(alternatives(tree, { parent: null }))).toEqual(['q1']);
});

test('the newest leaf is found from anywhere', () => {
  expect(newestLeaf(tree, null)).toBe('b1');
  expect(newestLeaf(tree, 'a1')).toBe('q2b');
  expect(newestLeaf(tree, 'b1')).toBe('b1');
});

test.each([
  ['a branch that goes on keeps its session', 'b1', { id: 't', from: null }],
  ['one that leaves another forks it', 'q2b', { id: 'new', from: 's' }],
  ['a second answer forks the first one', 'q1', { id: 'new', from: 's' }],
])('%s', (_, parent, plan) => expect(sessionFor(tree, parent, 'new')).toEqual(plan));

test('where nothing is shared there is nothing to fork', () => {
  const other = treeOf([message('q1', null), message('a1', 'q1', 's'), message('r1', null)]);
  expect(sessionFor(other, 'r1', 'new')).toEqual({ id: 'new', from: null });
});
