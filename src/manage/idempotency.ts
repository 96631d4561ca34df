/**
 * A POST that was sent twice is carried out once, where it carries an `Idempotency-Key`. The second
 * gets the first one's answer, byte for byte; what was shown once in it (a whole API key) for ten
 * minutes, out of a body that is sealed under the master key and the Idempotency-Key itself, and
 * afterwards without it. Whoever reads the database reads no secret.
 *
 * The danger is a request that broke off with nobody knowing what it did. It keeps its claim for a
 * minute; only a refusal, which changed nothing, gives it back at once.
 */
import type { Answered, IdempotencyScope, IdempotencyStore } from '../db/idempotency.ts'
import { sha256 } from '../lib/digest.ts'
import { Problem } from '../problem.ts'

/** One request as it is told apart from others. */
export type Once = {
  readonly scope: IdempotencyScope
  /** As the header has it. */
  readonly header: string
  /** Query and body, as they were sent. */
  readonly sent: string
}

/** Runs a request, or answers what it answered before. Throws 400, 409 or 422 as the draft says. */
export type RunOnce = (once: Once, run: () => Promise<Response>) => Promise<Response>

/** `masterKey`: 32 bytes. */
export function createIdempotency(store: IdempotencyStore, masterKey: Uint8Array): RunOnce {
  return async ({ scope, header, sent }, run) => {
    const key = idempotencyKey(header)
    const begun = await store.begin(scope, key, sha256(sent))
    if (begun.state === 'in_progress') {
      throw new Problem('idempotency/in_progress', { headers: { 'retry-after': '1' } })
    }
    if (begun.state === 'mismatch') throw new Problem('idempotency/key_reused')
    const seal = () => sealOf(masterKey, scope, key)
    if (begun.state === 'done') return replay(begun, seal)
    try {
      const response = await run()
      const body = await response.text()
      const bare = withoutSecret(body)
      const sealed = bare === body ? null : await lock(await seal(), body)
      const answered = { status: response.status, body: bare, sealed }
      await store.finish(scope, key, begun.claim, answered)
      return new Response(body, response)
    } catch (error) {
      if (error instanceof Problem) await store.forget(scope, key, begun.claim)
      throw error
    }
  }
}

/** Bare, or as a string of RFC 9651: both are the same key. */
function idempotencyKey(header: string): string {
  const quoted = /^"((?:[!#-[\]-~]|\\["\\])+)"$/.exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1')
  const key = quoted ?? (header.startsWith('"') ? '' : header)
  if (/^[!-~]{1,255}$/.test(key)) return key
  const message = 'must be 1 to 255 visible ASCII characters, sent once'
  const errors = [{ location: 'header.idempotency-key', code: 'invalid', message }]
  throw new Problem('request/invalid', { param: 'idempotency-key', errors })
}

async function replay(answered: Answered, seal: () => Promise<CryptoKey>): Promise<Response> {
  const whole = answered.sealed === null ? null : await unlock(await seal(), answered.sealed)
  const headers = {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'idempotent-replayed': 'true',
  }
  return new Response(whole ?? answered.body, { status: answered.status, headers })
}

/** The body less `data.key`, which is shown once. */
function withoutSecret(body: string): string {
  const value: unknown = JSON.parse(body)
  if (typeof value !== 'object' || value === null || !('data' in value)) return body
  const { data } = value
  if (typeof data !== 'object' || data === null || !('key' in data)) return body
  if (typeof data.key !== 'string') return body
  const { key: _, ...rest } = data
  return JSON.stringify({ ...value, data: rest })
}

/** HKDF (RFC 5869): every part with its length, so that no two scopes share a key (threats X4). */
async function sealOf(
  masterKey: Uint8Array,
  { platform, credential, method, path }: IdempotencyScope,
  key: string,
): Promise<CryptoKey> {
  const parts = ['postern/idempotency/v1', platform, credential, method, path, key]
  const info = new TextEncoder().encode(parts.map((part) => `${part.length}:${part}`).join(''))
  // A copy: the type of WebCrypto takes no view of memory that may be shared.
  const material = await crypto.subtle.importKey('raw', Uint8Array.from(masterKey), 'HKDF', false, [
    'deriveKey',
  ])
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(32), info },
    material,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

const nonceBytes = 12

async function lock(key: CryptoKey, body: string): Promise<Uint8Array> {
  const iv = crypto.getRandomValues(new Uint8Array(nonceBytes))
  const text = new TextEncoder().encode(body)
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, text))
  const whole = new Uint8Array(nonceBytes + sealed.byteLength)
  whole.set(iv)
  whole.set(sealed, nonceBytes)
  return whole
}

/** null where it was sealed under another master key, or is not what was sealed. */
async function unlock(key: CryptoKey, whole: Uint8Array): Promise<string | null> {
  const iv = Uint8Array.from(whole.subarray(0, nonceBytes))
  const sealed = Uint8Array.from(whole.subarray(nonceBytes))
  try {
    const text = await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed)
    return new TextDecoder().decode(text)
  } catch {
    return null
  }
}
