import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/context.ts'
import { generateKey } from '../../src/keys/format.ts'
import { createLog } from '../../src/runtime/node/log.ts'
import { logLines } from '../gate-process.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-log-'))
  file = join(folder, 'log')
  return () => rmSync(folder, { recursive: true, force: true })
})
const written = () => logLines(readFileSync(file, 'utf8'))
const open = () => openSync(file, 'a')

const { key, ref, last4 } = generateKey('sk_live_')
const outcome: Outcome = {
  requestId: 'req_1',
  method: 'GET',
  path: '/v1/x',
  route: 'GET /v1/**',
  platform: 'plt_acme',
  environment: 'live',
  tenant: 'tenant_abc123',
  credential: { kind: 'api_key', id: 'key_1', secretId: 'sec_1', prefix: 'sk_live_', ref, last4 },
  clientAddress: '127.0.0.1',
  origin: 'https://a.example',
  status: 200,
  code: null,
  cause: null,
  cost: 1,
  mocked: false,
  requestBytes: 0,
  responseBytes: 10,
  durationMs: 1.23456789,
}

test('an outcome is one line: a fixed set of fields, and of the key what may be shown', async () => {
  const log = createLog('info', open())
  log.outcome(outcome)
  await log.close()
  const [line] = written()
  const { credential: _, origin: __, mocked: ___, ...rest } = outcome
  expect(line).toEqual({
    ...rest,
    event: 'request',
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    durationMs: 1.235,
    keyId: 'key_1',
    key: `sk_live_${ref}_…${last4}`,
  })
  expect(readFileSync(file, 'utf8')).not.toContain(key.slice(-32))
})

test('O1: a line break or an escape in a value starts no line of its own', async () => {
  const log = createLog('info', open())
  log.outcome({ ...outcome, path: '/a\n{"level":"error"}\r\u001b[31m\u2028' })
  log.warn('two\nlines', { cause: 'a\nb' })
  await log.close()
  expect(written()).toHaveLength(2)
  expect(readFileSync(file, 'utf8')).not.toContain('\u001b')
})

describe('the level', () => {
  test('a 5xx is an error, everything else is info', async () => {
    const log = createLog('error', open())
    for (const status of [200, 404, 429, 500, 503]) log.outcome({ ...outcome, status })
    log.warn('not this')
    log.error('this')
    log.setLevel('info')
    log.outcome(outcome)
    log.setLevel('silent')
    log.error('not that')
    await log.close()
    const said = written().map(({ level, status, msg }) => [level, status ?? msg])
    expect(said).toEqual([
      ['error', 500],
      ['error', 503],
      ['error', 'this'],
      ['info', 200],
    ])
  })
})

test('flush waits until all has been written', async () => {
  const log = createLog('info', open())
  for (let i = 0; i < 5000; i++) log.outcome({ ...outcome, cost: i })
  await log.flush()
  expect(written().map(({ cost }) => cost)).toEqual(Array.from({ length: 5000 }, (_, i) => i))
  await log.close()
})

test('after close nothing is written, and nothing throws', async () => {
  const log = createLog('info', open())
  log.warn('before')
  await log.close()
  log.outcome(outcome)
  log.error('after')
  await log.close()
  expect(written().map(({ msg }) => msg)).toEqual(['before'])
})

test('Q22: what nobody reads is dropped and counted, and the count is the next line', async () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  const log = createLog('info', openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK), 200_000)
  const long = 'x'.repeat(1000)
  for (let i = 0; i < 1000; i++) log.warn(long)

  let read = ''
  const buffer = Buffer.alloc(1 << 20)
  await expect
    .poll(
      () => {
        for (;;) {
          try {
            const bytes = readSync(reader, buffer)
            if (bytes === 0) break
            read += buffer.toString('utf8', 0, bytes)
          } catch {
            break
          }
        }
        return /"dropped":\d+/.test(read)
      },
      { timeout: 20_000, interval: 5 },
    )
    .toBe(true)
  const lines = logLines(read)
  const kept = lines.filter(({ msg }) => msg === long).length
  const counted = lines.find(({ event }) => event === 'log')
  expect(Number(counted?.dropped) + kept).toBe(1000)
  expect(kept).toBeGreaterThan(100)
  await log.close()
  closeSync(reader)
})
