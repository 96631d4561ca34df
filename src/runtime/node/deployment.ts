/**
 * A running gateway on Node: storage, counter, front and the gateway between them, wired once. The
 * gateway itself is swapped whole when there is a new Config; storage, counter and listeners stay.
 */
import { setTimeout } from 'node:timers/promises'
import { Runs } from '../../agents/runs.ts'
import type { Config } from '../../config.ts'
import type { Outcome, Ports } from '../../context.ts'
import { preflightShare } from '../../cors.ts'
import { createAgentStore } from '../../db/agents.ts'
import { createMasterRegistry } from '../../db/master-keys.ts'
import { createUsageStore } from '../../db/usage.ts'
import { createGateway, type Gateway } from '../../gateway.ts'
import type { Handlers } from '../../handler.ts'
import { memoryCounter } from '../../limits/memory.ts'
import { Balancers } from '../../proxy/balance.ts'
import { createMeter } from '../../usage/meter.ts'
import { judgeMasters } from '../../vault/masters.ts'
import { currentOf, type RootSecrets } from '../root-secrets.ts'
import { type AddressGuard, type AddressGuardOptions, createAddressGuard } from './address-guard.ts'
import { type EchoServer, startEcho } from './echo.ts'
import { createFront } from './front.ts'
import { healthOf } from './health.ts'
import { acceptErrors, listenOn, reachableHost } from './listening.ts'
import type { Log } from './log.ts'
import { createMocks } from './mocks.ts'
import { createPressure, type Pressure } from './pressure.ts'
import { connectRedis, type RedisStore } from './redis.ts'
import { readReferenceScript } from './reference-script.ts'
import { openSandbox } from './sandbox/bubblewrap.ts'
import { type NodeSignal, openSignal } from './signal/open.ts'
import { openStorage, type Storage } from './storage.ts'
import { startSweeper } from './sweeper.ts'
import type { Lookup } from './upstream/connect.ts'
import { createForward } from './upstream/forward.ts'
import { startHealthChecks } from './upstream/health.ts'
import { createPools } from './upstream/pools.ts'

export type Deployment = {
  readonly ports: Ports
  readonly storage: Storage
  /** Where each platform is reached, in the order of the config. */
  readonly urls: ReadonlyMap<string, string>
  /** For people: where requests are counted. */
  readonly counting: string
  /** Opens the listeners. Rejects when a port is taken. */
  listen(): Promise<void>
  /**
   * Takes another Config. Throws, and keeps the old one, when it cannot. Answers the fields whose new
   * values wait for a restart.
   */
  swap(config: Config): readonly string[]
  /** Lets requests finish, for `shutdownGraceMs` at most, then closes everything. Once. */
  close(): Promise<void>
}

/** Which of the processes that serve together this is, from 1, and of how many. */
export type Part = { readonly at: number; readonly of: number }

const alone: Part = { at: 1, of: 1 }

/**
 * Opens storage and counter, and builds the gateway; nothing listens yet. Rejects with a sentence
 * where the master key is not that of the database, and changes nothing. `lookup` resolves the names
 * of upstreams; without it the system does. One of several processes holds its part of what is counted
 * in memory, and finds the database migrated.
 */
export async function deploy(
  config: Config,
  secrets: RootSecrets,
  handlers: Handlers,
  log: Log,
  lookup?: Lookup,
  part = alone,
): Promise<Deployment> {
  const migrates = part.of === 1
  const storage = await openStorage(config.storage, (message) => log.warn(message), migrates)
  try {
    const known = await createMasterRegistry(storage.gatewaySql).list()
    const fault = judgeMasters(secrets.masters, known)
    if (fault !== null) throw new Error(fault)
    return await wire(config, secrets, handlers, log, storage, lookup, part)
  } catch (error) {
    await storage.close()
    throw error
  }
}

