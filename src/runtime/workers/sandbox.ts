import type { Sandbox } from '../../context.ts'

/** The sandbox port on Workers, where there are no processes: it says so, and starts nothing. */
export const noSandbox: Sandbox = {
  unavailable: 'there are no processes on Workers',
  async start() {
    throw new Error('there are no processes on Workers')
  },
  async close() {},
}
