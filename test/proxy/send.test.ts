import { describe, expect, test } from 'vitest'
import {
  type Forward,
  type Hop,
  type HopFailure,
  HopFault,
  type Upstream,
} from '../../src/context.ts'
import { Problem, problems, type Refusal } from '../../src/problem.ts'
import { Balancers } from '../../src/proxy/balance.ts'
import type { Call } from '../../src/proxy/send.ts'
import { routeOf } from '../limits/platform.ts'
import { callOf, exchange, proxyOver, targetOf, upstreamOf } from './call.ts'

type Step = HopFault | Error | 'answers'

const fault = (failure: HopFailure, untouched = false) =>
  new HopFault(failure, untouched, `driver says ${failure}`)

/** A port that plays these steps, the last one for ever, and notes what it was given. */
function playing(...steps: readonly Step[]) {
  const hops: Hop[] = []
  const forward: Forward = async (hop) => {
    hops.push(hop)
    const step = steps[Math.min(hops.length, steps.length) - 1]
    if (step instanceof Error) throw step
    return new Response('ok')
  }
  return { hops, forward }
}

const three = ['http://a.example', 'http://b.example', 'http://c.example'].map((origin) =>
  targetOf(origin),
)

/** Sends one call; what it was refused with, or null. */
async function outcomeOf(
  steps: readonly Step[],
  call: Partial<Call> = {},
  upstream: Partial<Upstream> = {},
) {
  const { hops, forward } = playing(...steps)
  const { proxy, platform } = proxyOver(
    upstreamOf({ targets: three, retries: 2, ...upstream }),
    forward,
  )
  const refusal = await proxy.send(callOf(platform, call)).then(
    () => null,
    (thrown: unknown) => refusalIn(thrown),
  )
  return { refusal, tries: hops.length, origins: hops.map((hop) => hop.target.origin), proxy }
}

function refusalIn(thrown: unknown): Refusal {
  if (thrown instanceof Problem) return thrown.refusal
  throw thrown
}

describe('what the caller is told', () => {
  test.each<[HopFailure, string, number]>([
    ['dns_error', 'upstream/unreachable', 502],
    ['connection_refused', 'upstream/unreachable', 502],
    ['connection_terminated', 'upstream/unreachable', 502],
    ['tls_protocol_error', 'upstream/unreachable', 502],
    ['tls_certificate_error', 'upstream/unreachable', 502],
    ['dns_timeout', 'upstream/timeout', 504],
    ['connection_timeout', 'upstream/timeout', 504],
    ['http_response_timeout', 'upstream/timeout', 504],
    ['destination_ip_prohibited', 'upstream/blocked_address', 502],
    ['http_protocol_error', 'upstream/bad_response', 502],
    ['http_response_incomplete', 'upstream/bad_response', 502],
    ['http_response_header_section_size', 'upstream/bad_response', 502],
    ['connection_limit_reached', 'gateway/overloaded', 503],
  ])('S8: %s is %s and its word, nothing more', async (failure, code, status) => {
    const { refusal } = await outcomeOf([fault(failure)], { method: 'POST' })
    expect(refusal).toMatchObject({
      code,
      cause: `upstream things, target http://a.example: ${failure}: driver says ${failure}`,
    })
    const told = { 'proxy-status': `postern; error=${failure}` }
    expect(refusal?.headers).toEqual(status === 503 ? { ...told, 'retry-after': '1' } : told)
    expect(refusal?.detail).toBeUndefined()
    expect(problems[refusal?.code ?? 'internal/error'].status).toBe(status)
  })

  test('with no target fit to be asked, nothing is asked', async () => {
    const { refusal, tries } = await outcomeOf(['answers'], {}, { targets: [] })
    expect(tries).toBe(0)
    expect(refusal).toMatchObject({
      code: 'upstream/unreachable',
      headers: { 'proxy-status': 'postern; error=destination_unavailable' },
    })
  })

  test('a request that runs in a circle goes no further', async () => {
    const rawHeaders = Array(8).fill(['via', '1.1 postern']).flat()
    const { refusal, tries } = await outcomeOf(['answers'], { rawHeaders })
    expect(tries).toBe(0)
    expect(refusal?.headers).toEqual({ 'proxy-status': 'postern; error=proxy_loop_detected' })
  })

  test('the last try is the one that is told, and the log learns which it was', async () => {
    const { refusal } = await outcomeOf([fault('dns_error'), fault('http_protocol_error')])
    expect(refusal?.code).toBe('upstream/bad_response')
    expect(refusal?.cause).toContain('target http://c.example, try 3: http_protocol_error')
  })
})

