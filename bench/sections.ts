/** The sections of the bench: what each runs, and which of its figures has which target. */
import { benchKeys } from './keys.ts'
import { benchLimits } from './limits.ts'
import { benchManagement } from './management.ts'
import { admission, cores, overload, revocation } from './process-sections.ts'
import { latency, strain } from './proxy-sections.ts'
import {
  atLeast,
  atMost,
  below,
  fact,
  megabytes,
  micros,
  millis,
  none,
  perSecond,
  ratio,
  type Section,
  type Setting,
} from './report.ts'
import { benchScope } from './scope.ts'
import { gate, growth, proxy } from './throughput-sections.ts'
import { benchVault } from './vault.ts'
import { benchWorker } from './worker.ts'
import { benchWorlds } from './worlds.ts'
import { benchWrongKeys } from './wrong-keys.ts'

/** By the name that the command line uses, in the order they run. DATABASE_URL must be set. */
export const sections: Readonly<Record<string, (setting: Setting) => Promise<Section>>> = {
  scope,
  keys,
  limits,
  gate,
  proxy,
  growth,
  latency,
  strain,
  management,
  vault,
  worlds,
  worker,
  cores,
  overload,
  admission,
  revocation,
}

async function management({ say }: Setting): Promise<Section> {
  const { importSeconds, imported, few, many, manyOfFew } = await benchManagement(say)
  return {
    title: 'Managing keys',
    about:
      'Over HTTP, one request after the other, on PostgreSQL: keys imported by their plain strings, a thousand in a request; and the first page of 20 API keys on a platform with a thousand and on one with a million, 200 times in turn.',
    figures: [
      below(`${imported} keys imported`, importSeconds, 10, (value) => `${value.toFixed(1)} s`),
      atMost('first page of a million keys, of that of a thousand', manyOfFew.median, 2, ratio),
      fact('first page of a thousand', millis(few.median)),
      fact('first page of a million', millis(many.median)),
    ],
  }
}

async function vault({ say }: Setting): Promise<Section> {
  say('secrets of 1 KB, and a million nonces')
  const { sealsPerSecond, opensPerSecond, repeatedNonces } = benchVault()
  return {
    title: 'Secrets of sessions',
    about:
      'In process, per second of processor time: a secret of 1 KB sealed or opened with AES-256-GCM, the key of its session derived by HKDF-SHA-256 each time. Nonces are those of a million seals under one key.',
    figures: [
      atLeast('secrets sealed', sealsPerSecond, 15_000, perSecond),
      atLeast('secrets opened', opensPerSecond, 15_000, perSecond),
      none('nonces that came twice in a million', repeatedNonces),
    ],
  }
}

async function worlds({ say }: Setting): Promise<Section> {
  const found = await benchWorlds({ say })
  return {
    title: 'Mocks, and answers that are looked through',
    about:
      'By the processor time of the gate on one core. A mock of a document and a handler in process that answers the same, each behind every check. And 64 MiB of text from an upstream: on a route that places no secret, by a caller with a session or without, and on one that places a secret and looks for it in the answer.',
    figures: [
      atMost('a mock, of a handler in process', found.mockOfHandler.median, 1.5, ratio),
      atMost('an answer looked through, of one passed on', found.maskedOfPlain.median, 1.15, ratio),
      fact('where no secret was placed, of the same', ratio(found.besideOfPlain.median)),
      fact('a handler in process', micros(found.handlerMicros.median)),
      fact('a mock', micros(found.mockMicros.median)),
      fact('a gigabyte passed on', millis(found.plainMs.median)),
      fact('a gigabyte looked through', millis(found.maskedMs.median)),
    ],
  }
}

