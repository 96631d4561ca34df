/**
 * postern.yaml and the environment, as one frozen Config.
 *
 * It answers: what was this deployment told to be? It reads no file and no clock, so it can be asked
 * again at any time; a new Config takes the place of the old one whole, and where a file is bad the
 * old one stays (threats O6). The danger is a half-understood file: a misspelt `permission` that is
 * ignored leaves a door open (threats G10). So nothing is ignored, nothing is guessed, and every
 * fault is told at once, with its line and what was probably meant.
 */

import { crossFaults } from './config/cross.ts'
import { readDocument } from './config/document.ts'
import { type Installation, readInstallation } from './config/environment.ts'
import { shapeFaults } from './config/issues.ts'
import type { Environment } from './config/plain.ts'
import { type ConfigError, type Fault, pathText } from './config/report.ts'
import { bodyBytes } from './config/route-schema.ts'
import { type ConfigFile, fileSchema } from './config/schema.ts'
import { toUpstream } from './config/upstream.ts'
import type {
  Cors,
  EnvironmentName,
  LimitPlan,
  Platform,
  Route,
  Scheme,
  TenantRecord,
  Upstream,
} from './context.ts'
import { presets, testModeOf } from './keys/schemes.ts'

/** What a deployment was told to be. Frozen all the way down. */
export type Config = {
  readonly platforms: readonly Platform[]
  /** Tenants that the first start makes, with example rows. */
  readonly seeds: readonly {
    readonly platform: string
    readonly tenants: readonly TenantRecord[]
  }[]
  readonly server: Pick<Installation, 'host' | 'port' | 'workers'> & {
    /** Without a slash at its end. null: as the caller named it. */
    readonly publicUrl: string | null
    /** Ranges in canonical form, `10.0.0.0/8`. */
    readonly trustedProxies: readonly string[]
    /** From SIGTERM until connections are refused: time for a load balancer to see `/readyz`. */
    readonly shutdownDelayMs: number
    readonly shutdownGraceMs: number
    /** Deployments that count in the same Redis. */
    readonly nodes: number
    /** Milliseconds of work that may queue in a process before requests are turned away. null: any. */
    readonly overloadMs: number | null
  }
  readonly storage: Omit<Installation, 'host' | 'port' | 'workers'> & {
    readonly scope: 'hardened' | 'plain'
    /** A transaction pooler stands between here and the database. */
    readonly pooler: boolean
  }
  readonly keys: {
    /** Keys remembered in each process, and keys remembered not to exist. */
    readonly knownMax: number
    readonly unknownMax: number
    /** How long a known key is not read again while every change is heard. */
    readonly positiveTtlMs: number
    readonly negativeTtlMs: number
    /** How much longer it works while the store is away and every change is heard. */
    readonly outageMs: number
    /** How long it works cut off from the store and from the other nodes. */
    readonly staleMs: number
    /** For each client address. */
    readonly failures: { readonly count: number; readonly windowSeconds: number }
    readonly lookupsPerAddress: number
  }
  readonly management: {
    /** `/v1`: the management API stands below it. */
    readonly basePath: string
    /** The hosts that have it; empty: every host. */
    readonly hosts: readonly string[]
    /** After how long a key of the environment is due to be rotated. */
    readonly rotationMs: Readonly<Record<EnvironmentName, number>>
  }
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent' }
}

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }

const errorsMax = 100

/**
 * Reads postern.yaml (its text; `file` is how errors call it) and the variables of `env`. `handlers`
 * are the names that routes may use. Never throws; refuses with every error there is, in the order
 * of the file, the first hundred of them written out. No error holds a secret.
 */
export function parseConfig(
  text: string,
  file: string,
  env: Environment,
  handlers: readonly string[],
): ParsedConfig {
  const { installation, faults: ofInstallation } = readInstallation(env)
  const document = readDocument(text, env)
  const faults = [...document.faults]
  const shape = document.value === undefined ? null : fileSchema.safeParse(document.value)
  if (shape !== null) {
    faults.push(...shapeFaults(document, shape.error?.issues ?? []))
    faults.push(...crossFaults(document, { handlers, port: installation.port }))
  }
  if (shape?.success && faults.length === 0 && ofInstallation.length === 0) {
    return { ok: true, config: freeze(toConfig(shape.data, file, installation)) }
  }
  const errors = distinct(faults).map((fault) => ({
    ...located(fault),
    file,
    ...document.place(fault),
  }))
  const outside = ofInstallation.map((fault) => ({
    ...located(fault),
    file: 'environment',
    line: 0,
    column: 0,
  }))
  return { ok: false, errors: capped([...inOrder(errors), ...outside]) }
}

const located = ({ path, message, fix }: Fault) => ({ path: pathText(path), message, fix })

/** The first fault of each field: what follows from it would only repeat it. */
function distinct(faults: readonly Fault[]): Fault[] {
  const seen = new Set<string>()
  return faults.filter(({ path }) => {
    const text = pathText(path)
    return text === '' || seen.size !== seen.add(text).size
  })
}

const inOrder = (errors: readonly ConfigError[]): ConfigError[] =>
  errors.toSorted((a, b) => a.line - b.line || a.column - b.column)

function capped(errors: readonly ConfigError[]): readonly ConfigError[] {
  const last = errors[errorsMax - 1]
  if (last === undefined || errors.length === errorsMax) return errors
  const message = `and ${errors.length - errorsMax} more errors after these`
  return [...errors.slice(0, errorsMax), { ...last, path: '', message, fix: undefined }]
}

