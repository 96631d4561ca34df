/**
 * Headers that carry secrets of sessions to an upstream: a name, and a text with `{{secret.NAME}}` in it.
 *
 * The danger is a text that is almost such a reference: it would go to the upstream as it stands. So two
 * braces stand for nothing else here, and whatever they hold is a secret's name or refused.
 */
import * as z from 'zod'
import type { SecretHeader } from '../context.ts'
import { readRequestName } from '../proxy/names.ts'
import { isSecretName } from '../vault/names.ts'

const headersMax = 16
const textLengthMax = 1024

const error = 'must be headers and their texts, such as authorization: "Bearer {{secret.API_KEY}}"'

/** The fields of `secrets.headers`: handed on in the order in which they stand. */
export const secretHeaders = () =>
  z
    .record(named(nameFault), named(textFault), { error })
    .refine((headers) => Object.keys(headers).length > 0, { error })
    .refine((headers) => Object.keys(headers).length <= headersMax, {
      error: `has more than ${headersMax} headers`,
    })
    .transform((headers) =>
      Object.entries(headers).map(([name, text]): SecretHeader => ({ name, ...partsOf(text) })),
    )

const named = (fault: (text: string) => string | null) =>
  z.string({ error: 'must be text' }).superRefine((value, context) => {
    const message = fault(value)
    if (message !== null) context.addIssue({ code: 'custom', message })
  })

/** Fields that the gateway writes whenever an answer is to be looked through. */
const rewritten: ReadonlySet<string> = new Set(['accept-encoding', 'range', 'if-range'])

function nameFault(name: string): string | null {
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(name)) return 'must be a header in lower case'
  const { kind } = readRequestName(name)
  // The gateway's own credential never passes, so its name is free for one of the upstream's.
  const free = kind === 'pass' || kind === 'authorization' || name === 'x-api-key'
  return free && !rewritten.has(name) ? null : 'is of a header that the gateway writes itself'
}

const reference = /\{\{secret\.([^{}]*)\}\}/

function textFault(text: string): string | null {
  if (text.length > textLengthMax) return `is longer than ${textLengthMax} characters`
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)) {
    return 'must be printable ASCII, without spaces at its ends'
  }
  const { texts, secrets } = partsOf(text)
  if (texts.some((part) => /\{\{|\}\}/.test(part))) {
    return 'must have {{secret.NAME}} and no other double braces'
  }
  if (secrets.length === 0) return 'must have a {{secret.NAME}} in it'
  return secrets.every(isSecretName) ? null : 'names what can be no secret: {{secret.NAME}}'
}

function partsOf(text: string): Pick<SecretHeader, 'texts' | 'secrets'> {
  // A pattern with one group splits into texts and what the group took, in turn.
  const parts = text.split(reference)
  return {
    texts: parts.filter((_, index) => index % 2 === 0),
    secrets: parts.filter((_, index) => index % 2 === 1),
  }
}