async function scope({ say }: Setting): Promise<Section> {
  say('SELECTs of 20 rows, six kinds in turn')
  const { perSecond: rates, ofFixedScope, ofNoPolicy, handleMicroseconds } = await benchScope()
  const unscoped = 'of the same SELECT unscoped'
  return {
    title: 'The tenant handle',
    about:
      'A SELECT of 20 rows on 8 connections by 32 callers. Unscoped is the same statement by the same role under the same policies, on connections whose scope never changes. Hardened is the default: the scope is bound by a statement that SQL injected into a handler cannot repeat.',
    figures: [
      atLeast(`plain scope, ${unscoped}`, ofFixedScope.plain, 0.85, ratio),
      atLeast(`hardened scope, ${unscoped}`, ofFixedScope.function, 0.65, ratio),
      fact(`hardened scope by SET LOCAL, ${unscoped}`, ratio(ofFixedScope.setLocal)),
      fact(`a transaction of one SELECT, ${unscoped}`, ratio(ofFixedScope.transaction)),
      fact(
        'plain and hardened, of a SELECT that names the tenant, with no policy',
        `${ratio(ofNoPolicy.plain)}, ${ratio(ofNoPolicy.function)}`,
      ),
      fact('unscoped SELECTs', perSecond(rates.fixedScope)),
      fact('hardened SELECTs', perSecond(rates.function)),
      fact('making a handle', micros(handleMicroseconds)),
    ],
  }
}

async function keys({ redisUrl, say }: Setting): Promise<Section> {
  say('10 000 wrong keys through a running gate')
  const wrong = await benchWrongKeys(redisUrl)
  say('1 000 000 unknown keys, then cached ones (a minute)')
  const { cachedPerSecond, unknownGrowthBytes, unknownHeld, welchT } = benchKeys()
  return {
    title: 'API keys',
    about: `In process: 1 000 keys in turn, all in memory; then 1 000 000 distinct well-formed unknown keys, after 50 000 of them as a warm-up. Through a gate on real servers: ${wrong.sent} keys with a wrong checksum, and for comparison 100 unknown keys with a right one, which made ${wrong.control.busyConnections} connections to PostgreSQL work.`,
    figures: [
      atLeast('verifications of a cached key', cachedPerSecond, 500_000, perSecond),
      below('memory grown over 1 000 000 unknown keys', unknownGrowthBytes, 20e6, megabytes),
      none(`Redis commands for ${wrong.sent} wrong checksums`, wrong.redisCommands),
      none(
        `connections to PostgreSQL that worked for ${wrong.sent} wrong checksums`,
        wrong.busyConnections,
      ),
      fact('unknown keys remembered at the end', String(unknownHeld)),
      fact("unknown ref against wrong secret, Welch's t of the time", welchT.toFixed(1)),
    ],
  }
}

async function limits({ redisUrl, say }: Setting): Promise<Section> {
  say('charges in memory and in Redis')
  const { memoryChargesPerSecond, leasedChargesPerSecond, redisCallsPerSecond } =
    await benchLimits(redisUrl)
  return {
    title: 'Limits',
    about:
      'Charges of two nodes (tenant and API key) in process, with their headers; counted in memory, or leased from Redis; and calls of Redis where limits are exact, on one connection, 256 at a time.',
    figures: [
      fact('charges in memory', perSecond(memoryChargesPerSecond)),
      fact(
        'charges leased from Redis',
        leasedChargesPerSecond === null ? '-' : perSecond(leasedChargesPerSecond),
      ),
      fact('calls of Redis', redisCallsPerSecond === null ? '-' : perSecond(redisCallsPerSecond)),
    ],
  }
}

async function worker({ say }: Setting): Promise<Section> {
  say('new isolates of workerd')
  const { gzippedBytes, bundleBytes, firstAnswerCpuMs, loadCpuMs, nextAnswerCpuMs } =
    await benchWorker()
  return {
    title: 'The same gate on Workers',
    about:
      'What `wrangler deploy` would upload, run by workerd itself. Processor time of all threads, less what workerd takes for an empty Worker.',
    figures: [
      below('size of the upload, gzipped', gzippedBytes, 1e6, megabytes),
      below('a new isolate until its first answer to a key', firstAnswerCpuMs, 50, millis),
      fact('a new isolate until /livez is answered', millis(loadCpuMs)),
      fact('the answer after the first', millis(nextAnswerCpuMs)),
      fact('size of the bundle', megabytes(bundleBytes)),
    ],
  }
}
