/**
 * Which API keys does a platform have, and what becomes of them? The life of a key in the database:
 * made, changed, rotated, disabled, revoked. Everything happens in the scope of one platform, where
 * another platform's id is as unknown as a random one.
 *
 * It refuses to make or to see a secret: it stores the digest it is given and never shows one. The
 * dangers: two changes of one key at once, so each holds the key's row; and a change by a key that
 * has just been revoked, so the actor's row is read and held in the same transaction (threats V9).
 * No change is committed without its audit event, and no event without the change.
 */
import type {
  Actor,
  EnvironmentName,
  KeyClass,
  Limit,
  Restrictions,
  Sql,
  SqlTransaction,
} from '../context.ts'
import type { Acting } from './audit.ts'
import { change, type Done, kept, note, undone } from './change.ts'
import {
  byId,
  changedFields,
  hasStatus,
  insertKeys,
  type KeyRow,
  mustRead,
  readKey,
  setClauses,
  shown,
} from './key-rows.ts'
import { exportAll, importMany } from './key-transfer.ts'
import { Conditions, type Page, type Paging, pageClauses, placeText, toPage } from './page.ts'
import { noteDue, rotateKey, settleQuiet } from './rotation.ts'

/** How a key stands, in one word; of several that apply, the first in this order. */
export type KeyStatus =
  | 'revoked'
  | 'expired'
  | 'disabled'
  /** An older secret still works beside the current one. */
  | 'rotating'
  /** Within 24 hours. */
  | 'expires_soon'
  | 'never_used'
  | 'active'

/** One of a key's secrets, without its digest. Times in milliseconds since 1970. */
export type StoredSecret = {
  readonly id: string
  readonly last4: string
  readonly createdAt: number
  readonly firstUsedAt: number | null
  readonly lastUsedAt: number | null
  /** The address it was last used from. */
  readonly lastUsedFrom: string | null
  /** null: no end is set (yet: with `overlapFrom` 'first_use' it is set when the newer one is used). */
  readonly expiresAt: number | null
  /** The newer secret that replaces it; null for the current one. */
  readonly supersededBy: string | null
  /** How long it may be used beside the newer one, as `rotate` was told. null: not rotated. */
  readonly overlapSeconds: number | null
  readonly overlapFrom: OverlapFrom | null
  /** Ends early once it has been silent this long; null: not asked for. */
  readonly quietSeconds: number | null
  /** `current`: the newest. `overlapping`: replaced, and still good. `ended`: no longer good. */
  readonly state: 'current' | 'overlapping' | 'ended'
}

/** When the old secret's time begins to run: with the first use of the new one, or at once. */
export type OverlapFrom = 'first_use' | 'now'

/** An API key as its platform's people see it. Never a digest. Times in milliseconds since 1970. */
export type StoredKey = {
  readonly id: string
  readonly platform: string
  readonly environment: EnvironmentName
  readonly class: KeyClass
  readonly name: string
  readonly prefix: string
  /** Empty for adopted keys. */
  readonly ref: string
  /** Of the current secret. */
  readonly last4: string
  /** null: every tenant of the platform. */
  readonly tenants: readonly string[] | null
  readonly permissions: readonly string[]
  readonly restrictions: Restrictions
  /** null: the class's, else the environment's. */
  readonly limits: readonly Limit[] | null
  readonly metadata: Readonly<Record<string, unknown>>
  readonly status: KeyStatus
  /** One more with each change: what an ETag is made of. Use does not change it. */
  readonly version: number
  /** null: made before anybody wrote it down. */
  readonly createdBy: Actor | null
  readonly createdAt: number
  readonly updatedAt: number
  /** The key's own end; a secret may end sooner. */
  readonly expiresAt: number | null
  readonly disabledAt: number | null
  readonly revokedAt: number | null
  readonly lastUsedAt: number | null
  /** Newest first, the ten newest. The first is the current one. */
  readonly secrets: readonly StoredSecret[]
}

/** A secret to store: its HMAC under a version of the pepper. */
export type NewSecret = {
  readonly pepperVersion: number
  readonly digest: Uint8Array
  readonly last4: string
}

/** An API key to store, with its first secret. */
export type NewKey = Pick<
  StoredKey,
  | 'id'
  | 'environment'
  | 'class'
  | 'name'
  | 'prefix'
  | 'ref'
  | 'tenants'
  | 'permissions'
  | 'restrictions'
  | 'limits'
  | 'metadata'
  | 'expiresAt'
> & { readonly secret: NewSecret }

