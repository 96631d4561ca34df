/**
 * What does a session hold in secret? Names and values are set, names are listed, one is removed, and
 * with the end of the session all of it is beyond recovery. No call of a caller ever answers a
 * value: `openSecrets` alone does, for code inside that starts what needs them.
 *
 * It refuses to know who calls (the scope is given) and where rows are. The danger is a value in a
 * message: whatever goes wrong here is said by session, name and version.
 */
import type { Scope } from '../context.ts'
import type { Refusal } from '../problem.ts'
import type { Keyring } from './masters.ts'
import { isSecretName, readSecrets, type SecretValues, secretsMax } from './names.ts'
import { newSalt, SessionKey } from './seal.ts'

/** What may be known of a secret. */
export type SecretInfo = { readonly name: string; readonly createdAt: Date }

/** A secret as it is stored. */
export type SealedSecret = {
  readonly name: string
  readonly keyVersion: number
  readonly sealed: Uint8Array
}

/** What became of a write. Nothing is stored unless it is `written`. */
export type Written =
  | 'written'
  | 'no_session'
  /** The session would have more names than it may. */
  | 'too_many'
  /** The session's key has sealed as often as a key may. */
  | 'worn_out'
  /** There are secrets, and no salt to open them with. */
  | 'salt_lost'
  /** Nothing may be sealed under this version any more. */
  | 'version_retired'

/** A write that is under way; `seal` makes the rows of the session's salt. */
export type Writing = {
  readonly count: number
  readonly countMax: number
  readonly sealsMax: number
  /** For a session that has none. */
  readonly freshSalt: Uint8Array
  seal(salt: Uint8Array): readonly SealedSecret[]
}

/** The rows. A session that ended is as unknown as one that never was. Rejects when a store is down. */
export type SecretStore = {
  write(scope: Scope, session: string, writing: Writing): Promise<Written>
  /** Oldest first; null: no such session. */
  list(scope: Scope, session: string): Promise<readonly SecretInfo[] | null>
  /** False: no such secret. null: no such session. */
  remove(scope: Scope, session: string, name: string): Promise<boolean | null>
  /** Those of the names that there are; null: no such session, or its salt is gone. */
  read(
    scope: Scope,
    session: string,
    names: readonly string[],
  ): Promise<{ readonly salt: Uint8Array; readonly secrets: readonly SealedSecret[] } | null>
  /** Ends a session and destroys its salts and secrets; again for one that has ended. False: unknown. */
  end(scope: Scope, session: string): Promise<boolean>
  /** Sessions that are past their time and hold what they held, at most so many. */
  expired(scope: Scope, max: number): Promise<readonly string[]>
}

/** What a handler may do with the secrets of its tenant's sessions. Refusals are values. */
export type SessionVault = {
  /** Sets or overwrites: all of `body`, a flat object of names and values, or nothing. */
  set(session: string, body: unknown): Promise<Refusal | null>
  list(session: string): Promise<readonly SecretInfo[] | Refusal>
  remove(session: string, name: string): Promise<Refusal | null>
  /** Ends a session and destroys what it held; again for one that has ended. */
  end(session: string): Promise<Refusal | null>
}

/** NIST SP 800-38D allows 2^32 seals under a key with random nonces; half of it, and then no more. */
export const sealsMax = 2 ** 31

/** The vault of a deployment: one for all scopes, without state of any session. */
export class Vault {
  readonly #store: SecretStore
  readonly #keyring: Keyring

  constructor(store: SecretStore, keyring: Keyring) {
    this.#store = store
    this.#keyring = keyring
  }

