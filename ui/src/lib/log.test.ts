import { expect, test } from 'vitest';
import { atLeast, linesOf } from './log';

const at = Date.parse('2026-11-21T20:19:46.755Z');

test.each([
  ['2026-11-21T20:19:46.755Z  INFO loading model="ember"', { at, level: 'info', text: 'loading model="ember"' }],
  ['2026-11-21T20:19:46.755Z ERROR the disk is full', { at, level: 'error', text: 'the disk is full' }],
  [
    '{"timestamp":"2026-11-21T20:19:46.755Z","level":"WARN","fields":{"message":"slow","ms":12},"target":"hearth"}',
    { at, level: 'warn', text: 'slow ms=12' },
  ],
  ['{ not JSON', { at: null, level: 'info', text: '{ not JSON' }],
])('%s', (raw, line) => expect(linesOf([raw])).toEqual([line]));

test('what this page asks for is left out, unless it failed', () => {
  const lines = ['GET /admin/v1/logs 200 0 ms', 'GET /admin/v1/logs 500 0 ms', 'GET /v1/models 200 0 ms', 'POST /admin/v1/key 200 0 ms'];
  expect(linesOf(lines.map((text) => `2026-11-21T20:19:46.755Z  INFO ${text}`)).map(({ text }) => text)).toEqual(lines.slice(1));
});

test('a line without a level goes on from the one before', () => {
  const lines = linesOf(['2026-11-21T20:19:46.755Z ERROR it failed:', '   at the third layer', '2026-11-21T20:19:46.755Z DEBUG so']);
  expect(lines.map(({ level }) => level)).toEqual(['error', 'error', 'debug']);
  expect(atLeast(lines, 'warn')).toHaveLength(2);
  expect(atLeast(lines, 'debug')).toHaveLength(3);
});
