/**
 * The app around this page, where there is one. Every call to it is here; in a browser `shell` is null, and whatever needs
 * it does not show.
 */

export interface ShellState {
  server: {
    state: 'stopped' | 'starting' | 'ready' | 'stopping' | 'failed';
    url?: string;
    error?: string;
    /** The port belongs to somebody: who, and one that is free, where they are known. */
    port_taken?: { port: number; holder: string | null; free: number | null };
  };
  login_item: boolean;
}

interface Internals {
  invoke(command: string, args?: Record<string, unknown>): Promise<unknown>;
  transformCallback(callback: (event: { payload: ShellState }) => void): number;
}

declare global {
  interface Window {
    __TAURI_INTERNALS__?: Internals;
  }
}

const connect = ({ invoke, transformCallback }: Internals) => ({
  state: () => invoke('shell_state') as Promise<ShellState>,
  startServer: (port?: number) => invoke('start_server', { port }),
  stopServer: () => invoke('stop_server'),
  restartServer: () => invoke('restart_server'),
  setLoginItem: (on: boolean) => invoke('set_login_item', { on }) as Promise<ShellState>,
  pickFolder: () => invoke('pick_folder') as Promise<string | null>,
  /** The version that could be installed; null: this is the newest. */
  checkForUpdate: () => invoke('check_for_update') as Promise<string | null>,
  installUpdate: () => invoke('install_update'),
  openLink: (url: string) => invoke('open_link', { url }),
  /** Opens the server's pages in this window anew, and signs in. */
  signIn: () => invoke('sign_in'),
  /** Hears of each change until the page ends. */
  listen: (heard: (state: ShellState) => void) =>
    invoke('plugin:event|listen', {
      event: 'shell',
      target: { kind: 'Any' },
      handler: transformCallback(({ payload }) => heard(payload)),
    }),
});

export type Shell = ReturnType<typeof connect>;

export const shell: Shell | null = window.__TAURI_INTERNALS__ ? connect(window.__TAURI_INTERNALS__) : null;
