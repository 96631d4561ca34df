/**
 * The entry on Cloudflare Workers: the same gate as on Node, with postern.yaml bundled into it.
 * wrangler.toml says what it is bound to; docs/workers.md how to make all that.
 */
import config from '../postern.yaml'
import { handlers } from './handlers/named.ts'
import { createWorker } from './runtime/workers/worker.ts'

export { PosternCounter } from './runtime/workers/counter-object.ts'

export default createWorker(config, handlers)
