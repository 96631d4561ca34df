/**
 * What a key is held to besides permissions: addresses, origins or referrers, endpoints. null is no
 * restriction and an empty list allows nothing. A stored rule that cannot be read denies everything,
 * because nobody can say what it was meant to keep out. Rules are read once per record.
 */
import type { Restrictions } from '../context.ts'
import { type AddressRange, inRange, parseAddress, parseRange } from '../lib/address.ts'
import type { Refusal } from '../problem.ts'
import type { HeaderReader } from './authenticate.ts'

/** What a restriction looks at. `path` is canonical; `clientAddress` as the runtime vouches for it. */
export type Call = {
  readonly method: string
  readonly path: string
  readonly clientAddress: string
  readonly headers: HeaderReader
}

type Endpoint = {
  readonly method: string | null
  readonly segments: readonly string[]
  /** The rule ended in `**`. */
  readonly open: boolean
}

/** 'broken': a rule of the list cannot be read. */
type Rules<T> = readonly T[] | null | 'broken'

type Compiled = {
  readonly ips: Rules<AddressRange>
  readonly origins: Rules<string>
  readonly referrers: Rules<string>
  readonly endpoints: Rules<Endpoint>
}

// A host name has 253 characters at most.
const originLengthMax = 300
const broken = 'a stored rule cannot be read, so it denies'
const ipRefused: Refusal = Object.freeze({ code: 'auth/ip_not_allowed' })
const ipBroken: Refusal = Object.freeze({ code: 'auth/ip_not_allowed', cause: broken })
const originRefused: Refusal = Object.freeze({ code: 'auth/origin_not_allowed' })
const originBroken: Refusal = Object.freeze({ code: 'auth/origin_not_allowed', cause: broken })
const endpointRefused: Refusal = Object.freeze({ code: 'auth/endpoint_not_allowed' })
const endpointBroken: Refusal = Object.freeze({ code: 'auth/endpoint_not_allowed', cause: broken })

/**
 * Holds a call to the restrictions of its key. null when it may pass, else `auth/ip_not_allowed`,
 * `auth/origin_not_allowed` or `auth/endpoint_not_allowed` (403). Never throws. Rules:
 * - ips: `10.0.0.0/8`, `2001:db8::/32`, or one address; IPv4-mapped IPv6 is IPv4.
 * - origins, referrers: serialised origins (`https://example.com`, RFC 6454 6.2), compared exactly.
 *   `Origin` decides; only without one, the origin of `Referer` does.
 * - endpoints: `GET /v1/things/*` or `/v1/**` (any method). `*` and `:name` stand for one segment, a
 *   last `**` for the rest, also none. GET allows HEAD.
 */
export function checkRestrictions(restrictions: Restrictions, call: Call): Refusal | null {
  const rules = compile(restrictions)
  const { ips, endpoints } = rules
  if (ips === 'broken') return ipBroken
  if (ips !== null && !ipAllowed(ips, call.clientAddress)) return ipRefused
  const origin = checkOrigin(rules, call.headers)
  if (origin !== null) return origin
  if (endpoints === 'broken') return endpointBroken
  return anyAllows(endpoints, call) ? null : endpointRefused
}

/** Whether endpoint rules let a call pass. One that cannot be read denies, as above. Never throws. */
export function endpointsAllow(
  rules: readonly string[] | null,
  call: Pick<Call, 'method' | 'path'>,
): boolean {
  const endpoints = readAll(rules, readEndpoint)
  return endpoints !== 'broken' && anyAllows(endpoints, call)
}

/** Whether a key's origin could be written so: as a browser sends it, and no longer than one can be. */
export const isOriginRule = (origin: string): boolean =>
  origin.length <= originLengthMax && readOrigin(origin) !== null

/** Which of the rules cannot be read, by list; for whoever stores them. Empty: all can. */
export function restrictionFaults(restrictions: Restrictions): (keyof Restrictions)[] {
  const rules = read(restrictions)
  const lists: (keyof Restrictions)[] = ['ips', 'origins', 'referrers', 'endpoints']
  return lists.filter((list) => rules[list] === 'broken')
}

