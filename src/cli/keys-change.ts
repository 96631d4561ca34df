/**
 * `postern keys create | update | rotate | revoke | disable | enable`. A whole key is shown once: as the
 * only line on standard output, so that it can go into a file or a secret store unseen.
 */
import type {
  ApiKey,
  CreateApiKeyBody,
  IssuedApiKey,
  Postern,
  Told,
  UpdateApiKeyBody,
} from '../../sdk/typescript/src/postern.ts'
import { PosternError } from '../../sdk/typescript/src/postern.ts'
import {
  type Changing,
  changing,
  commaList,
  duration,
  limit,
  Misuse,
  moment,
  type Order,
  pair,
  repeated,
} from './command.ts'
import { connect } from './connect.ts'
import { keyNamed } from './key-named.ts'
import { receiptWords, type Waiting, waiting } from './receipt.ts'
import { relative, shownKey, words } from './table.ts'
import { confirmed, done, json, next, rehearse, say, type Terminal } from './terminal.ts'

type PowerOptions = {
  readonly perm?: string[]
  readonly tenant?: string[]
  readonly expires?: Date | null
  readonly ip?: string[]
  readonly origin?: string[]
  readonly referrer?: string[]
  readonly endpoint?: string[]
  readonly limit?: { readonly quota: number; readonly windowSeconds: number }[]
  readonly metadata?: Record<string, string>
}

/** Adds the options that say what a key may do. */
const power = (order: Order): Order =>
  order
    .option('--perm <list>', 'permissions, with commas between them', commaList)
    .option('--tenant <list>', 'tenants that it works for', commaList)
    .option('--expires <when>', 'never, 90d, 2027-01-31', moment)
    .option('--ip <list>', 'addresses or ranges that it works from', commaList)
    .option('--origin <list>', 'origins that it works from', commaList)
    .option('--referrer <list>', 'referrers that it works from', commaList)
    .option('--endpoint <rule>', 'e.g. "GET /v1/**"; may be said again', repeated)
    .option('--limit <rate>', 'e.g. 100/min; may be said again', limit)
    .option('--metadata <name=value>', 'may be said again', pair)

