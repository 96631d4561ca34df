/** Which gateway is told which key. */
import { expect, test } from 'vitest'
import { accountOf } from '../../src/cli/connect.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

type Variables = Readonly<Record<string, string>>

function account(env: Variables, file: Variables, platform?: string): unknown {
  // Of a terminal, this is all that is looked at.
  const terminal = { env, envFile: () => file } as Pick<Terminal, 'env' | 'envFile'> as Terminal
  try {
    return accountOf(terminal, platform)
  } catch (error) {
    return String(error)
  }
}

const fileOne = { POSTERN_URL: 'http://file', POSTERN_ADMIN_KEY: 'sk_file' }
const fileTwo = {
  POSTERN_AZOTTE_URL: 'http://a',
  POSTERN_AZOTTE_ADMIN_KEY: 'sk_a',
  POSTERN_NEW_SHOP_URL: 'http://b',
  POSTERN_NEW_SHOP_ADMIN_KEY: 'sk_b',
}

test("a key of the environment is never sent to the address that somebody's folder names", () => {
  const said = account({ POSTERN_API_KEY: 'sk_env' }, { ...fileOne, POSTERN_URL: 'https://evil' })
  expect(said).toMatch(/^NotLoggedIn: POSTERN_API_KEY is set and POSTERN_URL is not/)
  expect(said).not.toMatch(/evil|sk_/)
})

test.each<[Variables, Variables, string | undefined, unknown]>([
  [{ POSTERN_URL: 'http://env', POSTERN_API_KEY: 'sk_env' }, fileOne, undefined, ['env', 'env']],
  [{}, fileOne, undefined, ['file', 'file']],
  [{}, fileOne, 'acme', ['file', 'file']],
  [{ POSTERN_URL: 'http://env' }, fileOne, undefined, ['env', 'file']],
  [{}, fileTwo, 'azotte', ['a', 'a']],
  [{}, fileTwo, 'new-shop', ['b', 'b']],
])('%j and %j, --platform %s', (env, file, platform, expected) => {
  const [url, key] = expected as [string, string]
  expect(account(env, file, platform)).toEqual({ url: `http://${url}`, apiKey: `sk_${key}` })
})

test('with several platforms in the file, it says which there are', () => {
  expect(account({}, fileTwo)).toBe(
    'Misuse: .env.local has keys of several platforms: say --platform azotte | new-shop',
  )
})

test('without any key, it says what to do', () => {
  expect(account({}, {})).toMatch(/^NotLoggedIn: there is no key .*POSTERN_API_KEY.*npm start/)
})
