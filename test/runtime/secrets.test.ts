import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { readRootSecrets } from '../../src/runtime/node/secrets.ts'

const secret = (byte: number) => Buffer.alloc(32, byte)
const base64 = (byte: number) => secret(byte).toString('base64')
const masterKey = { POSTERN_MASTER_KEY: base64(9) }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-secrets-'))
  return () => rmSync(folder, { recursive: true, force: true })
})

const pepperOf = (text: string) =>
  readRootSecrets({ ...masterKey, POSTERN_PEPPER: text }, null).peppers

describe('a value that is wrong is refused by name, and never shown', () => {
  const wrong: readonly [string, string, RegExp][] = [
    ['31 bytes', Buffer.alloc(31, 7).toString('base64'), /has 31 bytes; it takes exactly 32/],
    ['33 bytes', Buffer.alloc(33, 7).toString('base64'), /has 33 bytes/],
    ['hex that is too short', 'ab'.repeat(31), /has \d+ bytes/],
    ['words', 'correct horse battery staple', /neither base64 nor hex/],
    ['base64 with a typo that Buffer would skip', `!${base64(7)}`, /neither base64 nor hex/],
    ['a version without a value', '2:', /has 0 bytes/],
    ['an older one that is wrong', `2:${base64(7)},1:AAAA`, /has 3 bytes/],
    ['one version twice', `1:${base64(7)},1:${base64(8)}`, /version 1 twice/],
    ['two without versions', `${base64(7)},${base64(8)}`, /version 1 twice/],
    ['a comma at the end', `${base64(7)},`, /twice|0 bytes/],
  ]
  test.each(wrong)('%s', (_, text, says) => {
    let said = ''
    try {
      pepperOf(text)
    } catch (error) {
      said = String(error)
    }
    expect(said).toMatch(/POSTERN_PEPPER/)
    expect(said).toMatch(says)
    for (const part of text.split(',')) {
      if (part.length > 3) expect(said).not.toContain(part)
    }
  })

  test('nothing set, and no folder to make one in', () => {
    expect(() => readRootSecrets(masterKey, null)).toThrow(/^POSTERN_PEPPER is not set: /)
    const pepper = { POSTERN_PEPPER: base64(1) }
    expect(() => readRootSecrets(pepper, null)).toThrow(/^POSTERN_MASTER_KEY is not set: /)
    expect(() => readRootSecrets({ ...pepper, POSTERN_MASTER_KEY: '' }, null)).toThrow(/not set/)
  })

  test('a file that is not there', () => {
    const env = { ...masterKey, POSTERN_PEPPER_FILE: join(folder, 'nowhere') }
    expect(() => readRootSecrets(env, null)).toThrow(/^POSTERN_PEPPER_FILE: .*nowhere/)
  })
})

describe('a value that is right', () => {
  const right: readonly [string, string][] = [
    ['base64', base64(7)],
    ['base64 without padding', base64(7).replace('=', '')],
    ['base64url', secret(7).toString('base64url')],
    ['hex', secret(7).toString('hex')],
    ['hex in upper case', secret(7).toString('hex').toUpperCase()],
    ['with white space around', ` ${base64(7)}\n`],
    ['version 1 by name', `1:${base64(7)}`],
  ]
  test.each(right)('%s', (_, text) => {
    expect(pepperOf(text)).toEqual({
      current: 1,
      versions: new Map([[1, new Uint8Array(secret(7))]]),
    })
  })

  test('K5: of several peppers the highest version is current, wherever it stands', () => {
    for (const text of [`3:${base64(3)},1:${base64(1)}`, `1:${base64(1)}, 3:${base64(3)}`]) {
      const { current, versions } = pepperOf(text)
      expect(current).toBe(3)
      expect([...versions.keys()].sort()).toEqual([1, 3])
    }
  })

  test('a file of one; the variable itself wins over it', () => {
    const file = join(folder, 'pepper')
    writeFileSync(file, `${base64(4)}\n`)
    const env = { ...masterKey, POSTERN_PEPPER_FILE: file }
    expect(readRootSecrets(env, null).peppers.versions.get(1)).toEqual(new Uint8Array(secret(4)))
    const both = { ...env, POSTERN_PEPPER: base64(5) }
    expect(readRootSecrets(both, null).peppers.versions.get(1)).toEqual(new Uint8Array(secret(5)))
  })
})

describe('beside embedded data', () => {
  test('both are made once, for the owner alone, each different, and read again', () => {
    const data = join(folder, 'data')
    const first = readRootSecrets({}, data)
    const pepper = first.peppers.versions.get(1) ?? new Uint8Array()
    expect(pepper).not.toEqual(first.masters.versions.get(1))
    expect(pepper.some((byte) => byte !== 0)).toBe(true)
    for (const name of ['pepper', 'master_key']) {
      expect(statSync(join(data, name)).mode & 0o777).toBe(0o600)
    }
    expect(statSync(data).mode & 0o777).toBe(0o700)
    expect(first.madePepper).toBe(join(data, 'pepper'))
    expect(readRootSecrets({}, data)).toEqual({ ...first, madePepper: null })
    expect(readRootSecrets({}, join(folder, 'other'))).not.toEqual(first)
  })

  test('one that is gone is not made anew where there is data', () => {
    readRootSecrets({}, folder)
    mkdirSync(join(folder, 'pgdata'))
    rmSync(join(folder, 'pepper'))
    expect(() => readRootSecrets({}, folder)).toThrow(/holds data, but .*pepper is gone/)
    expect(existsSync(join(folder, 'pepper'))).toBe(false)
    const { peppers } = readRootSecrets({ POSTERN_PEPPER: base64(6) }, folder)
    expect(peppers.versions.get(1)).toEqual(new Uint8Array(secret(6)))
  })

  test('a file that somebody spoilt is refused, not replaced', () => {
    writeFileSync(join(folder, 'pepper'), 'spoilt')
    expect(() => readRootSecrets({}, folder)).toThrow(/POSTERN_PEPPER has \d+ bytes/)
    expect(readFileSync(join(folder, 'pepper'), 'utf8')).toBe('spoilt')
  })
})
