/** Every text of this page, one object per page or part, so that it can be translated as a whole. */
import { activity } from './strings/activity';
import { chat } from './strings/chat';
import { models } from './strings/models';
import { server } from './strings/server';
import { settings } from './strings/settings';
import { welcome } from './strings/welcome';

export const strings = {
  app: {
    name: 'Hearth',
    pages: { models: 'Models', chat: 'Chat', server: 'Server', activity: 'Activity', settings: 'Settings' },
    navigation: 'Pages',
    close: 'Close',
    cancel: 'Cancel',
    save: 'Save',
    newName: 'Name',
    retry: 'Try again',
    copy: 'Copy',
    copied: 'Copied',
    copyFailed: 'This could not be copied. Select it and copy it by hand.',
    loading: 'Loading…',
    clear: 'Clear',
    more: 'More',
    notes: 'Notifications',
    reconnecting: 'The server does not answer. Trying again…',
  },
  errors: {
    unreachable: 'The server does not answer.',
    interrupted: 'The connection to the server was lost.',
    status: (code: number) => `The server answered with status ${code} and no explanation.`,
  },
  session: {
    starting: 'Connecting…',
    signedOutTitle: 'You are signed out',
    signedOut: 'To open this page, run this in a terminal.',
    command: 'hearth ui',
    signedOutApp: 'The server does not know this window.',
    signIn: 'Sign in again',
    unreachableTitle: 'The server does not answer',
    unreachable: 'This page goes on by itself as soon as it runs.',
  },
  shell: {
    stopped: 'The server is stopped',
    stoppedText: 'Models answer once it runs.',
    starting: 'The server is starting…',
    stopping: 'The server is stopping…',
    failed: 'The server cannot start',
    elsewhere: 'The server runs',
    elsewhereText: (url: string) => `It answers at ${url}. Its pages open only where it listens at 127.0.0.1.`,
    start: 'Start the server',
    portTaken: (port: number, holder: string | null) =>
      holder ? `Port ${port} is used by ${holder}.` : `Port ${port} is used by another program.`,
    usePort: (port: number) => `Use port ${port}`,
  },
  sidebar: {
    noModels: 'No model loaded',
    loaded: (count: number) => (count === 1 ? '1 model loaded' : `${count} models loaded`),
    memory: (used: string, limit: string) => `${used} of ${limit}`,
    memoryLabel: 'Memory of models',
    downloads: (count: number) => (count === 1 ? '1 download' : `${count} downloads`),
  },
  models,
  settings,
  welcome,
  chat,
  server,
  activity,
};
