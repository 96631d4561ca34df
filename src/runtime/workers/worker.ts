/**
 * The front on Workers: a request in, the gateway's answer out, and what the request opened closed
 * behind it. What the runtime has decided before us (parsing, joining, normalising) is judged in
 * exchange.ts.
 */
import type { Outcome } from '../../context.ts'
import { createUsageStore } from '../../db/usage.ts'
import type { Handlers } from '../../handler.ts'
import { newId } from '../../lib/id.ts'
import { isOwnPath, ownPath } from '../../own-paths.ts'
import type { Refusal } from '../../problem.ts'
import { entryOf } from '../../usage/tally.ts'
import { refusalOf, Visit } from '../../visit.ts'
import type { WorkerEnv } from './bindings.ts'
import { Errand, runErrand, type WorkerContext } from './errand.ts'
import { WorkerExchange } from './exchange.ts'
import { type Isolate, startIsolate } from './isolate.ts'

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
      const { log, openers } = kept
      const errand = new Errand(openers(env), (cause) =>
        log.error('deferred work failed', { cause }),
      )
      const conclude = (outcome: Outcome): void => {
        log.outcome(outcome)
        addUse(outcome, errand)
      }
      const exchange = new WorkerExchange(request, conclude, errand.defer)
      const isolate = kept
      const answered = runErrand(errand, () => answer(request, exchange, isolate))
      // A request whose client has left is finished all the same, as on Node: what it began (a
      // transaction, a charge) must not be cut short at any point.
      context.waitUntil(errand.end(answered))
      return answered
    },
  }
}

/**
 * Adds what a key used, after the answer. An isolate ends without a word, so nothing is gathered in
 * it: each request is a batch of its own. What was sent and not answered is sent again, once.
 */
function addUse(outcome: Outcome, errand: Errand): void {
  const { platform } = outcome
  const entry = entryOf(outcome, Date.now())
  if (entry === null || platform === null) return
  const { addUsage } = createUsageStore(errand.gatewaySql)
  const batch = { id: newId('use_'), entries: [entry] }
  const add = () => addUsage(platform, batch)
  errand.defer(add().catch(add))
}

async function answer(
  request: Request,
  exchange: WorkerExchange,
  isolate: Isolate,
): Promise<Response> {
  const refuse = (refusal: Refusal): Response =>
    new Visit(exchange).refuse(refusal, isolate.publicUrl ?? originOf(request, exchange))
  try {
    if (exchange.flaw !== null) return refuse(exchange.flaw)
    if (isolate.gateway === null) {
      // The pages that explain the refusal that everything else gets.
      const own = await ownPath(request, exchange.target, isolate.health)
      if (own !== null) return new Visit(exchange).answer(own)
    }
    const refusal = isOwnPath(exchange.target) ? null : isolate.refusal()
    const denied = refusal === null ? null : await refusal
    if (denied !== null) return refuse(denied)
  } catch (thrown) {
    return refuse(refusalOf(thrown))
  }
  return isolate.gateway?.fetch(request, exchange) ?? refuse({ code: 'gateway/misconfigured' })
}

const originOf = ({ url }: Request, { target }: WorkerExchange): string =>
  url.slice(0, url.length - target.length)
