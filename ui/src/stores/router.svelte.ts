/** Which page is shown? It stands in the address after `#/`. */

export const pages = ['models', 'chat', 'server', 'activity', 'settings'] as const;
export type Page = (typeof pages)[number] | 'welcome';

const known = new Set<string>([...pages, 'welcome']);

class Router {
  page = $state<Page>('models');
  /** What follows the page, as in `#/chat/ID`. */
  id = $state<string | null>(null);

  constructor() {
    addEventListener('hashchange', () => this.#read());
    this.#read();
  }

  go(page: Page, id: string | null = null): void {
    location.hash = href(page, id);
  }

  /** As `go`, but the page before is not gone back to. */
  replace(page: Page, id: string | null = null): void {
    history.replaceState(null, '', href(page, id));
    this.#read();
  }

  #read(): void {
    const [page = '', id = ''] = location.hash.replace(/^#\//, '').split('/');
    this.page = known.has(page) ? (page as Page) : 'models';
    this.id = id ? decodeURIComponent(id) : null;
  }
}

export const href = (page: Page, id: string | null = null): string =>
  id === null ? `#/${page}` : `#/${page}/${encodeURIComponent(id)}`;

export const router = new Router();
