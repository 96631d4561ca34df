/**
 * Where the gate connects to, and where it never does, whatever a resolver or an upstream says; and
 * what it believes of whoever answers there with TLS.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority } from '../certificates.ts'
import { ask, type ProxyGate, type Settings, startProxyGate } from '../proxy-gate.ts'
import { freePort } from '../servers.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

/** Listens where nobody may connect to. */
let canary: Server
let canaryPort: number
let caught = 0
let upstream: HttpUpstream
let gate: ProxyGate
let banner: Server

/** What the resolver says of a name, one answer after the other; the last one stays. */
const zone: Record<string, string[][]> = {}
const asked: string[] = []
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'

type Peer = { readonly port: number; readonly server: Server; readonly met: TLSSocket[] }

/** A TLS server that answers 200 to everything, and notes who came. */
async function startTls(options: TlsOptions): Promise<Peer> {
  const met: TLSSocket[] = []
  const server = createTlsServer(options, (socket) => {
    met.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.end(`${answer}ok`))
  })
  server.on('tlsClientError', () => {})
  return { server, met, port: await listen(server) }
}

async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port // a TCP server has one
}

const ours = createAuthority('ours')
const foreign = createAuthority('foreign')
const client = ours.issue('gate')
let good: Peer
let strange: Peer
let wary: Peer

beforeAll(async () => {
  canary = createServer((socket) => {
    caught += 1
    socket.destroy()
  })
  canaryPort = await listen(canary, '127.0.0.1')
  banner = createServer(
    (socket) => void socket.on('error', () => {}).end('SSH-2.0-secret_banner\r\n'),
  )
  const bannerPort = await listen(banner)
  upstream = await startHttpUpstream((_, response) => void response.end('ok'))
  good = await startTls(ours.issue('secure.test', 'other.test'))
  strange = await startTls(foreign.issue('secure.test'))
  wary = await startTls({ ...ours.issue('secure.test'), requestCert: true, ca: ours.ca })
  const calm = 'retries: 0, breaker: { failures: 10000 }, timeouts: { connect: 2s }'
  const tls = (port: number, more = '', name = 'secure.test') =>
    `url: "https://${name}:${port}", ${calm}, tls: { ca: "\${env:OUR_CA}", ${more} }`
  const strict = (name: string) =>
    `url: "http://${name}:${canaryPort}", allow: [127.0.0.2/32], ${calm}`
  const port = new URL(upstream.url).port
  const settings: Settings = {
    upstream: calm,
    lookup(name, _, done) {
      asked.push(name)
      const answers = zone[name] ?? []
      const addresses = answers.length > 1 ? answers.shift() : answers[0]
      if (addresses === undefined) {
        done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), [])
      } else {
        done(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        )
      }
    },
    others: {
      rebind: strict('rebind.test'),
      mixed: strict('mixed.test'),
      private: strict('private.test'),
      named: `url: "http://named.test:${port}", ${calm}`,
      absent: `url: "http://absent.test", ${calm}`,
      closed: `url: "http://127.0.0.1:${await freePort()}", ${calm}`,
      banner: `url: "http://127.0.0.1:${bannerPort}", ${calm}`,
      good: tls(good.port),
      sni: tls(good.port, 'serverName: other.test'),
      misnamed: tls(good.port, '', 'wrong.test'),
      strange: tls(strange.port),
      shown: tls(wary.port, 'cert: "${env:CERT}", key: "${env:KEY}"'),
      unshown: tls(wary.port),
      system: `url: "https://secure.test:${good.port}", ${calm}`,
      plain: tls(Number(port)),
    },
  }
  const env = { OUR_CA: ours.ca, CERT: client.cert, KEY: client.key }
  gate = await startProxyGate(upstream.url, settings, env)
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
  for (const server of [canary, banner, good?.server, strange?.server, wary?.server])
    server?.close()
})
beforeEach(() => {
  caught = 0
  asked.length = 0
  for (const name of ['named.test', 'secure.test', 'other.test', 'wrong.test']) {
    zone[name] = [['127.0.0.1']]
  }
})

