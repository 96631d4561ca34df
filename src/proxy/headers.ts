/**
 * What does the upstream get to read, and what does the client? Both lists are made here, of names
 * and values in turn: everything that is end-to-end stays as it came, in its order, its case and its
 * bytes; what belongs to one connection goes; and what is said in the gateway's voice is said by the
 * gateway alone.
 *
 * It knows no socket and writes no framing. The danger is the order: our names are deleted first,
 * whether or not there is a value to put in their place, and only then set (threats H1). And
 * `Connection` is obeyed before ours are set, or a client could have them taken out again (H2, T11).
 */
import type { Hop, Principal, Target, Upstream } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { readAnswerName, readRequestName } from './names.ts'

/** What the gateway vouches for in a request. */
export type RequestFacts = {
  readonly principal: Principal
  readonly requestId: string
  /** The client's, as the runtime vouches for it. */
  readonly clientAddress: string
  /** The client spoke TLS. */
  readonly secure: boolean
  /** As the client named it: lower case, without port; empty where it named none. */
  readonly host: string
  readonly hasBody: boolean
  /** A WebSocket handshake: the upstream gets the client's `Sec-WebSocket-*`. */
  readonly upgrade: boolean
}

/** Field content (RFC 9110 5.5): what lies outside ends the line, or the message (threats H7). */
const illegal = /[^\t\x20-\x7e\x80-\xff]/

/** How often a request may pass a gateway of this name before it is taken to run in a circle. */
const viaMax = 8

const loop: Refusal = Object.freeze({
  code: 'upstream/unreachable',
  headers: Object.freeze({ 'proxy-status': 'postern; error=proxy_loop_detected' }),
  cause: `the request has passed ${viaMax} gateways named postern: an upstream leads back here`,
})

/**
 * The fields that the target gets, `host` first; `connection`, `upgrade` and chunked framing are the
 * port's to add. `sent` is the client's list as it arrived; `identity` is the signed token. Refuses
 * with `upstream/unreachable` a request that runs in a circle (RFC 9209 2.3.10). Throws where a value
 * of the gateway's own holds a byte that no header may hold.
 */
export function requestHeaders(
  sent: readonly string[],
  facts: RequestFacts,
  upstream: Upstream,
  target: Target,
  identity: string,
): string[] | Refusal {
  const list = ['host', hostFor(upstream, target)]
  let via = ''
  let port = ''
  let trailers = false
  for (let at = 0; at < sent.length; at += 2) {
    const name = sent[at] ?? ''
    const value = sent[at + 1] ?? ''
    switch (readRequestName(name).kind) {
      case 'pass':
        break
      case 'connection':
        if (usualOptions.has(value)) continue
        return requestHeaders(withoutNamed(sent), facts, upstream, target, identity)
      case 'host':
        port = portOf(value, facts.host)
        continue
      case 'via':
        if (!illegal.test(value)) via += `${value}, `
        continue
      case 'te':
        trailers ||= takesTrailers.test(value)
        continue
      case 'length':
        if (!facts.hasBody) continue
        break
      case 'authorization':
        if (!upstream.keepAuthorization) continue
        break
      case 'websocket':
        if (!facts.upgrade) continue
        break
      case 'drop':
        continue
    }
    if (!illegal.test(value)) list.push(name, value)
  }
  if (via !== '' && (via.match(ourVia)?.length ?? 0) >= viaMax) return loop
  if (trailers) list.push('te', 'trailers')
  // RFC 9110 7.6.3: a gateway adds itself to what it forwards inwards.
  list.push('via', `${via}1.1 postern`)
  setOwn(list, facts, port, identity)
  return list
}

/** Says what the gateway says. A fact that there is none of is absent, whatever the client sent. */
function setOwn(list: string[], facts: RequestFacts, port: string, identity: string): void {
  const { principal, clientAddress, secure, host } = facts
  const caller = callerOf(principal)
  // The same token comes for most of a minute, and looking at each byte of it costs more than the rest.
  if (caller.identity === identity) list.push('postern-identity', identity)
  else set(list, 'postern-identity', identity)
  caller.identity = identity
  for (const part of caller.facts) list.push(part)
  set(list, 'x-request-id', facts.requestId)
  set(list, 'x-forwarded-for', clientAddress)
  list.push('x-forwarded-proto', secure ? 'https' : 'http')
  if (host === '') return
  // RFC 9110 4.2: a port that is not named is the scheme's own.
  set(list, 'x-forwarded-host', port === '' ? host : `${host}:${port}`)
  list.push('x-forwarded-port', port !== '' ? port : secure ? '443' : '80')
}

function set(list: string[], name: string, value: string): void {
  // Left out, it would be a request whose sender nobody vouches for.
  if (illegal.test(value)) throw new Error(`the value of ${name} is not fit for a header`)
  list.push(name, value)
}

type Caller = { readonly facts: readonly string[]; identity: string }

// By the shared object of the key memory, and gone with it.
const callers = new WeakMap<Principal, Caller>()

/** The plain facts about a caller, which are the same in each of its requests, and its last token. */
function callerOf(principal: Principal): Caller {
  const known = callers.get(principal)
  if (known !== undefined) return known
  const { tenant, environment, credential, permissions } = principal
  const facts: string[] = []
  if (tenant !== null) set(facts, 'postern-tenant', tenant)
  set(facts, 'postern-environment', environment)
  set(facts, 'postern-key-id', credential.id)
  if (permissions.length > 0) set(facts, 'postern-permissions', permissions.join(' '))
  const caller = { facts, identity: '' }
  callers.set(principal, caller)
  return caller
}

