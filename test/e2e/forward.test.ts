/** Forwarding on both runtimes, and where they differ, shown on both. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startGate } from '../gate.ts'
import { freePort } from '../servers.ts'
import { echoSuite } from '../suites/echo.suite.ts'
import { forwardConfig, forwardSuite } from '../suites/forward.suite.ts'
import {
  type HttpUpstream,
  type RawUpstream,
  startHttpUpstream,
  startRawUpstream,
} from '../upstream.ts'
import { startForwardingGate } from '../worker.ts'

forwardSuite('Node', (config) => startGate({}, config))
forwardSuite('Workers', startForwardingGate)
echoSuite('Node', (config) => startGate({}, config))
echoSuite('Workers', startForwardingGate)

describe('the differences', () => {
  let gate: Awaited<ReturnType<typeof startForwardingGate>>
  let raw: RawUpstream
  let http: HttpUpstream
  let answer = ''
  let asked = ''
  const sockets = new WebSocketServer({ noServer: true })
  beforeAll(async () => {
    raw = await startRawUpstream(async (connection) => {
      asked = await connection.until('\r\n\r\n')
      connection.socket.end(answer, 'latin1')
    })
    http = await startHttpUpstream((_, response) => void response.end())
    http.server.on('upgrade', (...upgrade) => sockets.handleUpgrade(...upgrade, () => {}))
    const gone = `http://127.0.0.1:${await freePort()}`
    gate = await startForwardingGate(forwardConfig(http.url, raw.url, gone))
  })
  afterAll(async () => {
    for (const client of sockets.clients) client.terminate()
    await gate?.stop()
    await raw?.stop()
    await http?.stop()
  })

  /** One request, byte for byte, and what came of it on Node and on Workers. */
  async function onBoth(lines: readonly string[], path = '/raw/x') {
    const seen = []
    for (const url of [gate.nodeUrl, gate.url]) {
      const { port, host } = new URL(url)
      asked = ''
      const socket = connect(Number(port), '127.0.0.1')
      socket.setEncoding('latin1')
      const key = [`x-api-key: ${gate.seeded.sk_live_}`, 'x-tn: tenant_abc123']
      const head = [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...key, ...lines]
      socket.write(`${head.join('\r\n')}\r\n\r\n`)
      seen.push({ client: await text(socket), upstream: asked })
    }
    const [node, workers] = seen
    if (node === undefined || workers === undefined) throw new Error('not asked')
    return { node, workers }
  }

  test('Forwarded lines lose their looks: case, order, and lines of their own', async () => {
    answer =
      'HTTP/1.1 200 OK\r\nX-MiXeD: 1\r\nA-First: 2\r\nX-MiXeD: 3\r\nX-Odd: \xe9\r\nContent-Length: 0\r\n\r\n'
    const { node, workers } = await onBoth(['X-OwN: own', 'Cache-Control: max-age=60'])
    expect(node.client).toContain('X-MiXeD: 1\r\nA-First: 2\r\nX-MiXeD: 3\r\n')
    expect(workers.client).toContain('a-first: 2\r\n')
    expect(workers.client).toContain('x-mixed: 1, 3\r\n')
    expect(node.client).toContain('X-Odd: \xe9\r\n')
    expect(workers.client).toContain('x-odd: \xef\xbf\xbd\r\n')
    expect(node.upstream).toContain('X-OwN: own\r\n')
    expect(workers.upstream).toContain('x-own: own\r\n')
    expect(node.upstream).toContain('Cache-Control: max-age=60\r\n')
    expect(workers.upstream).toContain('Cache-Control: max-age=60\r\n')
    // Without it, `fetch` would look into a cache (threats T15).
    expect(workers.upstream).toContain('Pragma: no-cache\r\n')
  })

  test('Only the answer itself passes: no 1xx and no trailers', async () => {
    answer = [
      'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n',
      '1\r\na\r\n0\r\nx-sum: 1\r\n\r\n',
    ].join('')
    const { node, workers } = await onBoth(['TE: trailers'])
    expect(node.client).toContain('HTTP/1.1 103')
    expect(node.client).toMatch(/\r\n0\r\nx-sum: 1\r\n\r\n$/)
    expect(node.upstream).toContain('te: trailers\r\n')
    expect(workers.client).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n0\r\n\r\n$/)
    expect(workers.upstream.toLowerCase()).not.toContain('\r\nte:')
  })

  test('A failure has fewer names', async () => {
    const refused = await onBoth([], '/gone/x')
    expect(refused.node.client.toLowerCase()).toContain('postern; error=connection_refused\r\n')
    expect(refused.workers.client.toLowerCase()).toContain(
      'postern; error=connection_terminated\r\n',
    )
    answer = 'this is no HTTP\r\n\r\n'
    const nonsense = await onBoth([])
    expect(nonsense.node.client).toContain('"code":"upstream/bad_response"')
    expect(nonsense.workers.client).toContain('"code":"upstream/unreachable"')
  })

  test('An open WebSocket is out of our hands: it is logged at its handshake, and on Node at its end', async () => {
    const opened = async (url: string) => {
      const headers = { 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' }
      const client = new WebSocket(`${url.replace('http', 'ws')}/up/ws`, { headers })
      await once(client, 'open')
      return client
    }
    const lines = async () => (await gate.logged()).match(/"status":101/g)?.length ?? 0
    const nodeLines = async () => (await gate.nodeLogged()).match(/"status":101/g)?.length ?? 0
    const onWorkers = await opened(gate.url)
    const onNode = await opened(gate.nodeUrl)
    await expect.poll(lines).toBe(1)
    expect(await nodeLines()).toBe(0)
    onNode.close()
    await expect.poll(nodeLines).toBe(1)
    expect(onWorkers.readyState).toBe(WebSocket.OPEN)
    onWorkers.close()
    await once(onWorkers, 'close')
    expect(await lines()).toBe(1)
  })
})
