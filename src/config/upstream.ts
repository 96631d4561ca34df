/** From a section of postern.yaml to an `Upstream`: the defaults that depend on other fields. */
import type * as z from 'zod'
import type { Upstream } from '../context.ts'
import type { upstream } from './upstream-schema.ts'

type UpstreamFile = z.output<ReturnType<typeof upstream>>

/** The noun that a good section says. Its targets are origins, as the URL parser writes them. */
export function toUpstream(file: UpstreamFile): Upstream {
  const { name, timeouts, health, tls } = file
  return {
    name,
    audience: file.audience ?? name,
    builtin: file.builtin ?? null,
    targets: targetsOf(file),
    host: file.host ?? null,
    allow: file.allow,
    connectMs: timeouts.connect,
    headersMs: timeouts.headers,
    idleMs: timeouts.idle,
    connectionsMax: file.connections,
    queueMax: file.queue,
    retries: file.retries,
    breaker: { failures: file.breaker.failures, openMs: file.breaker.open },
    health: health === undefined ? null : toHealth(health),
    tls: {
      ca: tls?.ca ?? null,
      cert: tls?.cert ?? null,
      key: tls?.key ?? null,
      serverName: tls?.serverName ?? null,
    },
    keepAuthorization: file.keepAuthorization,
  }
}

function targetsOf({ name, url, targets, builtin }: UpstreamFile): Upstream['targets'] {
  // RFC 2606: a name that nobody can resolve, in case something tries.
  if (builtin !== undefined) return [{ origin: `http://${builtin}.invalid`, weight: 1 }]
  const written = targets ?? (url === undefined ? [] : [{ url, weight: 1 }])
  if (written.length === 0)
    throw new Error(`the schema let an upstream without target pass: ${name}`)
  return written.map((target) => ({ origin: new URL(target.url).origin, weight: target.weight }))
}

const toHealth = (health: NonNullable<UpstreamFile['health']>): Upstream['health'] => ({
  path: health.path,
  intervalMs: health.interval,
  timeoutMs: health.timeout,
  healthyAfter: health.healthyAfter,
  unhealthyAfter: health.unhealthyAfter,
})
