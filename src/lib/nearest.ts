/**
 * The known name that was probably meant, or null when none is near. Case is ignored, and the start
 * of a name counts as near (`perm` for `permission`).
 */
export function nearest(name: string, known: readonly string[]): string | null {
  const wanted = name.slice(0, 64).toLowerCase()
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(wanted, candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  if (best !== null || wanted.length < 3) return best
  return known.find((candidate) => candidate.toLowerCase().startsWith(wanted)) ?? null
}

/** What to say of an unknown name: the near one, else all there are. */
export function suggest(name: string, known: readonly string[]): string | undefined {
  const near = nearest(name, known)
  if (near !== null) return `did you mean ${JSON.stringify(near)}?`
  if (known.length === 0) return undefined
  const shown = known.slice(0, 20)
  return `known here: ${shown.join(', ')}${known.length > shown.length ? ', …' : ''}`
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, beforeLast[j - 2]! + 1)
      }
      row.push(least)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
