/** Every row, at the part of its length that FAULT_SCALE says. Run by `npm run test:faults`. */
import { clockGroup } from './rows/clock.ts'
import { clusterGroup, sentinelGroup } from './rows/failover.ts'
import { limitsGroup } from './rows/limits.ts'
import { overloadGroup } from './rows/overload.ts'
import { postgresGroup } from './rows/postgres.ts'
import { redisGroup } from './rows/redis.ts'
import { descriptorsGroup, restartGroup, standstillGroup } from './rows/restart.ts'
import { revocationGroup } from './rows/revocation.ts'
import { lengthsOf, runGroup } from './verdicts.ts'

const only = process.env.FAULT_ROWS?.split(',')
const lengths = lengthsOf(
  Number(process.env.FAULT_SCALE ?? '0.1'),
  Number(process.env.FAULT_SLACK ?? '1'),
)

const groups = [
  ...[limitsGroup, redisGroup, postgresGroup, sentinelGroup, clusterGroup, revocationGroup],
  ...[restartGroup, descriptorsGroup, standstillGroup, clockGroup, overloadGroup],
]
for (const group of groups) runGroup(group, lengths, only)
