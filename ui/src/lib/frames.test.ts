import { expect, test } from 'vitest';
import { perFrame } from './frames';

function screen() {
  const waiting: (() => void)[] = [];
  let published = 0;
  const frames = perFrame(
    () => (published += 1),
    (run) => waiting.push(run),
  );
  return { frames, paint: () => waiting.splice(0).forEach((run) => run()), published: () => published };
}

test('what is asked for between two frames is published once', () => {
  const { frames, paint, published } = screen();
  for (let token = 0; token < 200; token += 1) frames.ask();
  expect(published()).toBe(0);
  paint();
  paint();
  expect(published()).toBe(1);
  frames.ask();
  paint();
  expect(published()).toBe(2);
});

test('a flush does not wait, and nothing is left for the frame after it', () => {
  const { frames, paint, published } = screen();
  frames.ask();
  frames.flush();
  expect(published()).toBe(1);
  paint();
  expect(published()).toBe(1);
});