const hosts = new WeakMap<Target, string>()

/** The `Host` of a request to a target: the upstream's own, never the client's (threats H5). */
export function hostFor(upstream: Upstream, target: Target): string {
  if (upstream.host !== null) return upstream.host
  const known = hosts.get(target)
  if (known !== undefined) return known
  const { host } = new URL(target.origin)
  hosts.set(target, host)
  return host
}

/** The port in a `Host` field whose name is `host`; empty where it names none. */
function portOf(value: string, host: string): string {
  if (value.length === host.length || value.charAt(host.length) !== ':') return ''
  const port = value.slice(host.length + 1)
  return /^\d{1,5}$/.test(port) ? port : ''
}

/** An entry of ours in a `Via` list: protocol, our name, perhaps a comment. */
const ourVia = /(?:^|,)[\t ]*(?:[\w.-]+\/)?[\w.-]+[\t ]+postern[\t ]*(?=[,(]|$)/gi

// RFC 9110 10.1.4. A weight would let it be refused; what is left of `te` is this or nothing.
const takesTrailers = /(?:^|,)[\t ]*trailers[\t ]*(?:,|$)/i

/** Values of `Connection` that name no field but those which are dropped, or read, in any case. */
const usualOptions: ReadonlySet<string> = new Set(
  ['keep-alive', 'close', 'upgrade', 'te', 'keep-alive, upgrade', 'te, close'].flatMap((value) => [
    value,
    value.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()),
    value.replace('upgrade', 'Upgrade').replace('te', 'TE'),
  ]),
)

/** Fields that are every hop's to read: RFC 9110 7.6.1 forbids a `Connection` to name them. */
const neverNamed: ReadonlySet<string> = new Set([
  ...['content-length', 'transfer-encoding', 'te', 'via', 'host'],
])

/** RFC 9110 7.6.1: the list without `Connection`, and without the fields that it names. */
function withoutNamed(raw: readonly string[]): string[] {
  const named = new Set(['connection'])
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() !== 'connection') continue
    for (const option of (raw[at + 1] ?? '').split(',')) named.add(option.trim().toLowerCase())
  }
  for (const name of neverNamed) named.delete(name)
  return without(raw, named)
}

function without(raw: readonly string[], names: ReadonlySet<string>): string[] {
  const list: string[] = []
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    if (!names.has(name.toLowerCase())) list.push(name, raw[at + 1] ?? '')
  }
  return list
}

/**
 * The fields that the client gets of an upstream's answer, with the gate's laid over them; `raw` is
 * the upstream's list as it arrived. The gate wins, except where its word is only a default: an
 * upstream's own `x-content-type-options`, `referrer-policy`, `strict-transport-security` and
 * `retry-after` stay, and `vary` is added to. Never throws.
 */
export function layAnswer(raw: readonly string[], hop: Pick<Hop, 'gate' | 'ownsCors'>): string[] {
  const { gate, ownsCors } = hop
  const list: string[] = []
  const limited = Object.hasOwn(gate, 'ratelimit')
  let vary = ''
  let given: string[] | null = null
  let sized = false
  let coded = false
  for (let at = 0; at < raw.length; at += 2) {
    const spelling = raw[at] ?? ''
    const value = raw[at + 1] ?? ''
    const { name, kind } = readAnswerName(spelling)
    if (kind === 'drop') continue
    if (kind === 'connection') {
      if (usualOptions.has(value)) continue
      return layAnswer(withoutNamed(raw), hop)
    }
    if (kind === 'coding') coded = true
    if (kind === 'coding' || (kind === 'cors' && ownsCors) || (kind === 'limits' && limited))
      continue
    if (kind === 'status' && ourStatus.test(value)) continue
    if (illegal.test(value)) continue
    if (kind === 'vary') vary += `${value},`
    else if (kind === 'default') given = given === null ? [name] : [...given, name]
    else if (kind === 'length') sized = true
    else if (Object.hasOwn(gate, name)) continue
    list.push(spelling, value)
  }
  // RFC 9112 6.3: of a message with both, the length is a lie, and may be an attack.
  const laid = coded && sized ? without(list, new Set(['content-length'])) : list
  layGate(laid, hop, vary, given)
  return laid
}

/** A `Proxy-Status` (RFC 9209) with an entry in our name. */
const ourStatus = /(?:^|,)[\t ]*"?postern"?[\t ]*(?:[;,]|$)/i

function layGate(
  list: string[],
  { gate, ownsCors }: Pick<Hop, 'gate' | 'ownsCors'>,
  vary: string,
  given: readonly string[] | null,
): void {
  for (const name in gate) {
    if (name === 'vary' || given?.includes(name)) continue
    list.push(name, gate[name] ?? '')
  }
  // The answer depends on the origin because our part of it does (threats C6).
  const added = gate.vary ?? (ownsCors ? 'Origin' : '')
  if (added !== '' && !covers(vary, added)) list.push('vary', added)
}

/** Whether a `Vary` list names all that another one does (RFC 9110 12.5.5). */
function covers(vary: string, added: string): boolean {
  if (vary === '') return false
  const named = vary.split(',').map((name) => name.trim().toLowerCase())
  return (
    named.includes('*') ||
    added.split(',').every((name) => named.includes(name.trim().toLowerCase()))
  )
}
