/**
 * What sealing and opening a secret of 1 KB costs one core, the session's key derived for each, by the
 * processor's time, which others on the machine do not take; and whether a nonce is ever drawn twice (threats X1). Runs alone:
 *
 *     node bench/vault.ts
 */
import { fileURLToPath } from 'node:url'
import { sealBytes } from '../src/lib/aead.ts'
import { type Place, SessionKey } from '../src/vault/seal.ts'

export type VaultBench = {
  /** Per second of one core: median of the rounds, one key derived for each. */
  readonly sealsPerSecond: number
  readonly opensPerSecond: number
  /** Of a million seals under one key, those whose nonce another had. */
  readonly repeatedNonces: number
}

const master = new Uint8Array(32).fill(1)
const salt = new Uint8Array(32).fill(2)
const place: Place = {
  scope: { platform: 'plt_bench', environment: 'live', tenant: 'tenant_abc123' },
  session: 'ses_0123456789abcdef0123456789abcdef',
  keyVersion: 1,
}
const value = 'x'.repeat(1024)
const rounds = 5
const roundMicros = 300_000

/** Runs the bench in this process. Throws when something does not open. */
export function benchVault(): VaultBench {
  const sealed = new SessionKey(master, salt, place).seal('OPENAI_API_KEY', value)
  return {
    sealsPerSecond: rate(() => {
      new SessionKey(master, salt, place).seal('OPENAI_API_KEY', value)
    }),
    opensPerSecond: rate(() => {
      const found = new SessionKey(master, salt, place).open('OPENAI_API_KEY', sealed)
      if (found !== value) throw new Error('a secret did not open')
    }),
    repeatedNonces: countRepeated(1_000_000),
  }
}

function rate(work: () => void): number {
  const rates = Array.from({ length: rounds + 1 }, () => {
    const start = process.cpuUsage()
    let done = 0
    for (;;) {
      for (let n = 0; n < 100; n++) work()
      done += 100
      const { user, system } = process.cpuUsage(start)
      if (user + system > roundMicros) return (done / (user + system)) * 1e6
    }
  })
  // The first warms up.
  return rates.slice(1).sort((a, b) => a - b)[rounds >> 1] ?? 0
}

function countRepeated(count: number): number {
  const [plain, associated] = [new Uint8Array(1), new Uint8Array(1)]
  const seen = new Set<string>()
  for (let n = 0; n < count; n++) {
    const sealed = sealBytes(master, plain, associated)
    seen.add(Buffer.from(sealed.buffer, 0, 12).toString('latin1'))
  }
  return count - seen.size
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${JSON.stringify(benchVault(), null, 2)}\n`)
}
