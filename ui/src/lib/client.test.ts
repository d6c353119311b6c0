import { expect, test } from 'vitest';
import { programOf } from './client';

test.each([
  ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15', null],
  ['OpenAI/Python 2.3.0', 'OpenAI/Python 2.3.0'],
  ['Zed/0.210.4 (macos; aarch64)', 'Zed/0.210.4'],
  ['', ''],
])('%j is %j', (agent, program) => expect(programOf(agent)).toBe(program));
