/**
 * IP addresses, read strictly: what other programs read in two ways (octal, hex or short IPv4) is
 * no address here. IPv4-mapped IPv6 is IPv4, because a dual-stack socket shows it so.
 */
import ipaddr from 'ipaddr.js'

export type Address = ipaddr.IPv4 | ipaddr.IPv6
export type AddressRange = { readonly base: Address; readonly bits: number }

/** Reads an address (a zone id is ignored). null when it is none. */
export function parseAddress(text: string): Address | null {
  const address = readAddress(text)
  if (address?.kind() !== 'ipv6') return address
  // `kind` is not a discriminant to the compiler; only IPv6 has the mapping.
  const ipv6 = address as ipaddr.IPv6
  return ipv6.isIPv4MappedAddress() ? ipv6.toIPv4Address() : ipv6
}

function readAddress(text: string): Address | null {
  if (text.length > 100) return null
  // `::ffff:010.0.0.1` too: the dotted tail must be plain decimal.
  const tail = text.slice(text.lastIndexOf(':') + 1)
  if (tail.includes('.') && !ipaddr.IPv4.isValidFourPartDecimal(tail.replace(/%.*$/, ''))) {
    return null
  }
  if (!text.includes(':')) return tail.includes('.') ? readOrNull(ipaddr.IPv4, text) : null
  return readOrNull(ipaddr.IPv6, text)
}

function readOrNull(kind: { parse(text: string): Address }, text: string): Address | null {
  try {
    return kind.parse(text)
  } catch {
    return null
  }
}

/**
 * Reads `10.0.0.0/8`, `2001:db8::/32` or one address (a range of itself). Host bits may be set.
 * null when it is not well-formed, names a zone, or the length does not fit the family.
 */
export function parseRange(text: string): AddressRange | null {
  const [host = '', length, ...rest] = text.split('/')
  if (rest.length > 0 || host.includes('%')) return null
  const base = parseAddress(host)
  if (base === null) return null
  const widest = base.kind() === 'ipv4' ? 32 : 128
  if (length === undefined) return { base, bits: widest }
  if (!/^(0|[1-9]\d{0,2})$/.test(length)) return null
  // `::ffff:10.0.0.0/104` counts its length from the front of the IPv6 form.
  const bits = Number(length) - (base.kind() === 'ipv4' && host.includes(':') ? 96 : 0)
  return bits < 0 || bits > widest ? null : { base, bits }
}

/** Whether the address is in the range. An IPv4 range holds no IPv6 address, nor the reverse. */
export function inRange(address: Address, range: AddressRange): boolean {
  return address.kind() === range.base.kind() && address.match([range.base, range.bits])
}

/**
 * The name under which a client is counted: an IPv4 address, or the /64 of an IPv6 one, since a
 * single client commonly holds a whole /64 (threats C9). What is no address shares one name.
 */
export function addressBucket(text: string): string {
  const address = parseAddress(text)
  if (address === null) return 'unreadable'
  if (address.kind() === 'ipv4') return address.toString()
  const [a = 0, b = 0, c = 0, d = 0] = (address as ipaddr.IPv6).parts // the kind was checked above
  return `${a.toString(16)}:${b.toString(16)}:${c.toString(16)}:${d.toString(16)}::/64`
}
