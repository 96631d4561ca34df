/** The `postern` command over a gate: as a process, or in this one with somebody at the terminal. */
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { main } from '../../src/cli/main.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { run } from '../process.ts'

export const bin = fileURLToPath(new URL('../../bin/postern.cjs', import.meta.url))

type Typed = {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Runs the command as a process that nobody sits at. */
export async function postern(args: readonly string[], { cwd, env, input }: Typed = {}) {
  const base = { PATH: process.env.PATH ?? '', HOME: '/nowhere' }
  const { code, stdout, stderr } = await run(process.execPath, [bin, ...args], {
    ...{ cwd, input },
    env: { ...base, ...env },
  })
  return { code, out: stdout, err: stderr }
}

/** Runs the command in this process, with somebody who types `keys` when he is asked. */
export async function typed(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  keys: string | null = null,
) {
  let out = ''
  let err = ''
  const input = new PassThrough()
  const output = new PassThrough()
  let asked = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    const isFirst = asked === ''
    asked += text
    // The question is on the screen: now it is answered.
    if (isFirst && keys !== null) setImmediate(() => input.write(keys))
  })
  const terminal: Terminal = {
    version: '1.2.3',
    env,
    envFile: () => ({}),
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    streams: { input, output },
    isInteractive: keys !== null,
    hasColors: false,
  }
  const code = await main(args, terminal)
  return { code, out, err, asked }
}
