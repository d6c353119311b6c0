/** Is there a server, and does it take us? */
import { ApiError, authorize, sentence, signIn, status } from '../api';
import { backoff } from '../lib/backoff';
import { remembered } from '../lib/remembered';
import { shell } from '../shell';
import { strings } from '../strings';

type State = 'starting' | 'ready' | 'signed-out' | 'unreachable' | 'no-server';

const token = remembered('hearth.token');

class Session {
  state = $state<State>('starting');
  /** Why nobody is signed in, where there is more to say than that. */
  reason = $state<string | null>(null);
  #failures = 0;

  /** Signs in with the key in the address, if there is one, else with what is remembered. */
  async start(): Promise<void> {
    // The app's own page has no server behind it: the app shows that of the server once it runs.
    if (shell && !location.protocol.startsWith('http')) return this.#become('no-server');
    authorize(token.get(), () => this.#signOut());
    const key = takeKey();
    try {
      if (key) await this.#signIn(key);
      await this.retry();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Asks the server again, and goes on asking while it does not answer. */
  async retry(): Promise<void> {
    if (!token.get()) return this.#signOut();
    try {
      await status();
      this.#failures = 0;
      this.#become('ready');
    } catch (error) {
      this.#fail(error);
    }
  }

  async #signIn(key: string): Promise<void> {
    try {
      token.set((await signIn(key)).token);
      authorize(token.get(), () => this.#signOut());
    } catch (error) {
      // A link that was used before does no harm to whoever is signed in.
      if (!token.get() || !(error instanceof ApiError) || error.status !== 401) throw error;
    }
  }

  #fail(error: unknown): void {
    if (error instanceof ApiError && error.refusesToken) return this.#signOut();
    if (!(error instanceof ApiError) || !error.isUnreachable) {
      this.reason = sentence(error);
      return this.#become('signed-out');
    }
    this.#become('unreachable');
    setTimeout(() => void this.start(), backoff((this.#failures += 1)));
  }

  #signOut(): void {
    token.set(null);
    authorize(null, () => {});
    this.reason = strings.session.signedOut;
    this.#become('signed-out');
  }

  #become(state: State): void {
    if (state === 'ready') this.reason = null;
    this.state = state;
  }
}

/** The key of a one-time link, which does not stay in the address or the history. */
function takeKey(): string | null {
  const key = /^#key=(.+)$/.exec(location.hash)?.[1] ?? null;
  if (key) history.replaceState(null, '', `${location.pathname}#/`);
  return key && decodeURIComponent(key);
}

export const session = new Session();
