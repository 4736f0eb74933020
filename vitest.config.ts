import { defineConfig } from 'vitest/config';

/** Integration tests start real servers; starting them may take this long on a busy machine. */
const SERVER_START_MS = 180_000;

/** Unit tests take milliseconds; on a machine that is busy with other things some take seconds. */
const UNIT_TEST_MS = 60_000;

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: UNIT_TEST_MS, sequence: { groupOrder: 0 } } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: SERVER_START_MS,
          hookTimeout: SERVER_START_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'pipeline',
          include: ['test/pipeline/**/*.test.ts'],
          testTimeout: 2 * SERVER_START_MS,
          hookTimeout: SERVER_START_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
