/**
 * The single fields of postern.yaml: what each may hold, and the sentence that says so. Each refuses
 * with that one sentence, whatever was wrong, and hands on the value in the unit that code uses.
 */
import ipaddr from 'ipaddr.js'
import * as z from 'zod'
import type { Limit } from '../context.ts'
import { parseRange } from '../lib/address.ts'

/** A whole number; not a number in quotes, not 1e309, not 1.5 (threats L12). */
export function whole(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

export const text = (pattern: RegExp, error: string) =>
  z.string({ error }).regex(pattern, { error })

export const yesNo = () => z.boolean({ error: 'must be true or false' })

/** Text that `fault` has nothing against. */
export const judged = (error: string, fault: (text: string) => string | null) =>
  z.string({ error }).superRefine((value, context) => {
    const message = fault(value)
    if (message !== null) context.addIssue({ code: 'custom', message })
  })

export const list = <Item extends z.ZodType>(item: Item) =>
  z.array(item, { error: 'must be a list: "- one" on each line, or [one, two]' })

export const section = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) => (code === 'invalid_type' ? 'must be a section of fields' : undefined),
  })

export const word = '[a-z][a-z0-9_-]{0,31}'
export const keyClass = () => z.enum(['secret', 'publishable'])
export const environment = () => z.enum(['test', 'live'])

const unitMs = { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 }
const unitNames = { s: 'second', min: 'minute', h: 'hour', d: 'day' }
const isUnit = (unit: string): unit is keyof typeof unitMs => Object.hasOwn(unitMs, unit)
const isNamed = (unit: string): unit is keyof typeof unitNames => Object.hasOwn(unitNames, unit)

const durationPattern = /^(?:0|[1-9][0-9]{0,8})(?:ms|s|min|h|d)$/

/** Milliseconds; NaN for what is no duration. */
export function durationMs(value: string): number {
  const unit = value.replace(/^[0-9]+/, '')
  return isUnit(unit) ? Number.parseInt(value, 10) * unitMs[unit] : Number.NaN
}

/** `30s` as milliseconds. */
export function duration(min: string, max: string) {
  const error = `must be a duration from ${min} to ${max}, such as 30s, 5min or 1h`
  return text(durationPattern, error)
    .refine((value) => within(durationMs(value), min, max), { error })
    .transform(durationMs)
}

/** `100ms` as milliseconds, `off` as null. */
export function durationOrOff(min: string, max: string) {
  const error = `must be off, or a duration from ${min} to ${max}, such as 100ms`
  return text(/^(?:off|(?:0|[1-9][0-9]{0,8})(?:ms|s|min|h|d))$/, error)
    .refine((value) => value === 'off' || within(durationMs(value), min, max), { error })
    .transform((value) => (value === 'off' ? null : durationMs(value)))
}

const within = (ms: number, min: string, max: string): boolean =>
  ms >= durationMs(min) && ms <= durationMs(max)

/** `60s` as seconds. */
export function seconds(max: string) {
  const error = `must be a duration of whole seconds from 1s to ${max}, such as 60s, 5min or 1h`
  return text(/^[1-9][0-9]{0,8}(?:s|min|h|d)$/, error)
    .refine((value) => within(durationMs(value), '1s', max), { error })
    .transform((value) => durationMs(value) / 1000)
}

const quotaMax = 1_000_000_000
const shortForm = /^([1-9][0-9]{0,8})\/(s|min|h|d)$/
/** Stands in a header (RFC 9651 string) and in counter keys. */
const limitName = () =>
  text(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 of a-z 0-9 -, starting with a letter')

/** The name of a limit in its short form: `100/min` is `minute`. null: it is not in that form. */
export const shortName = (value: string): string | null => {
  const unit = shortForm.exec(value)?.[2] ?? ''
  return isNamed(unit) ? unitNames[unit] : null
}

function shortLimit() {
  const error = 'must be a limit such as 100/min, 10/s, 5000/h or 100000/d'
  return text(shortForm, error).transform((value): Limit => {
    const [, quota = '', unit = ''] = shortForm.exec(value) ?? []
    const windowSeconds = durationMs(`1${unit}`) / 1000
    return {
      name: shortName(value) ?? '',
      quota: Number(quota),
      windowSeconds,
      onStoreDown: 'local',
    }
  })
}

const longLimit = () =>
  section({
    name: limitName().describe('Names the limit in RateLimit headers and in 429 answers.'),
    quota: whole(1, quotaMax).describe('Units that may pass in any window of this length.'),
    window: seconds('31d').describe('The length of the window: 10s, 1min, 1h.'),
    onStoreDown: z
      .enum(['local', 'allow', 'deny'])
      .default('local')
      .describe('When the store is down: count in memory, let pass, or refuse.'),
    counting: z
      .enum(['leased', 'exact'])
      .optional()
      .describe('leased (the default): nodes borrow units ahead. exact: each request asks Redis.'),
  }).transform(
    ({ name, quota, window, onStoreDown, counting }): Limit => ({
      name,
      quota,
      windowSeconds: window,
      onStoreDown,
      ...(counting === undefined ? {} : { counting }),
    }),
  )

/** Limits that all apply. An empty list: none. */
export const limits = () =>
  list(z.union([shortLimit(), longLimit()])).max(8, { error: 'has more than 8 limits' })

/** An absolute http(s) URL without query, fragment or credentials; a slash at its end is dropped. */
export function url() {
  const error = 'must be a URL such as https://api.example.com'
  return judged(error, (value) => {
    const parsed = URL.parse(value)
    if (parsed === null || !/^https?:\/\/[^\s\\]+$/.test(value)) return error
    if (parsed.username !== '' || parsed.password !== '') return 'must hold no credentials'
    return /[?#]/.test(value) ? 'must have no query and no fragment' : null
  }).transform((value) => value.replace(/\/+$/, ''))
}

/** A host name, exact, in lower case and without port: it is compared with what `Host` says. */
export const hostName = () => judged('must be a host name', hostFault)

/** What is wrong with a host name, or null. */
export function hostFault(host: string): string | null {
  if (host !== host.toLowerCase()) return 'must be in lower case'
  if (host.includes('*')) return 'must be one exact name: wildcards are not matched'
  if (/:\d+$/.test(host)) return 'must have no port; a listener of its own is the field "port"'
  if (host.length > 253) return 'must be a host name of at most 253 characters'
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
  if (new RegExp(`^${label}(?:\\.${label})*$`).test(host)) return null
  return 'must be a host name, such as api.example.com'
}

/** A range of addresses, written with its first one: `10.0.0.0/8`, `2001:db8::/32`. */
export function cidr(ofAll = 'would trust every address there is') {
  const error = 'must be a range of addresses such as 10.0.0.0/8'
  return judged(error, (value) => {
    const range = parseRange(value)
    if (range === null) return error
    if (!value.includes('/')) return `must end in a prefix length; one address is /${range.bits}`
    if (range.bits === 0) return ofAll
    const family = range.base.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6
    const first = family.networkAddressFromCIDR(`${range.base}/${range.bits}`).toString()
    if (first === range.base.toString()) return null
    return `has bits set past its prefix length; the range starts at ${first}`
  }).transform(canonicalRange)
}

/** One spelling of a range: IPv4 inside IPv6 as IPv4, IPv6 in its short form (RFC 5952). */
function canonicalRange(value: string): string {
  const range = parseRange(value)
  return range === null ? value : `${range.base}/${range.bits}`
}
