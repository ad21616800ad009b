import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Consoles, agents and programs of others over real TLS: longer than unit tests may take, and without the lab. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    name: 'fleet',
    environment: 'node',
    include: ['test/{fleet,abuse}/**/*.test.ts'],
    // As for unit tests: most of their time they wait for processes and timers.
    maxWorkers: availableParallelism(),
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Concurrent tests of a file wait for processes and timers; a console keeps eight plans at once.
    maxConcurrency: 8,
  },
});
