/**
 * Runs vitest and ends with one line, `N passed, N failed`. Nothing is skipped in silence: see
 * tally.ts for what counts as failed. Started by run.ts, which provides the servers.
 */
import { parseCLI, type Reporter, startVitest } from 'vitest/node'
import { countResults } from './tally.ts'

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
const picked = options.testNamePattern !== undefined
let counted = { passed: 0, failed: 0 }

const counter: Reporter = {
  onTestRunEnd(modules, errors) {
    counted = countResults(modules, errors.length, picked)
  },
}
const reporters = [options.reporters ?? options.reporter ?? 'default'].flat()
const vitest = await startVitest(filter, {
  ...options,
  watch: false,
  reporters: [...reporters, counter],
})
await vitest.close()

const { passed, failed } = counted
if (passed + failed === 0) process.stderr.write('no test ran\n')
if (failed > 0 || passed === 0) process.exitCode = 1
// Whatever a suite left open in this process must not keep it from ending.
process.stdout.write(`\n${passed} passed, ${failed} failed\n`, () => process.exit())
