/**
 * A key from its making to its end, on each of the four platforms of examples/sources.yaml and in each
 * of the three ways to do it. The key itself is used as its platform's documents use it, by curl.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { curl } from '../http-clients.ts'
import { type KeyDriver, keyDrivers } from '../key-drivers.ts'
import { type Slug, type Sources, slugs, startSources } from '../sources-gate.ts'

type Use = {
  readonly path: string
  readonly type: string
  readonly prefix: string
  readonly permission: string
}

const uses: Readonly<Record<Slug, Use>> = {
  azotte: {
    path: '/v1/subscriptions',
    type: 'sk_live',
    prefix: 'sk_live_',
    permission: 'data:read',
  },
  theazo: { path: '/v1/sessions', type: 'live', prefix: 'th_live_', permission: 'sessions:read' },
  tenzro: {
    path: '/cloud/vec/databases',
    type: 'Production',
    prefix: 'prod_',
    permission: 'vec:read',
  },
  generic: {
    path: '/v1/users/usr_123',
    type: 'sk_live',
    prefix: 'sk_live_',
    permission: 'users:read',
  },
}

let sources: Sources
beforeAll(async () => {
  sources = await startSources()
})
afterAll(() => sources?.stop())

/** 200, or the code of the refusal. */
async function use(slug: Slug, key: string): Promise<200 | string> {
  const headers: Record<string, string> =
    slug === 'azotte'
      ? { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
      : { authorization: `Bearer ${key}` }
  const { status, json } = await curl.send({ url: sources.urlOf(slug) + uses[slug].path, headers })
  return status === 200 ? status : `${status} ${json.code}`
}

// Theazo's document knows one word for every key that is not good, but for a revoked one.
const ended = (slug: Slug) => `401 auth/${slug === 'theazo' ? 'invalid_key' : 'key_expired'}`

const ways = Object.keys(keyDrivers).flatMap((way) => slugs.map((slug) => ({ way, slug })))

describe.each(ways)('$slug by $way', ({ way, slug }) => {
  const { path, type, prefix, permission } = uses[slug]
  let keys: KeyDriver
  let id: string
  /** Its secrets, in the order in which they were made. */
  const secrets: string[] = []
  const latest = () => secrets.at(-1) ?? ''
  const useAll = () => Promise.all(secrets.map((secret) => use(slug, secret)))
  const rotate = async (overlapSeconds: number) => {
    const rotated = await keys.rotate(id, overlapSeconds)
    expect(rotated.id).toBe(id)
    secrets.push(rotated.key)
  }
  beforeAll(() => {
    keys = keyDrivers[way]!(sources.urlOf(slug), sources.keyOf(slug, 'ADMIN'))
  })

  test('is made, and works', async () => {
    const made = await keys.create({ name: `life by ${way}`, type, permissions: [permission] })
    id = made.id
    secrets.push(made.key)
    expect(made.key.startsWith(prefix)).toBe(true)
    expect(await use(slug, made.key)).toBe(200)
  })

  test('is restricted, and does not; then to what it calls, and does', async () => {
    await keys.restrict(id, ['GET /v1/elsewhere'])
    expect(await use(slug, latest())).toBe('403 auth/endpoint_not_allowed')
    await keys.restrict(id, [`GET ${path}`])
    expect(await use(slug, latest())).toBe(200)
  })

  test('is rotated: both secrets work, for as long as was asked', async () => {
    await rotate(3600)
    expect(await useAll()).toEqual([200, 200])
    expect(await keys.show(id)).toEqual({
      status: 'rotating',
      secrets: ['current', 'overlapping'],
    })
    // What it was restricted to is of the key, not of a secret.
    await keys.restrict(id, ['GET /v1/elsewhere'])
    expect(new Set(await useAll())).toEqual(new Set(['403 auth/endpoint_not_allowed']))
    await keys.restrict(id, [`GET ${path}`])
  })

  test('V8: is rotated again: of three secrets two work, and none longer than was asked', async () => {
    await rotate(1)
    const first = secrets[0] ?? ''
    expect(await use(slug, first)).toBe(ended(slug))
    const second = secrets[1] ?? ''
    // The old one falls silent by itself.
    await vi.waitFor(async () => expect(await use(slug, second)).toBe(ended(slug)), {
      ...{ timeout: 20_000, interval: 200 },
    })
    expect(await use(slug, latest())).toBe(200)
    expect((await keys.show(id)).secrets[0]).toBe('current')
  })

  test('is rotated with no overlap: the secret before ends at once', async () => {
    await rotate(0)
    expect((await useAll()).slice(-2)).toEqual([ended(slug), 200])
  })

  test('V7: is revoked, and is dead at its next request, whichever secret is shown', async () => {
    await keys.revoke(id)
    expect(new Set(await useAll())).toEqual(new Set(['401 auth/key_revoked']))
    expect((await keys.show(id)).status).toBe('revoked')
  })
})
