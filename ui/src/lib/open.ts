/** Opens a page of the web: in the browser, also from the app's window. */
import { shell } from '../shell';
import { attempt } from '../stores/toasts.svelte';

export function openLink(url: string): void {
  if (shell) void attempt(async () => shell?.openLink(url));
  else window.open(url, '_blank', 'noopener,noreferrer');
}

export const hubPage = (repo: string): string => `https://huggingface.co/${repo}`;
