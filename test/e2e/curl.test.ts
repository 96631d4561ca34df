/**
 * curl as the client of a file server behind the gate: hundreds of megabytes up and down, asked for
 * leave first (`Expect: 100-continue`), without a length, in part and resumed. What curl tells of it
 * and what arrives is the same as past the gate.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { watchMemory } from '../memory.ts'
import { run } from '../process.ts'
import { proxyConfig } from '../proxy-gate.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

const fileBytes = 300_000_000
const patience = { timeout: 300_000 }

let folder: string
let file: string
let fileDigest: string
let upstream: HttpUpstream
let database: TestDatabase
let place: Place
let gate: GateProcess

/** Answers a PUT with the SHA-256 of its body, and a GET with the file or the range of it asked for. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET') {
    const hash = createHash('sha256')
    request.on('data', (piece: Buffer) => hash.update(piece))
    request.on('end', () => response.writeHead(201).end(hash.digest('hex')))
    return
  }
  const headers = { etag: '"one"', 'accept-ranges': 'bytes', 'content-type': 'x-test/bytes' }
  const [, from = '', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  const start = Number(from)
  const end = to === '' ? fileBytes - 1 : Number(to)
  const partial = { 'content-range': `bytes ${start}-${end}/${fileBytes}` }
  response.writeHead(from === '' ? 200 : 206, {
    ...headers,
    ...(from !== '' && partial),
    'content-length': end - start + 1,
  })
  createReadStream(file, { start, end }).pipe(response)
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece)
  return hash.digest('hex')
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-curl-'))
  file = join(folder, 'file')
  // Each megabyte differs from the others, so that none can stand for another.
  const piece = randomBytes(1_000_000)
  const out = openSync(file, 'w')
  for (let at = 0; at < fileBytes / piece.length; at += 1) {
    piece.writeUInt32BE(at)
    writeSync(out, piece)
  }
  closeSync(out)
  fileDigest = await digestOf(file)
  upstream = await startHttpUpstream(serve)
  database = await createDatabase({ migrate: false })
  place = makePlace(proxyConfig(upstream.url, {}))
  const secret = Buffer.alloc(32, 9).toString('base64')
  gate = await startGateProcess(place, {
    DATABASE_URL: database.ownerUrl,
    POSTERN_PEPPER: secret,
    POSTERN_MASTER_KEY: secret,
  })
}, patience.timeout)
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
  place?.remove()
  await database?.drop()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

type Side = 'direct' | 'through'
const sides: readonly Side[] = ['direct', 'through']

/** What curl says, without the time it took. `@` in an argument stands for the side's name. */
async function curl(side: Side, args: readonly string[], input?: string) {
  const key = gate.variable('POSTERN_SK_LIVE')
  const credentials = ['-H', `x-api-key: ${key}`, '-H', 'x-tn: tenant_abc123']
  const told = await run(
    'curl',
    [
      ...['-sS', '-w', '\n%{http_code} %{size_upload} %{size_download} %{content_type}'],
      ...(side === 'through' ? credentials : []),
      ...args.map((arg) => arg.replace('@', side)),
      side === 'through' ? `${gate.url}/up/file` : `${upstream.url}/file`,
    ],
    { cwd: folder, input, timeoutMs: patience.timeout },
  )
  return { code: told.code, said: told.stdout, warned: told.stderr }
}

async function alike(args: readonly string[], input?: string): Promise<string> {
  const direct = await curl('direct', args, input)
  expect(direct).toMatchObject({ code: 0, warned: '' })
  expect(await curl('through', args, input)).toEqual(direct)
  return direct.said
}

describe('curl, through the gate and past it', () => {
  test(
    'H9: uploads 300 MB that it has asked leave for, and the gate keeps none of it',
    patience,
    async () => {
      await curl('through', ['-r', '0-9'])
      const grown = watchMemory(gate.pid)
      const said = await alike(['-T', 'file', '-H', 'Expect: 100-continue'])
      expect(said).toBe(`${fileDigest}\n201 ${fileBytes} 64 `)
      expect(grown()).toBeLessThan(100e6)
      const [direct, through] = upstream.seen.slice(-2)
      expect(direct?.headers.expect).toBe('100-continue')
      expect(through?.headers['content-length']).toBe(String(fileBytes))
    },
  )

  test('H9: learns of a wrong key before it has sent a byte', async () => {
    const before = upstream.seen.length
    const args = ['-T', 'file', '-H', 'Expect: 100-continue', '-H', 'x-api-key: sk_live_wrong']
    const told = await run(
      'curl',
      ['-sS', '-w', '\n%{http_code} %{size_upload}', ...args, `${gate.url}/up/file`],
      {
        cwd: folder,
      },
    )
    expect(told.stdout).toMatch(/"code":"auth\/malformed_key"[\s\S]*\n401 0$/)
    expect(upstream.seen.length).toBe(before)
  })

  test('uploads what it does not know the length of', async () => {
    const text = 'a line\n'.repeat(100_000)
    const said = await alike(['-T', '-'], text)
    expect(said).toContain(createHash('sha256').update(text).digest('hex'))
    expect(upstream.seen.at(-1)?.headers['transfer-encoding']).toBe('chunked')
  })

  test('downloads a range of 250 MB', patience, async () => {
    const grown = watchMemory(gate.pid)
    const said = await alike(['-r', '1000000-250999999', '-o', 'range-@'])
    expect(said).toBe('\n206 0 250000000 x-test/bytes')
    expect(grown()).toBeLessThan(100e6)
    expect(await digestOf(join(folder, 'range-through'))).toBe(
      await digestOf(join(folder, 'range-direct')),
    )
  })

  test('resumes a download that broke off', patience, async () => {
    for (const side of sides) {
      await curl(side, ['-o', 'whole-@'])
      truncateSync(join(folder, `whole-${side}`), 290_000_000)
    }
    expect(await alike(['-C', '-', '-o', 'whole-@'])).toBe('\n206 0 10000000 x-test/bytes')
    expect(await digestOf(join(folder, 'whole-through'))).toBe(fileDigest)
  })
})
