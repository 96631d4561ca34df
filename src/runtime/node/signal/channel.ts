/**
 * What the nodes of a deployment have between them: one record in a store that all of them reach. It
 * holds an epoch, the last entries that raised it, and the live nodes with the epoch that each has
 * heard. A node takes turns with it, each one atomic: it says what it has heard and what it raises,
 * and is told what it has not.
 *
 * Whatever is pushed is only a reason to take a turn: it carries nothing. So garbage on a channel, a
 * message that was lost, or one that somebody forged changes nothing of what a node knows
 * (threats V3, L15). The danger is in time: a node trusts its memory for `leaseMs` from when it
 * *sent* a turn, the store counts it as live for `registryMs` from when it *took* it. The second ends
 * later, so nobody goes by what is old and is not waited for. A node that is cut off from the database
 * too goes by its memory for `staleMs`: for so long the store says that there may be one.
 */
import type { Change } from '../../../context.ts'

/** How long a node may go by its memory, from when it sent the last turn that was answered. */
export const leaseMs = 2000
/** How long the store counts a node as live, from when it took the node's last turn. */
export const registryMs = leaseMs + 250
/** How many entries the store keeps. Who has missed more has to forget everything. */
export const entriesMax = 64
/** How many changes an entry names. One that would name more says: everything. */
export const changesMax = 64

/** What a node says in its turn. */
export type Turn = {
  /** The epoch that it has heard up to; 0: none yet. */
  readonly heard: number
  /** Raises the epoch by one, with this entry; null: it has nothing to say. */
  readonly entry: string | null
  /** Asks for what the other nodes have heard. */
  readonly asks: boolean
  /** The nodes that wait for what this one has heard: they are woken. */
  readonly awaited: readonly string[]
  /** It is no longer to be counted. */
  readonly leaves: boolean
  /** The database is new, so that there can have been no node before. */
  readonly first: boolean
  /** How long a node that is cut off from everything goes by its memory. */
  readonly staleMs: number
}

/** What the store answers to it. */
export type Answer = {
  /** As it stands now. Never lower than what the node has heard. */
  readonly epoch: number
  /** For how long the record may still lack nodes that are alive; 0: it has all. */
  readonly youngMs: number
  /** How many nodes go by their memory or may do so, this one included. */
  readonly nodes: number
  /** How many of them have ended without leaving: they are dead, or cut off. */
  readonly gone: number
  /** For how long one of those, or one that the record has lost, may go by its memory. */
  readonly goneMs: number
  /** What the other live nodes have heard; empty when it was not asked for. */
  readonly heards: readonly number[]
  /** What the node has not heard, oldest first; null: more than the store keeps. */
  readonly entries: readonly string[] | null
}

/** Told by a channel of what happens between two turns. */
export type Wire = {
  /** There may be something to hear. */
  woken(): void
  /** The connection is gone: nothing announced from now on is certain to be heard. */
  lost(cause: string): void
}

/** The way to the record. It connects by itself, again and again, until it is closed. */
export type Channel = {
  /** For people: `Redis`, `PostgreSQL`. */
  readonly name: string
  /** Takes a turn; one at a time. Rejects within a few seconds when the store does not answer. */
  take(turn: Turn): Promise<Answer>
  /** `push`: others wake this node. `lacking`: they should, and cannot. `none`: they never do. */
  pushes(): 'push' | 'lacking' | 'none'
  close(): Promise<void>
}

/** What raised an epoch: by whom, whether it waits to hear of the others, and what has changed. */
export type Entry = {
  readonly by: string
  readonly waits: boolean
  /** null: everything is to be forgotten. */
  readonly changes: readonly Change[] | null
}

/** Reads an entry, or answers null: then it is of another version, or was not written by a node. */
export function readEntry(text: string): Entry | null {
  try {
    const value: unknown = JSON.parse(text)
    return isEntry(value) ? value : null
  } catch {
    return null
  }
}

function isEntry(value: unknown): value is Entry {
  return (
    isRecord(value) &&
    typeof value.by === 'string' &&
    typeof value.waits === 'boolean' &&
    (value.changes === null || (Array.isArray(value.changes) && value.changes.every(isChange)))
  )
}

function isChange(value: unknown): value is Change {
  return (
    isRecord(value) &&
    (value.kind === 'key' || value.kind === 'tenant') &&
    typeof value.platform === 'string' &&
    typeof value.id === 'string'
  )
}

/** Checks an answer, whichever store gave it. Throws when it has another shape. */
export function readAnswer(value: unknown): Answer {
  if (!isAnswer(value)) throw new Error('the store answered in another shape')
  return value
}

function isAnswer(value: unknown): value is Answer {
  return (
    isRecord(value) &&
    isCount(value.epoch) &&
    isCount(value.youngMs) &&
    isCount(value.nodes) &&
    isCount(value.gone) &&
    isCount(value.goneMs) &&
    Array.isArray(value.heards) &&
    value.heards.every(isCount) &&
    (value.entries === null ||
      (Array.isArray(value.entries) && value.entries.every((one) => typeof one === 'string')))
  )
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
