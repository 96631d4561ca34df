/**
 * The upstreams of examples/, as processes, with the keys that a real gate publishes: what they take,
 * and every forgery that they refuse. What is forged here is signed with the right key wherever the
 * forgery is not about the signature.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../../src/context.ts'
import { createIdentity, type Identity } from '../../src/proxy/identity.ts'
import { epochMs } from '../../src/proxy/signing.ts'
import { parseSecret } from '../../src/runtime/root-secrets.ts'
import { clusterUrl, createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { type Running, run, start } from '../process.ts'
import { principalOf, upstreamOf } from '../proxy/callers.ts'
import { decodePart, encodePart, forge, forgeHmac, publicX, signingKey } from '../proxy/forge.ts'
import { freePort } from '../servers.ts'
import { readText } from '../source.ts'
import { secretsIn } from '../worker.ts'

const script = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))

let database: TestDatabase
/** The upstream's own: another database, where a login of its own owns nothing. */
let shelf: TestDatabase
let shelfUrl: string
const login = `notes_${randomBytes(6).toString('hex')}`
let gate: TestGate
let relay: Server
/** What has been asked of the relay, which stands between the upstreams and the gate. */
const asked: string[] = []
const keySetPath = '/.well-known/jwks.json'
let relayUrl: string
let verifier: Upstream
let notes: Upstream

type Upstream = { readonly running: Running; readonly url: string }

let masterKey: Uint8Array
let identity: Identity
let azotte: Platform
let theazo: Platform

async function startUpstream(name: string, env: Readonly<Record<string, string>>) {
  const running = await start(process.execPath, [script(name)], {
    env: { PATH: process.env.PATH, PORT: '0', ...env },
  })
  const [, port = ''] = await running.line(/port: (\d+)/)
  return { running, url: `http://127.0.0.1:${port}` }
}

