/**
 * An address that takes no connection and refuses none: a process that listens and is stopped, with
 * its backlog full, so that the system drops every further attempt.
 */
import { connect, type Socket } from 'node:net'
import { start } from './process.ts'

export type BlackHole = { readonly url: string; stop(): Promise<void> }

const listener = `
  const server = require('node:net').createServer()
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port))
`

export async function startBlackHole(): Promise<BlackHole> {
  const running = await start(process.execPath, ['-e', listener])
  const [port = ''] = await running.line(/^\d+$/)
  running.signal('SIGSTOP')
  const fill: Socket[] = []
  // Linux takes one more than the backlog says; whatever is over it waits, as everybody's will.
  while (await isTaken(Number(port), fill));
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      for (const socket of fill) socket.destroy()
      await running.stop('SIGKILL')
    },
  }
}

/** Whether one more connection is taken within half a second. */
function isTaken(port: number, fill: Socket[]): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    fill.push(socket)
    socket.on('error', () => {})
    const timer = setTimeout(() => resolve(false), 500)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
