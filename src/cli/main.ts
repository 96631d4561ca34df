/**
 * What did the person at the terminal ask for? The `postern` command: it reads its arguments, and
 * knows nothing of gateways or databases. What needs those is in the entries, loaded when it is called
 * for, so that `postern --help` needs neither a database driver nor a configuration; everything else
 * goes to a running gateway, through the SDK.
 *
 * The danger is a mistyped command or option that does something else than was meant: what is not
 * known is refused, with the nearest known name.
 */
import type { Command } from 'commander'
import { Order } from './command.ts'
import { explain } from './explain.ts'
import { keysOrder } from './keys.ts'
import { mockOrder } from './mock.ts'
import { openapiOrder } from './openapi.ts'
import { statusOrder } from './status.ts'
import { tenantsOrder } from './tenants.ts'
import { done, type Terminal } from './terminal.ts'

/**
 * Runs one command line, without the program's own name, e.g. `['start', 'postern.yaml']`. Answers
 * the exit code: 0, 1 where the command failed, 2 where it was not understood, 3 where there is no
 * good key, 4 where nothing of that name is. A gateway that was started goes on after that. Does not
 * throw.
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const program = programFor(terminal)
  try {
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    return explain(error, commandIn(program, args), terminal)
  }
}

/** The known words that the arguments begin with. */
function commandIn(program: Order, args: readonly string[]): string {
  let order: Command | undefined = program
  const words: string[] = []
  for (const arg of args) {
    order = order?.commands.find((one) => one.name() === arg)
    if (order === undefined) break
    words.push(arg)
  }
  return words.join(' ')
}

function programFor(terminal: Terminal): Order {
  const version = `postern ${terminal.version}`
  const program = new Order('postern')
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride()
    .description('A multi-tenant API gateway: serve it, and look after its keys.')
    .version(version, '-v, --version', 'show the version')
    .helpOption('-h, --help', 'show this')
    .examples(
      'postern start                          serve postern.yaml on http://127.0.0.1:8787',
      'PORT=8080 postern start gateway.yaml   another file, another port',
      'postern status                         is it up, and does it know my key?',
      'postern keys create checkout --env live --perm data:read',
      'postern keys list',
    )
    .addHelpText(
      'after',
      `
A running gateway is asked at POSTERN_URL with POSTERN_API_KEY, else with what \`npm start\` wrote into
.env.local. Exit codes: 0 done, 1 failed, 2 not understood, 3 no good key, 4 nothing there.`,
    )
  program.command('version', { hidden: true }).action(() => terminal.out(`${version}\n`))
  doors(program, terminal)
  keysOrder(program, terminal)
  tenantsOrder(program, terminal)
  openapiOrder(program, terminal)
  mockOrder(program, terminal)
  statusOrder(program, terminal)
  return program
}

/** The commands that are the entries'. */
function doors(program: Order, terminal: Terminal): void {
  const given = (file: string | undefined): string[] => (file === undefined ? [] : [file])
  program
    .command('start [config]')
    .description('serve the gateway that a file describes (postern.yaml)')
    .examples('postern start', 'PORT=8080 postern start gateway.yaml')
    .action(async (file?: string) => (await import('../node.ts')).main(given(file)))
  program
    .command('migrate')
    .description('create or update the tables, roles and policies in DATABASE_URL')
    .examples('DATABASE_URL=postgres://owner@db/postern postern migrate')
    .action(async () => (await import('../admin.ts')).main(['migrate']))
  program
    .command('doctor [url]')
    .description('check the secrets, database and Redis of this environment, or a running gateway')
    .examples('postern doctor', 'postern doctor http://127.0.0.1:8787')
    .action(async (url?: string) => (await import('../admin.ts')).main(['doctor', ...given(url)]))
  program
    .command('vault')
    .description('look after the key that secrets of sessions are sealed under')
    .examples('postern vault rotate gateway.yaml')
    .command('rotate [config]')
    .description('seal all secrets under the newest POSTERN_MASTER_KEY; gateways may go on serving')
    .examples('POSTERN_MASTER_KEY=2:NEW,1:OLD postern vault rotate')
    .action(async (file?: string) =>
      (await import('../admin.ts')).main(['vault', 'rotate', ...given(file)]),
    )
  const config = program.command('config').description('look at configuration files')
  config
    .examples('postern config validate gateway.yaml')
    .command('validate [file]')
    .description('say everything that is wrong with a file (postern.yaml), with its lines')
    .examples('postern config validate', 'postern config validate gateway.yaml')
    .action(async (file?: string) => {
      const { validate } = await import('../node.ts')
      done(terminal, validate(file))
    })
}
