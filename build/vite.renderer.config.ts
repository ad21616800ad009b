import { readFileSync } from 'node:fs';
import react from '@vitejs/plugin-react';
import type { Plugin, UserConfig } from 'vite';
import { root } from './stamp.ts';

const noncePlaceholder = '__NEST_NONCE__';

/** Leaves a place for the nonce, which the host of the page fills in with each response, and gives the page its icon. */
const pageHead: Plugin = {
  name: 'nest-page-head',
  apply: 'build',
  transformIndexHtml: (html) => {
    const filled = html.replace(/(<meta name="nest-nonce" content=")[^"]*(")/, `$1${noncePlaceholder}$2`);
    if (!filled.includes(noncePlaceholder))
      throw new Error('desktop/renderer/index.html has no <meta name="nest-nonce" content="">: styles would have no nonce');
    return { html: filled, tags: [{ tag: 'link', attrs: { rel: 'icon', type: 'image/svg+xml', href: '/icon.svg' }, injectTo: 'head' }] };
  },
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'icon.svg', source: readFileSync(`${root}/assets/icon.svg`) });
  },
};

/** The page, for the web host and the desktop application alike: both serve it from the root of an origin. */
const config: UserConfig = {
  root: `${root}/desktop/renderer`,
  base: '/',
  publicDir: false,
  cacheDir: `${root}/node_modules/.vite/renderer`,
  plugins: [react(), pageHead],
  build: {
    outDir: `${root}/dist/desktop/renderer`,
    emptyOutDir: true,
    target: 'es2023',
    // The content security policy allows no data: fonts, and wants no script but files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 900,
  },
};

export default config;
