/**
 * Reading the credential of a request, and naming who is calling once it is verified. What is sent
 * must be one API key in one header; everything else is refused here, by its shape, before any
 * lookup. It never says whether a key exists. The danger is leniency: a second credential, a second
 * space or another scheme that one program skips and the next one reads (RFC 6750 section 2).
 */
import type { Credential, KeyRecord, Principal, Scheme } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { keyLengthMax, parseKey } from './format.ts'
import { findPrefix } from './schemes.ts'

/** The part of `Headers` that is needed. A repeated field comes joined by commas, as in `Headers`. */
export type HeaderReader = { get(name: string): string | null }

export type CredentialReading =
  | { readonly ok: true; readonly key: string }
  | { readonly ok: false; readonly refusal: Refusal }

const refuse = (refusal: Refusal): CredentialReading =>
  Object.freeze({ ok: false, refusal: Object.freeze(refusal) })

const missing = refuse({ code: 'auth/missing_key' })
const ambiguous = refuse({ code: 'auth/ambiguous_credentials', cause: 'two credential headers' })
const joined = refuse({ code: 'auth/ambiguous_credentials', cause: 'a comma in a credential' })
const inUrl = refuse({ code: 'auth/key_in_url' })
const notBearer = refuse({
  code: 'auth/malformed_key',
  detail: 'Authorization must be the word Bearer, one space, and the API key.',
  cause: 'Authorization is not a Bearer token',
})
const notToken = refuse({ code: 'auth/malformed_key', cause: 'characters or length of no API key' })

/**
 * Reads the API key that a request shows, from `x-api-key` or `Authorization: Bearer` as far as the
 * scheme takes them (a header that it does not take is not read). `search` is the raw query.
 * Refuses with `auth/key_in_url`, `auth/ambiguous_credentials` (400), `auth/missing_key` or
 * `auth/malformed_key` (401). The key that is returned is a token of at most 512 characters; whether
 * it has the shape of the scheme is for `parseKey`. Never throws.
 */
export function readCredential(
  headers: HeaderReader,
  scheme: Scheme,
  search: string,
): CredentialReading {
  if (search.length > 1 && hasKey(search, scheme)) return inUrl
  const plain = scheme.headers.includes('x-api-key') ? headers.get('x-api-key') : null
  const bearer = scheme.headers.includes('authorization') ? headers.get('authorization') : null
  if (plain !== null && bearer !== null) return ambiguous
  const value = plain ?? bearer ?? ''
  if (value === '') return missing
  if (value.includes(',')) return joined
  if (plain !== null) return readToken(plain)
  // RFC 9110 11.1: the scheme in any case. RFC 6750 2.1: then exactly one space.
  return /^[Bb][Ee][Aa][Rr][Ee][Rr] [^ ]/.test(value) ? readToken(value.slice(7)) : notBearer
}

// RFC 6750 2.1, b64token. All of it is ASCII, so characters are bytes.
const token = /^[A-Za-z0-9._~+/-]+=*$/

function readToken(text: string): CredentialReading {
  return text.length <= keyLengthMax && token.test(text) ? { ok: true, key: text } : notToken
}

/** Names that mean an API key whatever stands behind them. RFC 6750 2.3 has `access_token`. */
const keyNames = new Set(['apikey', 'xapikey', 'accesstoken'])
/** Names of many things: refused when what they carry starts like a key of the scheme. */
const perhapsKeyNames = new Set(['key', 'token', 'auth', 'authorization', 'bearer', 'secret'])

function hasKey(search: string, scheme: Scheme): boolean {
  for (const [name, value] of new URLSearchParams(search)) {
    if (value === '') continue
    const word = name.toLowerCase().replace(/[^a-z]/g, '')
    if (keyNames.has(word)) return true
    if (perhapsKeyNames.has(word) && startsLikeKey(value, scheme)) return true
    // A whole key is in the log and in the history under any name. A prefix with its ref is not
    // one: people search for that.
    const parsed = parseKey(value, scheme)
    if (parsed.ok && !parsed.adopted) return true
  }
  return false
}

function startsLikeKey(value: string, scheme: Scheme): boolean {
  const text = value.replace(/^bearer\s+/i, '')
  return findPrefix(text, scheme.prefixes) !== null || findPrefix(text, scheme.adopted) !== null
}

type Caller = { readonly credential: Credential; principals: Map<string | null, Principal> }

// By the frozen record of the verifier's memory, and gone with it.
const callers = new WeakMap<KeyRecord, Caller>()
const tenantsMax = 1000

function callerOf(record: KeyRecord): Caller {
  const known = callers.get(record)
  if (known !== undefined) return known
  const { id, secretId, prefix, ref, last4 } = record
  const credential = Object.freeze({ kind: 'api_key', id, secretId, prefix, ref, last4 } as const)
  const caller = { credential, principals: new Map() }
  callers.set(record, caller)
  return caller
}

/**
 * What may be shown of a key: never more than prefix, ref, the last four characters and ids. Frozen,
 * and shared.
 */
export const credentialOf = (record: KeyRecord): Credential => callerOf(record).credential

/** Who is calling: a verified key, acting for the tenant that it was bound to. Frozen, and shared. */
export function principalOf(record: KeyRecord, tenant: string | null): Principal {
  const caller = callerOf(record)
  const known = caller.principals.get(tenant)
  if (known !== undefined) return known
  const principal = Object.freeze({
    platform: record.platform,
    environment: record.environment,
    tenant,
    class: record.class,
    permissions: record.permissions,
    credential: caller.credential,
  })
  if (caller.principals.size >= tenantsMax) caller.principals = new Map()
  caller.principals.set(tenant, principal)
  return principal
}
