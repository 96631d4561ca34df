/** A node in a process of its own: `child.ts REDIS_URL SCOPE`. It prints what it is told to forget. */
import { redisNode } from './nodes.ts'

const [, , url = '', scope = ''] = process.argv
const node = await redisNode(url, scope)
node.listen((change) => process.stdout.write(`forgot ${change?.id ?? 'everything'}\n`))
process.stdout.write('ready\n')
// A node by itself keeps no process alive.
setInterval(() => {}, 60_000)
process.once('SIGTERM', () => void node.close().then(() => process.exit()))
