/**
 * The front on Workers: a request in, the gateway's answer out, and what the request opened closed
 * behind it. What the runtime has decided before us (parsing, joining, normalising) is judged in
 * exchange.ts.
 */
import type { Outcome } from '../../context.ts'
import { createUsageStore } from '../../db/usage.ts'
import type { Handlers } from '../../handler.ts'
import { isOwnPath, ownPath } from '../../own-paths.ts'
import type { Refusal } from '../../problem.ts'
import { refusalOf, Visit } from '../../visit.ts'
import type { WorkerEnv } from './bindings.ts'
import { Errand, runErrand, type WorkerContext } from './errand.ts'
import { WorkerExchange } from './exchange.ts'
import { type Isolate, startIsolate } from './isolate.ts'
import type { AddUsage } from './use.ts'

/** What a module Worker exports as its default. */
export type Worker = {
  fetch(request: Request, env: WorkerEnv, context: WorkerContext): Promise<Response>
}

/** Builds the Worker; nothing is read before its first request. `config`: the text of postern.yaml. */
export function createWorker(config: string, handlers: Handlers): Worker {
  let kept: Isolate | undefined
  return {
    fetch(request, env, context) {
      kept ??= startIsolate(config, handlers, env)
      const { log, openers, use } = kept
      const errand = new Errand(openers(env), (cause) =>
        log.error('deferred work failed', { cause }),
      )
      const conclude = (outcome: Outcome): void => {
        log.outcome(outcome)
        use.note(outcome, addUsageOf(errand), errand.defer)
      }
      const exchange = new WorkerExchange(request, conclude, errand.defer)
      const isolate = kept
      const answered = runErrand(errand, () => answer(exchange, isolate))
      // A request whose client has left is finished all the same, as on Node: what it began (a
      // transaction, a charge) must not be cut short at any point.
      context.waitUntil(errand.end(answered))
      return answered
    },
  }
}

/** Opens a client only where there is something to add. */
const addUsageOf =
  (errand: Errand): AddUsage =>
  (platform, batch) =>
    createUsageStore(errand.gatewaySql).addUsage(platform, batch)

async function answer(exchange: WorkerExchange, isolate: Isolate): Promise<Response> {
  const refuse = (refusal: Refusal): Response =>
    new Visit(exchange).refuse(refusal, isolate.publicUrl ?? exchange.origin)
  try {
    if (exchange.flaw !== null) return refuse(exchange.flaw)
    if (isolate.gateway === null) {
      // The pages that explain the refusal that everything else gets.
      const own = await ownPath(exchange, isolate.health)
      if (own !== null) return new Visit(exchange).answer(own)
    }
    const refusal = isOwnPath(exchange.target) ? null : isolate.refusal()
    const denied = refusal === null ? null : await refusal
    if (denied !== null) return refuse(denied)
  } catch (thrown) {
    return refuse(refusalOf(thrown))
  }
  return isolate.gateway?.fetch(exchange) ?? refuse({ code: 'gateway/misconfigured' })
}