/** What `update` may change; what is left out stays. */
export type KeyChanges = Partial<
  Pick<
    StoredKey,
    'name' | 'tenants' | 'permissions' | 'restrictions' | 'limits' | 'metadata' | 'expiresAt'
  >
>

/** Which keys. Left out or null: all. */
export type KeyFilter = {
  readonly environment?: EnvironmentName | null
  readonly class?: KeyClass | null
  readonly status?: KeyStatus | null
  /** The whole name, byte for byte. */
  readonly name?: string | null
  /** Keys that may be used for this tenant: those bound to it, and those bound to none. */
  readonly tenant?: string | null
  /** Keys that are bound to tenants, and to these alone. */
  readonly within?: readonly string[] | null
}

export type Rotation = {
  readonly secret: NewSecret
  /** How long the old secret may still be used; 0: not at all. */
  readonly overlapSeconds: number
  readonly from: OverlapFrom
  /** Ends the overlap early when the old secret has been silent this long; null: never. */
  readonly quietSeconds: number | null
  /** Rotates only while this is the current secret ('changed' otherwise); null: whichever is. */
  readonly ifSecret: string | null
}

/** A key to move elsewhere: its row, and its valid secrets as they are stored. */
export type ExportedKey = {
  readonly key: StoredKey
  readonly secrets: readonly (NewSecret & { readonly id: string })[]
}

/** What became of a key that was to be imported. `conflict`: its id, ref or secret is there already. */
export type Imported = { readonly id: string; readonly outcome: 'imported' | 'conflict' }

/** A key that should be rotated: its current secret is older than its environment allows. */
export type RotationDue = {
  readonly keyId: string
  readonly secretId: string
  readonly environment: EnvironmentName
  /** When its current secret was made. */
  readonly since: number
}

/** The answer of a change that may have been made already: `done` is false when it was. */
export type Settled = { readonly key: StoredKey; readonly done: boolean }

/**
 * The API keys of platforms. Ids of another platform are unknown here: null, like a random one.
 * 'actor_gone': who acts was revoked, disabled or has expired in the meantime, and nothing was
 * changed. Everything rejects when the database does not answer.
 */
export type KeyStore = {
  /** Stores a key with its first secret. 'conflict': the digest, the id or the ref is taken. */
  create(
    platform: string,
    key: NewKey,
    acting: Acting,
  ): Promise<StoredKey | 'conflict' | 'actor_gone'>
  find(platform: string, id: string): Promise<StoredKey | null>
  list(platform: string, which: KeyFilter & Paging): Promise<Page<StoredKey>>
  /** Changes a key that still has this `version`; otherwise 'changed'. A revoked key stays as it is. */
  update(
    platform: string,
    id: string,
    version: number,
    changes: KeyChanges,
    acting: Acting,
  ): Promise<StoredKey | 'changed' | 'revoked' | 'actor_gone' | null>
  /** Revokes a key for good. Of several at once, one is `done`. */
  revoke(platform: string, id: string, acting: Acting): Promise<Settled | 'actor_gone' | null>
  /** Disables a key, or enables it again. Of several at once, one is `done`. */
  setDisabled(
    platform: string,
    id: string,
    disabled: boolean,
    acting: Acting,
  ): Promise<Settled | 'revoked' | 'actor_gone' | null>
  /**
   * Gives a key another secret. The one before stays good for the overlap; an older one that was
   * still good ends at once, so that never more than two are (threats V8).
   */
  rotate(
    platform: string,
    id: string,
    rotation: Rotation,
    acting: Acting,
  ): Promise<StoredKey | 'conflict' | 'changed' | 'revoked' | 'actor_gone' | null>
  /**
   * Stores many keys, a thousand in a transaction; the answers are in their order. 'actor_gone' ends
   * it where it stands: what was committed before stays, and is in the audit.
   */
  importMany(
    platform: string,
    keys: readonly NewKey[],
    acting: Acting,
  ): Promise<readonly Imported[] | 'actor_gone'>
  /** Every key, oldest first, read in pages while it is iterated. */
  exportAll(platform: string): AsyncIterable<ExportedKey>
  /**
   * Ends the overlaps whose old secret has been silent for as long as was asked, with an audit event
   * for each. For a sweeper. Resolves to the ids of the keys.
   */
  settleRotations(platform: string): Promise<readonly string[]>
  /**
   * The keys whose current secret has become older than allowed since this was last asked, each
   * named once, with an audit event for each. At most a thousand at a time. For a sweeper.
   */
  rotationDue(
    platform: string,
    maxAgeSeconds: Readonly<Record<EnvironmentName, number>>,
  ): Promise<readonly RotationDue[]>
}

