import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { languages, snippet, type Language, type Wanted } from './snippets';

const wanted: Wanted = { base: 'http://127.0.0.1:8080/v1', model: 'ember', stream: false, key: false };
const every = languages.flatMap((language) => [true, false].map((stream) => ({ language, stream })));

test.each(every)('$language (streamed: $stream) names the server, the model and the key', ({ language, stream }) => {
  expect(snippet(language, { ...wanted, stream })).toMatchSnapshot();
  const withKey = snippet(language, { ...wanted, stream, key: true });
  expect(withKey).toContain('YOUR_API_KEY');
  expect(snippet(language, { ...wanted, stream })).not.toContain('YOUR_API_KEY');
});

test('curl gets a body that the server can read, whatever the model is called', () => {
  const command = snippet('curl', { ...wanted, model: `it's "mine"` }).replace('curl', 'printf "%s\\n"');
  const lines = execFileSync('sh', ['-c', command], { encoding: 'utf8' });
  const body: unknown = JSON.parse(lines.slice(lines.indexOf('{')));
  expect(body).toMatchObject({ model: `it's "mine"` });
});

test.each(['python', 'node'] satisfies Language[])('%s quotes the name of a model', (language) => {
  expect(snippet(language, { ...wanted, model: 'a"b' })).toContain(String.raw`"a\"b"`);
});
