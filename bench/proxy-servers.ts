/**
 * One server of the proxy benches, in a process of its own so that it can be held to one core:
 *
 *     node bench/proxy-servers.ts hello                 an upstream that answers fixed bytes
 *     node bench/proxy-servers.ts bulk                  an upstream that takes and gives large bodies
 *     node bench/proxy-servers.ts bare UPSTREAM_URL     node:http and undici, no checks
 *     node bench/proxy-servers.ts fastify UPSTREAM_URL  fastify, counting in the Redis at REDIS_URL
 *
 * Each loads the packages that it uses, and no other's: what it holds is in the report.
 */
import { once } from 'node:events'
import {
  createServer as createHttpServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createTcpServer, type Server } from 'node:net'
import { answerAsServer, answerText, type Listening } from './processes.ts'

/** To an upstream, for every proxy of the bench: more than the load has. */
const connections = 128
const redisUrl = process.env.REDIS_URL

async function listen(server: Server): Promise<Listening> {
  server.listen(0, '127.0.0.1', 4096)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return { url: `http://127.0.0.1:${address.port}/v1/hello`, headers: {} }
}

/** Reads no request: each piece that ends like a head is answered. It must outrun what it serves. */
function startHello(): Promise<Listening> {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${answerText.length}`
  const answer = Buffer.from(`${head}\r\n\r\n${answerText}`)
  const server = createTcpServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (piece) => {
      if (piece.subarray(-4).toString('latin1') === '\r\n\r\n') socket.write(answer)
    })
  })
  return listen(server)
}

/** `/v1/hello`; `/v1/sink` says how many bytes it took; `/v1/large?N` answers N bytes. */
function startBulk(): Promise<Listening> {
  const server = createHttpServer((request, response) => {
    const [path = '', query = '0'] = (request.url ?? '').split('?')
    if (path === '/v1/sink') takeAll(request, response)
    else if (path === '/v1/large') giveBytes(response, Number(query))
    else answerJson(response, answerText)
  })
  return listen(server)
}

function answerJson(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length })
  response.end(text)
}

function takeAll(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  request.once('end', () => answerJson(response, JSON.stringify({ bytes })))
}

const piece = Buffer.alloc(65_536, 'postern ')

function giveBytes(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': bytes })
  let left = bytes
  const more = (): void => {
    while (left > 0) {
      const next = piece.subarray(0, Math.min(left, piece.length))
      left -= next.length
      if (!response.write(next)) return void response.once('drain', more)
    }
    response.end()
  }
  more()
}

/** What is left to do where nothing is checked: hop-by-hop fields go, and the bodies are streamed. */
async function startBare(upstreamUrl: string): Promise<Listening> {
  const { Pool } = await import('undici')
  const pool = new Pool(new URL(upstreamUrl).origin, { connections })
  const server = createHttpServer((request, response) => {
    const { method = 'GET', url = '/' } = request
    const body = method === 'GET' || method === 'HEAD' ? null : request
    pool
      .stream({ method, path: url, headers: endToEnd(request.headers), body }, (answer) => {
        response.writeHead(answer.statusCode, endToEnd(answer.headers))
        return response
      })
      .catch(() => response.destroy())
  })
  return listen(server)
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const {
    host,
    connection,
    'keep-alive': keepAlive,
    'transfer-encoding': coding,
    ...rest
  } = headers
  return rest
}

async function startFastify(upstreamUrl: string): Promise<Listening> {
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const { default: fastify } = await import('fastify')
  const { default: httpProxy } = await import('@fastify/http-proxy')
  const { default: rateLimit } = await import('@fastify/rate-limit')
  const { Redis } = await import('ioredis')
  const app = fastify({ logger: false })
  await app.register(rateLimit, {
    max: 100_000_000,
    timeWindow: '1 minute',
    redis: new Redis(redisUrl, { enableAutoPipelining: true }),
    keyGenerator: (request) => String(request.headers['x-api-key']),
  })
  await app.register(httpProxy, {
    upstream: new URL(upstreamUrl).origin,
    undici: { connections, pipelining: 1 },
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  return { url: `${origin}/v1/hello`, headers: {} }
}

if (import.meta.main) {
  const [kind, upstreamUrl = ''] = process.argv.slice(2)
  if (kind === 'hello') answerAsServer(await startHello())
  else if (kind === 'bulk') answerAsServer(await startBulk())
  else if (kind === 'bare') answerAsServer(await startBare(upstreamUrl))
  else answerAsServer(await startFastify(upstreamUrl))
}
