/** A model's settings as text in fields, and back. An empty field is the default. */
import type { ModelSettings } from '../types';

export const settingNames = [
  'context_length',
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'repetition_penalty',
  'keep_alive',
  'chat_template',
] as const;

export type SettingName = (typeof settingNames)[number];
export type SettingTexts = Record<SettingName, string>;

export const asTexts = (settings: ModelSettings): SettingTexts =>
  Object.fromEntries(settingNames.map((name) => [name, String(settings[name] ?? '')])) as SettingTexts;

/** Whether a field's text can be a value at all; whether it is one that the server takes, that says. */
export const isReadable = (name: SettingName, text: string): boolean =>
  name === 'chat_template' || text.trim() === '' || Number.isFinite(Number(text.trim()));

/** What the texts change of the settings. */
export function changes(texts: SettingTexts, settings: ModelSettings): Partial<ModelSettings> {
  const values = settingNames.map((name) => [name, value(name, texts[name].trim())] as const);
  return Object.fromEntries(values.filter(([name, value]) => value !== settings[name]));
}

function value(name: SettingName, text: string): number | string | null {
  if (text === '') return null;
  return name === 'chat_template' ? text : Number(text);
}
