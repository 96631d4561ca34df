/**
 * Whatever bytes arrive, the answer is the right 4xx with the error body: never a 5xx, never a hang,
 * and nothing reaches a handler that was not truly valid. `FUZZ_RUNS` says how many cases a property
 * gets; 100 000 is what a release is tried with.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createHandler } from '../../src/handler.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { openWire, type Wire, type WireAnswer } from '../wire.ts'

const runs = Number(process.env.FUZZ_RUNS ?? 300)
const budgetMs = 60_000 + runs * 20
const tenant = 'tenant_abc123'

const config = `
version: 1
platforms:
  - id: plt_fuzz
    slug: fuzz
    scheme: azotte
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    routes:
      - { path: /a/**, methods: [GET], handler: noting }
      - { path: /a/**, methods: [POST], handler: noting, body: { json: true } }
    seed: [{ id: ${tenant} }]
keys: { failures: { count: 1000000, window: 1h } }
log: { level: error }
`

/** What got through to the handler since the last look. */
const reached: { path: string; body: unknown }[] = []
const noting = createHandler().all('*', (c) => {
  reached.push({ path: new URL(c.req.url).pathname, body: c.var.body })
  return c.json({ ok: true })
})

let database: TestDatabase
let gate: TestGate
let key: string
let port: number
let wire: Wire
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config, { noting })
  key = gate.seeded.sk_live_
  port = Number(new URL(gate.url).port)
  wire = await openWire(port)
})
afterAll(async () => {
  wire?.close()
  await gate?.stop()
  await database?.drop()
})

/** Sends one request, given as latin-1, and answers what came back and what got through. */
async function exchange(request: string | Uint8Array) {
  reached.length = 0
  if (wire.isClosed()) wire = await openWire(port)
  wire.send(request)
  const answer = await wire.answer()
  if (answer.headers.get('connection') === 'close') {
    wire.close()
    await wire.closed
  }
  return { answer, code: codeOf(answer), through: [...reached] }
}

/** The code of a refusal, whose body must be the error body; '' of anything else. */
function codeOf({ status, headers, body }: WireAnswer): string {
  if (status < 400) return ''
  const problem = JSON.parse(body)
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(problem).toMatchObject({ status, success: false, requestId: headers.get('x-request-id') })
  expect(problem.code).toMatch(/^[a-z_]+\/[a-z_]+$/)
  return problem.code
}

