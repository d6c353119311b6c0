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
  /** Of a one-time link, until the server has seen it. */
  #key: string | null = null;
  #failures = 0;

  constructor() {
    // A link that is opened where this page is open already changes only the address.
    addEventListener('hashchange', () => void (isLink() && this.start()));
  }

  /** Signs in with the key in the address, if there is one, else with what is remembered; until the server answers. */
  async start(): Promise<void> {
    // The app's own page has no server behind it: the app shows that of the server once it runs.
    if (shell && !location.protocol.startsWith('http')) return this.#become('no-server');
    authorize(token.get(), () => this.#signOut());
    this.#key = takeKey() ?? this.#key;
    try {
      if (this.#key) await this.#signIn(this.#key);
      if (!token.get()) return this.#signOut();
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
      if (error instanceof ApiError && error.isUnreachable) throw error;
      this.#key = null;
      // A link that was used before does no harm to whoever is signed in.
      if (!token.get()) throw error;
    }
    this.#key = null;
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

const isLink = (): boolean => location.hash.startsWith('#key=');

/** The key of a one-time link, which does not stay in the address or the history; behind it may stand a page. */
function takeKey(): string | null {
  if (!isLink()) return null;
  const [key = '', ...page] = location.hash.slice('#key='.length).split('/');
  location.replace(`#/${page.join('/')}`);
  return decodeURIComponent(key);
}

export const session = new Session();
