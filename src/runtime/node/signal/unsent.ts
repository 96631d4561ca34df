/**
 * What a node has announced and the store does not know yet. It keeps what is announced while a turn
 * is under way, or while the store is away, in bounded memory: beyond `changesMax` it says only that
 * everything is to be forgotten.
 */
import type { Change } from '../../../context.ts'
import { changesMax, type Entry } from './channel.ts'

export class Unsent {
  /** null: too many to name. */
  #changes: Map<string, Change> | null = new Map()

  add(change: Change): void {
    // No part holds the separator: ids of platforms, keys and tenants are words.
    this.#changes?.set(`${change.kind} ${change.platform} ${change.id}`, change)
    if (this.#changes !== null && this.#changes.size > changesMax) this.#changes = null
  }

  /** Takes in what could not be sent. */
  addAll(other: Unsent): void {
    if (other.#changes === null) this.#changes = null
    else for (const change of other.#changes.values()) this.add(change)
  }

  /** The entry that says all of it, or null when there is nothing to say. */
  entry(by: string, waits: boolean): string | null {
    if (this.#changes?.size === 0) return null
    const changes = this.#changes === null ? null : [...this.#changes.values()]
    return JSON.stringify({ by, waits, changes } satisfies Entry)
  }
}
