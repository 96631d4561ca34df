/**
 * What an isolate keeps from one request to the next: settings, compiled routes, how clients speak,
 * and whether the databases may be served from. All of it is plain data, made at the first request;
 * what does I/O is made for each request (errand.ts).
 *
 * No key and no tenant is among it, so a key that is revoked is dead at its next request, everywhere.
 */
import { Runs } from '../../agents/runs.ts'
import type { Config } from '../../config.ts'
import type { Health } from '../../context.ts'
import { preflightShare } from '../../cors.ts'
import { createAgentStore } from '../../db/agents.ts'
import { createGateway, type Gateway, type GatewayOptions } from '../../gateway.ts'
import type { Handlers } from '../../handler.ts'
import { leasedCounter } from '../../limits/lease.ts'
import { memoryCounter } from '../../limits/memory.ts'
import type { Refusal } from '../../problem.ts'
import { Balancers } from '../../proxy/balance.ts'
import { uncachedSignal } from '../local-signal.ts'
import { currentOf, type RootSecrets } from '../root-secrets.ts'
import { createAddressCharge } from './address-guard.ts'
import { createAdmission } from './admission.ts'
import { readSettings, type Settings, type WorkerEnv } from './bindings.ts'
import { errandLender, errandPorts, type Openers } from './errand.ts'
import { forward } from './forward.ts'
import { createWorkerLog, type WorkerLog } from './log.ts'
import { createOpeners } from './openers.ts'
import { noSandbox } from './sandbox.ts'
import { createIsolateUse, type IsolateUse } from './use.ts'

export type Isolate = {
  readonly log: WorkerLog
  /** What keys have used that is not stored yet: numbers, no I/O. */
  readonly use: IsolateUse
  /** null where a setting is missing: then `refusal` names it. */
  readonly gateway: Gateway | null
  /** Why requests cannot be served; null when they can. Asks the databases until they may serve. */
  refusal(): Promise<Refusal | null> | null
  health(): Promise<Health>
  /** Without a slash at its end. null: as the caller named it. */
  readonly publicUrl: string | null
  /** What a request opens, of the bindings that it was given. */
  openers(env: WorkerEnv): Openers
}

/** Reads, parses and compiles. Never throws: what is wrong becomes the isolate's refusal. */
export function startIsolate(config: string, handlers: Handlers, env: WorkerEnv): Isolate {
  const read = readSettings(env, config, Object.keys(handlers))
  if (read.ok) return serve(read.settings, handlers)
  const { missing: errors, cause } = read
  const refusal: Refusal = { code: 'gateway/misconfigured', errors, cause }
  const detail = errors.map(({ message }) => message).join(' ')
  const log = createWorkerLog('info')
  return {
    log,
    use: createIsolateUse(log.warn),
    gateway: null,
    publicUrl: null,
    refusal: async () => refusal,
    health: async () => ({ status: 'unavailable', parts: { settings: { ok: false, detail } } }),
    openers: () => ({ tenantSql: shut, gatewaySql: shut, lender: shut }),
  }
}

const shut = (): never => {
  throw new Error('a store was opened without settings')
}

/** The clock stands still while code runs: loans end that much sooner. Milliseconds. */
const slackMs = 5

function serve(settings: Settings, handlers: Handlers): Isolate {
  const { config, secrets, oneLogin, redis } = settings
  const log = createWorkerLog(config.log.level)
  const admission = createAdmission({
    oneLogin,
    masters: secrets.masters,
    log,
    counting: redis === null ? 'in a Durable Object' : 'in Redis',
  })
  const chargeFailure = createAddressCharge(config.keys.failures)
  const chargePreflight = createAddressCharge(preflightShare)
  const charges = { chargeFailure, chargePreflight }
  const ports = {
    counter: leasedCounter(errandLender, { defer: errandPorts.defer, slackMs }),
    ...{ ...errandPorts, ...charges, forward, health: admission.health },
    ...{ signal: uncachedSignal(), saltSql: null, shed: () => false, sandbox: noSandbox },
  }
  return {
    log,
    use: createIsolateUse(log.warn),
    gateway: createGateway(gatewayOptions(config, secrets, log), ports, handlers),
    publicUrl: config.server.publicUrl,
    refusal: admission.refusal,
    health: admission.health,
    openers: createOpeners(settings, log),
  }
}

function gatewayOptions(
  { platforms, keys, server, management }: Config,
  { peppers, masters }: RootSecrets,
  { warn }: WorkerLog,
): GatewayOptions {
  return {
    platforms,
    keys: {
      ...keys,
      peppers,
      // Nothing is remembered, so nothing has to be told to any isolate.
      positiveTtlMs: 0,
      negativeTtlMs: 0,
      // A store that does not answer is a 503, not a key that may have been revoked.
      outageMs: 0,
      staleMs: 0,
      // Nobody waits for another's turn: the promise would belong to another request. What bounds
      // lookups here is Hyperdrive's pool.
      lookupsPerAddress: Number.POSITIVE_INFINITY,
      lookupsMax: Number.POSITIVE_INFINITY,
    },
    limits: { local: memoryCounter(), nodeShare: 1 / server.nodes },
    // The script of the reference page would be most of the bundle.
    management: { ...management, readScript: null },
    masterKey: currentOf(masters),
    masters,
    publicUrl: server.publicUrl,
    // There are no files here; test calls of such a platform answer 501.
    mockOf: () => null,
    balancers: new Balancers(),
    runs: new Runs({ store: createAgentStore(errandPorts.tenantSql), placesMax: 0, warn }),
  }
}
