/** Where a front listens, and in what words it is said when it cannot. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Front } from './front.ts'
import type { Log } from './log.ts'

/** Listens, and answers the port. Throws in words what is in the way. */
export async function listenOn(
  front: Pick<Front, 'listen'>,
  port: number,
  host: string,
): Promise<number> {
  try {
    return await front.listen(port, host)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    const why: Readonly<Record<string, string>> = {
      EADDRINUSE: `port ${port} of ${host} is taken: stop what listens there, or choose another PORT`,
      EACCES: `port ${port} of ${host} may not be used by this user: choose a PORT above 1023`,
      EADDRNOTAVAIL: `${host} is no address of this machine: choose another HOST`,
      ENOTFOUND: `${host} is no address of this machine: choose another HOST`,
    }
    throw new Error(why[String(code)] ?? String(error), { cause: error })
  }
}

/** Every address is no address to call: one that this machine answers to, as it stands in a URL. */
export function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** Logs connections that could not be taken. One line a second at most: whoever runs out of descriptors does so thousands of times. */
export function acceptErrors(log: Log): (error: Error) => void {
  let lastMs = Number.NEGATIVE_INFINITY
  let unsaid = 0
  return ({ message }) => {
    unsaid += 1
    const now = performance.now()
    if (now - lastMs < 1000) return
    log.error('connections cannot be accepted', { cause: message, times: unsaid })
    lastMs = now
    unsaid = 0
  }
}

/**
 * A listener that is closed again at once: the port that it got, which is free for those who will share
 * it. Rejects where somebody has it.
 */
export async function probePort(port: number, host: string): Promise<number> {
  const server = createServer()
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : port
}
