import { signalSuite } from '../../../suites/signal.suite.ts'
import { redisDeployment } from './nodes.ts'

const sharedUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined) throw new Error('REDIS_URL is not set')
  return url
}

signalSuite('Redis', async () => redisDeployment(sharedUrl()), true)
