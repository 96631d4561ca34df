import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    setupFiles: ['test/setup.ts'],
    // A process per file: suites catch signals, count handles and watch for unhandled rejections.
    pool: 'forks',
    // Two even on one core: most suites wait for servers. More than four fight over those servers.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // No test is expected to be slow enough to mention; the kill test takes seconds by design.
    slowTestThreshold: 10_000,
    allowOnly: false,
    env: { FUZZ_RUNS: process.env.FUZZ_RUNS ?? '300' },
  },
})
