/**
 * How a connection to an upstream is made: to an address that was looked at first, and to no other.
 *
 * The name is resolved here, every address it has is judged, and the socket goes to one of those. A
 * resolver that says something else a moment later is not asked again (threats S1-S3). What goes wrong
 * is told in the words of RFC 9209, and nothing of the request has been sent by then.
 */
import { lookup as systemLookup } from 'node:dns'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type HopFailure, HopFault, type Target, type Upstream } from '../../../context.ts'
import { createGuard } from '../../../proxy/target.ts'

/** Resolves a name to all of its addresses, as `dns.lookup` with `all`. */
export type Lookup = (
  hostname: string,
  options: { readonly all: true },
  done: (error: Error | null, addresses: { address: string; family: number }[]) => void,
) => void

type Stage = 'dns' | 'tcp' | 'tls'
const lateBy: Readonly<Record<Stage, HopFailure>> = {
  dns: 'dns_timeout',
  tcp: 'connection_timeout',
  tls: 'connection_timeout',
}

/** Where a socket puts what it reads, and who is told how much it was. Never with TLS. */
export type Reader = {
  readonly buffer: Uint8Array
  callback(size: number): boolean
}

/** Called once. `readsItself`: what is read goes to the reader, and the socket has no `data`. */
export type Connected = (found: Socket | HopFault, readsItself: boolean) => void

/** Ends the attempt, which is not heard of again. */
export type Cancel = () => void

/** Connects. Whoever is given the socket listens to its `error` at once. */
export type Connect = (reader: Reader | null, connected: Connected) => Cancel

/** Makes what connects to one target of an upstream. A failure is a `HopFault`. */
export function createConnect(
  upstream: Upstream,
  target: Target,
  lookup: Lookup = systemLookup,
): Connect {
  const blocked = createGuard(upstream.allow)
  const { hostname, port, protocol } = new URL(target.origin)
  const host = hostname.replace(/^\[|\]$/g, '')
  const secure = protocol === 'https:'
  const check = (address: string): HopFault | null => {
    const why = blocked(address)
    return why === null ? null : new HopFault('destination_ip_prohibited', true, `${host}: ${why}`)
  }
  const options = {
    host,
    port: Number(port || (secure ? 443 : 80)),
    noDelay: true,
    keepAlive: true,
    ...(secure && tlsOptions(upstream, host)),
  }
  return (reader, connected) => {
    let stage: Stage = isIP(host) === 0 ? 'dns' : 'tcp'
    // An address that stands in the config is not resolved, so it is judged here.
    const literal = stage === 'tcp' ? check(host) : null
    if (literal !== null) {
      connected(literal, false)
      return () => {}
    }
    const resolve = (name: string, _: unknown, resolved: Resolved): void => {
      lookup(name, { all: true }, (error, addresses) => {
        if (error === null) stage = 'tcp'
        // One forbidden address among good ones is no accident (threats S3).
        const bad = addresses?.map(({ address }) => check(address)).find((why) => why !== null)
        resolved(error ?? bad ?? null, addresses ?? [])
      })
    }
    const socket: Socket | TLSSocket = secure
      ? connectTls({ ...options, lookup: resolve })
      : connectTcp({ ...options, lookup: resolve, ...(reader !== null && { onread: reader }) })
    const finish = (error: unknown): void => {
      clearTimeout(timer)
      socket.off('connect', onConnect).off('secureConnect', onSecure).off('error', finish)
      if (error === null) connected(socket, !secure && reader !== null)
      else {
        cut(socket)
        connected(faultOf(error, stage), false)
      }
    }
    const onConnect = (): void => {
      const reached = check(socket.remoteAddress ?? 'unknown')
      if (reached !== null) finish(reached)
      else if (secure) stage = 'tls'
      else finish(null)
    }
    const onSecure = (): void => finish(null)
    const timer = setTimeout(() => {
      const cause = `${host} did not take a connection within ${upstream.connectMs} ms`
      finish(new HopFault(lateBy[stage], true, cause))
    }, upstream.connectMs)
    socket.on('connect', onConnect).on('secureConnect', onSecure).on('error', finish)
    return () => {
      clearTimeout(timer)
      cut(socket)
    }
  }
}

/** Makes what connects to the built-in upstream, which listens on loopback and has no other name. */
export function createEchoConnect(port: () => Promise<number>): Connect {
  return (reader, connected) => {
    const failed = (error: unknown): void => connected(faultOf(error, 'tcp'), false)
    let given = false
    port().then((at) => {
      if (given) return
      const onread = reader !== null && { onread: reader }
      const socket = connectTcp({ host: '127.0.0.1', port: at, noDelay: true, ...onread })
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        if (given) cut(socket)
        else connected(socket, reader !== null)
      })
    }, failed)
    return () => {
      given = true
    }
  }
}

/** What it has to say after that is nobody's business. */
function cut(socket: Socket): void {
  socket.removeAllListeners('connect').removeAllListeners('secureConnect')
  socket.removeAllListeners('error').on('error', () => {})
  socket.destroy()
}

type Resolved = (error: Error | null, addresses: { address: string; family: number }[]) => void

function tlsOptions({ tls }: Upstream, host: string) {
  const servername = tls.serverName ?? (isIP(host) === 0 ? host : '')
  return {
    servername,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2' as const,
    ...(tls.ca !== null && { ca: tls.ca }),
    ...(tls.cert !== null && { cert: tls.cert }),
    ...(tls.key !== null && { key: tls.key }),
  }
}

/** Codes of OpenSSL's verification (`X509_V_ERR_…` as Node names them) and of Node's own check. */
const certificateCode =
  /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|CRL_|INVALID_CA|HOSTNAME_MISMATCH)/

function faultOf(error: unknown, stage: Stage): HopFault {
  if (error instanceof HopFault) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const cause = error instanceof Error ? error.message : 'the connection failed'
  const failure = (): HopFailure => {
    if (certificateCode.test(code)) return 'tls_certificate_error'
    if (stage === 'tls') return 'tls_protocol_error'
    if (stage === 'dns') return code === 'EAI_AGAIN' ? 'dns_timeout' : 'dns_error'
    return code === 'ETIMEDOUT' ? 'connection_timeout' : 'connection_refused'
  }
  return new HopFault(failure(), true, cause)
}
