/**
 * Which answer does the caller want? `Prefer` (RFC 7240) names a status or an example, `Accept`
 * (RFC 9110 12.5.1) a media type. What cannot be read is ignored, as both documents ask for; a
 * preference that names what the document does not have is for answer.ts to judge.
 */

export type Preference = {
  readonly code: string | null
  readonly example: string | null
  /** `dynamic=true`: an answer from the schema, although there are examples. */
  readonly isDynamic: boolean
}

const headerMax = 2000

/** Reads `Prefer: code=404, example="not found"`. The first of a name counts (RFC 7240 2). */
export function readPrefer(header: string | null): Preference {
  const found = new Map<string, string>()
  for (const part of partsOf(header)) {
    const [, name = '', quoted, plain] = /^([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s";]*))/.exec(part) ?? []
    const key = name.toLowerCase()
    if (key !== '' && !found.has(key)) found.set(key, quoted ?? plain ?? '')
  }
  return {
    code: found.get('code') ?? null,
    example: found.get('example') ?? null,
    isDynamic: found.get('dynamic') === 'true',
  }
}

/** Parts between commas that stand outside quotes. */
function partsOf(header: string | null): string[] {
  if (header === null || header.length > headerMax) return []
  return (header.match(/(?:"[^"]*"|[^",])+/g) ?? []).map((part) => part.trim())
}

/**
 * The one of `offered` that `Accept` likes best; the first of equals. Where it takes none, the first:
 * RFC 9110 15.5.7 leaves it to the server, and a mock that shows something is of more use. Undefined
 * when nothing is offered.
 */
export function chooseMedia<T extends { readonly type: string }>(
  offered: readonly T[],
  accept: string | null,
): T | undefined {
  let best = offered[0]
  if (accept === null || offered.length < 2) return best
  const ranges = partsOf(accept).map(readRange)
  let liked = 0
  for (const one of offered) {
    const quality = qualityOf(one.type, ranges)
    if (quality <= liked) continue
    liked = quality
    best = one
  }
  return best
}

type Range = { readonly type: string; readonly quality: number; readonly exact: number }

function readRange(part: string): Range {
  const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
  const q = parameters.find((text) => text.startsWith('q='))
  const quality = q === undefined ? 1 : Number(q.slice(2))
  const exact = type === '*/*' ? 0 : type.endsWith('/*') ? 1 : 2
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0, exact }
}

/** The most exact range decides, however much another one likes. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  let [quality, exact] = [0, -1]
  for (const range of ranges) {
    const fits =
      range.exact === 0 ||
      range.type === type ||
      (range.exact === 1 && type.startsWith(range.type.slice(0, -1)))
    if (!fits || range.exact <= exact) continue
    quality = range.quality
    exact = range.exact
  }
  return quality
}
