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
import type { buildConnector } from 'undici'
import { type HopFailure, HopFault, type Upstream } from '../../../context.ts'
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

/** Makes undici's connector for one upstream. A failure is a `HopFault`. */
export function createConnector(
  upstream: Upstream,
  lookup: Lookup = systemLookup,
): buildConnector.connector {
  const blocked = createGuard(upstream.allow)
  return ({ hostname, port, protocol }, done) => {
    const host = hostname.replace(/^\[|\]$/g, '')
    let stage: Stage = isIP(host) === 0 ? 'dns' : 'tcp'
    let over = false
    const finish = (error: unknown): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      if (error === null) {
        done(null, socket)
        return
      }
      socket.destroy()
      done(faultOf(error, stage), null)
    }
    const check = (address: string): HopFault | null => {
      const why = blocked(address)
      return why === null
        ? null
        : new HopFault('destination_ip_prohibited', true, `${host}: ${why}`)
    }
    // An address that stands in the config is not resolved, so it is judged here.
    const literal = stage === 'tcp' ? check(host) : null
    if (literal !== null) {
      done(literal, null)
      return
    }
    const options = {
      host,
      port: Number(port || (protocol === 'https:' ? 443 : 80)),
      noDelay: true,
      keepAlive: true,
      lookup(name: string, _: unknown, resolved: Resolved): void {
        lookup(name, { all: true }, (error, addresses) => {
          if (error === null) stage = 'tcp'
          // One forbidden address among good ones is no accident (threats S3).
          const bad = addresses?.map(({ address }) => check(address)).find((why) => why !== null)
          resolved(error ?? bad ?? null, addresses ?? [])
        })
      },
    }
    const socket: Socket | TLSSocket =
      protocol === 'https:'
        ? connectTls({ ...options, ...tlsOptions(upstream, host) })
        : connectTcp(options)
    const timer = setTimeout(() => {
      const cause = `${host} did not take a connection within ${upstream.connectMs} ms`
      finish(new HopFault(lateBy[stage], true, cause))
    }, upstream.connectMs)
    socket.once('connect', () => {
      const reached = check(socket.remoteAddress ?? 'unknown')
      if (reached !== null) finish(reached)
      else if (protocol === 'https:') stage = 'tls'
      else finish(null)
    })
    socket.once('secureConnect', () => finish(null))
    socket.on('error', finish)
  }
}

/** Makes undici's connector for the built-in upstream, which listens on loopback and has no other name. */
export function createEchoConnector(port: () => Promise<number>): buildConnector.connector {
  return (_, done) => {
    const failed = (error: unknown): void => done(faultOf(error, 'tcp'), null)
    port().then((at) => {
      const socket = connectTcp({ host: '127.0.0.1', port: at, noDelay: true })
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        done(null, socket)
      })
    }, failed)
  }
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
