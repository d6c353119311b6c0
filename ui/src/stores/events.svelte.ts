/** What changes in the server, told to whoever listens. One stream serves the whole page. */
import { follow, type Told } from '../api';
import type { Events as ByName } from '../types';

type Listener = (event: Told) => void;

class Events {
  /** Whether the stream stands. */
  connected = $state(false);
  #listeners = new Set<Listener>();
  #whenConnected = new Set<() => void>();

  /** Calls `heard` for each event of that name. */
  on<Name extends keyof ByName>(name: Name, heard: (data: ByName[Name]) => void): void {
    this.#listeners.add((event) => {
      if (event.name === name) heard(event.data as ByName[Name]);
    });
  }

  /** Calls `heard` each time that the stream stands again, before its first event. */
  onConnected(heard: () => void): void {
    this.#whenConnected.add(heard);
  }

  /** Follows until the function that it gives is called. */
  start(): () => void {
    const stop = new AbortController();
    void follow(
      (event) => this.#listeners.forEach((listener) => listener(event)),
      (stands) => {
        this.connected = stands;
        if (stands) this.#whenConnected.forEach((heard) => heard());
      },
      stop.signal,
    );
    return () => stop.abort();
  }
}

export const events = new Events();
