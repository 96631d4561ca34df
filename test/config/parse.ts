import { renderErrors } from '../../src/config/report.ts'
import { type ParsedConfig, parseConfig } from '../../src/config.ts'
import { handlers } from '../../src/handlers/named.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The smallest route, and the smallest file: one platform, to which lines can be added. */
export const route = { path: '/v1', handler: 'subscriptions' }
export const fragment = `version: 1
platforms:
  - id: plt_a
    slug: a
    routes: [{ path: /v1, handler: subscriptions }]
`

/** The smallest file with a field (or several lines of them) in its platform. */
export const withField = (field: string): string => `${fragment}    ${field}\n`

/** The smallest file with a field in its route, in place of the one of that name. */
export function withRoute(field: string): string {
  const rest = Object.entries(route).filter(([name]) => !field.startsWith(`${name}:`))
  const lines = [field, ...rest.map(([name, value]) => `${name}: ${value}`)]
  return `version: 1\nplatforms:\n  - id: plt_a\n    slug: a\n    routes:\n      - ${lines.join('\n        ')}\n`
}

export const read = (text: string, env: Environment = {}): ParsedConfig =>
  parseConfig(text, 'postern.yaml', env, Object.keys(handlers))

/** The config of a text that must be good. */
export function accepted(text: string, env: Environment = {}) {
  const parsed = read(text, env)
  if (!parsed.ok) throw new Error(`refused:\n${renderErrors(parsed.errors)}`)
  return parsed.config
}

/** The error lines of a text that must be bad. */
export function refused(text: string, env: Environment = {}): string[] {
  const parsed = read(text, env)
  if (parsed.ok) throw new Error(`accepted:\n${text.slice(0, 500)}`)
  return renderErrors(parsed.errors).split('\n')
}
