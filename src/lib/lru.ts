/** A map that holds a fixed number of entries for a limited time; the least recently used goes first. */
export type Lru<V> = {
  /** The value, unless it has expired by `now` (ms). Counts as a use. */
  get(name: string, now: number): V | undefined
  /** Keeps `value` until `expiresAt` (ms), and drops the least recently used entry when full. */
  set(name: string, value: V, expiresAt: number): void
  delete(name: string): void
  /** Drops every entry whose value is so. Looks at them all. */
  deleteWhere(so: (value: V) => boolean): void
  clear(): void
  readonly size: number
}

type Entry<V> = {
  name: string
  value: V
  expiresAt: number
  newer: Entry<V>
  older: Entry<V>
}

/**
 * Creates an LRU map of at most `entriesMax` entries. Every operation but `deleteWhere` is O(1),
 * and a hit allocates nothing. Throws when `entriesMax` is not a positive integer.
 */
export function createLru<V>(entriesMax: number): Lru<V> {
  if (!Number.isInteger(entriesMax) || entriesMax < 1) {
    throw new RangeError('"entriesMax" must be a positive integer')
  }
  const entries = new Map<string, Entry<V>>()
  // A ring through every entry, from the newest to the oldest and back. Reordering a Map instead
  // (delete, then set) would leave a tombstone in it for every hit.
  let newest: Entry<V> | null = null

  function link(entry: Entry<V>): void {
    if (newest === null) {
      entry.newer = entry
      entry.older = entry
    } else {
      entry.older = newest
      entry.newer = newest.newer
      newest.newer.older = entry
      newest.newer = entry
    }
    newest = entry
  }

  function unlink(entry: Entry<V>): void {
    if (entry.newer === entry) newest = null
    else if (newest === entry) newest = entry.older
    entry.newer.older = entry.older
    entry.older.newer = entry.newer
  }

  function drop(entry: Entry<V>): void {
    unlink(entry)
    entries.delete(entry.name)
  }

  return {
    get(name, now) {
      const entry = entries.get(name)
      if (entry === undefined) return undefined
      if (now >= entry.expiresAt) {
        drop(entry)
        return undefined
      }
      if (entry !== newest) {
        unlink(entry)
        link(entry)
      }
      return entry.value
    },
    set(name, value, expiresAt) {
      const old = entries.get(name)
      if (old !== undefined) drop(old)
      // In a ring, what is newer than the newest is the oldest.
      else if (entries.size >= entriesMax && newest !== null) drop(newest.newer)
      const entry = { name, value, expiresAt } as Entry<V> // the two links follow at once
      link(entry)
      entries.set(name, entry)
    },
    delete(name) {
      const entry = entries.get(name)
      if (entry !== undefined) drop(entry)
    },
    deleteWhere(so) {
      for (const entry of entries.values()) if (so(entry.value)) drop(entry)
    },
    clear() {
      entries.clear()
      newest = null
    },
    get size() {
      return entries.size
    },
  }
}
