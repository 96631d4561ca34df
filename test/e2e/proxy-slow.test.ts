/**
 * Q19, R16 to R18: hundreds of clients that are as slow as they can be, at a gate that is a process of
 * its own. Others are served meanwhile, its memory does not follow theirs, and their time runs out.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { proxyConfig } from '../proxy-gate.ts'
import { until } from '../redis.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

const clients = 200
const tenant = 'tenant_abc123'

let upstream: HttpUpstream
let database: TestDatabase
let place: Place
let gate: GateProcess
let credentials: string
let key: string
/** Uploads and downloads that the upstream has begun, and those that ended without being whole. */
const begun = { uploads: 0, downloads: 0 }
const broken = { uploads: 0, downloads: 0 }
let finished = 0

beforeAll(async () => {
  const block = Buffer.alloc(65_536)
  upstream = await startHttpUpstream((request, response) => {
    // Nearly all of them break off, which is what they are here for.
    request.on('error', () => {})
    response.on('error', () => {})
    if (request.url === '/upload') {
      begun.uploads += 1
      request.once('close', () => {
        if (!request.complete) broken.uploads += 1
      })
      request.resume()
      request.once('end', () => {
        finished += 1
        response.end()
      })
    } else if (request.url === '/download') {
      begun.downloads += 1
      response.once('close', () => {
        broken.downloads += 1
      })
      response.writeHead(200)
      // It is read as fast as it is taken.
      const endless = new Readable({ read: () => void endless.push(block) })
      endless.pipe(response)
    } else response.end('good')
  })
  // A body that is passed on may pause for as long as an answer may.
  const settings = 'connections: 1000, timeouts: { connect: 1min, idle: 5s }'
  place = makePlace(proxyConfig(upstream.url, { upstream: settings }))
  database = await createDatabase({ migrate: false })
  gate = await startGateProcess(place, { DATABASE_URL: database.ownerUrl })
  key = gate.variable('POSTERN_SK_LIVE')
  credentials = `x-api-key: ${key}\r\nx-tn: ${tenant}\r\n`
})
afterAll(async () => {
  await gate?.stop('SIGKILL')
  await upstream?.stop()
  await database?.drop()
  place?.remove()
})

type Slow = { readonly socket: Socket; readonly closed: Promise<string> }

/** Opens connections that say this much and no more. */
function openMany(bytes: string): Slow[] {
  return Array.from({ length: clients }, () => {
    const socket = connect(gate.port, '127.0.0.1')
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1')
    })
    socket.write(bytes)
    return { socket, closed: once(socket, 'close').then(() => text) }
  })
}

/** What the process holds in memory, in MiB. */
function residentMiB(): number {
  const status = readFileSync(`/proc/${gate.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

async function isGood(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) {
    const { status, text } = await gate.call('/up/good', { key, tenant })
    expect([status, text]).toEqual([200, 'good'])
  }
}

test(`Q19 R16 R17 R18: ${clients} clients of each slow kind`, async () => {
  await isGood()
  const before = residentMiB()
  const heads = openMany('GET /up/good HTTP/1.1\r\nHost: a\r\n')
  const drip = setInterval(() => {
    for (const { socket } of heads) if (socket.writable) socket.write('x')
  }, 1000)
  const bodies = openMany(
    `POST /up/upload HTTP/1.1\r\nHost: a\r\n${credentials}Content-Length: 100000\r\n\r\nfirst`,
  )
  const unknown = openMany(
    'POST /up/upload HTTP/1.1\r\nHost: a\r\nx-tn: a\r\nContent-Length: 100000\r\n\r\nfirst',
  )
  const readers = openMany(`GET /up/download HTTP/1.1\r\nHost: a\r\n${credentials}\r\n`)
  for (const { socket } of readers) socket.pause()
  await until(() => begun.uploads === clients)
  await until(() => begun.downloads === clients)

  await isGood()
  expect(residentMiB() - before, 'MiB more').toBeLessThan(150)

  // Whoever is not known is not waited for at all.
  for (const text of await Promise.all(unknown.map(({ closed }) => closed))) {
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
  }
  expect(begun.uploads).toBe(clients)
  for (const text of await Promise.all(heads.map(({ closed }) => closed))) {
    expect(text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"request\/timeout"/)
  }
  clearInterval(drip)
  for (const text of await Promise.all(bodies.map(({ closed }) => closed))) {
    expect(text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"request\/timeout"/)
  }
  await until(() => broken.uploads === clients)
  expect(finished, 'no half of an upload looked whole').toBe(0)

  await isGood()
  expect(residentMiB() - before, 'MiB more').toBeLessThan(150)
  for (const { socket } of readers) socket.destroy()
  await until(() => broken.downloads === clients)
  await isGood()
}, 120_000)