async function wire(
  started: Config,
  secrets: RootSecrets,
  handlers: Handlers,
  log: Log,
  storage: Storage,
  lookup: Lookup | undefined,
  part: Part,
): Promise<Deployment> {
  let config = started
  // First, since it may refuse, and what is opened below would have to be closed again.
  const mocks = createMocks()
  await mocks.load(config.platforms)
  // It is tried while what is elsewhere is waited for, and never rejects.
  const trying = openSandbox()
  const [redis, signal] = await openShared(config, storage, log, () => stalenessOf(config))
  const sandbox = await trying
  if (sandbox.unavailable !== null && startsAgents(config)) {
    log.warn(`agents cannot be started here: ${sandbox.unavailable}`)
  }
  const runs = new Runs({
    store: createAgentStore(storage.tenantSql),
    placesMax: Math.max(2, partOf(agentsMax, part)),
    warn: log.warn,
  })
  const local = memoryCounter()
  let guard = guardOf(config, part)
  let pressure = pressureOf(config, log)
  const preflights = createAddressGuard(shareOf(preflightShare, part))
  const deferred = createDeferred(log)
  const meter = createMeter({
    write: createUsageStore(storage.gatewaySql).addUsage,
    warn: log.warn,
  })
  let draining = false

  const balancers = new Balancers()
  let stopChecks = (): void => {}
  let echo: Promise<EchoServer> | null = null
  const pools = createPools({
    async echoPort() {
      echo ??= startEcho()
      return (await echo).port
    },
    lookup,
  })
  const ports: Ports = {
    tenantSql: storage.tenantSql,
    gatewaySql: storage.gatewaySql,
    saltSql: storage.saltSql,
    counter: redis?.counter ?? local,
    signal,
    shed: (environment) => pressure.shed(environment),
    chargeFailure: (clientAddress) => guard.charge(clientAddress),
    forward: createForward(pools),
    sandbox,
    chargePreflight: (clientAddress) => preflights.charge(clientAddress),
    defer: deferred.defer,
    health: () => healthOf(storage, redis, signal, draining),
  }
  const build = ({ platforms, keys, server, management }: Config): Gateway => {
    const built = createGateway(
      {
        platforms,
        keys: {
          ...{ ...keys, peppers: secrets.peppers },
          lookupsPerAddress: partOf(keys.lookupsPerAddress, part),
        },
        limits: { local, nodeShare: 1 / (server.nodes * part.of) },
        management: { ...management, readScript: readReferenceScript },
        masterKey: currentOf(secrets.masters),
        masters: secrets.masters,
        publicUrl: server.publicUrl,
        mockOf: mocks.of,
        balancers,
        runs,
      },
      ports,
      handlers,
    )
    // From here on nothing refuses: what the gateway before had is let go.
    pools.adopt(platforms)
    stopChecks()
    stopChecks = startHealthChecks(built.checks, pools, (upstream, target, well) => {
      const said = `upstream ${upstream.name}: ${target.origin} is ${well ? 'well again' : 'not well'}`
      log[well ? 'info' : 'warn'](said)
    })
    return built
  }

  /** Each request ends here, once. */
  const conclude = (outcome: Outcome): void => {
    meter.note(outcome)
    log.outcome(outcome)
  }

  let gateway = build(config)
  ports.signal.listen((change) => gateway.heard(change))
  const front = createFront({
    fetch: (exchange) => gateway.fetch(exchange),
    refuse: (refusal, exchange) => gateway.refuse(refusal, exchange),
    log: conclude,
    trustedProxies: config.server.trustedProxies,
    onAcceptError: acceptErrors(log),
  })
  // One is enough for all, and there is always a first.
  const sweeper = part.at === 1 ? startSweeper({ sweep: () => gateway.sweep(), log }) : null
  const urls = new Map<string, string>()
  let closed: Promise<void> | undefined

  async function close(): Promise<void> {
    draining = true
    const { shutdownDelayMs, shutdownGraceMs } = config.server
    if (shutdownDelayMs > 0) await setTimeout(shutdownDelayMs)
    await front.drain(shutdownGraceMs)
    stopChecks()
    await pools.close()
    await (await echo)?.close()
    await runs.close()
    await sandbox.close()
    await deferred.settled()
    await Promise.all([meter.close(), sweeper?.close()])
    // Nothing goes by this node's memory any more, so nobody is to wait for it.
    await signal.close()
    await redis?.close()
    await storage.close()
  }

  return {
    ports,
    storage,
    urls,
    counting: countingOf(redis),
    async listen() {
      const { host, port } = config.server
      const shared = config.platforms.some((platform) => platform.port === null)
      const main = shared ? await listenOn(front, port, host) : 0
      for (const platform of config.platforms) {
        const own = platform.port === null ? main : await listenOn(front, platform.port, host)
        urls.set(platform.slug, `http://${reachableHost(host)}:${own}`)
      }
    },
    swap(next) {
      const built = build(next)
      mocks.load(next.platforms).catch((error: unknown) => {
        log.error('an OpenAPI document was not taken; the last good ones stay', {
          cause: error instanceof Error ? error.message : String(error),
        })
      })
      gateway.retire()
      gateway = built
      const { count, windowSeconds } = config.keys.failures
      const { failures } = next.keys
      // A guard made anew has forgotten who failed, so it is not for every change.
      if (failures.count !== count || failures.windowSeconds !== windowSeconds) {
        guard = guardOf(next, part)
      }
      if (config.server.overloadMs !== next.server.overloadMs) pressure = pressureOf(next, log)
      config = next
      return waitingFields(started, next)
    },
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** How many agents run at once on a node. */
const agentsMax = 16

const startsAgents = ({ platforms }: Config): boolean =>
  platforms.some(({ routes }) => routes.some(({ handler }) => handler === 'agents'))

/**
 * The longest that a node goes by its memory after a change of which it has not heard: cut off from
 * everything, or reading anew what nobody announced because the announcer died.
 */
const stalenessOf = ({ keys }: Config): number => Math.max(keys.staleMs, keys.positiveTtlMs)

const guardOf = ({ keys: { failures } }: Config, part: Part): AddressGuard =>
  createAddressGuard(shareOf(failures, part))

/** Of what one client may do, what it may do here: together, processes are never laxer than one. */
const partOf = (count: number, { of }: Part): number => Math.max(1, Math.floor(count / of))

const shareOf = (share: AddressGuardOptions, part: Part): AddressGuardOptions => ({
  ...share,
  count: partOf(share.count, part),
})

const pressureOf = ({ server }: Config, log: Log): Pressure =>
  createPressure({
    afterMs: server.overloadMs,
    onChange: (environment, turnsAway, turnedAway) => {
      if (turnsAway) log.warn('overloaded: requests are turned away', { environment })
      else log.info('requests are no longer turned away', { environment, turnedAway })
    },
  })

/** What listeners and connections were opened with, and cannot be changed under way. */
function waitingFields(started: Config, next: Config): readonly string[] {
  const portsOf = ({ platforms }: Config) => platforms.map(({ id, port }) => [id, port])
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['server.trustedProxies', started.server.trustedProxies, next.server.trustedProxies],
    ['storage.scope', started.storage.scope, next.storage.scope],
    ['storage.pooler', started.storage.pooler, next.storage.pooler],
    ['the ports of platforms', portsOf(started), portsOf(next)],
  ]
  return pairs
    .filter(([, before, after]) => JSON.stringify(before) !== JSON.stringify(after))
    .map(([name]) => name)
}

function countingOf(redis: RedisStore | null): string {
  if (redis === null) return 'in memory'
  return redis.state() === 'ready' ? 'in Redis' : 'in Redis, which does not answer yet'
}

/** Work that outlives its request, and the end of all there is of it. */
function createDeferred(log: Log) {
  const pending = new Set<Promise<unknown>>()
  return {
    defer(work: Promise<unknown>): void {
      const held = work
        .catch((error: unknown) => log.error('deferred work failed', { cause: String(error) }))
        .finally(() => pending.delete(held))
      pending.add(held)
    },
    settled: () => Promise.allSettled(pending),
  }
}

async function openRedis(url: string | null, log: Log): Promise<RedisStore | null> {
  if (url === null) return null
  return connectRedis(url, {
    onState: (state, cause) => {
      if (state === 'ready') log.info('redis is ready', { cause })
      else log.warn('redis is down', { cause })
    },
    onWarning: (message) => log.warn(message),
  })
}

/** What nodes share, opened at once; when one cannot be, the other is closed again. */
async function openShared(
  { storage: places }: Config,
  { gatewaySql }: Storage,
  log: Log,
  maxStaleMs: () => number,
): Promise<[RedisStore | null, NodeSignal]> {
  const counting = openRedis(places.redisUrl, log)
  const hearing = openSignal(places, gatewaySql, {
    maxStaleMs,
    onState: (state, cause) => {
      if (state === 'ready') log.info('the signal between nodes is ready', { cause })
      else log.warn('the signal between nodes is down', { cause })
    },
    warn: (message) => log.warn(message),
  })
  try {
    return await Promise.all([counting, hearing])
  } catch (error) {
    for (const opening of [counting, hearing]) {
      await opening.then((opened) => opened?.close()).catch(() => undefined)
    }
    throw error
  }
}