describe('S3: every address that a name has is judged, at each connection', () => {
  test('a name that leads somewhere allowed first, and then to loopback: nobody comes there', async () => {
    // 127.0.0.2 stands for what is allowed: nobody listens there, so each request connects anew.
    zone['rebind.test'] = [['127.0.0.2'], ['127.0.0.1']]
    expect((await ask(gate, 'rebind/x')).failure).toBe('502 connection_refused')
    for (let turn = 0; turn < 3; turn++) {
      expect((await ask(gate, 'rebind/x')).failure).toBe('502 destination_ip_prohibited')
    }
    expect(asked).toHaveLength(4)
    expect(caught).toBe(0)
  })

  test.each([
    ['the good one first', ['127.0.0.2', '127.0.0.1']],
    ['the good one last', ['127.0.0.1', '127.0.0.2']],
    ['IPv6 among them', ['127.0.0.2', '::1']],
    ['IPv4 inside IPv6', ['127.0.0.2', '::ffff:127.0.0.1']],
    ['NAT64', ['127.0.0.2', '64:ff9b::7f00:1']],
    ['metadata', ['127.0.0.2', '169.254.169.254']],
  ])('one bad address among good ones refuses them all: %s', async (_, addresses) => {
    zone['mixed.test'] = [addresses]
    expect((await ask(gate, 'mixed/x')).failure).toBe('502 destination_ip_prohibited')
    expect(caught).toBe(0)
  })

  test.each([
    '127.0.0.1',
    '0.0.0.0',
    '::',
    '::1',
    '10.0.0.1',
    '192.168.1.1',
    '169.254.1.1',
    '100.64.0.1',
    'fe80::1',
    'fd00::1',
  ])('%s is not connected to', async (address) => {
    zone['private.test'] = [[address]]
    expect((await ask(gate, 'private/x')).failure).toBe('502 destination_ip_prohibited')
    expect(caught).toBe(0)
  })

  test('a name that is good is connected to, and asked for once for each connection', async () => {
    for (let turn = 0; turn < 3; turn++) expect((await ask(gate, 'named/x')).body).toBe('ok')
    expect(asked).toEqual(['named.test'])
  })
})

test('S4: a redirect is the client’s, and the gate does not follow it', async () => {
  upstream.server.removeAllListeners('request')
  upstream.server.on('request', (_, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${canaryPort}/` }).end()
  })
  for (const method of ['GET', 'POST']) {
    const told = await ask(gate, 'up/x', { method })
    expect([told.status, told.headers.location]).toEqual([307, `http://127.0.0.1:${canaryPort}/`])
  }
  expect(caught).toBe(0)
})

test('S8: a closed port, an open one and a forbidden address look alike but for the code', async () => {
  zone['private.test'] = [['10.0.0.1']]
  const tells = []
  for (const name of ['closed', 'banner', 'private', 'absent'])
    tells.push(await ask(gate, `${name}/x`))
  expect(tells.map(({ failure }) => failure)).toEqual([
    '502 connection_refused',
    '502 http_protocol_error',
    '502 destination_ip_prohibited',
    '502 dns_error',
  ])
  for (const { body, headers } of tells) {
    // The path is the caller's own, and so is the address that it called.
    const said = body.replaceAll(gate.url, '').replace(/"instance":"[^"]*"/, '')
    expect(said + JSON.stringify(headers)).not.toMatch(
      /127\.0|10\.0|\.test|ECONN|ENOTFOUND|getaddrinfo|banner|SSH|loopback|private|undici|socket/i,
    )
  }
  const shapes = tells.map(({ body, headers }) => [
    Object.keys(JSON.parse(body)),
    Object.keys(headers),
  ])
  for (const shape of shapes) expect(shape).toEqual(shapes[0])
  // What differs is told to the log.
  const logged = await gate.logged()
  expect(logged).toMatch(/ECONNREFUSED/)
  expect(logged).toMatch(/private\.test: is private/)
})

describe('TLS', () => {
  test('an upstream of our own authority is spoken to by its name', async () => {
    const told = await ask(gate, 'good/x')
    expect([told.status, told.body]).toEqual([200, 'ok'])
    expect(good.met.at(-1)?.servername).toBe('secure.test')
  })

  test('serverName is sent and held against the certificate', async () => {
    expect((await ask(gate, 'sni/x')).status).toBe(200)
    expect(good.met.at(-1)?.servername).toBe('other.test')
  })

  test.each([
    ['of an authority that is not ours', 'strange'],
    ['of an authority that the system does not know', 'system'],
    ['for another name', 'misnamed'],
  ])('a certificate %s is a 502, and no byte of the request is sent', async (_, name) => {
    const told = await ask(gate, `${name}/x`)
    expect(told.failure).toBe('502 tls_certificate_error')
    expect(told.body).not.toMatch(/certificate|altname|verify/i)
    expect(strange.met.every(({ bytesRead }) => bytesRead === 0)).toBe(true)
  })

  test('a client certificate is shown', async () => {
    expect((await ask(gate, 'shown/x')).status).toBe(200)
    expect(wary.met.at(-1)?.authorized).toBe(true)
  })

  test('an upstream that wants one and gets none: 502', async () => {
    expect((await ask(gate, 'unshown/x')).failure).toMatch(
      /^502 (?:tls_protocol_error|connection_terminated)$/,
    )
  })

  test('an upstream that speaks no TLS: 502', async () => {
    expect((await ask(gate, 'plain/x')).failure).toBe('502 tls_protocol_error')
  })
})
