import { expect, test } from 'vitest';
import { failureOf } from './failure';

test.each([
  [404, 'model_not_found', 'model'],
  [500, 'model_load_failed', 'model'],
  [503, 'out_of_memory', 'memory'],
  [400, 'context_length_exceeded', 'context'],
  // In a stream an error has the status of the answer that it is part of.
  [200, 'out_of_memory', 'memory'],
  [0, null, 'server'],
  [500, 'worker_died', 'other'],
  [404, 'session_not_found', 'other'],
] as const)('%d %s', (status, code, kind) => expect(failureOf({ status, code })).toBe(kind));
