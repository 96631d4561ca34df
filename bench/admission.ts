/**
 * Does a caller that stays below its limit get all of it? A key at nine tenths of its limit, evenly
 * spaced and sent to four gates in turn, where the limit is leased and where it is exact. Runs alone,
 * with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/admission.ts
 */
import { busyConfig } from '../test/busy-gate.ts'
import { quietly, startNodes } from './nodes.ts'

/** Of what was sent: how much was refused though the limit had room. */
export type Admission = { readonly sent: number; readonly refused: number; readonly share: number }
export type AdmissionBench = Readonly<Record<'leased' | 'exact', Admission>>

export type AdmissionOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly seconds?: number
}

export const windowSeconds = 10
export const quota = 1000
const perSecond = (0.9 * quota) / windowSeconds

/** Runs the bench; half a minute. Throws when a gate answers with neither 200 nor 429. */
export async function benchAdmission(options: AdmissionOptions): Promise<AdmissionBench> {
  const { redisUrl, say = () => undefined, seconds = 25 } = options
  say('starting four gates')
  const nodes = await startNodes(redisUrl, limitedConfig())
  try {
    say(`${perSecond} requests a second of each of two keys`)
    const [leased, exact] = await Promise.all([
      sendEvenly(nodes.urls, nodes.variable('POSTERN_SK_LIVE'), seconds),
      sendEvenly(nodes.urls, nodes.variable('POSTERN_SK_DEV'), seconds),
    ])
    return { leased, exact }
  } finally {
    await nodes.stop()
  }
}

/** The live environment leases, the test environment asks Redis for each request. */
function limitedConfig(): string {
  const of = (counting: string) =>
    `{ limits: { key: [{ name: ten, quota: ${quota}, window: ${windowSeconds}s, counting: ${counting} }], tenant: [] } }`
  const config = busyConfig(undefined, quietly)
  const environments = `environments: { test: ${of('exact')}, live: ${of('leased')} }`
  return config.replace(/environments: .*/, environments)
}

async function sendEvenly(
  urls: readonly string[],
  key: string,
  seconds: number,
): Promise<Admission> {
  const headers = { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
  const statuses: Promise<number>[] = []
  const start = performance.now()
  const count = Math.round(perSecond * seconds)
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - start) / 1000) * perSecond)
      while (statuses.length < due) {
        statuses.push(statusOf(`${urls[statuses.length % urls.length]}/v1/hello`, headers))
      }
      if (statuses.length < count) return
      clearInterval(timer)
      resolve()
    }, 1)
  })
  const refused = (await Promise.all(statuses)).filter((status) => status === 429).length
  return { sent: count, refused, share: refused / count }
}

async function statusOf(url: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const response = await fetch(url, { headers })
  const text = await response.text()
  if (response.status !== 200 && response.status !== 429) {
    throw new Error(`${url} answers ${response.status} ${text}`)
  }
  return response.status
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const seconds = Number(process.argv[2] ?? 25)
  process.stdout.write(
    `${JSON.stringify(await benchAdmission({ redisUrl, say, seconds }), null, 2)}\n`,
  )
}