  /** Held to one tenant, for the handler of a request. */
  of(scope: Scope): SessionVault {
    return new TenantVault(this, this.#store, scope)
  }

  /** Seals and stores all values, or none. */
  async set(scope: Scope, session: string, values: SecretValues): Promise<Refusal | null> {
    const sealing = this.#keyring.sealing()
    const version = typeof sealing === 'number' ? sealing : await sealing
    if (typeof version !== 'number') return version
    const written = await this.#write(scope, session, values, version)
    if (written !== 'version_retired') return written
    // Somebody rotates: from now on there is a newer version.
    const newer = await this.#keyring.learn()
    if (typeof newer !== 'number') return newer
    const again = await this.#write(scope, session, values, newer)
    if (again !== 'version_retired') return again
    return { code: 'gateway/misconfigured', cause: `vault: version ${newer} is retired` }
  }

  async #write(
    scope: Scope,
    session: string,
    values: SecretValues,
    keyVersion: number,
  ): Promise<Refusal | null | 'version_retired'> {
    const master = this.#keyring.master(keyVersion)
    if ('code' in master) return master
    const written = await this.#store.write(scope, session, {
      count: values.size,
      countMax: secretsMax,
      sealsMax,
      freshSalt: newSalt(),
      seal(salt) {
        const key = new SessionKey(master, salt, { scope, session, keyVersion })
        return Array.from(values, ([name, value]) => {
          return { name, keyVersion, sealed: key.seal(name, value) }
        })
      },
    })
    return written === 'version_retired' ? written : refusalOf(written, session)
  }

  /**
   * The values of a session's secrets, for code that starts what was promised them. All of `names`
   * or none: `secret/not_found` names the first that is missing (also where there is no such
   * session); `storage/unavailable` where a row does not open, which is somebody's doing and stands
   * in the cause. It is in no handler's reach.
   */
  async openSecrets(
    scope: Scope,
    session: string,
    names: readonly string[],
  ): Promise<SecretValues | Refusal> {
    const found = await this.#store.read(scope, session, names)
    const sealed = new Map((found?.secrets ?? []).map((one) => [one.name, one]))
    const values = new Map<string, string>()
    let key: SessionKey | null = null
    let version = 0
    for (const name of names) {
      const secret = sealed.get(name)
      if (secret === undefined || found === null) return missing(name)
      if (key === null || version !== secret.keyVersion) {
        version = secret.keyVersion
        const master = this.#keyring.master(version)
        if ('code' in master) return master
        key = new SessionKey(master, found.salt, { scope, session, keyVersion: version })
      }
      const value = key.open(name, secret.sealed)
      if (value === null) return unopened(session, secret)
      values.set(name, value)
    }
    return values
  }
}

class TenantVault implements SessionVault {
  readonly #vault: Vault
  readonly #store: SecretStore
  readonly #scope: Scope

  constructor(vault: Vault, store: SecretStore, scope: Scope) {
    this.#vault = vault
    this.#store = store
    this.#scope = scope
  }

  async set(session: string, body: unknown): Promise<Refusal | null> {
    const values = readSecrets(body)
    return 'code' in values ? values : this.#vault.set(this.#scope, session, values)
  }

  async list(session: string): Promise<readonly SecretInfo[] | Refusal> {
    return (await this.#store.list(this.#scope, session)) ?? noSession
  }

  async remove(session: string, name: string): Promise<Refusal | null> {
    // What cannot be a name is not repeated: it may be a value.
    if (!isSecretName(name)) return { code: 'secret/not_found' }
    const removed = await this.#store.remove(this.#scope, session, name)
    if (removed === null) return noSession
    return removed ? null : missing(name)
  }

  async end(session: string): Promise<Refusal | null> {
    return (await this.#store.end(this.#scope, session)) ? null : noSession
  }
}

const noSession: Refusal = {
  code: 'resource/not_found',
  detail: 'There is no such session in this tenant and environment, or it has ended.',
}

const missing = (name: string): Refusal => ({
  code: 'secret/not_found',
  detail: `The session has no secret named ${name}.`,
})

const unopened = (session: string, { name, keyVersion }: SealedSecret): Refusal => ({
  code: 'storage/unavailable',
  cause: `vault: decrypt_failed: ${name} of ${session}, version ${keyVersion}, is not what was sealed there`,
})

function refusalOf(written: Exclude<Written, 'version_retired'>, session: string): Refusal | null {
  if (written === 'written') return null
  if (written === 'no_session') return noSession
  if (written === 'too_many') {
    const message = `a session has at most ${secretsMax} secrets: delete one first`
    return {
      code: 'request/invalid',
      errors: [{ location: 'body', code: 'too_many', message }],
    }
  }
  if (written === 'worn_out') {
    const detail = 'This session has been written to as often as one may be: open another.'
    return { code: 'resource/conflict', detail }
  }
  return { code: 'storage/unavailable', cause: `vault: the salt of ${session} is not where it was` }
}
