/** What went wrong, for the person at the terminal, and as an exit code. */
import { CommanderError } from 'commander'
import {
  AuthenticationError,
  NotFoundError,
  PosternError,
} from '../../sdk/typescript/src/postern.ts'
import { Misuse, NotThere } from './command.ts'
import { NotLoggedIn } from './connect.ts'
import { plain, Stopped, type Terminal } from './terminal.ts'

/** Says it on standard error; answers 1 for failures, 2 for misuse, 3 without a key, 4 for nothing there. */
export function explain(error: unknown, command: string, terminal: Terminal): number {
  // Help and version have been written. Help that nobody asked for is an error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const name = ['postern', command].join(' ').trim()
  terminal.err(`${name}: ${plain(sentence(error))}\n`)
  if (error instanceof Misuse) {
    terminal.err(`See \`${name} --help\`.\n`)
    return 2
  }
  if (error instanceof PosternError) details(error, terminal)
  if (error instanceof NotLoggedIn || error instanceof AuthenticationError) return 3
  return error instanceof NotFoundError || error instanceof NotThere ? 4 : 1
}

function sentence(error: unknown): string {
  if (error instanceof Stopped || !(error instanceof PosternError)) {
    return error instanceof Error ? error.message : String(error)
  }
  return `${error.message} [${error.code}]`
}

function details({ docUrl, requestId, retryAfterMs }: PosternError, terminal: Terminal): void {
  const rows = [
    docUrl,
    requestId,
    retryAfterMs === null ? null : `try again in ${Math.ceil(retryAfterMs / 1000)} s`,
  ]
  for (const row of rows) if (row !== null) terminal.err(`  ${plain(row)}\n`)
}
