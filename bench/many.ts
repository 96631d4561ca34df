/**
 * Load from many keys on many paths, each request of a key and a path drawn at random, on keep-alive
 * connections that ask again when they are answered. A process of its own, on the load's core, and
 * less than an HTTP client: it must outrun the gate.
 *
 *     node bench/many.ts '{"url": …, "keysFile": …, "routes": …, "connections": …, "seconds": …}'
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { run } from '../test/process.ts'
import { pathsOf } from './gate-setup.ts'
import { type Loaded, onLoadCore } from './load.ts'
import { answerText } from './processes.ts'

export type Many = {
  /** Of one of the paths. */
  readonly url: string
  /** A key on each line. */
  readonly keysFile: string
  readonly routes: number
  readonly connections: number
  /**
   * null: each key on each path once, as far as `warmUpMost` goes, and each key in any case; but for
   * 45 seconds at most.
   */
  readonly seconds: number | null
}

/** Requests that warm a gate up: so many that its code is compiled, and no more than take a while. */
const [warmUpLeast, warmUpMost, warmUpMs] = [10_000, 100_000, 45_000]

/** Runs one to its end. Throws when a request is not answered with a 200 and the usual body. */
export async function sendMany(many: Many): Promise<Loaded> {
  const [command = '', ...args] = onLoadCore(process.execPath, fileURLToPath(import.meta.url))
  const timeoutMs = 300_000
  const { code, stdout, stderr } = await run(command, [...args, JSON.stringify(many)], {
    timeoutMs,
  })
  if (code !== 0) throw new Error(`the load on ${many.url} failed: ${stderr}`)
  return JSON.parse(stdout)
}

async function sendAll({ url, keysFile, routes, connections, seconds }: Many): Promise<Loaded> {
  const { hostname, port } = new URL(url)
  const keys = readFileSync(keysFile, 'utf8').split('\n')
  const heads = pathsOf(routes).map(
    (path) =>
      `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nx-tn: tenant_abc123\r\nx-api-key: `,
  )
  const times: number[] = []
  const start = performance.now()
  const end = seconds === null ? Number.POSITIVE_INFINITY : start + seconds * 1000
  const pairs = Math.min(warmUpMost, keys.length * heads.length)
  const inTurn = Math.max(warmUpLeast, keys.length, pairs)
  let sent = 0
  const next = (): string | null => {
    if (seconds !== null) {
      return performance.now() < end ? requestOf(drawn(heads), drawn(keys)) : null
    }
    if (sent === inTurn || performance.now() > start + warmUpMs) return null
    const head = heads[Math.floor(sent / keys.length) % heads.length]!
    return requestOf(head, keys[sent++ % keys.length]!)
  }
  const converse = (number: number) =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true, ...from(number) })
      let heard = ''
      let askedAt = 0
      const ask = (): void => {
        const request = next()
        if (request === null) {
          socket.destroy()
          resolve()
          return
        }
        askedAt = performance.now()
        socket.write(request)
      }
      socket.setEncoding('latin1').once('connect', ask).once('error', reject)
      socket.once('end', () => reject(new Error(`hung up after: ${heard}`)))
      socket.on('data', (piece) => {
        heard += piece
        if (!heard.startsWith('HTTP/1.1 200')) reject(new Error(`answered: ${heard}`))
        else if (heard.endsWith(answerText)) {
          times.push(performance.now() - askedAt)
          heard = ''
          ask()
        }
      })
    })
  await Promise.all(Array.from({ length: connections }, (_, number) => converse(number)))
  const took = (performance.now() - start) / 1000
  const sorted = Float64Array.from(times).sort()
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0
  return {
    requests: times.length,
    perSecond: times.length / took,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  }
}

/**
 * Each connection comes from an address of its own where loopback has many: a gate looks up only a few
 * keys of one address at a time.
 */
const from = (number: number) =>
  process.platform === 'linux' ? { localAddress: `127.0.0.${2 + (number % 250)}` } : {}

const requestOf = (head: string, key: string): string => `${head}${key}\r\n\r\n`
const drawn = (from: readonly string[]): string => from[Math.floor(Math.random() * from.length)]!

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await sendAll(JSON.parse(process.argv[2] ?? '{}'))))
}
