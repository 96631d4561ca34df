/** The sections of the bench about processes: what each runs, and which figure has which target. */
import { benchAdmission, quota, windowSeconds } from './admission.ts'
import { benchCores } from './cores.ts'
import { nodeCount } from './nodes.ts'
import { benchOverload } from './overload.ts'
import {
  atLeast,
  atMost,
  fact,
  millis,
  none,
  perSecond,
  ratio,
  type Section,
  type Setting,
  share,
  spreadOf,
} from './report.ts'
import { benchRevocation, type Percentiles } from './revocation.ts'

/** What a second process costs. */
export async function cores({ redisUrl, say }: Setting): Promise<Section> {
  const { one, two, twoOfOne, busier } = await benchCores({ redisUrl, say })
  return {
    title: 'Several processes',
    about:
      'A small JSON from a handler, after key, tenant, permission and limits in Redis; 50 keep-alive connections for each process that serves, five rounds of three seconds each, in turn. All processes of the gate are held to one core, the load to the other. Processor time is of the primary and its workers together, in their own code and in the kernel.',
    figures: [
      atLeast(
        'requests per second of processor time, two workers of one process',
        twoOfOne.median,
        0.85,
        ratio,
        spreadOf(twoOfOne, ratio),
      ),
      fact('one process', perSecond(one.median)),
      fact('two workers', perSecond(two.median)),
      fact("the busier worker's part", ratio(busier.median) + spreadOf(busier, ratio)),
    ],
  }
}

/** What is left at ten times the load. */
export async function overload({ say }: Setting): Promise<Section> {
  const found = await benchOverload({ say })
  const { quietP99Ms, liveP99Ms, slowdown, goodput, liveShare, testShare, recoveryMs } = found
  return {
    title: 'Overload',
    about:
      'A handler that uses 5 ms of processor time, so that one core can serve 200 requests a second. They come when they are due, as a Poisson stream, from the other core: 20 a second, then 2 000 with a live key; then 60 with a live key; then 60 with a live and 1 940 with a test key. Each is timed from when it was due; the first second of each stream is not counted.',
    figures: [
      atMost(
        'p99 of what is let in at ten times the load, of the quiet one',
        slowdown.median,
        3,
        ratio,
        spreadOf(slowdown, ratio),
      ),
      fact('p99 when quiet', millis(quietP99Ms.median)),
      fact('p99 at ten times the load', millis(liveP99Ms.median)),
      fact('served meanwhile, of what one core can', ratio(goodput.median)),
      fact('live requests served beside test ones', ratio(liveShare.median)),
      fact('test requests served meanwhile', ratio(testShare.median)),
      atMost('the last refusal after it', recoveryMs.median, 5000, millis),
    ],
  }
}

/** Whether a caller below its limit gets all of it. */
export async function admission({ redisUrl, say }: Setting): Promise<Section> {
  const { leased, exact } = await benchAdmission({ redisUrl, say })
  return {
    title: 'At nine tenths of a limit',
    about: `A key at 0.9 of its limit of ${quota} in any ${windowSeconds} s, evenly spaced, sent to ${nodeCount} gates on one Redis in turn, for ${exact.sent / ((0.9 * quota) / windowSeconds)} s; another key does the same where the limit is exact. What is refused is refused although the limit has room.`,
    figures: [
      atMost('refused of a leased limit', leased.share, 0.01, share),
      fact('refused of an exact limit', share(exact.share)),
      fact('requests of each', String(leased.sent)),
    ],
  }
}

/** How long a revoked key lives. */
export async function revocation({ redisUrl, say }: Setting): Promise<Section> {
  const found = await benchRevocation({ redisUrl, say })
  const all = ({ p50, p99, max }: Percentiles) => [p50, p99, max].map(millis).join(', ')
  return {
    title: 'Revocation',
    about: `${nodeCount} gates on one core, one PostgreSQL and one Redis. A key is made and used on each of them every 4 ms, so all have it in memory; one of them, in turn, gets the DELETE. It is revoked when the first refusal of the last gate has arrived, timed from when the DELETE was sent. A receipt is complete when it says that all gates acknowledged.`,
    figures: [
      atMost('until the last gate refuses, 99th percentile', found.refusedMs.p99, 50, millis),
      none('let in, of what began after a complete receipt', found.admittedAfter),
      fact('until the last gate refuses: median, 99th percentile, most', all(found.refusedMs)),
      fact('until the receipt: median, 99th percentile, most', all(found.receiptMs)),
      fact('the slowest use of a key before it: median, 99th percentile, most', all(found.useMs)),
      fact('keys revoked', String(found.trials)),
      fact('receipts that were not complete', String(found.incomplete)),
      fact('requests that began after a complete receipt', String(found.sentAfter)),
    ],
    noise: noiseOfUse(found.useMs),
  }
}

/** A gate that does little answers within a few milliseconds. */
function noiseOfUse({ p50 }: Percentiles): string | null {
  if (p50 < 20) return null
  return `Revocation is not to be relied on: before a key was revoked the slowest of its uses took ${millis(p50)}, so something else used the machine.`
}
