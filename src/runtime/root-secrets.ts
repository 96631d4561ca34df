/**
 * What the two root secrets look like as text, on every runtime. A wrong one is refused: a gateway
 * with a made-up pepper would answer 401 to every good key.
 */

export type RootSecrets = {
  /** Keyed digests of API keys: the version that new rows are written with, and all that verify. */
  readonly peppers: Versions
  /** What secrets of sessions are sealed under. */
  readonly masters: Versions
}

/** Secrets by version; `current` is the highest. */
export type Versions = {
  readonly current: number
  readonly versions: ReadonlyMap<number, Uint8Array>
}

/** The current one, from which cursors and identity tokens come (HKDF). */
export function currentOf({ current, versions }: Versions): Uint8Array {
  const found = versions.get(current)
  if (found === undefined) throw new Error(`version ${current} is missing`)
  return found
}

/**
 * Parses what `name` (POSTERN_PEPPER, POSTERN_MASTER_KEY) holds: 32 bytes as base64 or hex. Older ones
 * stand beside the current one, which is the highest: `2:BASE64,1:BASE64`. Throws a sentence that says
 * what is wrong and shows no value.
 */
export function parseVersions(name: string, text: string): Versions {
  const versions = new Map<number, Uint8Array>()
  for (const part of text.split(',')) {
    const [, digits = '1', encoded = ''] = /^(?:(\d{1,4}):)?(.*)$/s.exec(part.trim()) ?? []
    const version = Number(digits)
    if (versions.has(version)) {
      throw new Error(`${name} has version ${version} twice; each needs a number of its own`)
    }
    versions.set(version, parseSecret(name, encoded))
  }
  return { current: Math.max(...versions.keys()), versions }
}

/** Parses 32 bytes from base64 or hex. Throws a sentence that names the secret and shows no value. */
export function parseSecret(name: string, text: string): Uint8Array {
  // Buffer skips what is no base64, so that a typo would be another secret.
  const isHex = /^[0-9a-f]{64}$/i.test(text)
  if (!isHex && !/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) {
    throw new Error(`${name} is neither base64 nor hex; it takes 32 bytes as one of them`)
  }
  const bytes = Buffer.from(text, isHex ? 'hex' : 'base64')
  if (bytes.length === 32) return new Uint8Array(bytes)
  throw new Error(`${name} has ${bytes.length} bytes; it takes exactly 32, as base64 or hex`)
}
