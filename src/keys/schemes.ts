/**
 * The five key schemes, as data. Nothing below this file knows what `sk_live_` means: class and
 * environment come from here and from the stored record, and must agree.
 */
import type { EnvironmentName, KeyClass, KeyPrefix, Scheme, Tenancy, TestMode } from '../context.ts'

const prefix = (text: string, keyClass: KeyClass, environment: EnvironmentName): KeyPrefix =>
  Object.freeze({ prefix: text, class: keyClass, environment })

const scheme = (
  name: string,
  first: 'x-api-key' | 'authorization',
  tenancy: Tenancy,
  prefixes: readonly KeyPrefix[],
): Scheme =>
  Object.freeze({
    name,
    prefixes: Object.freeze(prefixes),
    adopted: Object.freeze([]),
    headers: Object.freeze(
      first === 'x-api-key'
        ? (['x-api-key', 'authorization'] as const)
        : (['authorization', 'x-api-key'] as const),
    ),
    tenancy,
  })

/** The schemes a platform can pick by name. The first header is the one its documents show. */
export const presets = Object.freeze({
  azotte: scheme('azotte', 'x-api-key', 'required', [
    prefix('pk_dev_', 'publishable', 'test'),
    prefix('sk_dev_', 'secret', 'test'),
    prefix('pk_live_', 'publishable', 'live'),
    prefix('sk_live_', 'secret', 'live'),
  ]),
  theazo: scheme('theazo', 'authorization', 'implied', [
    prefix('th_test_', 'secret', 'test'),
    prefix('th_live_', 'secret', 'live'),
  ]),
  tenzro: scheme('tenzro', 'authorization', 'implied', [
    prefix('dev_', 'secret', 'test'),
    prefix('prod_', 'secret', 'live'),
    prefix('client_', 'publishable', 'live'),
  ]),
  generic: scheme('generic', 'authorization', 'implied', [
    prefix('sk_test_', 'secret', 'test'),
    prefix('sk_live_', 'secret', 'live'),
  ]),
  operator: scheme('operator', 'authorization', 'none', [prefix('op_live_', 'secret', 'live')]),
} satisfies Record<string, Scheme>)

/**
 * What answers test keys where the platform does not say. `preset` is the one its scheme is made of;
 * `theazo` promises mocks, for which there has to be a document.
 */
export function testModeOf(preset: unknown, hasDocument: boolean): TestMode {
  if (preset === 'generic') return 'discard'
  return preset === 'theazo' && hasDocument ? 'mock' : 'sandbox'
}

/** Operator keys belong to no platform; their rows stand under an id that none can have. */
export const operatorPlatformId = 'plt_operator'

export type PresetName = keyof typeof presets

/** The longest prefix of the list that the text starts with. */
export function findPrefix(text: string, prefixes: readonly KeyPrefix[]): KeyPrefix | null {
  let longest: KeyPrefix | null = null
  for (const candidate of prefixes) {
    if (!text.startsWith(candidate.prefix)) continue
    if (longest === null || candidate.prefix.length > longest.prefix.length) longest = candidate
  }
  return longest
}

/**
 * What is wrong with a platform's own scheme, one sentence each; empty when it can be used. Issued
 * prefixes are lower case and end in `_`, so that no key can be read under two of them.
 */
export function schemeFaults(scheme: Scheme): string[] {
  const faults: string[] = []
  if (scheme.prefixes.length === 0) faults.push('a scheme needs at least one prefix')
  for (const { prefix } of scheme.prefixes) {
    if (prefix.length > 32 || !/^[a-z][a-z0-9]*(?:_[a-z0-9]+)*_$/.test(prefix)) {
      faults.push(`prefix "${prefix}" must be lower-case words that each end in _`)
    }
  }
  for (const { prefix } of scheme.adopted) {
    if (!/^[A-Za-z0-9._~+/-]{2,32}$/.test(prefix)) {
      faults.push(`adopted prefix "${prefix}" must be 2 to 32 of A-Z a-z 0-9 . _ ~ + / -`)
    }
  }
  return [...faults, ...repeated(scheme.prefixes), ...repeated(scheme.adopted), ...disagree(scheme)]
}

function repeated(prefixes: readonly KeyPrefix[]): string[] {
  const names = prefixes.map((entry) => entry.prefix)
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index))
  return [...twice].map((name) => `prefix "${name}" is listed twice`)
}

/** A prefix may be issued and adopted at once (old keys beside new), but must mean one thing. */
function disagree(scheme: Scheme): string[] {
  return scheme.adopted
    .filter((adopted) =>
      scheme.prefixes.some(
        (own) =>
          own.prefix === adopted.prefix &&
          (own.class !== adopted.class || own.environment !== adopted.environment),
      ),
    )
    .map((entry) => `prefix "${entry.prefix}" is issued and adopted with different meanings`)
}
