/** `postern tenants`: the platform's customers. */
import type { Tenant } from '../../sdk/typescript/src/postern.ts'
import { asking, type Changing, changing, count, type Order, pair } from './command.ts'
import { connect } from './connect.ts'
import { type Listing, printList } from './list.ts'
import { receiptWords, type Waiting, waiting } from './receipt.ts'
import { type Column, relative } from './table.ts'
import { confirmed, done, json, rehearse, say, type Terminal } from './terminal.ts'

const columns: readonly Column<Tenant>[] = [
  ['ID', ({ id }) => id],
  ['STATUS', ({ status }) => status],
  ['CREATED', ({ createdAt }) => relative(createdAt)],
  ['METADATA', ({ metadata }) => JSON.stringify(metadata)],
]

type ListOptions = Listing & { readonly status?: Tenant['status'] }

/** Adds `tenants` and everything below it. */
export function tenantsOrder(program: Order, terminal: Terminal): void {
  const tenants = program.command('tenants').description('list, add, suspend and resume tenants')
  tenants.examples('postern tenants list', 'postern tenants create tenant_new --metadata plan=team')

  asking(tenants.command('list'))
    .description('list tenants, newest first')
    .option('--status <status>', 'active or suspended')
    .option('--limit <n>', 'how many at most', count, 100)
    .option('--all', 'all of them')
    .examples('postern tenants list --status suspended')
    .action(async ({ status, ...options }: ListOptions) => {
      const filter = { status, limit: Math.min(options.limit, 100) }
      await printList(terminal, connect(terminal, options).tenants.list(filter), columns, options)
    })

  changing(tenants.command('create <id>'))
    .description('add a tenant, under an id of your own')
    .option('--metadata <name=value>', 'may be said again', pair)
    .examples('postern tenants create tenant_new --metadata plan=team')
    .action(
      async (
        id: string,
        { metadata, ...options }: Changing & { readonly metadata?: Record<string, string> },
      ) => {
        const body = { id, ...(metadata && { metadata }) }
        if (options.dryRun) return rehearse(terminal, 'POST /v1/tenants', body)
        tell(terminal, options, await connect(terminal, options).tenants.create(body), 'Added')
      },
    )

  waiting(changing(tenants.command('suspend <id>')))
    .description('refuse every call for a tenant until it is resumed')
    .examples('postern tenants suspend tenant_abc123')
    .action(async (id: string, options: Changing & Waiting) => {
      const { tenants: api } = connect(terminal, options)
      if (options.dryRun) return rehearse(terminal, `POST /v1/tenants/${id}/suspend`)
      await confirmed(terminal, `Refuse every call for the tenant ${id}?`, options.yes)
      const tenant = await api.suspend(id, { wait: options.wait })
      tell(terminal, options, tenant, 'Suspended')
      say(terminal, `  ${receiptWords(tenant.receipt, 'refused')}`)
    })

  changing(tenants.command('resume <id>'))
    .description('let a suspended tenant go on')
    .examples('postern tenants resume tenant_abc123')
    .action(async (id: string, options: Changing) => {
      if (options.dryRun) return rehearse(terminal, `POST /v1/tenants/${id}/resume`)
      tell(terminal, options, await connect(terminal, options).tenants.resume(id), 'Resumed')
    })
}

function tell(terminal: Terminal, { output }: Changing, tenant: Tenant, verb: string): void {
  done(terminal, `${verb} ${tenant.id}`)
  if (output === 'json') terminal.out(`${json(tenant)}\n`)
}