/** Whether every call that the endpoint rule `inner` allows is allowed by `outer`. False if unreadable. */
export function isEndpointWithin(inner: string, outer: string): boolean {
  const [a, b] = [readEndpoint(inner), readEndpoint(outer)]
  if (a === null || b === null || (a.open && !b.open)) return false
  const { method } = a
  if (b.method !== null && b.method !== method && !(b.method === 'GET' && method === 'HEAD')) {
    return false
  }
  const [parts, wanted] = [a.segments, b.segments]
  if (b.open ? parts.length < wanted.length : parts.length !== wanted.length) return false
  return wanted.every((segment, index) => {
    const part = parts[index] ?? ''
    return isWild(segment) ? part !== '' : segment === part
  })
}

const isWild = (segment: string): boolean => segment === '*' || segment.startsWith(':')

// By the frozen object of the cached record, and gone with it.
const compiled = new WeakMap<Restrictions, Compiled>()

function compile(restrictions: Restrictions): Compiled {
  const known = compiled.get(restrictions)
  if (known !== undefined) return known
  const rules = read(restrictions)
  compiled.set(restrictions, rules)
  return rules
}

function read({ ips, origins, referrers, endpoints }: Restrictions): Compiled {
  return {
    ips: readAll(ips, parseRange),
    origins: readAll(origins, readOrigin),
    referrers: readAll(referrers, readOrigin),
    endpoints: readAll(endpoints, readEndpoint),
  }
}

function readAll<T>(list: readonly string[] | null, one: (rule: string) => T | null): Rules<T> {
  if (list === null) return null
  const rules: T[] = []
  for (const text of list) {
    const rule = one(text)
    if (rule === null) return 'broken'
    rules.push(rule)
  }
  return rules
}

function ipAllowed(ranges: readonly AddressRange[], clientAddress: string): boolean {
  const address = parseAddress(clientAddress)
  return address !== null && ranges.some((range) => inRange(address, range))
}

/**
 * Only what a browser would send is a rule: lower case, no default port, no path, not `null`. `*` is
 * a letter of host names to `URL`; whoever stores it means a pattern, which this is not.
 */
function readOrigin(rule: string): string | null {
  return originOf(rule) === rule && !rule.includes('*') ? rule : null
}

function originOf(url: string): string | null {
  if (!/^https?:\/\//.test(url)) return null
  return URL.canParse(url) ? new URL(url).origin : null
}

function checkOrigin({ origins, referrers }: Compiled, headers: HeaderReader): Refusal | null {
  if (origins === null && referrers === null) return null
  if (origins === 'broken' || referrers === 'broken') return originBroken
  const origin = headers.get('origin')
  // An Origin that is there decides, be it `null` or two joined; Referer is only its stand-in.
  if (origin !== null) return (origins ?? referrers)!.includes(origin) ? null : originRefused
  const referrer = originOf(headers.get('referer') ?? '')
  return referrer !== null && (referrers ?? origins)!.includes(referrer) ? null : originRefused
}

function readEndpoint(rule: string): Endpoint | null {
  const match = /^(?:([A-Z]+|\*) )?\/(\S*)$/.exec(rule)
  if (match === null) return null
  const [, method = '*', path = ''] = match
  const segments = path.split('/')
  const open = segments.at(-1) === '**'
  if (open) segments.pop()
  // Half a segment (`/v1/pro*`) would be a prefix match by another name (threats P13).
  const whole = segments.every((part) => part === '*' || !part.includes('*'))
  return whole ? { method: method === '*' ? null : method, segments, open } : null
}

const anyAllows = (
  endpoints: readonly Endpoint[] | null,
  call: Pick<Call, 'method' | 'path'>,
): boolean => endpoints === null || endpoints.some((rule) => endpointAllows(rule, call))

function endpointAllows(
  { method, segments, open }: Endpoint,
  call: Pick<Call, 'method' | 'path'>,
): boolean {
  if (method !== null && method !== call.method && !(method === 'GET' && call.method === 'HEAD')) {
    return false
  }
  const parts = call.path.slice(1).split('/')
  if (open ? parts.length < segments.length : parts.length !== segments.length) return false
  return segments.every((segment, index) => {
    return isWild(segment) ? parts[index] !== '' : segment === parts[index]
  })
}
