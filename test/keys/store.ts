/** Makes records, platforms and a store in a Map, as the tests of this room need them. */
import { crc32 } from 'node:zlib'
import type { KeyRecord, Platform, Scheme } from '../../src/context.ts'
import type { HeaderReader } from '../../src/keys/authenticate.ts'
import { generateKey, storedDigest } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { createTrust, type Trust, type TrustOptions } from '../../src/keys/trust.ts'
import type { FoundKey } from '../../src/keys/verify.ts'
import { type Refusal, renderProblem } from '../../src/problem.ts'

export const pepper1 = new Uint8Array(32).fill(1)
export const pepper2 = new Uint8Array(32).fill(2)

export function platformOf(id = 'plt_one', scheme: Scheme = presets.azotte): Platform {
  return {
    id,
    slug: id.slice(4),
    name: id,
    scheme,
    hosts: [],
    port: null,
    vocabulary: 'slash',
    docsUrl: null,
    issuer: 'urn:postern:test',
    upstreams: [],
    testMode: 'sandbox',
    openapi: null,
    permissions: ['vec:read'],
    limits: {
      environments: { test: { key: [], tenant: [] }, live: { key: [], tenant: [] } },
      classes: {},
    },
    routes: [],
  }
}

export function recordOf(changes: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: 'key_1',
    platform: 'plt_one',
    environment: 'live',
    class: 'secret',
    name: 'A key',
    prefix: 'sk_live_',
    ref: 'k7Gh2Qm9x',
    last4: 'wxyz',
    secretId: 'sec_1',
    tenants: null,
    permissions: [],
    restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
    limits: null,
    expiresAt: null,
    revoked: false,
    disabled: false,
    pepperVersion: 1,
    ...changes,
  }
}

export const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The checksum again, from zlib and BigInt: nothing here is shared with the code. */
export function withCheck(body: string): string {
  let rest = BigInt(crc32(body))
  let check = ''
  for (let at = 0; at < 6; at++, rest /= 62n) check = digits[Number(rest % 62n)] + check
  return body + check
}

/** Cases of text, each with a name short enough to print. */
export const shortened = (texts: readonly string[]) =>
  texts.map((text) => ({
    text,
    name: JSON.stringify(text.length > 90 ? `${text.slice(0, 60)}… (${text.length})` : text),
  }))

export type Time = {
  /** What the clock says. */
  now: number
  /** Since when the channel has been silent, on that clock; null: it is certain. */
  silentSince: number | null
}

/** A trust whose clock and channel are the test's own. */
export function timeless(options: TrustOptions = {}): {
  readonly trust: Trust
  readonly time: Time
} {
  const time: Time = { now: 0, silentSince: null }
  const trust = createTrust({
    clock: () => time.now,
    silentMs: () =>
      time.silentSince === null ? 0 : Math.max(time.now - time.silentSince, Number.MIN_VALUE),
    ...options,
  })
  return { trust, time }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** A store in a Map: stored digest -> row, as `api_key_secrets` has it. It counts its lookups. */
export function createStore() {
  const rows = new Map<string, FoundKey>()
  const store = {
    rows,
    lookups: 0,
    async findKey(digests: readonly Uint8Array[]): Promise<FoundKey | null> {
      store.lookups++
      for (const digest of digests) {
        const row = rows.get(hex(digest))
        if (row !== undefined) return row
      }
      return null
    },
    /** Stores a row under a digest of any making. */
    put(digest: Uint8Array, record: KeyRecord) {
      rows.set(hex(digest), { record, digest })
    },
    /** Issues a key and stores it; the record says what the prefix says unless changed. */
    issue(changes: Partial<KeyRecord> = {}, pepper = pepper1): string {
      const prefix = changes.prefix ?? 'sk_live_'
      const { key, ref, last4 } = generateKey(prefix)
      store.put(storedDigest(key, pepper), recordOf({ ref, last4, prefix, ...changes }))
      return key
    },
  }
  return store
}

/** Headers by lower-case name, exactly as given: nothing is trimmed, joined or refused. */
export function headersOf(fields: Readonly<Record<string, string>>): HeaderReader {
  return { get: (name) => fields[name.toLowerCase()] ?? null }
}

/** What the caller sees of a refusal. Only the request id would differ. */
export function wireOf(refusal: Refusal): string {
  return JSON.stringify(
    renderProblem(refusal, {
      requestId: 'req_1',
      instance: '/v1/things',
      vocabulary: 'slash',
      docsBase: 'https://api.example.com/docs/errors',
      ownDocs: true,
    }),
  )
}

/** How many cases a property is tried on: FUZZ_RUNS, or enough for every day. */
export const fuzzRuns = Number(process.env.FUZZ_RUNS ?? 2000)
