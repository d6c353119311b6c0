/** The texts of the welcome guide. */
import type { IconName } from '../lib/icons';
import { machine } from './machine';

export const welcome = {
  step: (now: number, all: number) => `Step ${now} of ${all}`,
  next: 'Continue',
  back: 'Back',
  skip: 'Skip',
  what: {
    title: 'Welcome to Hearth',
    text: `Language models of your own, on ${machine}.`,
    points: [
      { icon: 'lock', title: `Nothing leaves ${machine}`, text: 'What you write stays here. Only downloads use the network.' },
      { icon: 'server', title: 'One server for all your tools', text: 'Every program that speaks OpenAI’s protocol can use your models.' },
      { icon: 'chat', title: 'Conversations stay warm', text: 'What was read once is not read again, so the next answer begins at once.' },
    ] satisfies { icon: IconName; title: string; text: string }[],
  },
  pick: {
    title: 'Pick a first model',
    text: `Chosen to run well on ${machine}. You can have more at any time.`,
    labels: { one: ['A good start'], two: ['Quick', 'Capable'], three: ['Quick', 'Balanced', 'Most capable'] },
    about: (size: string, speed: string | null) => (speed ? `${size} · up to ${speed} tokens/s` : size),
    meanwhile: 'Ember, a tiny model that is part of Hearth, is ready meanwhile: it shows that everything works.',
    installed: 'Installed',
    none: `No recommended model fits ${machine} well. Ember is ready, and the Models page has all others.`,
  },
  use: {
    title: 'Use it',
    text: 'Copy this line into any tool that asks for an OpenAI base URL. Where it wants a key, any will do.',
    textKey: 'Copy this line into any tool that asks for an OpenAI base URL, and give it your API key.',
    address: 'Base URL',
    model: 'Model',
    terminal: 'Or ask in a terminal',
    chat: 'Try the chat',
    models: 'See all models',
  },
};
