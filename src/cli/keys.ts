/** `postern keys`: which keys there are, how they stand, what they were used for, what they may do. */
import type { ApiKey } from '../../sdk/typescript/src/postern.ts'
import { asking, type Common, count, type Order } from './command.ts'
import { connect } from './connect.ts'
import { keyNamed } from './key-named.ts'
import { keyChanges } from './keys-change.ts'
import { keyMoves } from './keys-move.ts'
import { type Listing, printList } from './list.ts'
import { absolute, type Column, facts, relative, shownKey, table, words } from './table.ts'
import { json, say, secretFrom, type Terminal } from './terminal.ts'

type ListOptions = Listing & {
  readonly env?: 'test' | 'live'
  readonly status?: ApiKey['status']
  readonly name?: string
  readonly tenant?: string
}

/** Adds `keys` and everything below it. */
export function keysOrder(program: Order, terminal: Terminal): void {
  const keys = program.command('keys').description('make, show, change and end API keys')
  keys.examples(
    'postern keys list --env live',
    'postern keys create checkout --env live --perm data:read --expires 90d',
    'postern keys update checkout --ip 203.0.113.0/24 --endpoint "GET /v1/**"',
    'postern keys rotate checkout --overlap 24h',
    'postern keys revoke checkout',
  )
  list(keys, terminal)
  show(keys, terminal)
  keyChanges(keys, terminal)
  verify(keys, terminal)
  usage(keys, terminal)
  keyMoves(keys, terminal)
}

const columns: readonly Column<ApiKey>[] = [
  ['ID', ({ id }) => id],
  ['NAME', ({ name }) => name],
  ['TYPE', ({ type }) => type],
  ['KEY', shownKey],
  ['STATUS', ({ status }) => words(status)],
  ['LAST USED', ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : relative(lastUsedAt))],
  ['EXPIRES', ({ expiresAt }) => (expiresAt === null ? 'never' : relative(expiresAt))],
]

function list(keys: Order, terminal: Terminal): void {
  asking(keys.command('list'))
    .description('list keys, newest first')
    .option('--env <environment>', 'test or live')
    .option('--status <status>', 'active, never_used, rotating, expires_soon, expired, …')
    .option('--name <name>', 'the whole name')
    .option('--tenant <id>', 'keys that work for it')
    .option('--limit <n>', 'how many at most', count, 100)
    .option('--all', 'all of them')
    .examples('postern keys list', 'postern keys list --status expires_soon -o json')
    .action(async ({ env: environment, status, name, tenant, ...options }: ListOptions) => {
      const filter = { environment, status, name, tenant, limit: Math.min(options.limit, 100) }
      const found = connect(terminal, options).apiKeys.list(filter)
      await printList(terminal, found, columns, options)
    })
}

function show(keys: Order, terminal: Terminal): void {
  asking(keys.command('show <key>'))
    .description('show one key, by id or name')
    .examples('postern keys show checkout', 'postern keys show checkout -o json')
    .action(async (name: string, options: Common) => {
      const key = await keyNamed(connect(terminal, options), name)
      terminal.out(options.output === 'json' ? `${json(key)}\n` : described(key))
    })
}

/** Everything about a key, for people. */
function described(key: ApiKey): string {
  const { ips, origins, referrers, endpoints } = key.restrictions
  const limits = key.rateLimit === null ? [] : [key.rateLimit].flat()
  const rows: [string, string][] = [
    ['id', key.id],
    ['name', key.name],
    ['key', shownKey(key)],
    ['type', `${key.type} (${key.class}, ${key.environment})`],
    ['status', words(key.status)],
    ['permissions', key.permissions.join(', ') || 'none'],
    ['tenants', key.tenants?.join(', ') ?? 'all'],
    ['addresses', ips?.join(', ') ?? 'all'],
    ['origins', origins?.join(', ') ?? 'all'],
    ['referrers', referrers?.join(', ') ?? 'all'],
    ['endpoints', endpoints?.join(', ') ?? 'all'],
    [
      'limits',
      limits.map(({ quota, windowSeconds }) => `${quota} in ${windowSeconds} s`).join(', ') ||
        'the default ones',
    ],
    ['created', absolute(key.createdAt)],
    ['last used', absolute(key.lastUsedAt)],
    ['expires', absolute(key.expiresAt)],
    ['rotation due', absolute(key.rotation.dueAt)],
    ['metadata', JSON.stringify(key.metadata)],
  ]
  return `${facts(rows)}\n${table(secretColumns, key.rotation.secrets)}`
}