function powerOf(options: PowerOptions): Omit<UpdateApiKeyBody, 'name'> {
  const { ip: ips, origin: origins, referrer: referrers, endpoint: endpoints } = options
  const hasRules = [ips, origins, referrers, endpoints].some((rules) => rules !== undefined)
  const { perm: permissions, tenant: tenants, expires: expiresAt, limit: rateLimit } = options
  return {
    ...(permissions && { permissions }),
    ...(tenants && { tenants }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(hasRules && { restrictions: { ips, origins, referrers, endpoints } }),
    ...(rateLimit && { rateLimit }),
    ...(options.metadata && { metadata: options.metadata }),
  }
}

type KindOptions = Pick<CreateApiKeyBody, 'type' | 'class'> & { env?: 'test' | 'live' }

/** Adds the commands that make, change and end keys. */
export function keyChanges(keys: Order, terminal: Terminal): void {
  create(keys, terminal)
  update(keys, terminal)
  rotate(keys, terminal)
  revoke(keys, terminal)
  disable(keys, terminal)
  enable(keys, terminal)
}

function create(keys: Order, terminal: Terminal): void {
  power(changing(keys.command('create <name>')))
    .description('make a key, and show it this once')
    .option('--env <environment>', 'test or live')
    .option(
      '--type <type>',
      'a word of the platform, e.g. sk_live; says what --env and --class say',
    )
    .option('--class <class>', 'secret or publishable')
    .examples(
      'postern keys create checkout --env live --perm data:read --expires 90d',
      'postern keys create web --env live --class publishable --origin https://app.example.com',
      'postern keys create ci --env test > key.txt',
    )
    .action(async (name: string, options: Changing & PowerOptions & KindOptions) => {
      const { env: environment, type, class: kind } = options
      const body = { name, environment, type, class: kind, ...powerOf(options) }
      if (options.dryRun) return rehearse(terminal, 'POST /v1/api-keys', body)
      const made = await connect(terminal, options).apiKeys.create(body)
      issued(terminal, options, made, `Created ${made.id} (${made.name}) in ${made.environment}`)
      next(terminal, `postern keys show ${made.id}`)
    })
}

/** Shows a whole key, this once. */
function issued(
  terminal: Terminal,
  { output }: Changing,
  made: IssuedApiKey,
  headline: string,
): void {
  const until = made.expiresAt === null ? '' : `, expires ${relative(made.expiresAt)}`
  done(terminal, `${headline}${until}`)
  say(terminal, '  Copy the key now. It cannot be shown again:')
  terminal.out(output === 'json' ? `${json(made)}\n` : `${made.key}\n`)
}

const restrictionNames = ['tenants', 'ips', 'origins', 'referrers', 'endpoints', 'limits'] as const
type Lifted = (typeof restrictionNames)[number]

function update(keys: Order, terminal: Terminal): void {
  waiting(power(changing(keys.command('update <key>'))))
    .description('change what a key may do; what is not named stays')
    .option('--rename <name>', 'another name')
    .option('--lift <list>', `take away: ${restrictionNames.join(', ')}`, commaList)
    .examples(
      'postern keys update checkout --ip 203.0.113.0/24 --endpoint "GET /v1/**"',
      'postern keys update checkout --limit 100/min --limit 5000/d',
      'postern keys update checkout --lift ips,limits',
    )
    .action(
      async (
        named: string,
        options: Changing &
          Waiting &
          PowerOptions & { readonly rename?: string; readonly lift?: string[] },
      ) => {
        const changes = {
          ...(options.rename !== undefined && { name: options.rename }),
          ...lifted(powerOf(options), options.lift ?? []),
        }
        if (Object.keys(changes).length === 0)
          throw new Misuse('nothing is named that is to change')
        const client = connect(terminal, options)
        const { id, etag } = await keyNamed(client, named)
        if (options.dryRun) return rehearse(terminal, `PATCH /v1/api-keys/${id}`, changes)
        const { wait } = options
        const key = await client.apiKeys.update(id, changes, { ifMatch: etag, wait })
        changed(terminal, options, key, 'Changed')
        say(terminal, `  ${receiptWords(key.receipt, 'in force')}`)
      },
    )
}

function lifted(changes: UpdateApiKeyBody, lift: readonly string[]): UpdateApiKeyBody {
  const isKnown = (one: string): one is Lifted => restrictionNames.some((name) => name === one)
  let result = changes
  for (const one of lift) {
    if (!isKnown(one)) throw new Misuse(`--lift takes ${restrictionNames.join(', ')}`)
    if (one === 'tenants') result = { ...result, tenants: null }
    else if (one === 'limits') result = { ...result, rateLimit: null }
    else result = { ...result, restrictions: { ...result.restrictions, [one]: null } }
  }
  return result
}

function changed(
  terminal: Terminal,
  { output }: Changing,
  key: ApiKey | Told<ApiKey>,
  verb: string,
): void {
  done(terminal, `${verb} ${key.id} (${key.name}): ${words(key.status)}`)
  if (output === 'json') terminal.out(`${json(key)}\n`)
}

type RotateOptions = Changing & {
  readonly overlap?: number
  readonly overlapFrom?: 'first_use' | 'now'
  readonly quiet?: number
}

function rotate(keys: Order, terminal: Terminal): void {
  changing(keys.command('rotate <key>'))
    .description('give a key another secret, and show it this once')
    .option('--overlap <time>', 'how long the old one stays good: now, 1h, 24h, 7d', overlap)
    .option('--overlap-from <when>', 'when that begins: first_use of the new one, or now')
    .option('--quiet <time>', 'end it sooner, once the old one was silent so long', duration)
    .examples(
      'postern keys rotate checkout',
      'postern keys rotate checkout --overlap 7d --quiet 2h > key.txt',
      'postern keys rotate checkout --overlap now   (the old secret ends at once)',
    )
    .action(async (named: string, { overlap: seconds, quiet, ...options }: RotateOptions) => {
      const client = connect(terminal, options)
      const key = await keyNamed(client, named)
      const body = {
        ...(seconds !== undefined && { overlap: seconds }),
        ...(options.overlapFrom && { overlapFrom: options.overlapFrom }),
        ...(quiet !== undefined && { endAfterQuietHours: quiet / 3600 }),
      }
      if (options.dryRun) return rehearse(terminal, `POST /v1/api-keys/${key.id}/rotate`, body)
      if (seconds === 0) {
        const question = `End the present secret of ${key.name} (${shownKey(key)}) at once? ${await useOf(client, key)}`
        await confirmed(terminal, question, options.yes)
      }
      const made = await client.apiKeys.rotate(key.id, body)
      issued(terminal, options, made, `Rotated ${made.id} (${made.name})`)
      if (seconds === 0) say(terminal, `  The old secret is ${receiptWords(made.receipt, 'dead')}`)
      next(terminal, `postern keys show ${made.id}   (shows when the old secret falls silent)`)
    })
}

const overlap = (value: string): number => (value === 'now' ? 0 : duration(value))

function revoke(keys: Order, terminal: Terminal): void {
  waiting(changing(keys.command('revoke <key>')))
    .description('end a key for good')
    .examples('postern keys revoke checkout', 'postern keys revoke checkout --yes --wait none')
    .action(async (named: string, options: Changing & Waiting) => {
      const client = connect(terminal, options)
      const key = await keyNamed(client, named)
      if (options.dryRun) return rehearse(terminal, `POST /v1/api-keys/${key.id}/revoke`)
      const question = `Revoke ${key.name} (${shownKey(key)}) for good? ${await useOf(client, key)}`
      await confirmed(terminal, question, options.yes)
      const { wait } = options
      const ended = await client.apiKeys.revoke(key.id, { wait })
      changed(terminal, options, ended, 'Revoked')
      say(terminal, `  ${receiptWords(ended.receipt, 'dead')}`)
    })
}

/** How much somebody would miss a key. */
async function useOf({ apiKeys }: Postern, { id, lastUsedAt }: ApiKey): Promise<string> {
  if (lastUsedAt === null) return 'It was never used.'
  const last = `It was last used ${relative(lastUsedAt)}`
  try {
    const { total } = await apiKeys.usage(id)
    return `${last}, ${total.requests} times in 30 days.`
  } catch (error) {
    // Who may end a key need not be allowed to read its use.
    if (error instanceof PosternError) return `${last}.`
    throw error
  }
}

function disable(keys: Order, terminal: Terminal): void {
  waiting(changing(keys.command('disable <key>')))
    .description('stop a key until it is enabled')
    .examples('postern keys disable checkout')
    .action(async (named: string, options: Changing & Waiting) => {
      const client = connect(terminal, options)
      const { id } = await keyNamed(client, named)
      if (options.dryRun) return rehearse(terminal, `POST /v1/api-keys/${id}/disable`)
      const key = await client.apiKeys.disable(id, { wait: options.wait })
      changed(terminal, options, key, 'Disabled')
      say(terminal, `  ${receiptWords(key.receipt, 'refused')}`)
    })
}

function enable(keys: Order, terminal: Terminal): void {
  changing(keys.command('enable <key>'))
    .description('let a disabled key work')
    .examples('postern keys enable checkout')
    .action(async (named: string, options: Changing) => {
      const client = connect(terminal, options)
      const { id } = await keyNamed(client, named)
      if (options.dryRun) return rehearse(terminal, `POST /v1/api-keys/${id}/enable`)
      changed(terminal, options, await client.apiKeys.enable(id), 'Enabled')
    })
}
