/** Takes each state that it hears of, and first the one it asks for, unless it hears of one before the answer: that is newer. */
export async function follow<State>(
  listen: (heard: (state: State) => void) => Promise<unknown>,
  ask: () => Promise<State>,
  take: (state: State) => void,
): Promise<void> {
  let hasHeard = false;
  await listen((state) => {
    hasHeard = true;
    take(state);
  });
  const asked = await ask();
  if (!hasHeard) take(asked);
}
