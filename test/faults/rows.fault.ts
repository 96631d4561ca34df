/** Every row, at the part of its length that FAULT_SCALE says. Run by `npm run test:faults`. */
import { clusterGroup, sentinelGroup } from './rows/failover.ts'
import { limitsGroup } from './rows/limits.ts'
import { postgresGroup } from './rows/postgres.ts'
import { redisGroup } from './rows/redis.ts'
import { lengthsOf, runGroup } from './verdicts.ts'

const only = process.env.FAULT_ROWS?.split(',')
const lengths = lengthsOf(
  Number(process.env.FAULT_SCALE ?? '0.1'),
  Number(process.env.FAULT_SLACK ?? '1'),
)

for (const group of [limitsGroup, redisGroup, postgresGroup, sentinelGroup, clusterGroup]) {
  runGroup(group, lengths, only)
}
