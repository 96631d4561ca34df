/**
 * May the gateway open a connection there? Asked of a configured URL once, and of every address that
 * its name resolves to at each connect, because a name may mean another address by then.
 *
 * It knows nothing of DNS and opens nothing. The danger is a second spelling of an address that is
 * refused in its first (threats S1, S2): so a URL passes only as the URL parser writes it, an IPv6
 * address that carries an IPv4 one is judged by what it carries, and of IPv6 nothing is taken but
 * what is allocated.
 */
import type ipaddr from 'ipaddr.js'
import {
  type Address,
  type AddressRange,
  inRange,
  parseAddress,
  parseRange,
} from '../lib/address.ts'

type Named = { readonly text: string; readonly range: AddressRange; readonly name: string }

/** `10.0.0.0/8 private`, one on each line. */
const table = (lines: string): readonly Named[] =>
  lines
    .trim()
    .split('\n')
    .map((line) => {
      const [text = '', ...words] = line.trim().split(' ')
      return { text, range: rangeOf(text), name: words.join(' ') }
    })

function rangeOf(text: string): AddressRange {
  const range = parseRange(text)
  // An unreadable range must not become one that allows or refuses nothing (threats G10).
  if (range === null) throw new Error(`${JSON.stringify(text)} is no range of addresses`)
  return range
}

/** Where machines of a cloud are given credentials, or where nobody can say what is reached. */
const never = table(`
  169.254.0.0/16 link-local, and of cloud metadata services
  fe80::/10 link-local, and of cloud metadata services
  168.63.129.16/32 a cloud metadata service
  100.100.100.200/32 a cloud metadata service
  192.0.0.192/32 a cloud metadata service
  fd00:ec2::/32 of cloud metadata services
  fd20:ce::254/128 a cloud metadata service
  fd00:c1::a9fe:a9fe/128 a cloud metadata service
  fd00:42::42/128 a cloud metadata service
  fd00:a9fe:a9fe::1/128 a cloud metadata service
  fd00:100::100:200/128 a cloud metadata service
  64:ff9b:1::/48 a translation to another address
  ::ffff:0:0:0/96 a translation to another address
  2001::/32 a tunnel to another address
  2002::/16 a tunnel to another address`)

/** The IANA registries of special-purpose addresses (RFC 6890), and multicast. */
const special = table(`
  0.0.0.0/8 this network
  10.0.0.0/8 private
  100.64.0.0/10 shared by carriers
  127.0.0.0/8 loopback
  172.16.0.0/12 private
  192.0.0.0/24 reserved for protocols
  192.0.2.0/24 documentation
  192.31.196.0/24 reserved for protocols
  192.52.193.0/24 reserved for protocols
  192.88.99.0/24 reserved for protocols
  192.168.0.0/16 private
  192.175.48.0/24 reserved for protocols
  198.18.0.0/15 benchmarking
  198.51.100.0/24 documentation
  203.0.113.0/24 documentation
  224.0.0.0/4 multicast
  240.0.0.0/4 reserved
  ::1/128 loopback
  fc00::/7 private
  ff00::/8 multicast
  2001::/23 reserved for protocols
  2001:db8::/32 documentation
  2620:4f:8000::/48 reserved for protocols
  3fff::/20 documentation`)

const allocated = rangeOf('2000::/3')
const nat64 = rangeOf('64:ff9b::/96')

/**
 * Compiles a judge of addresses, for use at every connect: it answers null, or half a sentence that
 * says what is wrong, without the address. Special addresses pass only inside a range of `allow`;
 * those of cloud metadata services, and tunnels to what cannot be seen, never do. Throws when a range
 * cannot be read.
 */
export function createGuard(allow: readonly string[]): (address: string) => string | null {
  const allowed = allow.map(rangeOf)
  return (text) => {
    const address = parseAddress(text)
    return address === null ? 'is no IP address' : judge(address, allowed)
  }
}

