/** Many changes, one picture: `publish` runs at most once a frame, however often it is asked to. */
export interface Frames {
  ask(): void;
  /** At once, for the last time. */
  flush(): void;
}

export function perFrame(publish: () => void, next: (run: () => void) => void = requestAnimationFrame): Frames {
  let asked = false;
  const run = () => {
    if (asked) publish();
    asked = false;
  };
  return {
    ask() {
      if (!asked) next(run);
      asked = true;
    },
    flush() {
      asked = true;
      run();
    },
  };
}