/** `name`: the path of the file. */
function toConfig(file: ConfigFile, name: string, installation: Installation): Config {
  const { host, port, workers, ...places } = installation
  const { cache, positiveTtl, negativeTtl, outage, stale, failures, lookupsPerAddress } = file.keys
  return {
    platforms: file.platforms.map((platform) => toPlatform(platform, name)),
    seeds: file.platforms.map(({ id, seed }) => ({ platform: id, tenants: seed })),
    server: {
      host,
      port,
      workers,
      publicUrl: file.server.publicUrl ?? null,
      trustedProxies: file.server.trustedProxies,
      shutdownDelayMs: file.server.shutdownDelay,
      shutdownGraceMs: file.server.shutdownGrace,
      nodes: file.server.nodes,
      overloadMs: file.server.overload,
    },
    storage: { ...places, ...file.storage },
    keys: {
      knownMax: cache.known,
      unknownMax: cache.unknown,
      positiveTtlMs: positiveTtl,
      negativeTtlMs: negativeTtl,
      outageMs: outage,
      staleMs: stale,
      failures: { count: failures.count, windowSeconds: failures.window },
      lookupsPerAddress,
    },
    management: {
      basePath: file.management.basePath,
      hosts: file.management.hosts,
      rotationMs: file.management.rotation,
    },
    log: file.log,
  }
}

type PlatformFile = ConfigFile['platforms'][number]

function toPlatform(platform: PlatformFile, file: string): Platform {
  const upstreams = platform.upstreams.map(toUpstream)
  return {
    id: platform.id,
    slug: platform.slug,
    name: platform.name ?? platform.slug,
    scheme: toScheme(platform.scheme, platform.adopted),
    hosts: platform.hosts,
    port: platform.port ?? null,
    vocabulary: platform.vocabulary,
    docsUrl: platform.docsUrl ?? null,
    issuer: platform.issuer ?? `urn:postern:${platform.id}`,
    permissions: Object.entries(platform.permissions).flatMap(([service, actions]) =>
      [...new Set(actions)].map((action) => `${service}:${action}`),
    ),
    limits: toPlan(platform),
    testMode:
      platform.environments.test.mode ??
      testModeOf(presetNameOf(platform.scheme), platform.openapi !== undefined),
    openapi: platform.openapi === undefined ? null : besideOf(file, platform.openapi),
    upstreams,
    routes: platform.routes.flatMap((route) => toRoutes(route, upstreams)),
  }
}

function toScheme(scheme: PlatformFile['scheme'], adopted: Scheme['adopted']): Scheme {
  if (typeof scheme === 'string') return { ...presetOf(scheme), adopted }
  const base = scheme.preset === undefined ? null : presetOf(scheme.preset)
  return {
    name: base?.name ?? 'custom',
    prefixes: scheme.prefixes ?? base?.prefixes ?? [],
    adopted,
    headers: scheme.headers ?? base?.headers ?? ['x-api-key', 'authorization'],
    tenancy: scheme.tenant ?? base?.tenancy ?? 'required',
  }
}

/** A path as it is meant in a file: from the folder of that. */
const besideOf = (file: string, path: string): string =>
  path.startsWith('/') ? path : file.slice(0, file.lastIndexOf('/') + 1) + path

const presetNameOf = (scheme: PlatformFile['scheme']): string | undefined =>
  typeof scheme === 'string' ? scheme : scheme.preset

function presetOf(name: string): Scheme {
  const preset = Object.values(presets).find((candidate) => candidate.name === name)
  if (preset === undefined) throw new Error(`the schema let an unknown scheme pass: ${name}`)
  return preset
}

function toPlan({ environments, classes }: PlatformFile): LimitPlan {
  return {
    environments: { test: environments.test.limits, live: environments.live.limits },
    classes: {
      ...(classes.secret && { secret: classes.secret.limits }),
      publishable: classes.publishable.limits,
    },
  }
}

type RouteFile = PlatformFile['routes'][number]

/** One Route for each path. Its id says what it takes, and is unique because no two take the same. */
function toRoutes(route: RouteFile, upstreams: readonly Upstream[]): Route[] {
  const methods = route.methods === undefined ? null : [...new Set(route.methods)]
  const hosts = route.hosts ?? []
  const paths = typeof route.path === 'string' ? [route.path] : route.path
  const upstream = upstreamOf(route.upstream, upstreams)
  const usual = bodyBytes[upstream === null ? 'handler' : 'upstream'].usual
  return paths.map((path) => ({
    id: `${methods?.join(',') ?? '*'} ${hosts.join(',')}${path}`,
    hosts,
    path,
    methods,
    handler: route.handler ?? null,
    upstream,
    sandbox: upstreamOf(route.sandbox, upstreams),
    rewrite: route.rewrite ?? null,
    secrets: route.secrets?.headers ?? null,
    cors: route.cors === undefined ? null : toCors(route.cors),
    permission: route.permission ?? null,
    classes: route.classes,
    environments: route.environments,
    cost: route.cost,
    limits: route.limits,
    bodyBytesMax: route.body.maxBytes ?? usual,
    jsonOnly: route.body.json,
    requireHttps: route.https,
    encodedSlash: route.encodedSlash,
  }))
}

function upstreamOf(wanted: string | undefined, upstreams: readonly Upstream[]): Upstream | null {
  if (wanted === undefined) return null
  const found = upstreams.find(({ name }) => name === wanted)
  if (found === undefined) throw new Error(`the schema let an unknown upstream pass: ${wanted}`)
  return found
}

const toCors = ({ maxAge, ...lists }: NonNullable<RouteFile['cors']>): Cors => ({
  ...lists,
  maxAgeSeconds: maxAge,
})

function freeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}
