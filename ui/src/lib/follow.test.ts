import { expect, test } from 'vitest';
import { follow } from './follow';

/** What is taken where these are heard before the answer, and those after it. */
async function taken(before: string[], after: string[]): Promise<string[]> {
  const states: string[] = [];
  let tell = (_state: string): void => {};
  const listen = async (heard: typeof tell) => void (tell = heard);
  const ask = async () => {
    // The answer is under way.
    before.forEach((state) => tell(state));
    return 'asked';
  };
  await follow(listen, ask, (state) => states.push(state));
  after.forEach((state) => tell(state));
  return states;
}

test('an answer is followed by what is heard after it', async () => {
  expect(await taken([], ['one', 'two'])).toEqual(['asked', 'one', 'two']);
});

test('an answer that is overtaken counts no more', async () => {
  expect(await taken(['one', 'two'], ['three'])).toEqual(['one', 'two', 'three']);
});