describe('R26: tries', () => {
  const body = { hasBody: true }
  test.each<[string, Partial<Call>, HopFault, number]>([
    ['a POST that was heard', { method: 'POST' }, fault('connection_terminated'), 1],
    ['a POST with a body', { method: 'POST', ...body }, fault('http_response_timeout'), 1],
    ['a PATCH that was heard', { method: 'PATCH' }, fault('connection_terminated'), 1],
    ['a LOCK that was heard', { method: 'LOCK' }, fault('connection_terminated'), 1],
    ['a get, which is no GET', { method: 'get' }, fault('connection_terminated'), 1],
    ['a PUT with a body', { method: 'PUT', ...body }, fault('connection_terminated'), 1],
    ['a GET with a body', { method: 'GET', ...body }, fault('connection_terminated'), 1],
    ['a handshake that was heard', { upgrade: true }, fault('connection_terminated'), 1],
    [
      'a body that has begun',
      { method: 'PUT', ...body, exchange: { ...exchange, bodyUsed: true } },
      fault('connection_refused', true),
      1,
    ],
    ['a client that left', {}, fault('client_gone'), 1],
    ['a client that left early', {}, fault('client_gone', true), 1],
    ['a POST that nobody heard', { method: 'POST', ...body }, fault('connection_refused', true), 3],
    ['a handshake that nobody heard', { upgrade: true }, fault('connection_refused', true), 3],
    ['a full queue', { method: 'POST' }, fault('connection_limit_reached', true), 3],
    ...['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PROPFIND', 'REPORT'].map(
      (method): [string, Partial<Call>, HopFault, number] => [
        `a ${method} without a body`,
        { method },
        fault('http_response_timeout'),
        3,
      ],
    ),
  ])('%s', async (_, call, thrown, tries) => {
    const outcome = await outcomeOf([thrown], call)
    expect(outcome.tries).toBe(tries)
    expect(outcome.origins).toEqual(three.slice(0, tries).map(({ origin }) => origin))
  })

  test.each([0, 1, 2, 3])('with retries: %i, no more than so many further', async (retries) => {
    const { tries } = await outcomeOf([fault('connection_refused', true)], {}, { retries })
    expect(tries).toBe(Math.min(retries, 2) + 1) // there are three targets
  })

  test('the target that answers ends it', async () => {
    const { refusal, tries } = await outcomeOf([fault('dns_error'), 'answers', fault('dns_error')])
    expect({ refusal, tries }).toEqual({ refusal: null, tries: 2 })
  })

  test('a lone target is asked again only when a kept connection had died', async () => {
    const alone = { targets: three.slice(0, 1) }
    const died = await outcomeOf([fault('connection_terminated'), 'answers'], {}, alone)
    expect(died).toMatchObject({ refusal: null, tries: 2 })
    const slow = await outcomeOf([fault('http_response_timeout')], {}, alone)
    expect(slow.tries).toBe(1)
  })

  test('each try has the Host of its own target', async () => {
    const { hops, forward } = playing(fault('dns_error'), 'answers')
    const { proxy, platform } = proxyOver(upstreamOf({ targets: three }), forward)
    await proxy.send(callOf(platform))
    expect(hops.map(({ headers }) => headers.slice(0, 2))).toEqual([
      ['host', 'a.example'],
      ['host', 'b.example'],
    ])
  })
})

