import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Two stages of npm test: units, and components of the page, which alone pay for a DOM. */
export default defineConfig({
  test: {
    // All processors: left alone, vitest keeps one of two for itself, and most tests wait for sockets and disks anyway.
    maxWorkers: availableParallelism(),
    projects: [
      {
        root,
        test: {
          name: 'unit',
          environment: 'node',
          include: [
            '{agent,build,native,proto,test}/**/*.test.ts',
            'desktop/{bridge,cli,core,grpc,lib,main,preload,web}/**/*.test.ts',
            'desktop/renderer/**/*.test.ts',
          ],
          exclude: ['test/{integration,e2e,fleet,abuse}/**', 'native/test/**', 'bpf/test/**', 'node_modules/**', 'dist/**'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        root,
        test: {
          name: 'pages',
          environment: 'jsdom',
          setupFiles: ['build/dom-setup.ts'],
          include: ['desktop/renderer/**/*.test.tsx'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
    ],
  },
});
