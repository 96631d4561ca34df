import { defineConfig, mergeConfig } from 'vitest/config'
import shared from '../../vitest.config.ts'

const own = defineConfig({
  // One row after the other: each measures, and each has all the processes it needs.
  test: { maxWorkers: 1, fileParallelism: false, testTimeout: 900_000 },
})
const merged = mergeConfig(shared, own)
// Lists are joined by a merge; here there is one kind of file alone.
export default { ...merged, test: { ...merged.test, include: ['test/faults/*.fault.ts'] } }
