/**
 * Which files does a document consist of? The entry and whatever its `$ref`s lead to, each read once
 * by the loader that is given; then what a `$ref` means, without any I/O.
 *
 * Documents come from strangers. The dangers are sizes: a file that repeats itself through aliases, a
 * reference that leads back to itself, nesting that exhausts the stack. All of them are counted before
 * anything is made of a document. Where a loader may read is the loader's to decide.
 */
import { atPointer, below, isJson, type Json } from './pointer.ts'

/** Reads one file of a document by its URL, or says in half a sentence why not. */
export type Load = (url: string) => Promise<Loaded>
export type Loaded =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string }

/** Something about a document that whoever imports it should know, and where it stands. */
export type Note = { readonly at: string; readonly says: string }

/** A value of a document and where it stands. */
export type Place = { readonly value: unknown; readonly file: string; readonly pointer: string }

export type Sources = {
  readonly entry: Place
  /** What stands at a `$ref` of a file. Follows references to references. null: it leads nowhere. */
  follow(ref: string, file: string): Place | string
  /** The place itself, or the one that its `$ref` leads to. A string says why it leads nowhere. */
  resolve(place: Place): Place | string
  /** How a place is shown: `#/paths/~1things`, with the file's name where it is not the entry. */
  show(place: Pick<Place, 'file' | 'pointer'>): string
}

const filesMax = 200
const valuesMax = 3_000_000
const depthMax = 100
const hopsMax = 50

/**
 * Reads the entry, and everything its references lead to. Resolves to a sentence when the entry cannot
 * be read or is too large; another file that cannot be read is told where it is referred to. Rejects
 * when the loader does.
 */
export async function gather(entry: string, load: Load): Promise<Sources | string> {
  const files = new Map<string, Loaded>()
  const budget = { left: valuesMax }
  const wanted = [entry]
  for (let url = wanted.pop(); url !== undefined; url = wanted.pop()) {
    if (files.has(url)) continue
    if (files.size === filesMax) {
      files.set(url, { ok: false, reason: `the document has more than ${filesMax} files` })
      break
    }
    const loaded = await load(url)
    const refs = new Set<string>()
    const flaw = loaded.ok ? measure(loaded.value, budget, refs) : loaded.reason
    files.set(url, flaw === null ? loaded : { ok: false, reason: flaw })
    if (flaw !== null && url === entry) return flaw
    for (const ref of refs) {
      const target = fileOf(ref, url)
      if (target !== null && !files.has(target)) wanted.push(target)
    }
  }
  const first = files.get(entry)
  return createSources({ value: first?.ok ? first.value : null, file: entry, pointer: '' }, files)
}

function createSources(entry: Place, files: ReadonlyMap<string, Loaded>): Sources {
  function follow(ref: string, file: string): Place | string {
    const target = fileOf(ref, file)
    if (target === null) return 'is not a reference that can be read'
    const loaded = files.get(target)
    if (loaded === undefined) return 'leads to a file that was not read'
    if (!loaded.ok) return `leads to a file that cannot be read: ${loaded.reason}`
    const pointer = ref.includes('#') ? ref.slice(ref.indexOf('#') + 1) : ''
    const value = atPointer(loaded.value, pointer)
    return value === undefined ? 'leads to nothing' : { value, file: target, pointer }
  }
  return {
    entry,
    follow,
    resolve(place) {
      let found = place
      for (let hops = 0; hops < hopsMax; hops++) {
        const ref = isJson(found.value) ? found.value.$ref : undefined
        if (typeof ref !== 'string') return found
        const next = follow(ref, found.file)
        if (typeof next === 'string') return next
        found = next
      }
      return 'leads to itself'
    },
    show: ({ file, pointer }) =>
      `${file === entry.file ? '' : nameFrom(entry.file, file)}#${pointer}`.slice(0, 300),
  }
}

/** The URL of the file that a reference names, seen from the file it stands in (RFC 3986 5). */
function fileOf(ref: string, file: string): string | null {
  const name = ref.split('#', 1)[0] ?? ''
  if (name === '') return file
  const url = URL.parse(name, file)
  return url === null ? null : url.href
}

function nameFrom(entry: string, file: string): string {
  const folder = entry.slice(0, entry.lastIndexOf('/') + 1)
  return file.startsWith(folder) ? file.slice(folder.length) : file
}

/**
 * Counts what a value would be if it were written out, and collects its references. Aliases of YAML
 * make one object stand in many places: such an object is looked at once and counted every time.
 */
function measure(root: unknown, budget: { left: number }, refs: Set<string>): string | null {
  const known = new Map<object, { size: number; height: number }>()
  let flaw: string | null = null
  function sizeOf(value: unknown, depth: number): { size: number; height: number } {
    if (typeof value !== 'object' || value === null) return { size: 1, height: 0 }
    const before = known.get(value)
    if (before !== undefined) {
      if (before.size === 0) flaw ??= 'it holds itself'
      if (depth + before.height > depthMax) flaw ??= `it is nested more than ${depthMax} deep`
      return before
    }
    const measured = { size: 0, height: 0 }
    if (depth > depthMax) flaw ??= `it is nested more than ${depthMax} deep`
    if (flaw !== null) return measured
    known.set(value, measured)
    let [size, height] = [1, 0]
    const members = Array.isArray(value) ? value : Object.values(value)
    for (const member of members) {
      const inner = sizeOf(member, depth + 1)
      size += inner.size
      height = Math.max(height, inner.height + 1)
      if (size > budget.left) flaw ??= `it has more than ${valuesMax} values`
      if (flaw !== null) break
    }
    measured.size = size
    measured.height = height
    const ref = isJson(value) ? value.$ref : undefined
    if (typeof ref === 'string' && ref.length < 2000) refs.add(ref)
    return measured
  }
  const { size } = sizeOf(root, 0)
  budget.left -= size
  return flaw
}

/** The member of a place, as a place; undefined where there is none. */
export function placeBelow(place: Place, name: string): Place | undefined {
  const { value, file, pointer } = place
  if (!isJson(value) || name === '__proto__' || !Object.hasOwn(value, name)) return undefined
  return { value: (value as Json)[name], file, pointer: below(pointer, name) }
}

/** Every member of an object, or item of a list, as a place with its name. */
export function placesBelow({ value, file, pointer }: Place): [string, Place][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value)
    .filter(([name]) => name !== '__proto__')
    .map(([name, member]) => [name, { value: member, file, pointer: below(pointer, name) }])
}
