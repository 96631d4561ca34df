/**
 * Which gateway is asked, and with which key? POSTERN_URL and POSTERN_API_KEY, else what a first start
 * wrote into .env.local.
 *
 * The danger is a folder of somebody else's: an .env.local found in it must not be told a key of the
 * environment. So address and key come from the same place, or the command does not run.
 */
import { Postern, type PosternOptions } from '../../sdk/typescript/src/postern.ts'
import { Misuse } from './command.ts'
import type { Terminal } from './terminal.ts'

/** There is no key to call with: exit code 3. */
export class NotLoggedIn extends Error {
  override readonly name = 'NotLoggedIn'
}

type Account = { readonly url: string; readonly apiKey: string }
const file = '.env.local'

/** Who is asked. Throws `NotLoggedIn` with what to do about it. */
export function accountOf({ env, envFile }: Terminal, platform: string | undefined): Account {
  const { POSTERN_URL: url, POSTERN_API_KEY: apiKey } = env
  if (apiKey) {
    if (url) return { url, apiKey }
    throw new NotLoggedIn(
      'POSTERN_API_KEY is set and POSTERN_URL is not: say where the gateway is, e.g. POSTERN_URL=http://127.0.0.1:8787',
    )
  }
  const found = envFile(file)
  const stem = platform?.toUpperCase().replaceAll('-', '_')
  const named = { url: found[`POSTERN_${stem}_URL`], apiKey: found[`POSTERN_${stem}_ADMIN_KEY`] }
  const only = { url: found.POSTERN_URL, apiKey: found.POSTERN_ADMIN_KEY }
  for (const one of [named, only]) {
    // The key in the file is for whoever may read the file: it may go where the person says.
    if (one.url && one.apiKey) return { url: url ?? one.url, apiKey: one.apiKey }
  }
  const platforms = Object.keys(found)
    .map((name) => /^POSTERN_(\w+)_ADMIN_KEY$/.exec(name)?.[1]?.toLowerCase().replaceAll('_', '-'))
    .filter((slug) => slug !== undefined)
    .sort()
  if (platforms.length > 0) {
    throw new Misuse(
      `${file} has keys of several platforms: say --platform ${platforms.join(' | ')}`,
    )
  }
  throw new NotLoggedIn(
    `there is no key to call with: set POSTERN_URL and POSTERN_API_KEY, or run it where \`npm start\` wrote ${file}`,
  )
}

/** A client of the gateway that is meant. */
export function connect(terminal: Terminal, { platform }: { readonly platform?: string }): Postern {
  const { url, apiKey } = accountOf(terminal, platform)
  const options: PosternOptions = { apiKey, baseUrl: url, platform }
  try {
    return new Postern(options)
  } catch (error) {
    throw new NotLoggedIn(error instanceof Error ? error.message : String(error))
  }
}
