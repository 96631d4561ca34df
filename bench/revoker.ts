/**
 * Makes keys, uses each on every gate all the time, and revokes it by one of them. One process, so
 * that one clock says what came after what. Run by bench/revocation.ts.
 */
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

export type TrialsOptions = {
  /** Of the gates. They take turns in being told. */
  readonly urls: readonly string[]
  /** The key that manages keys. */
  readonly admin: string
  readonly trials: number
}

/** What became of one key. Milliseconds are from when the call that revokes it was sent. */
export type Trial = {
  /** Until the first refusal of the last gate was here. */
  readonly refusedMs: number
  readonly receiptMs: number
  /** The receipt says that every gate goes by it. */
  readonly isComplete: boolean
  /** Requests that began after it, and those of them that were let in. */
  readonly sentAfter: number
  readonly admittedAfter: number
  /** Of the uses that ended before it, the slowest. */
  readonly slowestUseMs: number
}

/** Each gate is asked every so many milliseconds, whatever became of the request before. */
const everyMs = 4
const beforeMs = 20
const afterMs = 30

const agent = new Agent({ keepAlive: true })

async function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
  body = '',
): Promise<{ status: number; body: string }> {
  const sending = request(url, { agent, method, headers })
  sending.end(body)
  // What once() gives of this event is its only argument.
  const [answer] = (await once(sending, 'response')) as [IncomingMessage]
  return { status: answer.statusCode ?? 0, body: await text(answer) }
}

async function manage(admin: string, method: string, url: string, body?: unknown) {
  const headers = {
    'x-api-key': admin,
    ...{ 'x-tn': 'tenant_abc123', 'content-type': 'application/json' },
  }
  const answer = await send(url, headers, method, body === undefined ? '' : JSON.stringify(body))
  if (answer.status >= 300) throw new Error(`${url} answers ${answer.status} ${answer.body}`)
  return JSON.parse(answer.body)
}

type Use = { readonly beganAt: number; readonly endedAt: number; readonly status: number }

/** Uses a key on one gate until it is told to end. */
class User {
  readonly uses: Use[] = []
  readonly #open = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout
  #fault: unknown = null

  constructor(url: string, key: string) {
    const headers = { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
    this.#timer = setInterval(() => {
      const using = this.#use(`${url}/v1/hello`, headers)
        .catch((error: unknown) => {
          this.#fault ??= error
        })
        .finally(() => this.#open.delete(using))
      this.#open.add(using)
    }, everyMs)
  }

  async #use(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
    const beganAt = performance.now()
    const { status, body } = await send(url, headers)
    if (status !== 200 && status !== 401) throw new Error(`${url} answers ${status} ${body}`)
    this.uses.push({ beganAt, endedAt: performance.now(), status })
  }

  /** Throws when a request failed. */
  async end(): Promise<readonly Use[]> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
    if (this.#fault !== null) throw this.#fault
    return this.uses
  }
}

async function tryOne({ urls, admin }: TrialsOptions, number: number): Promise<Trial> {
  const told = urls[number % urls.length]
  const made = await manage(admin, 'POST', `${told}/v1/api-keys`, {
    ...{ name: `trial ${number}`, environment: 'live', permissions: ['data:read'] },
  })
  const users = urls.map((url) => new User(url, made.data.key))
  await delay(beforeMs)
  const calledAt = performance.now()
  const receipt = await manage(admin, 'DELETE', `${told}/v1/api-keys/${made.data.id}`)
  const receivedAt = performance.now()
  await delay(afterMs)
  const uses = await Promise.all(users.map((user) => user.end()))
  const refusals = uses.map((ofOne) => {
    if (!ofOne.some(({ status }) => status === 200)) throw new Error('a key never worked')
    return ofOne.find(({ status }) => status === 401)?.endedAt ?? Number.POSITIVE_INFINITY
  })
  const before = uses.flat().filter(({ endedAt }) => endedAt < calledAt)
  const after = uses.flat().filter(({ beganAt }) => beganAt > receivedAt)
  return {
    refusedMs: Math.max(...refusals) - calledAt,
    receiptMs: receivedAt - calledAt,
    isComplete:
      receipt.nodes === urls.length &&
      receipt.acknowledged === urls.length &&
      receipt.max_staleness_ms === 0,
    slowestUseMs: Math.max(...before.map(({ beganAt, endedAt }) => endedAt - beganAt)),
    sentAfter: after.length,
    admittedAfter: after.filter(({ status }) => status === 200).length,
  }
}

if (import.meta.main) {
  const options: TrialsOptions = JSON.parse(process.argv[2] ?? '{}')
  const found: Trial[] = []
  // The first ones run before anything is compiled.
  const unseen = 20
  for (let number = -unseen; number < options.trials; number++) {
    const trial = await tryOne(options, number + unseen)
    if (number >= 0) found.push(trial)
  }
  agent.destroy()
  process.stdout.write(JSON.stringify(found))
}
