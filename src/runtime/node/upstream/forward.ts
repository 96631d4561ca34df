/**
 * The forward port on Node: one hop to one target, streamed in both directions.
 *
 * It decides nothing: which target, which headers and what a failure means is the proxy room's. It
 * keeps the bounds: so many requests for a target, so long for each step.
 */
import type { Forward } from '../../../context.ts'
import { NodeExchange } from '../exchange.ts'
import { CoveredHop } from './covered.ts'
import { HopHandler } from './hop.ts'
import type { Pools } from './pools.ts'

/** Makes the port over these pools. */
export function createForward(pools: Pools): Forward {
  return (hop, exchange) => {
    if (!(exchange instanceof NodeExchange) || exchange.outgoing === null) {
      throw new TypeError('not an exchange of this front')
    }
    const { outgoing } = exchange
    if (hop.hasBody) outgoing.req.passedOn = hop.upstream
    const at = pools.of(hop.upstream, hop.target)
    return new Promise((resolve, reject) => {
      const Handler = hop.covered === null ? HopHandler : CoveredHop
      const handler = new Handler(hop, exchange, outgoing, at, resolve, reject)
      exchange.hop = handler
      handler.enter()
    })
  }
}
