/**
 * What a command may touch of the process it runs in: bin/postern.cjs provides it. Data goes to
 * standard output and talk to standard error, so that a pipe gets the one and a person the other.
 *
 * The danger is text that came from elsewhere: a name may not move the cursor of whoever lists it.
 */
import type { confirm, password } from '@clack/prompts'
import { toWire } from '../../sdk/typescript/src/case.ts'
import { Misuse } from './command.ts'

type Streams = Pick<Parameters<typeof confirm>[0], 'input' | 'output'>

export type Terminal = {
  readonly version: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The variables of an env file; empty where there is none. */
  envFile(file: string): Readonly<Record<string, string | undefined>>
  out(text: string): void
  err(text: string): void
  /** Standard input, and where questions are written: standard error. */
  readonly streams: Required<Streams>
  /** Whether there is somebody to ask. */
  readonly isInteractive: boolean
  /** Whether standard error shows colours. */
  readonly hasColors: boolean
}

/** Nothing was changed, because somebody said no: exit code 1. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/** Asks before something that cannot be taken back. Throws `Misuse` where there is nobody to ask. */
export async function confirmed(
  terminal: Terminal,
  question: string,
  isAnswered: boolean | undefined,
): Promise<void> {
  if (isAnswered) return
  if (!terminal.isInteractive) throw new Misuse(`${question}\nNobody is here to ask; say --yes.`)
  const prompts = await import('@clack/prompts')
  const options: Parameters<typeof confirm>[0] = { message: plain(question), initialValue: false }
  if ((await prompts.confirm({ ...options, ...terminal.streams })) !== true) {
    throw new Stopped('nothing was changed')
  }
}

/** A secret, typed unseen; else the first line of standard input. */
export async function secretFrom(terminal: Terminal, question: string): Promise<string> {
  if (!terminal.isInteractive) {
    for await (const line of linesFrom(terminal)) return line.trim()
    throw new Misuse('standard input is empty')
  }
  const prompts = await import('@clack/prompts')
  const options: Parameters<typeof password>[0] = { message: question }
  const answer = await prompts.password({ ...options, ...terminal.streams })
  if (typeof answer !== 'string' || answer === '') throw new Stopped('nothing was asked')
  return answer.trim()
}

const lineCharactersMax = 1 << 20

/** Standard input, line by line. Throws `Misuse` for a line without end. */
export async function* linesFrom({ streams }: Terminal): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of streams.input) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineCharactersMax) throw new Misuse('standard input has a line without end')
    yield* lines
  }
  if (rest !== '') yield rest
}

/** Says something to the person, with a mark that it is done. */
export function done(terminal: Terminal, text: string): void {
  const mark = terminal.hasColors ? '\u001b[32m✔\u001b[39m' : '✔'
  terminal.err(`${mark} ${plain(text)}\n`)
}

/** Says something to the person. */
export const say = (terminal: Terminal, text: string): void => terminal.err(`${plain(text)}\n`)

/** Suggests what to do next. */
export const next = (terminal: Terminal, command: string): void =>
  terminal.err(`  Next: ${plain(command)}\n`)

/** Says what would be sent. */
export function rehearse(terminal: Terminal, request: string, body?: object): void {
  terminal.err(`Dry run, nothing is sent: ${plain(request)}\n`)
  if (body !== undefined) terminal.out(`${json(body)}\n`)
}

/** Data as the API writes it. */
export const json = (value: unknown): string => escaped(JSON.stringify(toWire(value), undefined, 2))

/** One line of NDJSON, as the API writes it. */
export const jsonLine = (value: unknown): string => `${escaped(JSON.stringify(toWire(value)))}\n`

// JSON leaves DEL and the C1 controls as they are, of which some begin a terminal's commands.
const escaped = (text: string): string =>
  text.replace(/[\u007f-\u009f]/g, (one) => `\\u${hexOf(one)}`)

/** Text without what a terminal would obey. */
export const plain = (text: string): string =>
  text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (one) => `\\u${hexOf(one)}`,
  )

const hexOf = (one: string): string => one.charCodeAt(0).toString(16).padStart(4, '0')
