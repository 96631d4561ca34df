import { leasedCounter } from '../../src/limits/lease.ts'
import { memoryLender } from '../../src/limits/lend.ts'
import type { Clock } from '../suites/counter.suite.ts'
import { counterSuite } from '../suites/counter.suite.ts'

const leasing = (clock: Clock) =>
  leasedCounter(memoryLender({ now: () => clock.ms }), { now: () => clock.ms })

counterSuite('leased from memory', leasing, { runs: 300 })
counterSuite('leased from memory', leasing, { runs: 100, counting: 'exact' })
