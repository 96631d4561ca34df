import { describe, expect, test } from 'vitest'
import { run, start } from './process.ts'

const node = (code: string, options = {}) => start(process.execPath, ['-e', code], options)

describe('start', () => {
  test('a command that does not exist is an error with its name', async () => {
    await expect(start('no-such-program', [])).rejects.toThrow(/cannot start no-such-program/)
  })

  test('waiting for a line ends at once when the process does, and says what it printed', async () => {
    const running = await node('console.error("out of cheese"); process.exit(3)')
    await expect(running.line(/ready/)).rejects.toThrow(/ended \(code 3\)[\s\S]*out of cheese/)
  })

  test('waiting for a line that never comes gives up, and the process still stops', async () => {
    const running = await node('console.log("hello"); setInterval(() => {}, 1000)')
    await running.line(/hello/)
    await expect(running.line(/ready/, 1)).rejects.toThrow(/within 1 ms/)
    expect(await running.stop()).toEqual({ code: null, signal: 'SIGTERM' })
  })

  test('a line is found whether it came before or after the question, also in pieces', async () => {
    const running = await node(`
      process.stdin.once('data', () => console.log('dy on 80'))
      process.stdout.write('first\\nrea')`)
    const late = running.line(/ready on (\d+)/).catch((error: Error) => error.message)
    await running.line(/first/)
    expect((await running.exited).code).toBe(0)
    expect(await late).toMatch(/before it ended/)
    const fed = await node(
      `process.stdout.write('rea'); process.stdin.on('data', () => console.log('dy on 80'))`,
      { input: 'go' },
    )
    expect((await fed.line(/ready on (\d+)/))[1]).toBe('80')
  })

  test('a process that ignores the request to end is killed', async () => {
    const running = await node(
      'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)',
    )
    await running.line(/up/)
    expect(await running.stop('SIGTERM', 50)).toEqual({ code: null, signal: 'SIGKILL' })
  })

  test('stopping twice is harmless and answers the same', async () => {
    const running = await node('console.log("up"); setInterval(() => {}, 1000)')
    const [first, second] = [await running.stop(), await running.stop()]
    expect(second).toEqual(first)
  })
})

describe('run', () => {
  test('answers exit code and both streams apart', async () => {
    const code = 'console.log("out"); console.error("err"); process.exitCode = 7'
    expect(await run(process.execPath, ['-e', code])).toEqual({
      code: 7,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
    })
  })

  test('a process that never ends is killed and reported', async () => {
    const code = 'console.log("busy"); setInterval(() => {}, 1000)'
    const late = run(process.execPath, ['-e', code], { timeoutMs: 500 })
    await expect(late).rejects.toThrow(/still ran after 500 ms/)
  })
})
