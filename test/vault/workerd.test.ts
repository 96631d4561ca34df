/** workerd opens what Node sealed, and the other way round; what is bent opens nowhere. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkValue, type Place, SessionKey } from '../../src/vault/seal.ts'
import { startWorker, type TestWorker } from '../worker.ts'

const place: Place = {
  scope: { platform: 'plt_a', environment: 'live', tenant: 'acme' },
  session: 'ses_1',
  keyVersion: 3,
}
const entry = `
import { checkValue, SessionKey } from '@/src/vault/seal.ts'
export { PosternCounter } from '@/src/runtime/workers/counter-object.ts'
const master = new Uint8Array(32).fill(7)
const key = new SessionKey(master, new Uint8Array(32).fill(8), ${JSON.stringify(place)})
const text = (bytes) => Buffer.from(bytes).toString('base64')
export default {
  async fetch(request) {
    const { name, sealed, value } = await request.json()
    const bytes = new Uint8Array(Buffer.from(sealed, 'base64'))
    const bent = Uint8Array.from(bytes, (byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte))
    return Response.json({
      opened: key.open(name, bytes),
      refused: [key.open(name, bent), key.open(name, bytes.subarray(0, -1)), key.open('X', bytes)],
      sealed: text(key.seal(name, value)),
      check: text(checkValue(master, 3)),
    })
  },
}`

let worker: TestWorker
beforeAll(async () => {
  worker = await startWorker({ hyperdrives: {}, secrets: {} }, undefined, entry)
})
afterAll(() => worker?.stop())

test('workerd and Node seal alike', async () => {
  const master = new Uint8Array(32).fill(7)
  const key = new SessionKey(master, new Uint8Array(32).fill(8), place)
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  for (const value of ['x', 'é🔑', 'y'.repeat(16_384)]) {
    const response = await fetch(worker.url, {
      method: 'POST',
      body: JSON.stringify({ name: 'NAME', value, sealed: base64(key.seal('NAME', value)) }),
      signal: AbortSignal.timeout(20_000),
    })
    // What the entry above answers.
    const answer = (await response.json()) as { sealed: string }
    expect(answer).toMatchObject({
      opened: value,
      refused: [null, null, null],
      check: base64(checkValue(master, 3)),
    })
    expect(key.open('NAME', new Uint8Array(Buffer.from(answer.sealed, 'base64')))).toBe(value)
  }
})