beforeAll(async () => {
  database = await createDatabase()
  shelf = await createDatabase({ migrate: false })
  let text = readText('examples/sources.yaml')
  for (const port of ['8801', '8802', '8803', '8804']) {
    text = text.replace(`port: ${port}`, `port: ${await freePort()}`)
  }
  text = text.replace('openapi: theazo', 'openapi: examples/theazo')
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, text)
  masterKey = parseSecret('POSTERN_MASTER_KEY', secretsIn(gate.folder).POSTERN_MASTER_KEY ?? '')
  identity = createIdentity({ masterKey })
  azotte = platformOf('azotte')
  theazo = platformOf('theazo')

  relay = createServer(async (request, response) => {
    asked.push(request.url ?? '')
    if (request.url !== keySetPath) return response.writeHead(200).end('{"keys":[]}')
    const answer = await fetch(gate.url + keySetPath)
    response.writeHead(answer.status).end(await answer.text())
  })
  relayUrl = await new Promise((resolve) => {
    relay.listen(0, '127.0.0.1', () => {
      const address = relay.address()
      resolve(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`)
    })
  })

  await withClient(shelf.ownerUrl, async (owner) => {
    await owner.query(readText('examples/upstream-tenant.sql'))
    await owner.query(`create role ${login} login password '${login}'`)
    await owner.query(`grant select, insert on notes to ${login}`)
    await owner.query(
      `insert into notes (env, tenant, text)
       select env, tenant, env || ' of ' || tenant
       from unnest(array['test', 'live']) env, unnest(array['t1', 't2', 't3']) tenant`,
    )
  })
  const target = new URL(shelf.ownerUrl)
  target.username = login
  target.password = login
  shelfUrl = target.href
  const common = { POSTERN_JWKS_URL: relayUrl + keySetPath, POSTERN_ISSUER: azotte.issuer }
  verifier = await startUpstream('upstream-verify.ts', { ...common, POSTERN_AUDIENCE: 'orders' })
  notes = await startUpstream('upstream-tenant.ts', {
    ...common,
    POSTERN_AUDIENCE: 'orders',
    DATABASE_URL: shelfUrl,
  })
})

afterAll(async () => {
  await verifier?.running.stop()
  await notes?.running.stop()
  relay?.close()
  await gate?.stop()
  await database?.drop()
  await shelf?.drop()
  await withClient(clusterUrl(), (admin) => admin.query(`drop role if exists ${login}`))
})

function platformOf(slug: string): Platform {
  const platform = gate.config.platforms.find((each) => each.slug === slug)
  if (platform === undefined) throw new Error(`no platform ${slug}`)
  return platform
}

const orders = upstreamOf('orders')
const real = (changes = {}) =>
  Promise.resolve(identity.tokenFor(azotte, orders, principalOf(azotte, changes), Date.now()))

async function send(upstream: Upstream, headers: ConstructorParameters<typeof Headers>[0]) {
  const signal = AbortSignal.timeout(10_000)
  const response = await fetch(upstream.url, { headers, signal })
  const text = await response.text()
  return { status: response.status, text }
}
const show = (upstream: Upstream, token: string) => send(upstream, { 'postern-identity': token })

// ---- what is forged with ------------------------------------------------------------------------

const epoch = () => Math.floor(Date.now() / epochMs)
const key = () => signingKey(masterKey, 'plt_azotte', epoch())
const stranger = generateKeyPairSync('ed25519').privateKey
/** A token's parts as they should be; `header()` names the key that signs now. */
const header = async () => ({
  alg: 'EdDSA',
  typ: 'postern-identity+jwt',
  kid: (await identity.jwks(azotte, Date.now())).keys[1]?.kid,
})
const claims = () => {
  const iat = Math.floor(Date.now() / 1000)
  return {
    iss: 'urn:postern:plt_azotte',
    aud: 'orders',
    sub: 'key_1',
    platform: 'plt_azotte',
    tenant: 't1',
    env: 'live',
    class: 'secret',
    permissions: ['*'],
    iat,
    exp: iat + 60,
  }
}
const withHeader = async (changes: object, by = key()) =>
  forge(by, { ...(await header()), ...changes }, claims())
const withClaims = async (changes: object) =>
  forge(key(), await header(), { ...claims(), ...changes })
const now = () => Math.floor(Date.now() / 1000)
const hmac = async (secret: string | Uint8Array) =>
  forgeHmac(secret, { ...(await header()), alg: 'HS256' }, claims())
const pem = () =>
  `-----BEGIN PUBLIC KEY-----\n${Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(publicX(key()), 'base64url'),
  ]).toString('base64')}\n-----END PUBLIC KEY-----\n`
/** Changes one of the three parts of a good token. */
const altered = async (index: number, change: (part: string) => string) =>
  (await real())
    .split('.')
    .map((part, at) => (at === index ? change(part) : part))
    .join('.')

const forgeries: readonly (readonly [string, () => Promise<string>])[] = [
  ['no token at all', async () => ''],
  ['no JWT', async () => 'sk_live_k7Gh2Qm9x'],
  [
    'a token of another platform',
    async () => {
      const caller = principalOf(theazo)
      return identity.tokenFor(theazo, orders, caller, Date.now())
    },
  ],
  [
    'the key of another platform, in the words of this one',
    () => withHeader({}, signingKey(masterKey, 'plt_theazo', epoch())),
  ],
  [
    'a key of two epochs ago',
    () => withHeader({}, signingKey(masterKey, 'plt_azotte', epoch() - 2)),
  ],
  [
    'a token for another upstream',
    async () => identity.tokenFor(azotte, upstreamOf('billing'), principalOf(azotte), Date.now()),
  ],
  ...['none', 'None', 'NONE', 'nOnE'].map(
    (alg) =>
      [
        `J1: alg ${alg}`,
        async () => `${encodePart({ ...(await header()), alg })}.${encodePart(claims())}.`,
      ] as const,
  ),
  [
    'J1: alg none with the signature of a good token',
    () => altered(0, () => encodePart({ alg: 'none', typ: 'postern-identity+jwt' })),
  ],
  ['J1: an empty signature', () => altered(2, () => '')],
  ['J1: two parts', async () => (await real()).split('.').slice(0, 2).join('.')],
  [
    'J2: HS256 with the bytes of the public key',
    () => hmac(Buffer.from(publicX(key()), 'base64url')),
  ],
  ['J2: HS256 with its text', () => hmac(publicX(key()))],
  ['J2: HS256 with its PEM', () => hmac(pem())],
  ['J2: HS256 with its PEM after a space', () => hmac(` ${pem()}`)],
  [
    'J2: HS256 with the published JWK',
    async () => hmac(JSON.stringify((await identity.jwks(azotte, Date.now())).keys[1])),
  ],
  ...['../../dev/null', "' OR 1=1", '__proto__', '', 'x'.repeat(5000)].map(
    (kid) => [`J3: kid ${kid.slice(0, 20)}`, () => withHeader({ kid })] as const,
  ),
  [
    'J4: a key in its own header',
    () => {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: publicX(stranger) }
      return withHeader({ jwk }, stranger)
    },
  ],
  ...['jku', 'x5u'].map(
    (name) =>
      [
        `J4: its own ${name}`,
        () => withHeader({ [name]: `${relayUrl}/canary`, kid: 'k' }, stranger),
      ] as const,
  ),
  ['J5: an extension nobody knows', () => withHeader({ crit: ['x'], x: 1 })],
  ['J5: an unencoded payload', () => withHeader({ crit: ['b64'], b64: false })],
  ['J6: no exp', () => withClaims({ exp: undefined })],
  ['J6: exp as text', () => withClaims({ exp: '9999999999' })],
  ['J6: exp 0', () => withClaims({ exp: 0 })],
  ['J6: exp below 0', () => withClaims({ exp: -1 })],
  ['J6: exp past', () => withClaims({ exp: now() - 10 })],
  [
    'J6: valid for ever, made ten minutes ago',
    () => withClaims({ iat: now() - 600, exp: now() + 1e9 }),
  ],
  ['J6: no iat', () => withClaims({ iat: undefined })],
  ['J6: made in the future', () => withClaims({ iat: now() + 600, exp: now() + 660 })],
  ['J6: not valid yet', () => withClaims({ nbf: now() + 600 })],
  ['J7: no aud', () => withClaims({ aud: undefined })],
  ['J7: aud of nobody', () => withClaims({ aud: [] })],
  ['J7: aud of others', () => withClaims({ aud: ['billing', 'orders2'] })],
  ['J7: aud an object', () => withClaims({ aud: { orders: true } })],
  ['J7: aud begins alike', () => withClaims({ aud: 'orders.evil' })],
  ['J7: no iss', () => withClaims({ iss: undefined })],
  ['J7: iss begins alike', () => withClaims({ iss: 'urn:postern:plt_azotte2' })],
  ['J7: iss a list', () => withClaims({ iss: ['urn:postern:plt_azotte'] })],
  ['J8: a signature of zeros', () => altered(2, () => Buffer.alloc(64).toString('base64url'))],
  ['J8: a signature by a stranger', () => withHeader({}, stranger)],
  ...['JWT', 'at+jwt', 'postern-identity', 'postern-identity+jwt2', undefined].map(
    (typ) => [`J9: typ ${typ}`, () => withHeader({ typ })] as const,
  ),
  ['J10: padding', () => altered(1, (part) => `${part}=`)],
  ['J10: a space inside', () => altered(1, (part) => `${part.slice(0, 9)} ${part.slice(9)}`)],
  ['J10: a fourth part', async () => `${await real()}.`],
  ['altered claims', () => altered(1, (part) => encodePart({ ...decodePart(part), tenant: 't2' }))],
  ['no claims but a list', async () => forge(key(), await header(), [])],
  ['J11: 15 kB', async () => 'A'.repeat(15_000)],
]

// ---- what happens -------------------------------------------------------------------------------

describe('both upstreams', () => {
  test('take a token of the gateway, and one that is forged without a fault', async () => {
    for (const token of [await real({ tenant: 't1' }), await withClaims({})]) {
      for (const upstream of [verifier, notes]) {
        expect((await show(upstream, token)).status).toBe(200)
      }
    }
  })

  test.each(forgeries)('refuse %s', async (_, make) => {
    const token = await make()
    for (const upstream of [verifier, notes]) {
      const { status, text } = await show(upstream, token)
      expect([status, text]).toEqual([401, '{"error":"no valid identity"}'])
    }
  })

  // A library may read the last part leniently; what is signed has one spelling. So docs/identity.md
  // says that a token's text is no name for it.
  test('J10: hear nothing new from another spelling of the signature', async () => {
    const good = await show(verifier, await real())
    const spellings = await Promise.all([
      altered(2, (part) => `${part}==`),
      // Of the last character only two bits count (RFC 4648 3.5).
      altered(2, (part) => part.slice(0, -1) + { A: 'B', Q: 'R', g: 'h', w: 'x' }[part.slice(-1)]),
    ])
    for (const spelling of spellings) {
      const { text } = await show(verifier, spelling)
      expect([good.text, '{"error":"no valid identity"}']).toContain(text)
    }
  })

  test('J11: 1 MB is not even read', async () => {
    for (const upstream of [verifier, notes]) {
      const answer = show(upstream, 'A'.repeat(1_000_000)).then(
        ({ status }) => status,
        () => 431,
      )
      expect(await answer).toBe(431)
      expect((await show(upstream, await real())).status).toBe(200)
    }
  })

  test('H1: believe no plain header, and no two tokens', async () => {
    const token = await real()
    const plain = { 'postern-tenant': 't1', 'postern-environment': 'live', 'x-tn': 't1' }
    const twice: [string, string][] = [
      ['postern-identity', token],
      ['postern-identity', token],
    ]
    for (const upstream of [verifier, notes]) {
      expect((await send(upstream, plain)).status).toBe(401)
      expect((await send(upstream, twice)).status).toBe(401)
    }
  })

  test('J3, J4: asked for no other address, and not again for every unknown key', async () => {
    const before = asked.length
    for (let index = 0; index < 50; index += 1) {
      expect((await show(verifier, await withHeader({ kid: `unknown-${index}` }))).status).toBe(401)
    }
    expect(asked.length - before).toBeLessThanOrEqual(2)
    expect(new Set(asked)).toEqual(new Set([keySetPath]))
  })

  test.each(['POSTERN_ISSUER', 'POSTERN_AUDIENCE', 'POSTERN_JWKS_URL'])(
    'do not start without %s, with which they would believe anybody',
    async (name) => {
      const env: Record<string, string | undefined> = {
        PATH: process.env.PATH,
        PORT: '0',
        POSTERN_JWKS_URL: relayUrl,
        POSTERN_ISSUER: 'x',
        POSTERN_AUDIENCE: 'x',
        DATABASE_URL: shelfUrl,
        [name]: '',
      }
      for (const file of ['upstream-verify.ts', 'upstream-tenant.ts']) {
        const ended = await run(process.execPath, [script(file)], { env })
        expect(ended.code).toBe(1)
        expect(ended.stderr).toContain(`${name} is not set`)
      }
    },
  )
})

test('upstream-verify says who called', async () => {
  const { text } = await show(verifier, await real({ tenant: 't2', environment: 'test' }))
  expect(JSON.parse(text)).toEqual({
    key: 'key_1',
    tenant: 't2',
    env: 'test',
    permissions: ['vec:read', 'data:*'],
  })
})

test('upstream-verify says that it cannot know, when there are no keys to be had', async () => {
  const lost = await startUpstream('upstream-verify.ts', {
    POSTERN_JWKS_URL: `http://127.0.0.1:${await freePort()}/`,
    POSTERN_ISSUER: azotte.issuer,
    POSTERN_AUDIENCE: 'orders',
  })
  try {
    expect((await show(lost, await real())).status).toBe(503)
  } finally {
    await lost.running.stop()
  }
})