type Secret = ApiKey['rotation']['secrets'][number]
const secretColumns: readonly Column<Secret>[] = [
  ['SECRET', ({ last4 }) => `…${last4}`],
  ['STATE', ({ state }) => state],
  ['CREATED', ({ createdAt }) => relative(createdAt)],
  ['LAST USED', ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : relative(lastUsedAt))],
  ['FROM', ({ lastUsedFrom }) => lastUsedFrom ?? '-'],
  ['ENDS', ({ expiresAt }) => (expiresAt === null ? '-' : relative(expiresAt))],
]

type VerifyOptions = Common & {
  readonly method?: string
  readonly path?: string
  readonly tenant?: string
  readonly ip?: string
  readonly origin?: string
  readonly perm?: string
}

function verify(keys: Order, terminal: Terminal): void {
  asking(keys.command('verify [key]'))
    .description('ask what the gateway would say of a request with a key')
    .summary('what a key may do, and why not')
    .option('--method <method>', 'of the request')
    .option('--path <path>', 'of the request')
    .option('--tenant <id>', 'of the request')
    .option('--ip <address>', 'where the request comes from')
    .option('--origin <origin>', 'of the request')
    .option('--perm <permission>', 'a permission that it should hold')
    .examples(
      'postern keys verify --path /v1/subscriptions --tenant tenant_abc123   (asks for the key)',
      'postern keys verify < key.txt',
    )
    .action(async (given: string | undefined, { perm: permission, ...options }: VerifyOptions) => {
      const { method, path, tenant, ip, origin, output } = options
      const client = connect(terminal, options)
      // An argument can be read by whoever lists the processes of this machine.
      const key = given ?? (await secretFrom(terminal, 'Key to verify'))
      const question = { key, method, path, tenant, ip, origin, permission }
      const verdict = await client.apiKeys.verify(question)
      if (output === 'json') terminal.out(`${json(verdict)}\n`)
      else terminal.out(verdict.valid ? 'valid\n' : `${verdict.code}: ${verdict.detail}\n`)
      if (!verdict.valid) throw new Unfit('the key is not good for that')
    })
}

/** A verdict was given, and it is no. */
class Unfit extends Error {}

type UsageOptions = Common & { readonly from?: string; readonly to?: string }

function usage(keys: Order, terminal: Terminal): void {
  asking(keys.command('usage <key>'))
    .description('show how much a key was used, by day')
    .option('--from <day>', 'the first day; 30 days up to the last where it is left out')
    .option('--to <day>', 'the last day; today where it is left out')
    .examples('postern keys usage checkout', 'postern keys usage checkout --from 2026-11-01')
    .action(async (name: string, { from, to, ...options }: UsageOptions) => {
      const client = connect(terminal, options)
      const { id } = await keyNamed(client, name)
      const found = await client.apiKeys.usage(id, { from, to })
      if (options.output === 'json') return terminal.out(`${json(found)}\n`)
      const days = found.days.map((one) => ({ ...one, label: one.day }))
      terminal.out(table(usageColumns, [...days, { ...found.total, label: 'total' }]))
      if (days.some(({ billable }) => !billable)) say(terminal, 'Use of test keys is not billed.')
    })
}

type Counts = Record<'requests' | 'errors' | 'bytesIn' | 'bytesOut', number>
const usageColumns: readonly Column<Counts & { readonly label: string }>[] = [
  ['DAY', ({ label }) => label],
  ['REQUESTS', ({ requests }) => String(requests)],
  ['ERRORS', ({ errors }) => String(errors)],
  ['BYTES IN', ({ bytesIn }) => String(bytesIn)],
  ['BYTES OUT', ({ bytesOut }) => String(bytesOut)],
]
