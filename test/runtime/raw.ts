/** A front with a handler that notes what reaches it, and a client that speaks byte by byte. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Exchange, Outcome } from '../../src/context.ts'
import { Problem, type Refusal, renderProblem } from '../../src/problem.ts'
import { createFront, type Front, type FrontLimits } from '../../src/runtime/node/front.ts'

export type TestFront = {
  readonly front: Front
  readonly port: number
  /** `METHOD path` of every request that got as far as the handler, in order. */
  readonly reached: string[]
  readonly outcomes: Outcome[]
  /** Every exchange, for as long as somebody else holds it. */
  readonly seen: WeakRef<Exchange>[]
  /** Resolves when that many outcomes have been logged. */
  logged(count: number): Promise<void>
}

export type Reply = (body: BodyInit | Response | null, init?: ResponseInit) => Response
export type Handle = (
  request: Request,
  exchange: Exchange,
  reply: Reply,
) => Response | Promise<Response>

const openOutcome = (requestId: string, method: string, exchange: Exchange): Outcome => ({
  requestId,
  method,
  path: null,
  route: null,
  platform: null,
  environment: null,
  tenant: null,
  credential: null,
  clientAddress: exchange.clientAddress,
  origin: null,
  status: 0,
  code: null,
  cause: null,
  cost: 0,
  mocked: false,
  requestBytes: -1,
  responseBytes: -1,
  durationMs: -1,
})

/** Starts a front on a free port of loopback. */
export async function startFront(
  handle: Handle,
  limits: Partial<FrontLimits> = {},
  trustedProxies: readonly string[] = [],
): Promise<TestFront> {
  const reached: string[] = []
  const outcomes: Outcome[] = []
  const seen: WeakRef<Exchange>[] = []
  const waiting: (() => void)[] = []
  let requests = 0

  const replyOf =
    (method: string, exchange: Exchange): Reply =>
    (body, init) => {
      requests += 1
      const requestId = `req_${requests}`
      const outcome = openOutcome(requestId, method, exchange)
      const response = body instanceof Response ? body : new Response(body, init)
      return exchange.reply(response, { 'x-request-id': requestId }, outcome)
    }

  const refuse = (refusal: Refusal, exchange: Exchange): Response => {
    seen.push(new WeakRef(exchange))
    requests += 1
    const requestId = `req_${requests}`
    const problem = renderProblem(refusal, {
      requestId,
      instance: null,
      vocabulary: 'slash',
      docsBase: 'https://api.example/docs/errors',
      ownDocs: true,
    })
    const outcome = openOutcome(requestId, '', exchange)
    outcome.code = problem.code
    outcome.cause = refusal.cause ?? null
    const response = new Response(problem.body, {
      status: problem.status,
      headers: problem.headers,
    })
    return exchange.reply(response, { 'x-request-id': requestId }, outcome)
  }

  const front = createFront({
    trustedProxies,
    limits: { drainMs: 50, ...limits },
    refuse,
    log(outcome) {
      outcomes.push(outcome)
      for (const wake of waiting.splice(0)) wake()
    },
    async fetch(exchange) {
      const { request } = exchange
      seen.push(new WeakRef(exchange))
      reached.push(`${request.method} ${new URL(request.url).pathname}`)
      try {
        return await handle(request, exchange, replyOf(request.method, exchange))
      } catch (error) {
        if (error instanceof Problem) return refuse(error.refusal, exchange)
        throw error
      }
    },
  })
  const port = await front.listen(0, '127.0.0.1')
  return {
    front,
    port,
    reached,
    outcomes,
    seen,
    async logged(count) {
      while (outcomes.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    },
  }
}

export type Line = {
  readonly socket: Socket
  /** Sends bytes, given as latin-1. */
  send(bytes: string): void
  /** All that has come, once it contains `text`. Rejects when the server closes before. */
  until(text: string): Promise<string>
  /** All that came, once the server has closed. */
  closed(): Promise<string>
}

/** Opens a connection. It must be closed by the server, or with `socket.destroy()`. */
export async function openLine(port: number): Promise<Line> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  let over = false
  let wake = (): void => {}
  const change = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
    })
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    wake()
  })
  // A server that closes on a client that is still sending is what some tests are about.
  socket.on('error', () => {})
  socket.on('close', () => {
    over = true
    wake()
  })
  await once(socket, 'connect')
  return {
    socket,
    send(bytes) {
      socket.write(bytes, 'latin1')
    },
    async until(expected) {
      while (!text.includes(expected)) {
        if (over) throw new Error(`closed before ${JSON.stringify(expected)}: ${text}`)
        await change()
      }
      return text
    },
    async closed() {
      while (!over) await change()
      return text
    },
  }
}

/** Sends bytes on a new connection, and answers all that came until the server closed. */
export async function talk(port: number, bytes: string): Promise<string> {
  const line = await openLine(port)
  line.send(bytes)
  return line.closed()
}

export type Answer = {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Reads answers that follow each other; throws when what is left is no answer. */
export function readAnswers(text: string): Answer[] {
  const answers: Answer[] = []
  let rest = text
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n')
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]
    if (end < 0 || status === undefined) throw new Error(`not an answer: ${rest}`)
    const headers = new Map<string, string>()
    for (const line of lines) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon).toLowerCase()
      const value = line.slice(colon + 1).trim()
      headers.set(name, headers.has(name) ? `${headers.get(name)} | ${value}` : value)
    }
    rest = rest.slice(end + 4)
    const length = Number(headers.get('content-length') ?? 0)
    answers.push({ status: Number(status), headers, body: rest.slice(0, length) })
    rest = rest.slice(length)
  }
  return answers
}
