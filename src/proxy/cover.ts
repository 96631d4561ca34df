/**
 * What of an answer must its client not read? The head of one whose request carried secrets is looked
 * through here; lib/mask.ts does the same to a body as it streams.
 *
 * It guards against an upstream that repeats what it was sent (an echo, an error with the request in
 * it), not against one that hides it on purpose. The danger is the framing: a length that is covered
 * because a secret is made of digits would cut the answer wrong, so a length is let be.
 */
import type { Hop } from '../context.ts'
import { createMask } from '../lib/mask.ts'
import { Problem } from '../problem.ts'

/** The text with as many asterisks in the place of each covered one. */
export function coverText(text: string, covered: readonly string[]): string {
  if (!covered.some((one) => text.includes(one))) return text
  const mask = createMask(covered.map(unitsOf))
  const shown = [...mask.push(unitsOf(text)), ...mask.end()]
  return shown.map((unit, at) => (unit === asterisk ? '*' : text.charAt(at))).join('')
}

const asterisk = 42

/** A byte for each character; what is beyond latin-1 matches nothing that is ASCII. */
function unitsOf(text: string): Uint8Array {
  const units = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) units[at] = Math.min(255, text.charCodeAt(at))
  return units
}

/** Names and values in turn, covered, as an upstream sent them. */
export function coverFields(list: readonly string[], covered: readonly string[]): string[] {
  return list.map((text, at) => {
    const name = at % 2 === 0 ? text : (list[at - 1] ?? '')
    return name.toLowerCase() === 'content-length' ? text : coverText(text, covered)
  })
}

/**
 * The `upstream/bad_response` for an answer with a coding (RFC 9110 8.4), though `identity` was asked
 * for; null: it has none. It is a `Problem` and no fault of the target's, which serves others well.
 */
export function encodedAnswer(list: readonly string[], { upstream }: Hop): Problem | null {
  for (let at = 0; at < list.length; at += 2) {
    if ((list[at] ?? '').toLowerCase() !== 'content-encoding') continue
    if (/^(?:identity)?$/i.test(list[at + 1] ?? '')) continue
    const cause = `upstream ${upstream.name}: an encoded answer to a request with secrets`
    return new Problem('upstream/bad_response', { cause })
  }
  return null
}
