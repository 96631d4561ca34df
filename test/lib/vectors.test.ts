/** X6: the primitives against Project Wycheproof's vectors, each passing or failing as it is labelled. */
import { expect, test } from 'vitest'
import { hkdfSha256, openBytes } from '../../src/lib/aead.ts'
import { readText } from '../source.ts'

type Row = Readonly<Record<string, string | number>>
function read(name: string): Row[] {
  const { columns, rows }: { columns: string[]; rows: (string | number)[][] } = JSON.parse(
    readText(`test/lib/vectors/${name}.json`),
  )
  return rows.map((row) => Object.fromEntries(columns.map((column, at) => [column, row[at] ?? ''])))
}
const bytes = (row: Row, name: string) => new Uint8Array(Buffer.from(String(row[name]), 'hex'))
const hex = (found: Uint8Array | null) =>
  found === null ? null : Buffer.from(found).toString('hex')

test('AES-256-GCM opens what is valid, and nothing else', () => {
  const rows = read('aes-256-gcm')
  const opened = rows.map((row) => {
    const sealed = ['nonce', 'ciphertext', 'tag'].map((name) => Buffer.from(bytes(row, name)))
    return hex(openBytes(bytes(row, 'key'), Buffer.concat(sealed), bytes(row, 'associated')))
  })
  expect(rows.length).toBeGreaterThan(60)
  expect(rows.filter(({ result }) => result === 'invalid').length).toBeGreaterThan(20)
  expect(opened).toEqual(rows.map(({ result, plain }) => (result === 'valid' ? plain : null)))
})

test('HKDF-SHA-256 makes the keys of the vectors, as far as ours are long', () => {
  const rows = read('hkdf-sha-256').filter(({ result }) => result !== 'invalid')
  expect(rows.length).toBeGreaterThan(70)
  const shown = (text: unknown) => String(text).slice(0, 64)
  for (const row of rows) {
    // What is asked for shorter or longer begins alike (RFC 5869 section 2.3).
    const made = hex(hkdfSha256(bytes(row, 'secret'), bytes(row, 'salt'), bytes(row, 'info')))
    expect([row.id, made?.slice(0, shown(row.key).length)]).toEqual([row.id, shown(row.key)])
  }
})