describe('upstream-tenant', () => {
  test('shows every caller the rows of its own tenant and environment, all at once', async () => {
    const callers = (['test', 'live'] as const).flatMap((environment) =>
      ['t1', 't2', 't3', 'nobody'].map((tenant) => ({ environment, tenant })),
    )
    const calls = Array.from({ length: 12 }, () => callers).flat()
    const seen = await Promise.all(
      calls.map(async (caller) => (await show(notes, await real(caller))).text),
    )
    expect(seen.map((text) => JSON.parse(text))).toEqual(
      calls.map(({ environment, tenant }) =>
        tenant === 'nobody' ? [] : [{ text: `${environment} of ${tenant}` }],
      ),
    )
  })

  test('refuses a caller without a tenant', async () => {
    expect((await show(notes, await real({ tenant: null }))).status).toBe(401)
  })

  test('its table shows nothing to whoever binds no tenant, and takes no foreign row', async () => {
    await withClient(shelfUrl, async (client) => {
      expect((await client.query('select * from notes')).rows).toEqual([])
      await client.query('begin')
      await client.query(`select set_config('app.env', 'live', true)`)
      await client.query(`select set_config('app.tenant', 't1', true)`)
      const foreign = client.query(`insert into notes (tenant, text) values ('t2', 'x')`)
      await expect(foreign).rejects.toThrow(/row-level security/)
    })
  })
})

