/** How a client is made, and what it shows of itself. */
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Postern } from '../../sdk/typescript/src/postern.ts'
import { secretKey } from './server.ts'

const baseUrl = 'https://api.example.com'
beforeEach(() => {
  vi.stubEnv('POSTERN_API_KEY', undefined)
  vi.stubEnv('POSTERN_URL', undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
})

test.each<[ConstructorParameters<typeof Postern>[0], string]>([
  [{ baseUrl }, 'apiKey is missing, and POSTERN_API_KEY is not set'],
  [{ apiKey: secretKey }, 'baseUrl is missing, and POSTERN_URL is not set'],
  [{ apiKey: '', baseUrl }, 'apiKey has characters that no key has'],
  [{ apiKey: `${secretKey}\n`, baseUrl }, 'apiKey has characters that no key has'],
  [{ apiKey: secretKey, baseUrl: 'api.example.com' }, 'baseUrl must be like'],
  [{ apiKey: secretKey, baseUrl: 'file:///etc' }, 'baseUrl must be like'],
  [{ apiKey: secretKey, baseUrl: 'https://a:b@api.example.com' }, 'baseUrl must be like'],
  [{ apiKey: secretKey, baseUrl: 'https://api.example.com/?a=1' }, 'baseUrl must be like'],
  [{ apiKey: secretKey, baseUrl, timeoutMs: 0 }, 'timeoutMs is out of range'],
  [{ apiKey: secretKey, baseUrl, timeoutMs: 2 ** 31 }, 'timeoutMs is out of range'],
  [{ apiKey: secretKey, baseUrl, maxRetries: 1.5 }, 'maxRetries must be'],
])('%# is refused without a word of the key: %s', (options, message) => {
  let said = ''
  try {
    new Postern(options)
  } catch (error) {
    said = String(error)
  }
  expect(said).toContain(`TypeError: ${message}`)
  expect(said).not.toContain('k7Gh2Qm9x')
})

test('what is left out comes from the environment', () => {
  vi.stubEnv('POSTERN_API_KEY', secretKey)
  vi.stubEnv('POSTERN_URL', baseUrl)
  expect(new Postern().toJSON()).toMatchObject({ baseUrl: `${baseUrl}/v1` })
})

test('no key at all, where that is said', async () => {
  const sent: (string | null)[] = []
  const own: typeof fetch = async (_, init) => {
    sent.push(new Headers(init?.headers).get('authorization'))
    return Response.json({ success: true, data: [] })
  }
  expect(await new Postern({ apiKey: null, baseUrl, fetch: own }).platforms.list()).toEqual([])
  expect(sent).toEqual([null])
})

describe('what it shows of its key', () => {
  test.each([
    [secretKey, 'sk_live_k7Gh2Qm9x_…'],
    ['th_live_0123456789abcdefghijklmnopqrstuv', '…'],
    ['plainpassword', '…'],
  ])('%s: %s', (apiKey, shown) => {
    const client = new Postern({ apiKey, baseUrl, tenant: 't1' })
    const printed = [
      inspect(client, { depth: 9, showHidden: true }),
      inspect({ client }, { depth: 9 }),
      inspect(client.apiKeys, { depth: 9, showHidden: true }),
      JSON.stringify({ client }),
      String(client),
    ].join('\n')
    expect(client.toJSON().apiKey).toBe(shown)
    expect(printed).toContain(baseUrl)
    expect(printed).not.toContain(apiKey.slice(-20))
    expect(JSON.stringify({ ...client })).not.toContain(apiKey.slice(-20))
  })
})

describe('in a page', () => {
  beforeEach(() => {
    vi.stubGlobal('window', {})
    vi.stubGlobal('document', {})
  })

  test.each([secretKey, 'op_live_k7Gh2Qm9x_0', 'th_live_x', 'anything'])(
    '%s is refused',
    (apiKey) => {
      expect(() => new Postern({ apiKey, baseUrl })).toThrow(/every visitor/)
      expect(() => new Postern({ apiKey, baseUrl, dangerouslyAllowBrowser: true })).not.toThrow()
    },
  )

  test.each([['pk_live_x'], ['client_x'], [null]])('%s is not', (apiKey) => {
    expect(() => new Postern({ apiKey, baseUrl })).not.toThrow()
  })
})

test('a Worker of a browser, and a Worker of Cloudflare, have no document and are no page', () => {
  vi.stubGlobal('window', {})
  expect(() => new Postern({ apiKey: secretKey, baseUrl })).not.toThrow()
})
