/**
 * How commands are written and misused. Help leads with examples; what is not known is refused with
 * the nearest known name, and never taken for something else.
 */
import { Command, InvalidArgumentError, Option } from 'commander'
import { suggest } from '../lib/nearest.ts'

/** The command line was not understood, or asks for what cannot be asked here: exit code 2. */
export class Misuse extends Error {
  override readonly name = 'Misuse'
}

/** There is nothing of that name: exit code 4. */
export class NotThere extends Error {
  override readonly name = 'NotThere'
}

/** A command, whose subcommands are of the same kind. */
export class Order extends Command {
  override createCommand(name?: string): Order {
    return new Order(name)
  }

  override error(message: string, { code = '' }: { code?: string } = {}): never {
    throw new Misuse(this.#words(message.replace(/^error: /, ''), code))
  }

  /** Puts lines in front of the help. */
  examples(...lines: readonly string[]): this {
    const shown = lines.map((line) => `  ${line}\n`).join('')
    return this.addHelpText('before', `Examples\n${shown}`)
  }

  #words(message: string, code: string): string {
    const named = /'([^']*)'/.exec(message)?.[1] ?? ''
    if (code === 'commander.unknownOption') {
      return `unknown option ${JSON.stringify(named)}; ${suggest(named, this.#options())}`
    }
    if (code === 'commander.unknownCommand') {
      const names = this.createHelp()
        .visibleCommands(this)
        .map((one) => one.name())
      const known = this.parent === null ? [...names, ...this.#options()] : names
      return `unknown command ${JSON.stringify(named)}; ${suggest(named, known)}`
    }
    if (code !== 'commander.excessArguments') return message
    const extra = JSON.stringify(this.args[this.registeredArguments.length])
    return `\`${this.#whole()}\` was given one argument too many, ${extra}`
  }

  #options(): string[] {
    const help = this.createHelp()
    return help.visibleOptions(this).flatMap(({ long }) => (long ? [long] : []))
  }

  #whole(): string {
    const above = this.parent?.parent === null ? '' : `${this.parent?.name()} `
    return `${above}${this.name()} ${this.usage().replace(/\[options\] ?/, '')}`.trim()
  }
}

/** What every command that asks the API takes. */
export type Common = { readonly platform?: string; readonly output: 'table' | 'json' }
/** What every command that changes something takes. */
export type Changing = Common & { readonly yes?: boolean; readonly dryRun?: boolean }

/** Adds the option of how the answer is written. */
export const writing = (order: Order): Order =>
  order.addOption(
    new Option('-o, --output <format>', 'how it is written')
      .choices(['table', 'json'])
      .default('table'),
  )

/** Adds the options of `Common`. */
export const asking = (order: Order): Order =>
  writing(order.option('--platform <slug>', 'the platform to act on, where there are several'))

/** Adds the options of `Changing`. */
export const changing = (order: Order): Order =>
  asking(order)
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'say what would be sent, and send nothing')

/** For an option that may be given several times, each with one value or more between commas. */
export const commaList = (value: string, before: readonly string[] = []): string[] => [
  ...before,
  ...value
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== ''),
]

/** For an option whose values may have commas in them. */
export const repeated = (value: string, before: readonly string[] = []): string[] => [
  ...before,
  value,
]

const units: Readonly<Record<string, number>> = {
  ...{ s: 1, sec: 1, m: 60, min: 60, h: 3600, hour: 3600, d: 86_400, day: 86_400, w: 604_800 },
}

/** `90d`, `12h`, `15min`, in seconds. */
export function duration(value: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([a-z]{1,4})$/.exec(value) ?? []
  const seconds = units[unit]
  if (count !== undefined && seconds !== undefined) return Number(count) * seconds
  throw new InvalidArgumentError('It must be like 90d, 12h or 15min.')
}

/** `never`, a duration from now, or a date. */
export function moment(value: string): Date | null {
  if (value === 'never') return null
  const at = /^\d{4}-\d\d-\d\d/.test(value) ? new Date(value) : null
  if (at === null) return new Date(Date.now() + duration(value) * 1000)
  if (Number.isNaN(at.getTime())) throw new InvalidArgumentError('There is no such date.')
  return at
}

type Limit = { readonly quota: number; readonly windowSeconds: number }

/** `100/min`, `5/10s`: as many in any window of that length. */
export function limit(value: string, before: readonly Limit[] = []): Limit[] {
  const [, quota, window = ''] = /^(\d{1,10})\/(\w+)$/.exec(value) ?? []
  if (quota === undefined) throw new InvalidArgumentError('It must be like 100/min or 5/10s.')
  const windowSeconds = units[window] ?? duration(window)
  return [...before, { quota: Number(quota), windowSeconds }]
}

/** `team=checkout`. */
export function pair(
  value: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be like team=checkout.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

/** A whole number from 1. */
export function count(value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
  throw new InvalidArgumentError('It must be a whole number from 1.')
}
