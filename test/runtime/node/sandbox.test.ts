import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Compute, Sandbox, SandboxRun } from '../../../src/context.ts'
import { openSandbox } from '../../../src/runtime/node/sandbox/bubblewrap.ts'

const canary = 'canary-5d41402abc4b2a76'
let sandbox: Sandbox

beforeAll(async () => {
  sandbox = await openSandbox({ outputBytes: 4096, processes: 16, fileBytes: 1 << 20 })
})
afterAll(() => sandbox.close())

const start = (compute: Compute, code: string, more: Partial<SandboxRun> = {}) =>
  sandbox.start({
    ...{ compute, code, variables: { OPENAI_API_KEY: canary }, timeoutMs: 20_000, network: false },
    ...more,
  })

async function run(compute: Compute, code: string, more: Partial<SandboxRun> = {}) {
  const started = await start(compute, code, more)
  return { ...(await started.ended), ...started.output() }
}

test('it can be had where the tests run', () => {
  expect(sandbox.unavailable).toBeNull()
})

describe('a program has what it was given', () => {
  test.each([
    ['python', 'import os; print(len(os.environ["OPENAI_API_KEY"]))'],
    ['node', 'console.log(process.env.OPENAI_API_KEY.length)'],
    ['shell', 'echo "${#OPENAI_API_KEY}"'],
  ] as const)('%s', async (compute, code) => {
    const ended = await run(compute, code)
    expect(ended).toEqual({
      ...{ reason: 'exited', exitCode: 0, text: `${canary.length}\n`, truncated: false },
    })
  })

  test('and no other variable', async () => {
    const { text } = await run('shell', 'env | cut -d= -f1 | sort')
    expect(text.split('\n').filter(Boolean)).toEqual([
      'HOME',
      'LANG',
      'OPENAI_API_KEY',
      'PATH',
      'PWD',
    ])
  })

  test('an exit code, both streams, and a program that is no program', async () => {
    const { exitCode, text } = await run('shell', 'echo out; sleep 0.2; echo err >&2; exit 7')
    expect({ exitCode, text }).toEqual({ exitCode: 7, text: 'out\nerr\n' })
    expect((await run('python', 'this is not python')).exitCode).toBe(1)
  })
})

describe('X7: the value stands nowhere that others look', () => {
  test('not in a process list, nor in a variable of what runs out here', async () => {
    const started = await start('shell', 'echo ready; sleep 20')
    await expect.poll(() => started.output().text, { timeout: 20_000 }).toBe('ready\n')
    const places = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    const holders: string[] = []
    for (const pid of places) {
      if (read(`/proc/${pid}/cmdline`).includes(canary)) holders.push(`arguments of ${pid}`)
      const inside = read(`/proc/${pid}/cmdline`).match(/^(sleep|\/bin\/sh)\0/) !== null
      if (!inside && read(`/proc/${pid}/environ`).includes(canary)) {
        holders.push(`${pid}: ${read(`/proc/${pid}/cmdline`)}`)
      }
    }
    started.stop()
    expect((await started.ended).reason).toBe('stopped')
    expect(holders).toEqual([])
  })

  test('not in what it prints, also when it is printed in halves', async () => {
    const code = `import os, sys, time, base64
key = os.environ["OPENAI_API_KEY"]
sys.stdout.write("a" + key[:9]); sys.stdout.flush(); time.sleep(0.1)
sys.stdout.write(key[9:] + "b "); print(base64.b64encode(key.encode()).decode())`
    const { text } = await run('python', code)
    expect(text).toMatch(/^a\*{23}b \*{28,32}.{0,4}\n$/)
  })
})

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // it has ended meanwhile
  }
}

describe('a program reaches nothing', () => {
  test.each([
    [
      'files of this machine',
      'ls /root /home/postern /etc/passwd /work /tmp/* 2>/dev/null | wc -l',
      '0\n',
    ],
    ['its programs are read only', 'touch /usr/x 2>/dev/null || echo no', 'no\n'],
    ['root', 'id -u', '65534\n'],
    ['capabilities', 'grep CapEff /proc/self/status | cut -f2', '0000000000000000\n'],
    ['other processes', 'ls /proc | grep -c "^[0-9]"', /^[1-9]\n$/],
    ['further namespaces', 'unshare -U true 2>/dev/null || echo no', 'no\n'],
    ['a home that anyone has used', 'ls -A "$HOME" | wc -l', '0\n'],
  ])('%s', async (_, code, expected) => {
    const { text } = await run('shell', code)
    if (typeof expected === 'string') expect(text).toBe(expected)
    else expect(text).toMatch(expected)
  })

  test('a file beside it, or a server on loopback', async () => {
    const file = join(tmpdir(), `postern-canary-${process.pid}`)
    writeFileSync(file, canary)
    let connected = 0
    const server = createServer((socket) => {
      connected += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const code = `import socket
try: open(${JSON.stringify(file)}); print("read")
except OSError: print("no file")
try: socket.create_connection(("127.0.0.1", ${port}), 2); print("connected")
except OSError: print("no network")`
    const { text } = await run('python', code)
    server.close()
    expect(text).toBe('no file\nno network\n')
    expect(connected).toBe(0)
  })
})

describe('a program is held to its limits', () => {
  test('time', async () => {
    const ended = await run('shell', 'sleep 60 & sleep 60', { timeoutMs: 500 })
    expect(ended).toMatchObject({ reason: 'timeout', exitCode: null })
  })

  test('processes: a fork bomb ends, and this machine goes on', async () => {
    const code = `import os, time
made = 0
try:
  while made < 100:
    if os.fork() == 0: time.sleep(30)
    made += 1
except OSError: print("no more", made < 16)`
    expect((await run('python', code)).text).toBe('no more True\n')
  })

  test('memory, files and output', async () => {
    expect((await run('python', 'x = "a" * (2 << 30)')).text).toContain('MemoryError')
    const full = await run('shell', 'head -c 4000000 /dev/zero > "$HOME/big" 2>/dev/null; echo $?')
    expect(full.text).not.toBe('0\n')
    const loud = await run('shell', 'yes | head -c 1000000; echo done >&2')
    expect(loud).toMatchObject({ reason: 'exited', truncated: true })
    expect(loud.text).toHaveLength(4096)
  })

  test('closing ends all that run', async () => {
    const one = await openSandbox()
    const started = await one.start({
      ...{ compute: 'shell', code: 'sleep 60', variables: {}, timeoutMs: 60_000, network: false },
    })
    await one.close()
    expect((await started.ended).reason).toBe('stopped')
  })
})
