import type { Config } from '../../config.ts'
import type { Platform } from '../../context.ts'
import { seededName } from '../../seed.ts'
import type { Deployment } from './deployment.ts'
import { type FirstStart, naming } from './first-start.ts'

export type Welcomed = Pick<Deployment, 'urls' | 'counting'> & {
  readonly storage: Pick<Deployment['storage'], 'name'>
}

/** What a start says to the person at the terminal: where things are, and a line that can be pasted. */
export function welcome(
  config: Config,
  deployment: Welcomed,
  first: FirstStart,
  file: string,
  processes = 1,
): string {
  const { platforms } = config
  const lines = platforms.map(({ slug, name }) => row(name, deployment.urls.get(slug) ?? ''))
  lines.push(
    row('storage', deployment.storage.name),
    row('limits', `counted ${deployment.counting}`),
    ...(processes > 1 ? [row('processes', `${processes} workers`)] : []),
    ...keyRows(first, file),
  )
  const curls = platforms
    .map((one) => curlLine(one, config, deployment, first))
    .filter((line) => line !== null)
  if (curls.length > 0) lines.push('', '  Try it:', '', ...curls)
  return `\n${lines.join('\n')}\n\n`
}

const row = (label: string, text: string): string => `  ${label.padEnd(12)} ${text}`

function keyRows({ entries, written, lost }: FirstStart, file: string): string[] {
  const rows: string[] = []
  const reused = [...entries.keys()].some((name) => !/_URL$/.test(name))
  if (written.length > 0) rows.push(row('keys', `wrote ${file}: ${written.join(', ')}`))
  else if (reused) rows.push(row('keys', `in ${file}, from the first start`))
  if (lost.length > 0) {
    rows.push(row('lost keys', lost.join(', ')))
    rows.push(row('', `not in ${file} any more. They still work for whoever has them; only an`))
    rows.push(row('', 'empty storage gets new ones, because a key is shown once.'))
  }
  return rows
}

/** A call with a key of the test environment, complete: it works wherever it is pasted. */
function curlLine(
  platform: Platform,
  { seeds, platforms }: Config,
  { urls }: Welcomed,
  { entries }: FirstStart,
): string | null {
  const { prefixes, headers, tenancy } = platform.scheme
  const prefix = prefixes.find((one) => one.class === 'secret' && one.environment === 'test')
  const key = prefix && entries.get(naming(platforms)(platform, seededName(prefix.prefix)))
  const route = platform.routes.find(
    ({ methods, classes, environments, requireHttps }) =>
      (methods === null || methods.includes('GET')) &&
      classes.includes('secret') &&
      environments.includes('test') &&
      !requireHttps,
  )
  const tenants = seeds.find((seed) => seed.platform === platform.id)?.tenants
  const tenant = tenants?.find(({ suspended }) => !suspended)?.id
  if (key === undefined || route === undefined || tenant === undefined) return null
  const path = route.path.replace(/\/\*\*$/, '').replaceAll(/:[^/]+/g, '1')
  const sent = [headers[0] === 'x-api-key' ? `x-api-key: ${key}` : `Authorization: Bearer ${key}`]
  if (tenancy === 'required') sent.push(`x-tn: ${tenant}`)
  // Without a port of its own, a platform that has names answers to those alone.
  if (platform.port === null && platform.hosts[0]) sent.push(`Host: ${platform.hosts[0]}`)
  return `  curl ${urls.get(platform.slug)}${path} ${sent.map((one) => `-H "${one}"`).join(' ')}`
}
