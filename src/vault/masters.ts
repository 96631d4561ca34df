/**
 * Which master key is sealed under, and is it the right one? A deployment holds several versions of
 * it; the database knows which of them it was ever used with, by a check value for each, and which
 * are retired because nothing is sealed under them any more.
 *
 * The danger is a gateway that starts with another master key and seals under it what nobody else
 * can open. So a version that does not match its check value, or is missing while secrets may be
 * sealed under it, is refused by name; check values are written once and never again.
 */
import { digestsEqual } from '../lib/digest.ts'
import type { Refusal } from '../problem.ts'
import { checkValue } from './seal.ts'

/** The master keys of this process, 32 bytes each, by version. `current` is the highest. */
export type Masters = {
  readonly current: number
  readonly versions: ReadonlyMap<number, Uint8Array>
}

/** A version that the database has been used with. `retired`: nothing is sealed under it. */
export type KnownMaster = {
  readonly version: number
  readonly check: Uint8Array
  readonly retired: boolean
}

/** Where known versions are kept. Everything rejects when the store does not answer. */
export type MasterRegistry = {
  list(): Promise<readonly KnownMaster[]>
  /** Adds a version; one that is there stays as it is. */
  register(version: number, check: Uint8Array): Promise<void>
  /** Marks the versions below `least` as retired. */
  retire(least: number): Promise<void>
}

/** What is wrong with the master keys for a database that knows these; null: nothing. No value is in it. */
export function judgeMasters({ versions }: Masters, known: readonly KnownMaster[]): string | null {
  for (const { version, check, retired } of known) {
    const master = versions.get(version)
    if (master !== undefined && !digestsEqual(checkValue(master, version), check)) {
      return `POSTERN_MASTER_KEY is wrong: version ${version} is not the key that this database's secrets are sealed under. Put that key back; nothing has been changed`
    }
    if (master === undefined && !retired) {
      return `POSTERN_MASTER_KEY lacks version ${version}, and secrets may still be sealed under it. Put it back beside the others (2:NEW,1:OLD); after \`postern vault rotate\` the older ones are not needed`
    }
  }
  return null
}

/**
 * The version to seal under: the highest that the database knows, so that nodes with a newer key
 * and nodes that wait for it agree until `postern vault rotate` introduces it.
 */
export class Keyring {
  readonly #masters: Masters
  readonly #registry: MasterRegistry
  #sealing: number | null = null

  constructor(masters: Masters, registry: MasterRegistry) {
    if (!masters.versions.has(masters.current))
      throw new RangeError('the current version is missing')
    this.#masters = masters
    this.#registry = registry
  }

  /** The master key of a version, or a refusal that names the version. */
  master(version: number): Uint8Array | Refusal {
    const master = this.#masters.versions.get(version)
    if (master !== undefined) return master
    const cause = `vault: POSTERN_MASTER_KEY lacks version ${version}`
    return { code: 'gateway/misconfigured', cause }
  }

  /** From memory after the first time. A database that knows no version learns the current one. */
  sealing(): number | Promise<number | Refusal> {
    return this.#sealing ?? this.learn()
  }

  /** The same, asked anew. */
  async learn(): Promise<number | Refusal> {
    let known = await this.#registry.list()
    if (known.length === 0) {
      const { current, versions } = this.#masters
      // The constructor has seen that it is there.
      await this.#registry.register(current, checkValue(versions.get(current)!, current))
      // Another node may have been first, with another key.
      known = await this.#registry.list()
    }
    const fault = judgeMasters(this.#masters, known)
    if (fault !== null) return { code: 'gateway/misconfigured', cause: `vault: ${fault}` }
    this.#sealing = Math.max(...known.map(({ version }) => version))
    return this.#sealing
  }
}