describe('what the balancer learns', () => {
  const failuresAfter = async (step: Step) => {
    const { hops, forward } = playing(step)
    const { proxy, platform } = proxyOver(upstreamOf({ retries: 0 }), forward)
    const thrown: unknown = await proxy.send(callOf(platform)).catch((error: unknown) => error)
    expect(hops).toHaveLength(1)
    return { thrown, failures: proxy.states()[0]?.targets[0]?.failures }
  }

  test.each<HopFailure>(['connection_refused', 'http_response_timeout', 'http_protocol_error'])(
    '%s is the target’s doing',
    async (failure) => {
      expect(await failuresAfter(fault(failure))).toMatchObject({ failures: 1 })
    },
  )

  test.each<HopFailure>(['connection_limit_reached', 'destination_ip_prohibited', 'client_gone'])(
    '%s is not',
    async (failure) => {
      expect(await failuresAfter(fault(failure))).toMatchObject({ failures: 0 })
    },
  )

  test.each([new Problem('request/too_large'), new TypeError('a bug')])(
    'a throw of another kind passes through untouched, is not tried again and blames nobody: %s',
    async (error) => {
      expect(await failuresAfter(error)).toEqual({ thrown: error, failures: 0 })
    },
  )

  test('a failing target is left alone, tried once, and back after an answer', async () => {
    let now = 0
    const { hops, forward } = playing(fault('dns_error'), fault('dns_error'), 'answers')
    const breaker = { failures: 2, openMs: 1000 }
    const { proxy, platform } = proxyOver(upstreamOf({ retries: 0, breaker }), forward, {
      now: () => now,
    })
    const ask = () =>
      proxy.send(callOf(platform)).then(
        () => 'answered',
        (thrown: unknown) => refusalIn(thrown).headers?.['proxy-status'],
      )
    expect(await ask()).toContain('dns_error')
    expect(await ask()).toContain('dns_error')
    expect(await ask()).toContain('destination_unavailable')
    expect(hops).toHaveLength(2)
    now = 1000
    expect(await Promise.all([ask(), ask()])).toEqual([
      'answered',
      expect.stringContaining('destination_unavailable'),
    ])
    expect(await ask()).toBe('answered')
  })

  test('a trial that the client left, or that ran in a circle, is no verdict', async () => {
    const gone = fault('client_gone')
    const { forward } = playing(fault('dns_error'), gone, 'answers')
    const breaker = { failures: 1, openMs: 1 }
    let now = 0
    const { proxy, platform } = proxyOver(upstreamOf({ retries: 0, breaker }), forward, {
      now: () => now,
    })
    const ask = (rawHeaders: readonly string[] = []) =>
      proxy.send(callOf(platform, { rawHeaders })).then(
        () => 'answered',
        (thrown: unknown) => refusalIn(thrown).code,
      )
    expect(await ask()).toBe('upstream/unreachable')
    now = 1
    expect(await ask()).toBe('request/timeout')
    expect(await ask(Array(8).fill(['via', '1.1 postern']).flat())).toBe('upstream/unreachable')
    expect(await ask()).toBe('answered')
  })

  test('the active check’s word counts, and survives a change of configuration', async () => {
    const { forward } = playing('answers')
    const balancers = new Balancers()
    const health = { path: '/', intervalMs: 1, timeoutMs: 1, healthyAfter: 1, unhealthyAfter: 1 }
    const upstream = upstreamOf({ health })
    const before = proxyOver(upstream, forward, { balancers })
    const [check] = before.proxy.checks
    check?.balancer.mark(check.upstream.targets[0] ?? targetOf(''), false)
    const after = proxyOver(structuredClone(upstream), forward, { balancers })
    await expect(after.proxy.send(callOf(after.platform))).rejects.toThrow('upstream/unreachable')
    expect(after.proxy.states()).toMatchObject([
      { platform: 'plt_one', upstream: 'things', targets: [{ well: false }] },
    ])
  })

  test('an upstream that asks for no check has none', () => {
    expect(proxyOver(upstreamOf(), playing('answers').forward).proxy.checks).toEqual([])
  })

  test('each fault is told, also when a later try is answered', async () => {
    const told: string[] = []
    const { forward } = playing(fault('dns_error'), 'answers')
    const { proxy, platform } = proxyOver(upstreamOf({ targets: three }), forward, {
      onFault: (call, target, { failure }) =>
        void told.push(`${call.requestId} ${target.origin} ${failure}`),
    })
    await proxy.send(callOf(platform))
    expect(told).toEqual(['req_1 http://a.example dns_error'])
  })
})

describe('the hop', () => {
  test('carries what was decided', async () => {
    const { hops, forward } = playing('answers')
    const cors = { origins: [], requestHeaders: [], exposedHeaders: [], maxAgeSeconds: 1 }
    const { proxy, platform } = proxyOver(upstreamOf(), forward, {
      route: { cors },
      rewriteFor: () => (path) => path.replace('/v1', ''),
      identityFor: async (of, upstream, principal) =>
        `${of.id}.${upstream.audience}.${principal.credential.id}`,
    })
    const call = callOf(platform, {
      search: '?q=%22&q=2',
      upgrade: true,
      gate: { 'x-request-id': 'req_1' },
    })
    await proxy.send(call)
    expect(hops).toEqual([
      {
        owner: 'live/acme/key_1',
        hasBody: false,
        upstream: platform.upstreams[0],
        target: platform.upstreams[0]?.targets[0],
        method: 'GET',
        path: '/things?q=%22&q=2',
        headers: expect.arrayContaining(['postern-identity', 'plt_one.things.key_1']),
        upgrade: true,
        gate: call.gate,
        ownsCors: true,
        covered: null,
        onOpen: call.onOpen,
      },
    ])
  })

  test('H1: without a token nothing is sent', async () => {
    const { hops, forward } = playing('answers')
    const { proxy, platform } = proxyOver(upstreamOf(), forward, {
      identityFor: () => Promise.reject(new Error('no key')),
    })
    await expect(proxy.send(callOf(platform))).rejects.toThrow('no key')
    expect(hops).toEqual([])
  })

  test('a route of another configuration is refused, and so is an upstream of no platform', async () => {
    const { forward } = playing('answers')
    const { proxy, platform } = proxyOver(upstreamOf(), forward)
    const call = callOf(platform, { route: routeOf({ handler: null, upstream: upstreamOf() }) })
    await expect(proxy.send(call)).rejects.toThrow('gateway/misconfigured')
    expect(() => proxyOver(upstreamOf(), forward, { route: { upstream: upstreamOf() } })).toThrow(
      'upstream of no platform',
    )
  })
})