/** Builds the store on the gateway role's connections. */
export function createKeyStore(sql: Sql): KeyStore {
  async function list(platform: string, which: KeyFilter & Paging): Promise<Page<StoredKey>> {
    const where = new Conditions()
      .add('k.environment = ?', which.environment)
      .add('k.class = ?', which.class)
      .add('k.name = ?', which.name)
      .add('(k.tenants is null or ? = any (k.tenants))', which.tenant)
      .add('k.tenants <@ ?::text[]', which.within)
    if (which.status) where.and(hasStatus(which.status))
    // The page first: the rest is read for its rows alone.
    const text = `select ${shown} as key, ${placeText('created_at')} as place
      from (select * from postern.api_keys k where ${pageClauses(where, 'created_at', which)}) k
      order by created_at ${which.order}, id ${which.order}`
    const { rows } = await sql.query<KeyRow>({ platform }, { text, values: where.values })
    return toPage(rows, which.limit, (row) => readKey(row.key))
  }

  /** Changes one key, which is held. `work` gets it as it is, unless there is none. */
  const alter = <T>(
    platform: string,
    id: string,
    acting: Acting,
    work: (transaction: SqlTransaction, before: StoredKey) => Promise<Done<T>>,
  ): Promise<T | 'actor_gone' | null> =>
    change<T | null>(sql, platform, acting, id, async (transaction) => {
      const { rows } = await transaction.query<KeyRow>(byId(id))
      return rows[0] === undefined ? undone(null) : work(transaction, readKey(rows[0].key))
    })

  return {
    list,
    async find(platform, id) {
      const { rows } = await sql.query<KeyRow>({ platform }, byId(id))
      return rows[0] === undefined ? null : readKey(rows[0].key)
    },
    create: (platform, key, acting) =>
      change<StoredKey | 'conflict'>(sql, platform, acting, null, async (transaction) => {
        const { whole } = await insertKeys(transaction, [key], acting, 'api_key.created')
        return whole.has(key.id) ? kept(await mustRead(transaction, key.id)) : undone('conflict')
      }),
    update: (platform, id, version, changes, acting) =>
      alter<StoredKey | 'changed' | 'revoked'>(
        platform,
        id,
        acting,
        async (transaction, before) => {
          if (before.revokedAt !== null) return undone('revoked')
          if (before.version !== version) return undone('changed')
          const fields = changedFields(before, changes)
          if (Object.keys(fields).length === 0) return undone(before)
          await transaction.query(setClauses(id, changes))
          await note(transaction, acting, 'api_key.updated', id, fields)
          return kept(await mustRead(transaction, id))
        },
      ),
    revoke: (platform, id, acting) =>
      alter<Settled>(platform, id, acting, async (transaction, before) => {
        if (before.revokedAt !== null) return undone({ key: before, done: false })
        await transaction.query(touch(id, 'revoked_at = clock_timestamp()'))
        const fields = { status: [before.status, 'revoked'] } as const
        await note(transaction, acting, 'api_key.revoked', id, fields)
        return kept({ key: await mustRead(transaction, id), done: true })
      }),
    setDisabled: (platform, id, disabled, acting) =>
      alter<Settled | 'revoked'>(platform, id, acting, async (transaction, before) => {
        if (before.revokedAt !== null) return undone('revoked')
        if ((before.disabledAt !== null) === disabled) return undone({ key: before, done: false })
        await transaction.query(
          touch(id, disabled ? 'disabled_at = clock_timestamp()' : 'disabled_at = null'),
        )
        const action = disabled ? 'api_key.disabled' : 'api_key.enabled'
        await note(transaction, acting, action, id, { disabled: [!disabled, disabled] })
        return kept({ key: await mustRead(transaction, id), done: true })
      }),
    rotate: (platform, id, rotation, acting) =>
      alter(platform, id, acting, (transaction, before) =>
        rotateKey(transaction, before, rotation, acting),
      ),
    importMany: (platform, keys, acting) => importMany(sql, platform, keys, acting),
    exportAll: (platform) => exportAll(sql, platform, list),
    settleRotations: (platform) => settleQuiet(sql, platform),
    rotationDue: (platform, maxAgeSeconds) => noteDue(sql, platform, maxAgeSeconds),
  }
}

const touch = (id: string, set: string) => ({
  text: `update postern.api_keys set ${set}, version = version + 1,
    updated_at = clock_timestamp() where id = $1`,
  values: [id],
})
