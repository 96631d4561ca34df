/**
 * What did the person at the terminal ask for? The `postern` command: it reads its arguments, and
 * knows nothing of gateways or databases. The commands are in the entries, loaded when they are
 * called for, so that `postern --help` needs neither a database driver nor a configuration.
 *
 * The danger here is a mistyped command or option that does something else than was meant: what is
 * not known is refused, with the nearest known name.
 */
import { suggest } from '../lib/nearest.ts'

/** What a command may touch of the process it runs in. bin/postern.cjs provides it. */
export type Terminal = {
  readonly version: string
  out(text: string): void
  err(text: string): void
}

type Command = {
  readonly name: string
  /** How it is written, and what it does: one line each. */
  readonly usage: string
  readonly does: string
  readonly argumentsMax: number
  readonly run: (args: readonly string[]) => Promise<void>
}

const commands: readonly Command[] = [
  {
    name: 'start',
    usage: 'start [config]',
    does: 'serve the gateway that a file describes (postern.yaml)',
    argumentsMax: 1,
    run: async (args) => (await import('../node.ts')).main(args),
  },
  {
    name: 'migrate',
    usage: 'migrate',
    does: 'create or update the tables, roles and policies in DATABASE_URL',
    argumentsMax: 0,
    run: async (args) => (await import('../admin.ts')).main(['migrate', ...args]),
  },
  {
    name: 'doctor',
    usage: 'doctor [url]',
    does: 'check the secrets, database and Redis of this environment, or a running gateway',
    argumentsMax: 1,
    run: async (args) => (await import('../admin.ts')).main(['doctor', ...args]),
  },
]

/**
 * Runs one command line, without the program's own name, e.g. `['start', 'postern.yaml']`. Answers
 * the exit code: 0, 1 where the command failed, 2 where it was not understood. A gateway that was
 * started goes on after that. Does not throw.
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name = '', ...rest] = args
  if (['--version', '-v', 'version'].includes(name)) {
    terminal.out(`postern ${terminal.version}\n`)
    return 0
  }
  if (name === 'help' || args.includes('--help') || args.includes('-h')) {
    terminal.out(help)
    return 0
  }
  if (name === '') {
    terminal.err(help)
    return 2
  }
  const command = commands.find((one) => one.name === name)
  const wrong = command === undefined ? unknown(name) : misused(command, rest)
  if (command === undefined || wrong !== null) {
    terminal.err(`postern: ${wrong}\nSee \`postern --help\`.\n`)
    return 2
  }
  try {
    await command.run(rest)
    return 0
  } catch (error) {
    terminal.err(`postern ${name}: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

function unknown(name: string): string {
  const names = [...commands.map((one) => one.name), '--help', '--version']
  const kind = name.startsWith('-') ? 'option' : 'command'
  return `unknown ${kind} ${JSON.stringify(name)}; ${suggest(name, names)}`
}

function misused(command: Command, args: readonly string[]): string | null {
  const option = args.find((arg) => arg.startsWith('-'))
  if (option !== undefined) return `\`${command.name}\` has no option ${JSON.stringify(option)}`
  const extra = args[command.argumentsMax]
  if (extra === undefined) return null
  return `\`${command.usage}\` was given one argument too many, ${JSON.stringify(extra)}`
}

const help = `Examples
  postern start                          serve postern.yaml on http://127.0.0.1:8787
  PORT=8080 postern start gateway.yaml   another file, another port
  postern migrate                        bring the database in DATABASE_URL up to date
  postern doctor                         say what is not as it should be, and what it means

Usage
  postern <command>

Commands
${commands.map(({ usage, does }) => `  ${usage.padEnd(16)} ${does}`).join('\n')}

Options
  -h, --help       show this
  -v, --version    show the version

Settings come from the configuration file and the environment (HOST, PORT, DATABASE_URL, REDIS_URL).
`
