import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

/** The server that `npm run dev` shows; the page itself then comes from Vite, and reloads as it is edited. */
const server = process.env.HEARTH_URL ?? 'http://127.0.0.1:8080';

// The server answers only pages of its own origin, so the proxy passes for one.
const proxy = {
  target: server,
  changeOrigin: true,
  headers: { origin: server },
};

export default defineConfig({
  // Relative, so that one build works below /ui/ and in the app's own bundle.
  base: './',
  plugins: [svelte(), tailwindcss()],
  build: {
    target: 'safari17',
    // The content security policy allows no data: fonts and needs no inlined assets.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // The app's icon lies beside this folder.
  server: { fs: { allow: ['..'] }, proxy: { '/v1': proxy, '/admin/v1': proxy } },
  test: { include: ['src/**/*.test.ts'] },
});
