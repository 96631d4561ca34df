/**
 * The most telling rows, short, on a machine that does other things too: what is wrong whatever the
 * machine does is judged, and how long things took is not. All rows, longer and with their times:
 * `npm run test:faults`.
 */
import { limitsGroup } from './rows/limits.ts'
import { postgresGroup } from './rows/postgres.ts'
import { redisGroup } from './rows/redis.ts'
import { lengthsOf, runGroup, sharing } from './verdicts.ts'

const lengths = lengthsOf(0.05, 3, false)

// One rig for all of them: starting four gates is most of what they cost.
const rows = sharing('four gates', [
  [limitsGroup, ['Q14 L1']],
  [redisGroup, ['Q1 L6 L11', 'Q2 L5 L8']],
  [postgresGroup, ['Q5', 'Q6 F2', 'Q8']],
])
runGroup(rows, lengths)
