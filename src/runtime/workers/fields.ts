/**
 * Header fields between workerd and the gateway. workerd reads the bytes of a value as UTF-8 and
 * writes it so; everybody else here holds one character for each byte (RFC 9110 5.5), and judges those.
 */

const beyondAscii = /[^\0-\x7f]/
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Names and values in turn, a character for each byte. Names are lower case, and lines joined. */
export function rawFieldsOf(headers: Headers): string[] {
  const list: string[] = []
  for (const [name, value] of headers) list.push(name, bytesOf(value))
  return list
}

/** The same as workerd takes it, without the fields that `omit` names in lower case. */
export function headersOf(list: readonly string[], omit: ReadonlySet<string> = nothing): Headers {
  const headers = new Headers()
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at] ?? ''
    if (!omit.has(name.toLowerCase())) headers.append(name, textOf(list[at + 1] ?? ''))
  }
  return headers
}

const nothing: ReadonlySet<string> = new Set()

function bytesOf(value: string): string {
  if (!beyondAscii.test(value)) return value
  let bytes = ''
  for (const byte of encoder.encode(value)) bytes += String.fromCharCode(byte)
  return bytes
}

function textOf(bytes: string): string {
  if (!beyondAscii.test(bytes)) return bytes
  return decoder.decode(Uint8Array.from(bytes, (character) => character.charCodeAt(0)))
}
