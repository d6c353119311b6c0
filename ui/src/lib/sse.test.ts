import { expect, test } from 'vitest';
import { EventParser } from './sse';

const stream = 'event: status\r\ndata: {"a":1}\r\n\r\n: keep-alive\n\ndata: one\ndata: two\n\ndata: [DONE]\n\n';
const events = [
  { event: 'status', data: '{"a":1}' },
  { event: 'message', data: 'one\ntwo' },
  { event: 'message', data: '[DONE]' },
];

test('events come whole however the stream is cut', () => {
  for (let size = 1; size <= stream.length; size += 1) {
    const parser = new EventParser();
    const pieces = stream.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
    expect(pieces.flatMap((piece) => parser.push(piece))).toEqual(events);
  }
});

test('an event that has not ended is not told', () => {
  expect(new EventParser().push('data: half')).toEqual([]);
});
