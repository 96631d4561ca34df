/**
 * How does the rest of the deployment learn of a change, and what is its caller told of that? Each
 * change is announced when it has been committed; one that ends or narrows waits until every live
 * node has forgotten what was before, and says in its answer from when on that is certain.
 *
 * The danger is a commit whose answer was lost: nobody knows whether it stands, so it is announced.
 */
import { z } from '@hono/zod-openapi'
import type { Change, Receipt } from '../context.ts'
import { Problem } from '../problem.ts'
import type { Desk } from './desk.ts'
import { word } from './faults.ts'
import { timeOf } from './page.ts'

/** How long an answer waits for the other nodes, at most. */
const waitMsMax = 2000

/** For the query of what ends or narrows. */
export const waitQuery = {
  wait: word(['none', 'all'])
    .optional()
    .openapi({
      description: `Whether the answer waits until every node has heard of it, for ${waitMsMax / 1000} seconds at most (all, the default), or not (none).`,
    }),
}

/** What an answer says of how far a change has come, beside its `data`. */
export const receiptFields = {
  epoch: z.int().nullable().openapi({
    description: 'The number of the announcement; null: the other nodes could not be told.',
  }),
  nodes: z.int().nullable().openapi({
    description:
      'Nodes that were live, and those that have gone and may still go by their memory; null: no node remembers anything.',
  }),
  acknowledged: z.int().openapi({ description: 'How many of them go by the change.' }),
  effective_at: z.iso.datetime().openapi({
    description: 'From then on every node goes by it.',
  }),
  max_staleness_ms: z.int().openapi({
    description: 'For how long after the answer a node may still go by what was before.',
  }),
}

/** The component of the document. */
export const receiptObject = z.object(receiptFields)

export const exampleReceipt: z.infer<typeof receiptObject> = {
  epoch: 812,
  nodes: 4,
  acknowledged: 4,
  effective_at: '2026-11-25T09:30:00.000Z',
  max_staleness_ms: 0,
}

/** How long to wait for the other nodes, in ms, as the query asks. */
export const waitMsOf = (wait: 'none' | 'all' | undefined): number =>
  wait === 'none' ? 0 : waitMsMax

/**
 * Carries out a change and announces it, also where it broke off and may have been committed; waits
 * for the other nodes for `waitMs`. Throws what `work` throws; a `Problem` says that nothing was changed.
 */
export async function announced<Result>(
  { announce }: Pick<Desk, 'announce'>,
  change: Change,
  waitMs: number,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly receipt: z.infer<typeof receiptObject> }> {
  let result: Result
  try {
    result = await work()
  } catch (error) {
    if (!(error instanceof Problem)) await announce(change, 0)
    throw error
  }
  return { result, receipt: showReceipt(await announce(change, waitMs)) }
}

function showReceipt(receipt: Receipt): z.infer<typeof receiptObject> {
  return {
    epoch: receipt.epoch,
    nodes: receipt.nodes,
    acknowledged: receipt.acknowledged,
    effective_at: timeOf(receipt.effectiveAt),
    max_staleness_ms: Math.ceil(receipt.maxStalenessMs),
  }
}
