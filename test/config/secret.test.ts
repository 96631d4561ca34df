import { describe, expect, test } from 'vitest'
import { secretLook } from '../../src/config/secret.ts'
import { generateKey } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { accepted, fragment, refused, withField } from './parse.ts'

const hex = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const token = 'q7Rz2VtXb9LmKp4WsYc8NdHf6JgTaEu3'

describe('a literal that looks like a secret is refused', () => {
  test.each([
    ['a password in a URL', 'https://user:hunter2@docs.example.com'],
    ['a password in a URL', 'postgres://postgres:postgres@127.0.0.1/db'],
    ['a password in a URL', 'redis://:hunter2@redis:6379'],
    ['a private key', '-----BEGIN PRIVATE KEY-----\\nMIIB'],
    ['a private key', '-----BEGIN RSA PRIVATE KEY-----'],
    ['an API key', 'sk_dev_1234567890abcdef'],
    ['an API key', 'Bearer sk_live_abc123xyz789'],
    ['a random token', hex],
    ['a random token', token],
    ['a random token', `/v1/${token}`],
  ])('%s: %s, with its line, the way out, and without the secret', (look, value) => {
    const lines = refused(withField(`name: "${value}"`))
    expect(lines).toEqual([
      `postern.yaml:6:11 platforms[0].name: looks like ${look}; put it into the environment and write \${env:NAME} here`,
    ])
  })

  test('a certificate is no secret, and a key beside it is', () => {
    const body = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(600))))
    const certificate = `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`
    expect(secretLook(certificate)).toBe(null)
    expect(secretLook(`${certificate}${token}`)).toBe('a random token')
    expect(secretLook(`${certificate}-----BEGIN PRIVATE KEY-----`)).toBe('a private key')
  })

  test('every API key of every scheme is recognised, whatever its random part', () => {
    const known = Object.values(presets).flatMap((scheme) => scheme.prefixes)
    for (const prefix of [...known.map((entry) => entry.prefix), 'acme_live_']) {
      for (let count = 0; count < 200; count++) {
        expect(secretLook(generateKey(prefix).key)).toBe('an API key')
      }
    }
  })

  test('32 random bytes are recognised in hex and in both base64s, all but the odd one', () => {
    const missed = { base64: 0, url: 0, hex: 0 }
    for (let count = 0; count < 1000; count++) {
      const random = crypto.getRandomValues(new Uint8Array(32))
      const base64 = btoa(String.fromCharCode(...random))
      const url = base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
      const digits = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('')
      if (secretLook(base64) === null) missed.base64++
      if (secretLook(url) === null) missed.url++
      if (secretLook(digits) === null) missed.hex++
    }
    expect(Math.max(...Object.values(missed))).toBeLessThan(20)
  })

  test.each([
    ['as a name', `${fragment}${token}: 1\n`],
    ['as an inner name', withField(`permissions: { ${token}: [read] }`)],
    ['in a comment', `${fragment}# ${token}\n`],
    [
      'in a comment at the end of a line',
      `${fragment}log: {} # x-api-key: sk_dev_1234567890abcdef\n`,
    ],
    ['behind an escape', withField('name: "\\x73k_live_abc123xyz789"')],
    ['in a list', withField(`hosts: [${token}]`)],
    ['beside a reference', withField(`docsUrl: "https://\${env:USER}:hunter2@a.example.com"`)],
  ])('%s too', (_, text) => {
    const lines = refused(text, { USER: 'me' })
    expect(lines.join('\n')).toMatch(/looks like/)
    expect(lines.join('\n')).not.toMatch(/q7Rz2VtX|1234567890|abc123xyz|hunter2/)
  })

  test('broken YAML around a secret does not show it either', () => {
    for (const broken of [
      `a: |${token}\n`,
      `a: [${token}\n`,
      `"${token}\n`,
      `a: !${token} 1\n`,
      `*${token}\n`,
      `a: &${token} 1\n`,
    ]) {
      expect(refused(broken).join('\n')).not.toContain('q7Rz2VtX')
    }
  })
})

describe('what is no secret is left alone', () => {
  test.each([
    'sk_live_',
    'client_acme_international',
    'prod_database',
    'dev_environment2024',
    'tenant_abc123',
    'plt_acme',
    'https://docs.example.com/errors/auth/invalid_key',
    'https://user@docs.example.com',
    '/v1/subscriptionItems/:subscriptionItemId/usageRecordSummaries/**',
    'a-very-long-host-name-of-many-words-and-hyphens.eu-central-1.example.com',
    'The quick brown fox jumps over 13 lazy dogs and 2 CATS while it is raining',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    '00000000000000000000000000000000000000000000',
    `postgres://user:\${env:PASSWORD}@db/postern`,
  ])('%s', (text) => {
    expect(secretLook(text)).toBeNull()
  })

  test('a reference to a secret is how it is done', () => {
    const { platforms } = accepted(withField(`name: \${env:TOKEN}`), { TOKEN: token })
    expect(platforms[0]?.name).toBe(token)
  })
})
