/** The forward port on Node. */
import { type Forward, HopFault } from '../../context.ts'

export const forward: Forward = async (hop) => {
  throw new HopFault('connection_refused', true, `nothing forwards to ${hop.upstream.name} yet`)
}
