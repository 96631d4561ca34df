/**
 * Has this very request been carried out already? One row for each Idempotency-Key of a credential,
 * method and path (threats G13): the first to ask is told to go ahead, all others get what it
 * answered.
 *
 * It refuses to read what it keeps: a body that holds a secret comes sealed, and is gone after ten
 * minutes. The Idempotency-Key itself is not stored, only a digest of it with its scope, because the
 * seal's key is made from it. The danger is a process that dies in the middle: what it held is free
 * again after a minute, and then the request is carried out once more.
 */
import type { Sql } from '../context.ts'

/** What an Idempotency-Key is unique in. `path` is canonical. */
export type IdempotencyScope = {
  readonly platform: string
  /** The id of the API key or operator that calls. */
  readonly credential: string
  readonly method: string
  readonly path: string
}

/** What the first one answered. */
export type Answered = {
  readonly status: number
  /** The body without what is shown only once. */
  readonly body: string
  /** The whole body, sealed by the caller. null: there was none, or its ten minutes are over. */
  readonly sealed: Uint8Array | null
}

export type Begun =
  /** Go ahead, then `finish` or `forget` with this claim. */
  | { readonly state: 'fresh'; readonly claim: string }
  | ({ readonly state: 'done' } & Answered)
  /** Another is at it. */
  | { readonly state: 'in_progress' }
  /** The key was used with another request. */
  | { readonly state: 'mismatch' }

/** The requests that are being or have been carried out. Rejects when the database does not answer. */
export type IdempotencyStore = {
  /** Claims a key for the request with this digest (SHA-256, 32 bytes). Of many at once one is fresh. */
  begin(scope: IdempotencyScope, key: string, digest: Uint8Array): Promise<Begun>
  /** Keeps the answer for 24 hours. False when the claim was lost to another in the meantime. */
  finish(scope: IdempotencyScope, key: string, claim: string, answered: Answered): Promise<boolean>
  /** Gives the key free again, after a request that changed nothing. */
  forget(scope: IdempotencyScope, key: string, claim: string): Promise<void>
  /** Removes what is over, sealed bodies after ten minutes, rows after 24 hours. Resolves to the rows. */
  sweep(platform: string): Promise<number>
}

/** Builds the store on the gateway role's connections. */
export function createIdempotencyStore(_sql: Sql): IdempotencyStore {
  throw new Error('not written yet')
}
