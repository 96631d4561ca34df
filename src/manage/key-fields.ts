/**
 * What may be said of an API key by whoever makes, changes or imports one, and what it means: words
 * of the wire in, one canonical form out. It knows the platform's scheme and tree and nothing of who
 * asks; whether that caller may give so much away is power.ts.
 *
 * The danger is a restriction that is stored and not understood: it would keep everybody out, so each
 * list is read here by the code that will enforce it.
 */
import { z } from '@hono/zod-openapi'
import type { KeyPrefix, Limit, Platform, Restrictions } from '../context.ts'
import { restrictionFaults } from '../keys/restrictions.ts'
import { parseRange } from '../lib/address.ts'
import { suggest } from '../lib/nearest.ts'
import type { FieldError } from '../problem.ts'
import { fault, fields, list, text, word } from './faults.ts'

const secondsMax = 31 * 86_400
const whole = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

export const nameField = z
  .string({ error: 'must be text' })
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,100}$/u, {
    error: 'must be 1 to 100 characters on one line',
  })
  .refine((name) => name.trim() === name && name.normalize('NFC') === name, {
    error: 'must neither start nor end with a space, and be in Unicode form NFC',
  })

export const tenantId = text(
  /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/,
  'must be 1 to 63 of A-Z a-z 0-9 _ -, starting with a letter or a digit',
)

/** RFC 3339, to the millisecond. */
export const timeField = z.iso
  .datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' })
  .transform((value) => Date.parse(value))

const permissionText = text(
  /^(?:\*|[a-z][a-z0-9_-]{0,31}:(?:\*|[a-z][a-z0-9_-]{0,31}))$/,
  'must be service:action, service:* or *',
)

const scalar = z.union([z.string().max(500), z.number(), z.boolean(), z.null()], {
  error: 'must be text of at most 500 characters, a number, true, false or null',
})
export const metadataField = z
  .record(text(/^[\w.:-]{1,64}$/, 'a name must be 1 to 64 of A-Z a-z 0-9 _ . : -'), scalar, {
    error: 'must be an object of names and plain values',
  })
  .refine((value) => Object.keys(value).length <= 50, { error: 'must have at most 50 names' })

const rules = (error: string) => list(z.string({ error }).max(512, { error }), 100)
const some = 'must not be empty, which would allow nothing; null restricts nothing'
const ruleList = (error: string) => rules(error).min(1, { error: some }).nullable().optional()

const restrictionsField = fields({
  ips: ruleList('must be an address or a range such as 10.0.0.0/8'),
  origins: ruleList('must be an origin such as https://app.example.com'),
  referrers: ruleList('must be an origin such as https://app.example.com'),
  endpoints: ruleList('must be an endpoint such as GET /v1/things/*'),
})

const limitField = fields({
  name: text(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 of a-z 0-9 -').optional(),
  quota: whole(1, 1_000_000_000),
  window_seconds: whole(1, secondsMax),
})
const rateLimitField = z.union([
  limitField,
  list(limitField, 8).min(1, { error: 'must have at least one limit; null has the default ones' }),
])

/** The fields that say what a key may do. Left out: as the caller's own key; null: not restricted. */
export const powerFields = {
  name: nameField,
  tenants: list(tenantId, 100).min(1, { error: some }).nullable().optional(),
  permissions: list(permissionText, 200).optional(),
  expires_at: timeField.nullable().optional(),
  restrictions: restrictionsField.nullable().optional(),
  rate_limit: rateLimitField.nullable().optional(),
  metadata: metadataField.optional(),
}

/** Which kind of key: by a word of the platform, or by class and environment. */
export const kindFields = {
  type: z.string({ error: 'must be a word such as sk_live' }).max(64).optional(),
  class: word(['secret', 'publishable']).optional(),
  environment: word(['test', 'live']).optional(),
}

export type PowerInput = z.output<z.ZodObject<Omit<typeof powerFields, 'name'>>>
type KindInput = z.output<z.ZodObject<typeof kindFields>>

/** What a platform's own documents call its prefixes, where that is another word. */
const ownWords: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  tenzro: { development: 'dev_', production: 'prod_', client: 'client_' },
  theazo: { test: 'th_test_', live: 'th_live_' },
  generic: { test: 'sk_test_', live: 'sk_live_' },
}

/** The prefix that is meant, or what is wrong. Without a class: secret. */
export function prefixOf(
  { scheme }: Platform,
  kind: KindInput,
  at = 'body',
): KeyPrefix | FieldError {
  const { type, environment } = kind
  if (type === undefined && environment === undefined) {
    const known = scheme.prefixes.map(wordOf).join(', ')
    const fix = `or type: ${known}`
    return { location: `${at}.environment`, code: 'required', message: 'is required', fix }
  }
  const named = type === undefined ? null : prefixNamed(scheme.name, scheme.prefixes, type)
  if (type !== undefined && named === null) {
    return fault(
      `${at}.type`,
      'is no type of this platform',
      suggest(type, scheme.prefixes.map(wordOf)),
    )
  }
  const wanted = kind.class ?? named?.class ?? 'secret'
  const candidates = named === null ? scheme.prefixes : [named]
  const found = candidates.find(
    (one) => one.class === wanted && one.environment === (environment ?? one.environment),
  )
  if (found !== undefined) return found
  if (named !== null) return fault(`${at}.type`, 'is of another class or environment than is said')
  return fault(`${at}.class`, 'does not exist in that environment on this platform')
}

function prefixNamed(scheme: string, prefixes: readonly KeyPrefix[], type: string) {
  const wanted = type.toLowerCase()
  const own = ownWords[scheme]?.[wanted]
  return (
    prefixes.find((one) => one.prefix === own || wordOf(one) === wanted || one.prefix === wanted) ??
    null
  )
}

