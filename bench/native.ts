/** A server of the bench that is no program of ours: it is started, waited for, watched and ended. */
import { readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { start } from '../test/process.ts'
import { onServerCore } from './load.ts'
import type { BenchServer, Listening, Usage } from './processes.ts'

export type Native = {
  /** For messages. */
  readonly name: string
  readonly command: readonly string[]
  /** Removed when it has ended. */
  readonly folder: string
  readonly listening: Listening
}

/** Starts it on the server's core and waits until it answers anything at all. */
export async function startNative(native: Native): Promise<BenchServer> {
  const { name, folder, listening } = native
  const [command = '', ...args] = onServerCore(...native.command)
  const running = await start(command, args)
  const stop = async () => {
    await running.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await untilAnswered(listening.url)
  } catch {
    await stop()
    throw new Error(`${name} does not listen. It printed:\n${running.output()}`)
  }
  return { ...listening, usage: async () => usageOf(running.pid), stop }
}

async function untilAnswered(url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return void (await (await fetch(url)).arrayBuffer())
    } catch (error) {
      if (attempt === 100) throw error
      await delay(50)
    }
  }
}

/** From Linux's /proc, processor time in its ticks of 10 ms; elsewhere 0. */
function usageOf(pid: number): Usage {
  if (process.platform !== 'linux') return { userMicros: 0, systemMicros: 0, rssBytes: 0 }
  // proc(5): utime and stime are the 14th and 15th field; the name, which may hold spaces, is the 2nd.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return {
    userMicros: Number(fields[11]) * 10_000,
    systemMicros: Number(fields[12]) * 10_000,
    rssBytes: Number(kilobytes ?? 0) * 1024,
  }
}