const head = (lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`
const get = (target: string, ...headers: string[]) =>
  head([`GET ${target} HTTP/1.1`, 'host: x', ...headers])

// Every byte but those that would end the line: what follows them is another header.
const byte = fc.integer({ min: 0, max: 255 }).filter((code) => code !== 10 && code !== 13)
const character = byte.map((code) => String.fromCharCode(code))
const bytes = fc.string({ unit: character, maxLength: 80 })

/** Something near `text`: a few characters put in, taken out or changed. */
const near = (text: () => string) =>
  fc
    .array(fc.tuple(fc.nat(), fc.constantFrom('insert', 'delete', 'replace'), character), {
      minLength: 0,
      maxLength: 3,
    })
    .map((edits) => {
      const characters = [...text()]
      for (const [at, edit, other] of edits) {
        const where = at % (characters.length + 1)
        if (edit === 'insert') characters.splice(where, 0, other)
        else characters.splice(where, 1, ...(edit === 'replace' ? [other] : []))
      }
      return characters.join('')
    })

/** What a server may see of a header: without white space around it (RFC 9110 5.5). */
const fieldValue = (sent: string) => sent.replace(/^[ \t]+|[ \t]+$/g, '')
/** RFC 9112 and 9110 5.5 let no control character but TAB stand in a header. */
const isField = (sent: string) => !/[\x00-\x08\x0a-\x1f\x7f]/.test(sent)

const check = <Sample>(arbitrary: fc.Arbitrary<Sample>, judge: (one: Sample) => Promise<void>) =>
  fc.assert(fc.asyncProperty(arbitrary, judge), { numRuns: runs })

test(
  'K14: any Authorization is a 400 or a 401, unless it is Bearer and the key',
  { timeout: budgetMs },
  () =>
    check(
      fc.oneof(
        bytes,
        near(() => `Bearer ${key}`),
        fc
          .tuple(fc.constantFrom('bearer', 'BEARER', 'Bearer', 'Basic', 'Token', ''), bytes)
          .map(([scheme, rest]) => `${scheme} ${rest}`),
        near(() => key).map((text) => `bEaReR ${text}`),
      ),
      async (sent) => {
        const { answer, code, through } = await exchange(
          get('/a/x', `authorization:${sent}`, `x-tn: ${tenant}`),
        )
        const value = fieldValue(sent)
        const isGood = /^bearer [^ ]+$/i.test(value) && value.slice(7) === key
        if (isGood) {
          expect([answer.status, through.length]).toEqual([200, 1])
          return
        }
        expect(through).toEqual([])
        if (!isField(sent)) expect([answer.status, code]).toEqual([400, 'request/malformed'])
        else if (value === '') expect([answer.status, code]).toEqual([401, 'auth/missing_key'])
        else if (value.includes(',')) {
          expect([answer.status, code]).toEqual([400, 'auth/ambiguous_credentials'])
        } else {
          expect(answer.status).toBe(401)
          expect(code).toMatch(/^auth\/(?:malformed|invalid)_key$/)
          expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
        }
      },
    ),
)

test('T1-T9: any x-tn is a 400 or a 403, unless it is the tenant', { timeout: budgetMs }, () =>
  check(
    fc.oneof(
      bytes,
      near(() => tenant),
      fc.stringMatching(/^[ \t]{0,3}[A-Za-z0-9_-]{0,70}[ \t]{0,3}$/),
    ),
    async (sent) => {
      const { answer, code, through } = await exchange(
        get('/a/x', `x-api-key: ${key}`, `x-tn:${sent}`),
      )
      const value = fieldValue(sent)
      if (value === tenant) {
        expect([answer.status, through.length]).toEqual([200, 1])
        return
      }
      expect(through).toEqual([])
      const right = !isField(sent)
        ? [400, 'request/malformed']
        : value === ''
          ? [400, 'tenant/missing']
          : /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(value)
            ? [403, 'tenant/mismatch']
            : [400, 'tenant/malformed']
      expect([answer.status, code]).toEqual(right)
    },
  ),
)

/** How others further on may read a path; whoever does must come to the same decision. */
const decoders: readonly ((path: string) => string)[] = [
  (path) => path,
  decode,
  (path) => decode(decode(path)),
  (path) => path.replaceAll(/;[^/]*/g, ''),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replaceAll(/\/{2,}/g, '/'),
]

function decode(path: string): string {
  return path.replaceAll(/%([0-9a-f]{2})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

const isGuarded = (path: string) => path === '/a' || path.startsWith('/a/')

test('P16: any path is a 4xx, unless everybody reads it as one below the route', {
  timeout: budgetMs,
}, () => {
  const threats = fc.constantFrom(
    ...['/', '.', '%', '2', 'e', 'f', '5', 'c', ';', '\\', 'a', 'A', '#', '?', '\0', '\t'],
    ...['/a', '/a/', '..', '%2e', '%2f', '%25', '%5c', '%00', '%c0%ae', 'b', ' ', '\xe9'],
  )
  const target = fc.array(threats, { minLength: 1, maxLength: 24 }).map((parts) => parts.join(''))
  return check(
    fc.oneof(
      target,
      target.map((text) => `/${text}`),
      target.map((text) => `/a/${text}`),
    ),
    async (sent) => {
      const { answer, code, through } = await exchange(
        get(sent, `x-api-key: ${key}`, `x-tn: ${tenant}`),
      )
      if (answer.status !== 200) {
        expect(through).toEqual([])
        expect([400, 404, 405]).toContain(answer.status)
        expect(code).toMatch(/^(?:request\/(?:invalid_path|malformed)|route\/not_found)$/)
        return
      }
      const [{ path } = { path: '' }] = through
      expect(through).toHaveLength(1)
      expect(new URL(path, 'http://x').pathname).toBe(path)
      // RFC 9112 3: the parser may take several spaces before a target for one.
      const [raw = ''] = sent.replace(/^ +/, '').split('?')
      for (const read of decoders) {
        for (const spelling of [raw, path]) {
          const seen = new URL(`http://x${read(spelling).replaceAll('#', '%23')}`).pathname
          expect(isGuarded(seen), `${JSON.stringify(spelling)} read as ${seen}`).toBe(true)
        }
      }
    },
  )
})