/** What a kind of key is called: its prefix without the last underscore. */
export const wordOf = ({ prefix }: { readonly prefix: string }): string => prefix.replace(/_$/, '')

/** The limits that are meant; unnamed ones are called `custom`, `custom-2`, … */
export function limitsOf(input: z.output<typeof rateLimitField>): Limit[] {
  const all = Array.isArray(input) ? input : [input]
  const taken = new Set(all.map(({ name }) => name))
  return all.map(({ name, quota, window_seconds: windowSeconds }) => {
    let own = name ?? 'custom'
    for (let n = 2; name === undefined && taken.has(own); n++) own = `custom-${n}`
    taken.add(own)
    return { name: own, quota, windowSeconds, onStoreDown: 'local' }
  })
}

/** What is wrong with limits beyond their shape. */
export function limitFaults(limits: readonly Limit[], at = 'body'): FieldError[] {
  const names = limits.map(({ name }) => name)
  const twice = names.some((name, index) => names.indexOf(name) !== index)
  return twice ? [fault(`${at}.rate_limit`, 'has two limits of one name')] : []
}

/** Laid over what there is: a list that is left out stays, null takes it away. */
export function mergeRestrictions(
  before: Restrictions,
  input: NonNullable<PowerInput['restrictions']> | null,
): Restrictions {
  if (input === null) return { ips: null, origins: null, referrers: null, endpoints: null }
  const { ips, origins, referrers, endpoints } = input
  return {
    ips: ips === undefined ? before.ips : canonical(ips, canonicalRange),
    origins: origins === undefined ? before.origins : canonical(origins, canonicalOrigin),
    referrers: referrers === undefined ? before.referrers : canonical(referrers, canonicalOrigin),
    endpoints: endpoints === undefined ? before.endpoints : canonical(endpoints, canonicalEndpoint),
  }
}

function canonical(
  rules: readonly string[] | null,
  one: (rule: string) => string,
): readonly string[] | null {
  return rules === null ? null : [...new Set(rules.map(one))]
}

// What cannot be read is left as it is, for `ruleFaults` to find.
function canonicalRange(rule: string): string {
  const range = parseRange(rule)
  if (range === null) return rule
  const { base, bits } = range
  const width = base.kind() === 'ipv4' ? 32 : 128
  return bits === width ? base.toString() : `${firstOf(base.toByteArray(), bits)}/${bits}`
}

/** The first address of the range, in the form that RFC 5952 recommends. */
function firstOf(bytes: readonly number[], bits: number): string {
  const kept = bytes.map((byte, index) => {
    const own = Math.min(8, Math.max(0, bits - 8 * index))
    return byte & (0xff << (8 - own)) & 0xff
  })
  if (kept.length === 4) return kept.join('.')
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((kept[2 * i]! << 8) | kept[2 * i + 1]!).toString(16),
  )
  return parseRange(groups.join(':'))?.base.toString() ?? groups.join(':')
}

function canonicalOrigin(rule: string): string {
  const url = /^https?:\/\/[^/?#@\\\s]+\/?$/i.test(rule) ? URL.parse(rule) : null
  return url === null || url.username !== '' ? rule : url.origin
}

function canonicalEndpoint(rule: string): string {
  const [, method = '', path = ''] = /^(?:([A-Za-z]+|\*) )?(\/\S*)$/.exec(rule) ?? []
  if (path === '') return rule
  return method === '' || method === '*' ? path : `${method.toUpperCase()} ${path}`
}

/** Rules that cannot be read, by list. */
export function ruleFaults(restrictions: Restrictions, at = 'body'): FieldError[] {
  const says: Readonly<Record<keyof Restrictions, string>> = {
    ips: 'holds what is neither an address nor a range such as 10.0.0.0/8',
    origins: 'holds what is no origin such as https://app.example.com',
    referrers: 'holds what is no origin such as https://app.example.com',
    endpoints: 'holds what is no endpoint such as GET /v1/things/* or /v1/**',
  }
  return restrictionFaults(restrictions).map((one) => fault(`${at}.restrictions.${one}`, says[one]))
}

/** Permissions that are not in the platform's tree. `self:rotate` is every platform's. */
export function permissionFaults(
  permissions: readonly string[],
  { permissions: tree }: Platform,
  at = 'body',
): FieldError[] {
  const services = [...new Set(tree.map((one) => `${one.slice(0, one.indexOf(':'))}:*`))]
  const known = [...tree, ...services, '*', 'self:rotate']
  return permissions.flatMap((one, index) =>
    known.includes(one)
      ? []
      : [
          fault(
            `${at}.permissions[${index}]`,
            'is no permission of this platform',
            suggest(one, known),
          ),
        ],
  )
}

/** A publishable key may be seen by anyone: it administers nothing, and says where it is used from. */
export function publishableFaults(
  key: { readonly permissions: readonly string[]; readonly restrictions: Restrictions },
  { permissions: tree }: Platform,
  at = 'body',
): FieldError[] {
  const administers = (permission: string): boolean =>
    permission.split(':').some((part) => part === 'admin' || part === 'self')
  const covers = (grant: string): boolean =>
    grant === '*' ||
    administers(grant) ||
    (grant.endsWith(':*') &&
      tree.some((one) => one.startsWith(grant.slice(0, -1)) && administers(one)))
  const faults = key.permissions.flatMap((one, index) =>
    covers(one)
      ? [fault(`${at}.permissions[${index}]`, 'is not for publishable keys: it can administer')]
      : [],
  )
  if (key.restrictions.origins !== null) return faults
  const message = 'must name at least one origin: a publishable key works from those alone'
  return [...faults, fault(`${at}.restrictions.origins`, message)]
}
