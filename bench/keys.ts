/**
 * What verifying keys costs: cached keys per second in process, the memory that a flood of unknown
 * keys takes, and whether the time of a refusal tells anything (threats K2). Runs alone:
 *
 *     node bench/keys.ts
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { KeyRecord, Platform } from '../src/context.ts'
import { generateKey, storedDigest } from '../src/keys/format.ts'
import { presets } from '../src/keys/schemes.ts'
import { createVerifier, type FoundKey } from '../src/keys/verify.ts'

export type KeysBench = {
  /** Verifications of a cached key per second, median of the rounds, over 1 000 keys in turn. */
  readonly cachedPerSecond: number
  /** Growth of resident memory over 1 000 000 distinct unknown keys, after 50 000 of them. */
  readonly unknownGrowthBytes: number
  /** Unknown keys that are remembered at the end: the bound. */
  readonly unknownHeld: number
  /** Welch's t of the time to refuse: an unknown ref against a known ref with a wrong secret. */
  readonly welchT: number
}

const pepper = new Uint8Array(32).fill(7)
const platform: Platform = {
  id: 'plt_bench',
  slug: 'bench',
  name: 'Bench',
  scheme: presets.azotte,
  hosts: [],
  port: null,
  vocabulary: 'slash',
  docsUrl: null,
  issuer: 'urn:postern:test',
  upstreams: [],
  testMode: 'sandbox',
  openapi: null,
  permissions: [],
  limits: {
    environments: { test: { key: [], tenant: [] }, live: { key: [], tenant: [] } },
    classes: {},
  },
  routes: [],
}

/** Runs the bench in a process of its own, so that no other bench's heap is measured. */
export function benchKeys(): KeysBench {
  const file = fileURLToPath(import.meta.url)
  return JSON.parse(execFileSync(process.execPath, [file, '--json'], { encoding: 'utf8' }))
}

/** A view, not a copy: the pool that copies are cut from would be measured with the verifier. */
const nameOf = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('latin1')

function createStore(count: number) {
  const rows = new Map<string, FoundKey>()
  const keys = Array.from({ length: count }, (_, index) => {
    const { key, ref, last4 } = generateKey('sk_live_')
    const digest = storedDigest(key, pepper)
    rows.set(nameOf(digest), { record: record(index, ref, last4), digest })
    return key
  })
  const verifier = createVerifier({
    findKey: async ([digest]) => rows.get(nameOf(digest!)) ?? null,
    peppers: { current: 1, versions: new Map([[1, pepper]]) },
  })
  return { keys, verifier }
}

function record(index: number, ref: string, last4: string): KeyRecord {
  return {
    id: `key_${index}`,
    platform: platform.id,
    environment: 'live',
    class: 'secret',
    name: 'bench',
    prefix: 'sk_live_',
    ref,
    last4,
    secretId: `sec_${index}`,
    tenants: ['tenant_abc123'],
    permissions: ['*'],
    restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
    limits: null,
    expiresAt: null,
    revoked: false,
    disabled: false,
    pepperVersion: 1,
  }
}

async function measureCached(): Promise<number> {
  const { keys, verifier } = createStore(1000)
  for (const key of keys) await verifier.verify(key, platform, 0, '127.0.0.1')
  const rounds = Array.from({ length: 7 }, () => {
    const calls = 500_000
    const start = performance.now()
    for (let call = 0; call < calls; call++) {
      const verdict = verifier.verify(keys[call % keys.length]!, platform, 1, '127.0.0.1')
      if (verdict instanceof Promise || !verdict.ok) throw new Error('not answered from memory')
    }
    return (calls / (performance.now() - start)) * 1000
  })
  return Math.round(median(rounds))
}

/**
 * One after the other, so that what grows is what is kept: with many in flight V8 gives its young
 * generation up to 100 MB more, for any garbage at all, and keeps it.
 */
async function measureUnknown(): Promise<{ growth: number; held: number }> {
  const { verifier } = createStore(1)
  const flood = async (count: number, now: number) => {
    for (let sent = 0; sent < count; sent++) {
      const { key } = generateKey('sk_live_')
      const verdict = await verifier.verify(key, platform, now, `10.0.${sent % 250}.1`)
      if (verdict.ok) throw new Error('a random key was accepted')
    }
  }
  await flood(50_000, 0)
  const before = process.memoryUsage.rss()
  await flood(1_000_000, 1)
  return { growth: process.memoryUsage.rss() - before, held: verifier.sizes().unknown }
}

/**
 * Interleaved in random order, on strings made before, the slowest tenth of both dropped (garbage
 * collection, the scheduler).
 */
async function measureTiming(samples: number): Promise<number> {
  const { keys, verifier } = createStore(1000)
  const shown = Array.from({ length: samples * 2 }, (_, sample) => {
    const kind = Math.random() < 0.5 ? 0 : 1
    const known = keys[sample % keys.length]!
    const strange = generateKey('sk_live_', generateKey('sk_live_').ref).key
    const wrong = generateKey('sk_live_', known.slice(8, 17)).key
    return { kind, key: Buffer.from(kind === 0 ? strange : wrong).toString('latin1') } as const
  })
  const times: [number[], number[]] = [[], []]
  for (const [index, { kind, key }] of shown.entries()) {
    const start = process.hrtime.bigint()
    await verifier.verify(key, platform, index, '127.0.0.1')
    const took = Number(process.hrtime.bigint() - start)
    // The first ones are run before the code is compiled.
    if (index > samples / 4) times[kind].push(took)
  }
  const [a, b] = times.map((list) => list.toSorted((x, y) => x - y).slice(0, list.length * 0.9))
  return welch(a!, b!)
}

function welch(a: readonly number[], b: readonly number[]): number {
  const mean = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length
  const [meanA, meanB] = [mean(a), mean(b)]
  const spread = (list: readonly number[], center: number) =>
    list.reduce((sum, x) => sum + (x - center) ** 2, 0) / (list.length - 1) / list.length
  return (meanA - meanB) / Math.sqrt(spread(a, meanA) + spread(b, meanB))
}

function median(values: readonly number[]): number {
  return values.toSorted((x, y) => x - y)[Math.floor(values.length / 2)]!
}

if (import.meta.main) {
  // Memory first, while the heap is as small as it will be.
  const { growth, held } = await measureUnknown()
  const result: KeysBench = {
    cachedPerSecond: await measureCached(),
    unknownGrowthBytes: growth,
    unknownHeld: held,
    welchT: await measureTiming(20_000),
  }
  console.log(process.argv.includes('--json') ? JSON.stringify(result) : result)
}