/** What is wrong with a value that JSON.parse let through; null when nothing is. */
function flawOf(value: unknown): string | null {
  if (typeof value === 'string') {
    return value.includes('\0') || !value.isWellFormed() ? 'text' : null
  }
  if (typeof value === 'number') return Number.isFinite(value) ? null : 'number'
  if (typeof value !== 'object' || value === null) return null
  for (const [name, member] of Object.entries(value)) {
    const flaw = name === '__proto__' ? 'name' : (flawOf(name) ?? flawOf(member))
    if (flaw !== null) return flaw
  }
  return null
}

test('D22 G8: any body is a 400, unless it is JSON that can be stored', {
  timeout: budgetMs,
}, () => {
  const text = fc.string({ unit: 'binary', maxLength: 10 })
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.oneof(text, fc.constantFrom('\0', '\ud800', 'a\udc00'), fc.double(), fc.boolean()),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(text, fc.constant('__proto__')), tie('value'), { maxKeys: 4 }),
    ),
  }))
  const json = value.map((one) => JSON.stringify(one))
  const deep = fc
    .tuple(fc.integer({ min: 1, max: 3000 }), fc.constantFrom('[', '{"a":', '[[{"b":'))
    .map(([depth, open]) => open.repeat(depth))
  return check(
    fc.oneof(
      json.map((one) => Buffer.from(one)),
      fc.tuple(json, fc.nat(), fc.uint8Array({ maxLength: 4 })).map(([one, at, other]) => {
        const whole = Buffer.from(one)
        const where = at % (whole.length + 1)
        return Buffer.concat([whole.subarray(0, where), other, whole.subarray(where)])
      }),
      fc.uint8Array({ minLength: 1, maxLength: 60 }).map((one) => Buffer.from(one)),
      deep.map((one) => Buffer.from(one)),
      fc
        .integer({ min: 60, max: 70 })
        .map((depth) => Buffer.from('['.repeat(depth) + ']'.repeat(depth))),
    ),
    async (body) => {
      const { answer, code, through } = await exchange(
        Buffer.concat([
          Buffer.from(
            head([
              'POST /a/x HTTP/1.1',
              ...['host: x', `x-api-key: ${key}`, `x-tn: ${tenant}`],
              ...['content-type: application/json', `content-length: ${body.length}`],
            ]),
          ),
          body,
        ]),
      )
      const parsed = parse(body)
      if (answer.status === 200) {
        expect(through).toEqual([{ path: '/a/x', body: parsed?.value }])
        expect(parsed && flawOf(parsed.value)).toBeNull()
        return
      }
      expect([answer.status, code, through]).toEqual([400, 'request/malformed', []])
      // Nothing good is refused: what stands twice or too deep is what JSON.parse does not tell.
      if (parsed !== null && flawOf(parsed.value) === null) {
        const detail: string = JSON.parse(answer.body).detail
        expect(detail).toMatch(/stands twice|nested more than 64|"__proto__"|out of range/)
      }
    },
  )
})

function parse(body: Uint8Array): { readonly value: unknown } | null {
  try {
    return {
      value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)),
    }
  } catch {
    return null
  }
}

test('after all of it the gate serves as before', async () => {
  const { answer } = await exchange(get('/a/x', `x-api-key: ${key}`, `x-tn: ${tenant}`))
  expect(answer.status).toBe(200)
})
