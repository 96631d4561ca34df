/**
 * The shape of an upstream: a service that routes forward to. Which targets may be written at all is
 * asked of proxy/target.ts in forwarding.ts, because it depends on what `allow` says beside them.
 */

import * as z from 'zod'
import { canonicalPath } from '../routing.ts'
import {
  cidr,
  duration,
  hostFault,
  hostName,
  judged,
  list,
  section,
  text,
  whole,
  yesNo,
} from './fields.ts'

export const upstreamName = () =>
  text(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 of a-z 0-9 -, starting with a letter')

const targetUrl = () => {
  const error = 'must be an http or https URL such as http://10.0.0.5:8080'
  return z.string({ error }).max(300, { error })
}

const target = () =>
  section({
    url: targetUrl().describe('Scheme, host and port: http://10.0.0.5:8080.'),
    weight: whole(1, 1000).default(1).describe("Its share of the requests, against the others'."),
  })

const timeouts = () =>
  section({
    connect: duration('1ms', '1min')
      .prefault('2s')
      .describe('Until a connection stands; waiting for a free one counts.'),
    headers: duration('1ms', '1h')
      .prefault('30s')
      .describe("From the request's end to the head of the answer."),
    idle: duration('1ms', '1d')
      .prefault('60s')
      .describe('Between two pieces of a body, of the request or of the answer.'),
  })

const health = () =>
  section({
    path: judged('must be a path such as /healthz', healthPathFault).describe(
      'Answers 2xx or 3xx to GET when well.',
    ),
    interval: duration('100ms', '1h').prefault('5s').describe('Between two questions.'),
    timeout: duration('1ms', '1min').prefault('2s').describe('An answer later than this is none.'),
    healthyAfter: whole(1, 100).default(2).describe('Good answers in a row until it is well.'),
    unhealthyAfter: whole(1, 100).default(3).describe('Bad ones in a row until it is not.'),
  })

const pem = (kind: string, label: string) =>
  text(
    new RegExp(`^\\s*-----BEGIN ${label}-----[\\s\\S]+-----END ${label}-----\\s*$`),
    `must be the text of a PEM file with a ${kind}, as \${env:NAME}`,
  )

const tls = () =>
  section({
    ca: pem('certificate', 'CERTIFICATE')
      .optional()
      .describe("Authorities that its certificate may come from. Default: the system's."),
    cert: pem('certificate', 'CERTIFICATE').optional().describe('Shown to it. With key.'),
    key: pem('private key', '(?:[A-Z0-9]+ )?PRIVATE KEY').optional().describe('With cert.'),
    serverName: hostName()
      .optional()
      .describe("The name sent to it, and held against its certificate. Default: the target's."),
  })

export const upstream = () =>
  section({
    name: upstreamName().describe('What routes call it.'),
    url: targetUrl().optional().describe('Its only target. This, or targets, or builtin.'),
    targets: list(target())
      .min(1, { error: 'must name at least one target' })
      .max(100, { error: 'has more than 100 targets' })
      .optional()
      .describe('Several targets, which share the requests.'),
    builtin: z
      .literal('echo', { error: 'must be echo, the only one there is' })
      .optional()
      .describe('Answered by the gateway itself: echo says what was forwarded.'),
    allow: list(cidr('would allow every address there is'))
      .max(100, { error: 'has more than 100 ranges' })
      .default([])
      .describe('Private ranges that its targets may be in. Default: public addresses only.'),
    audience: text(/^[!-~]{1,255}$/, 'must be 1 to 255 characters without a space')
      .optional()
      .describe('Whom identity tokens are for (aud). Default: the name.'),
    host: judged('must be a host name', (value) => hostFault(value.replace(/:\d{1,5}$/, '')))
      .optional()
      .describe("The Host header that it gets. Default: the target's own."),
    timeouts: timeouts().prefault({}).describe('How long it may take.'),
    connections: whole(1, 10_000).default(128).describe('At most, to each target.'),
    queue: whole(0, 100_000)
      .default(1024)
      .describe('Requests that may wait for a connection; one more is a 503.'),
    retries: whole(0, 3)
      .default(1)
      .describe('Further tries of a request that is safe to repeat and was not answered.'),
    breaker: section({
      failures: whole(1, 10_000).default(5).describe('In a row, until a target is left alone.'),
      open: duration('1ms', '1h').prefault('5s').describe('For how long.'),
    })
      .prefault({})
      .describe('When a failing target is left alone.'),
    health: health().optional().describe('Ask each target whether it is well. Default: do not.'),
    tls: tls().optional().describe('For https targets.'),
    keepAuthorization: yesNo()
      .default(false)
      .describe('Leave the Authorization header to it: keys must come elsewhere.'),
  })

/** It is put behind a target's origin, so it must be what a request's path would be (threats S5). */
function healthPathFault(path: string): string | null {
  const canonical = canonicalPath(path)
  if ('code' in canonical) return 'must be a path such as /healthz'
  const { path: plain, search } = canonical
  return plain + search === path ? null : `must be in canonical form: ${plain}${search}`
}
