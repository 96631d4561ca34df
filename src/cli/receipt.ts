/** Since when does every node go by a change? A receipt of the API, in words, and how to ask for one. */
import { Option } from 'commander'
import type { Receipt } from '../../sdk/typescript/src/postern.ts'
import type { Order } from './command.ts'

/** What a command takes that ends or narrows something. */
export type Waiting = { readonly wait?: 'none' | 'all' }

/** Adds the option of `Waiting`. */
export const waiting = (order: Order): Order =>
  order.addOption(
    new Option('--wait <nodes>', 'whether to wait until every node goes by it').choices([
      'none',
      'all',
    ]),
  )

/** A line for a person: `dead on 4 of 4 nodes since 12:00:03Z, epoch 812`. `state` is its first word. */
export function receiptWords(receipt: Receipt, state: string): string {
  const { epoch, nodes, acknowledged, effectiveAt, maxStalenessMs } = receipt
  const at = `${effectiveAt.slice(11, 19)}Z`
  if (nodes === null) return `${state} since ${at}: no node remembers it`
  const announced = epoch === null ? '; the others could not be told' : `, epoch ${epoch}`
  const counted = `${acknowledged} of ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`
  if (acknowledged < nodes || epoch === null || maxStalenessMs > 0) {
    return `${counted} confirmed; certain from ${at}${announced}`
  }
  return `${state} on ${counted} since ${at}${announced}`
}
