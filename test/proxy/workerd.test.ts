/** The same tokens and keys from workerd as from Node, also for requests that all come at once. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdentity } from '../../src/proxy/identity.ts'
import { startWorker, type TestWorker } from '../worker.ts'
import { platformOf, principalOf, upstreamOf } from './callers.ts'

const now = 1_800_000_000_000
const acme = platformOf('plt_acme')
const orders = upstreamOf('orders')
const caller = principalOf(acme)

// The caller lives as long as the isolate, as a key in memory would: its token is shared by requests.
const entry = `
import { createIdentity } from '@/src/proxy/identity.ts'
export { PosternCounter } from '@/src/runtime/workers/counter-object.ts'
const identity = createIdentity({ masterKey: new Uint8Array(32).fill(7) })
const [acme, orders, caller] = ${JSON.stringify([acme, orders, caller])}
export default {
  async fetch() {
    const token = await identity.tokenFor(acme, orders, caller, ${now})
    return Response.json([token, await identity.jwks(acme, ${now})])
  },
}`

let worker: TestWorker
beforeAll(async () => {
  worker = await startWorker({ hyperdrives: {}, secrets: {} }, undefined, entry)
})
afterAll(() => worker?.stop())

test('workerd and Node sign alike', async () => {
  const identity = createIdentity({ masterKey: new Uint8Array(32).fill(7) })
  const expected = [
    await identity.tokenFor(acme, orders, caller, now),
    await identity.jwks(acme, now),
  ]
  const asked = Array.from({ length: 30 }, async () => {
    const response = await fetch(worker.url, { signal: AbortSignal.timeout(20_000) })
    return response.json()
  })
  for (const answer of await Promise.all(asked)) expect(answer).toEqual(expected)
})
