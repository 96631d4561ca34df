/**
 * Which values of a session's secrets stand in a request to an upstream? A route says in which headers;
 * the caller says which session; and what cannot be filled in is refused, so that no upstream ever
 * reads a template.
 *
 * It opens nothing itself and knows no store. The danger is a value that its answer could not be
 * searched for: one that a header trims or that is as short as a word would come back unseen (threats
 * X10, X11). Such a value is not sent.
 */
import type { SecretHeader } from '../context.ts'
import { formsOf, maskedMin } from '../lib/mask.ts'
import type { Refusal } from '../problem.ts'

/** What a request carries of secrets, and what its answer must not show. */
export type Placed = {
  /** Names and values in turn. */
  readonly fields: readonly string[]
  /** The values in all forms that are looked for: ASCII. */
  readonly covered: readonly string[]
}

/** What the caller asked for. */
export type Asked = {
  /** `Postern-Session`, as it came. */
  readonly session: string | null
  /** A WebSocket, whose frames nobody could look through. */
  readonly upgrade: boolean
}

/** The values of a session's secrets: all of `names`, or a refusal. */
export type OpenSecrets = (
  session: string,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string> | Refusal>

/** Characters of ASCII, as are all of a value that is placed: what is searched for grows with them. */
export const placedMax = 4096

/**
 * Fills in the headers of a route. Refuses with `secret/not_declared`, which names the secret, where
 * the caller names no session, or one that does not hold it, which is all that is said of a session
 * that is unknown; with `request/invalid` a WebSocket, and a value that no header can carry unchanged.
 */
export async function placeSecrets(
  wanted: readonly SecretHeader[],
  { session, upgrade }: Asked,
  open: OpenSecrets,
): Promise<Placed | Refusal> {
  if (upgrade) return { code: 'request/invalid', detail: 'This endpoint takes no WebSocket.' }
  const names = [...new Set(wanted.flatMap(({ secrets }) => secrets))]
  const [first = ''] = names
  if (session === null) {
    const detail = `This call carries the secret ${first}: name a session that holds it in Postern-Session.`
    return { code: 'secret/not_declared', detail }
  }
  if (!sessionId.test(session)) return notHeld(first)
  const values = await open(session, names)
  if ('code' in values) {
    return values.code === 'secret/not_found' ? { ...values, code: 'secret/not_declared' } : values
  }
  for (const name of names) {
    const value = values.get(name)
    if (value === undefined) return notHeld(name)
    const detail = unfit(value)
    if (detail !== null) return { code: 'request/invalid', detail: `The secret ${name} ${detail}.` }
  }
  return {
    fields: wanted.flatMap((header) => [header.name, filled(header, values)]),
    covered: [...new Set([...values.values()].flatMap(formsOf))],
  }
}

const sessionId = /^ses_[0-9A-Za-z]{1,64}$/

const notHeld = (name: string): Refusal => ({
  code: 'secret/not_declared',
  detail: `The session has no secret named ${name}.`,
})

function unfit(value: string): string | null {
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)) {
    return 'cannot stand in a header: it has other characters than printable ASCII, or a space at its end'
  }
  if (value.length > placedMax) return `is too long for a header: at most ${placedMax} characters`
  // Not even its length is said.
  return value.length < maskedMin ? 'is too short to be covered in an answer' : null
}

function filled({ texts, secrets }: SecretHeader, values: ReadonlyMap<string, string>): string {
  return texts.reduce((all, text, at) => all + (values.get(secrets[at - 1] ?? '') ?? '') + text)
}

/** A part of an answer could hold a part of a value, which nobody would know (RFC 9110 14.2). */
const withheld = ['accept-encoding', 'range', 'if-range']

/**
 * The fields of a request with those of `placed` in the place of the client's own, in whatever spelling
 * it sent them; asked for as it is (`identity`) and whole, so that the answer can be looked through.
 */
export function withSecrets(list: readonly string[], { fields }: Placed): string[] {
  const replaced = new Set(withheld)
  for (let at = 0; at < fields.length; at += 2) replaced.add(fields[at] ?? '')
  const kept: string[] = []
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at] ?? ''
    // Some servers read `x_key` and `x.key` as `x-key` (threats T7).
    if (replaced.has(name.toLowerCase().replace(/[^a-z0-9]/g, '-'))) continue
    kept.push(name, list[at + 1] ?? '')
  }
  kept.push('accept-encoding', 'identity', ...fields)
  return kept
}