describe('docs/identity.md', () => {
  const page = readText('docs/identity.md')
  const blocks = (language: string) =>
    [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
      ([, block = '']) => block,
    )

  test('shows the header and the claims that a token has', async () => {
    const token = await real()
    expect(blocks('json').map((block) => Object.keys(JSON.parse(block)))).toEqual(
      token.split('.', 2).map((part) => Object.keys(decodePart(part)).sort(inPage(page))),
    )
  })

  test('verifies in the lines of the example, which is run above', () => {
    const example = readText('examples/upstream-verify.ts')
      .split('\n')
      .map((line) => line.trim())
    const lines = blocks('ts').flatMap((block) => block.trim().split('\n'))
    expect(lines.length).toBeGreaterThan(5)
    for (const line of lines) expect(example).toContain(line.trim())
  })

  test('leads to files that are there', () => {
    const links = [...page.matchAll(/\]\(([^)#]+)\)/g)].map(([, to = '']) => to)
    expect(links.length).toBeGreaterThan(2)
    for (const link of links) {
      const file = link.startsWith('../') ? link.slice(3) : link.replace(/^/, 'docs/')
      expect(readText(file).length).toBeGreaterThan(0)
    }
  })
})

/** The order in which the page writes its members. */
const inPage = (page: string) => (a: string, b: string) =>
  page.indexOf(`"${a}":`) - page.indexOf(`"${b}":`)
