/** Is what draws markdown, and what colours code, here yet? */
import { lazy } from '../lib/lazy.svelte';

export const markdown = lazy(() => import('../lib/markdown'));
export const highlighter = lazy(() => import('../lib/highlight'));
