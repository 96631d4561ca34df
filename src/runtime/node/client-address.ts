/**
 * Whose request is this, by address? The socket's peer, unless that is a proxy the operator trusts:
 * then the nearest address that no trusted hop stands behind.
 *
 * It believes nothing a client can write by itself: with no trusted proxies, `X-Forwarded-*` is not
 * even read (threats H4). `Forwarded` and `X-Real-IP` are never read: two sources would be two truths.
 */
import { type AddressRange, inRange, parseAddress, parseRange } from '../../lib/address.ts'

/** The client of one request. `secure`: it spoke TLS, to us or to a trusted hop. */
export type Client = { readonly address: string; readonly secure: boolean }

/** The other end of a connection: what is the same for all its requests. */
export type Peer = Client & { readonly trusted: boolean }

export type ClientAddress = {
  /** Once per connection. An address that cannot be told is `unknown`, and never trusted. */
  peerOf(socket: { readonly remoteAddress?: string; readonly encrypted?: boolean }): Peer
  /** Once per request; costs nothing unless the peer is trusted. `rawHeaders` as Node has them. */
  clientOf(peer: Peer, rawHeaders: readonly string[]): Client
}

/** Hops that are looked at. A chain of more is somebody's invention. */
const hopsMax = 32

/** Takes addresses and CIDR ranges of the proxies to trust. Throws an `Error` naming one it cannot read. */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  const ranges = trustedProxies.map(readRange)
  const isTrusted = (text: string): boolean => {
    const address = parseAddress(text)
    return address !== null && ranges.some((range) => inRange(address, range))
  }
  return {
    peerOf(socket) {
      const address = fold(socket.remoteAddress ?? 'unknown')
      return { address, secure: socket.encrypted === true, trusted: isTrusted(address) }
    },
    clientOf(peer, rawHeaders) {
      if (!peer.trusted) return peer
      const hops = valuesOf(rawHeaders, 'x-forwarded-for')
      return {
        address: nearestUntrusted(hops, peer.address, isTrusted),
        secure: peer.secure || isHttps(valuesOf(rawHeaders, 'x-forwarded-proto')),
      }
    },
  }
}

function readRange(text: string): AddressRange {
  const range = parseRange(text)
  if (range === null) throw new Error(`"${text}" is neither an address nor a CIDR range`)
  return range
}

/** A dual-stack socket shows IPv4 peers as `::ffff:1.2.3.4`. */
const fold = (address: string): string =>
  address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address

/** All lines of a header in order, as one list. */
function valuesOf(rawHeaders: readonly string[], name: string): string {
  let list = ''
  for (let line = 0; line < rawHeaders.length; line += 2) {
    const value = rawHeaders[line + 1] ?? ''
    if (rawHeaders[line]?.toLowerCase() === name) list = list === '' ? value : `${list},${value}`
  }
  return list
}

/**
 * Each hop appends the address it was called from, so only the right end is vouched for. The walk
 * ends at the first address that is not trusted, or before the first entry that is none.
 */
function nearestUntrusted(
  hops: string,
  peer: string,
  isTrusted: (address: string) => boolean,
): string {
  let vouched = peer
  let end = hops.length
  for (let hop = 0; hop < hopsMax && end > 0; hop += 1) {
    const comma = hops.lastIndexOf(',', end - 1)
    const address = addressOf(hops.slice(comma + 1, end))
    if (address === null) return vouched
    vouched = address
    if (!isTrusted(address)) return vouched
    end = comma
  }
  return vouched
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. */
function addressOf(entry: string): string | null {
  const text = entry.trim()
  const [, bare = text] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? /^([\d.]+):\d+$/.exec(text) ?? []
  return parseAddress(bare)?.toString() ?? null
}

/** Every hop that spoke says https. One that says otherwise had the request in the clear. */
const isHttps = (protos: string): boolean =>
  protos !== '' && protos.split(',').every((proto) => proto.trim().toLowerCase() === 'https')
