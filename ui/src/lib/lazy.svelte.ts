/** A part of the program that is fetched when it is first needed. */
export interface Lazy<Part> {
  /** null until it is here; asking for it fetches it. */
  readonly now: Part | null;
}

export function lazy<Part>(fetchIt: () => Promise<Part>): Lazy<Part> {
  let part = $state.raw<Part | null>(null);
  let fetching: Promise<unknown> | null = null;
  return {
    get now() {
      // One that does not come leaves plain text, and is asked for again by the next who needs it.
      fetching ??= fetchIt().then(
        (fetched) => (part = fetched),
        () => (fetching = null),
      );
      return part;
    },
  };
}