/** What is wrong with connecting to one address, or null. As `createGuard`, for a single question. */
export const addressFault = (address: string, allow: readonly string[]): string | null =>
  createGuard(allow)(address)

/** What is wrong with a range that a guard is to allow, or null: it holds only what never passes. */
export function allowFault(text: string): string | null {
  const range = parseRange(text)
  if (range === null) return null
  const refused = never.find(
    ({ range: wide }) => wide.bits <= range.bits && inRange(range.base, wide),
  )
  return refused === undefined ? null : `is ${refused.name} (${refused.text}), never an upstream`
}

function judge(address: Address, allowed: readonly AddressRange[]): string | null {
  const holds = ({ range }: Named) => inRange(address, range)
  const refused = never.find(holds)
  if (refused !== undefined) return `is ${refused.name} (${refused.text}), never an upstream`
  // RFC 6052 3.1: this prefix carries global IPv4 addresses only, so `allow` says nothing of them.
  if (inRange(address, nat64)) return judge(lastFour(address), [])
  if (allowed.some((range) => inRange(address, range))) return null
  const found = special.find(holds)
  if (found !== undefined) return `is ${found.name} (${found.text}), which "allow" does not hold`
  const global = address.kind() === 'ipv4' || inRange(address, allocated)
  return global ? null : 'is no global address, and "allow" does not hold it'
}

function lastFour(address: Address): Address {
  // The kind is not a discriminant to the compiler; only IPv6 is in the NAT64 prefix.
  const { parts } = address as ipaddr.IPv6
  const bytes = parts.slice(6).flatMap((part) => [part >> 8, part & 0xff])
  const embedded = parseAddress(bytes.join('.'))
  if (embedded === null) throw new Error('four bytes are an IPv4 address')
  return embedded
}

/** Names that clouds give to their metadata services; what they resolve to is refused as well. */
const metadataNames: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'metadata.packet.net',
  'metadata.platformequinix.com',
  'instance-data',
  'instance-data.ec2.internal',
])

/**
 * What is wrong with a configured target, in half a sentence, or null: it must be scheme, host and
 * port exactly as `new URL(…).origin` writes them (a slash may follow), and an address in it must
 * pass `addressFault`. What a name resolves to is judged at each connect, not here. Throws when a
 * range of `allow` cannot be read.
 */
export function originFault(url: string, allow: readonly string[]): string | null {
  const parsed = URL.parse(url)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    return 'must be an http or https URL such as http://10.0.0.5:8080'
  }
  const { username, password, pathname, search, hash, origin, port, hostname } = parsed
  if (username !== '' || password !== '') return 'must hold no credentials'
  if (pathname !== '/' || search !== '' || hash !== '') {
    return 'must have no path, no query and no fragment; "rewrite" of a route adds a path'
  }
  if (url !== origin && url !== `${origin}/`) return `is read as ${origin}: write it so`
  if (port === '0') return 'must have another port than 0'
  return hostFault(hostname, allow)
}

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const hostName = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`)

function hostFault(host: string, allow: readonly string[]): string | null {
  const guard = createGuard(allow)
  const bare = host.replace(/^\[|\]$/g, '')
  const address = parseAddress(bare)
  if (address !== null) {
    const mapped = host !== bare && address.kind() === 'ipv4'
    return mapped ? 'is an IPv4 address inside an IPv6 one: write it as IPv4' : guard(bare)
  }
  if (host.endsWith('.')) return 'must not end in a dot'
  if (!hostName.test(host)) return 'must have a host name of letters, digits, - and _'
  if (metadataNames.has(host)) return 'is a cloud metadata service, never an upstream'
  if (host !== 'localhost' && !host.endsWith('.localhost')) return null
  const loopback = guard('127.0.0.1') === null || guard('::1') === null
  return loopback ? null : 'is this machine, and "allow" holds neither 127.0.0.1 nor ::1'
}
