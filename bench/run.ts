/**
 * `npm run bench`: measures what the project promises about speed, prints a table and writes
 * bench/results.md. `npm run bench -- gate keys` runs these sections alone and writes nothing.
 *
 * It uses the servers that DATABASE_URL and REDIS_URL name, or starts throw-away ones. The whole of
 * it takes about twelve minutes, and it must have the machine to itself.
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { type Server, startPostgres, startRedis } from '../test/servers.ts'
import { readFacts } from './facts.ts'
import { loadName, moveToLoadCore } from './load.ts'
import { type Report, renderPage, renderTable, renderVerdict, type Section } from './report.ts'
import { sections } from './sections.ts'

const results = new URL('results.md', import.meta.url)
const started: Server[] = []

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    void stopServers().then(() => process.exit(code))
  })
}

process.exitCode = await main(process.argv.slice(2))

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !(name in sections))
  if (unknown.length > 0) {
    write(
      `There is no section ${unknown.join(', ')}; there are ${Object.keys(sections).join(', ')}.\n`,
    )
    return 1
  }
  try {
    await provideServers()
    const report = await measure(names)
    write(`${renderTable(report.sections)}\n${renderVerdict(report.sections)}\n`)
    if (names.length > 0) return 0
    writeFileSync(results, renderPage(report))
    write('Written to bench/results.md.\n')
    return 0
  } catch (error) {
    write(`The bench failed: ${error instanceof Error ? error.message : error}\n`)
    return 1
  } finally {
    await stopServers()
  }
}

async function measure(names: readonly string[]): Promise<Report> {
  const [loadBefore = 0] = loadavg()
  const found: Section[] = []
  for (const [name, run] of Object.entries(sections)) {
    if (names.length > 0 && !names.includes(name)) continue
    const start = performance.now()
    const say = (line: string) => progress(`${name}: ${line}`)
    say('starting')
    found.push(await run({ redisUrl: process.env.REDIS_URL ?? '', say }))
    progress(`${name}: done in ${Math.round((performance.now() - start) / 1000)} s`)
  }
  progress('')
  return {
    command: ['npm run bench', ...(names.length > 0 ? ['--', ...names] : [])].join(' '),
    date: new Date(),
    facts: await readFacts(process.env.REDIS_URL ?? ''),
    sections: found,
    notes: notesOn(loadBefore),
  }
}

function notesOn(loadBefore: number): string[] {
  return [
    'A ratio compares runs that followed each other within one round, and is the median over the rounds; the range behind it is the least and the most. Rates in other files, or of other days, are not comparable.',
    `The load average before the first run was ${loadBefore.toFixed(2)}. On a machine that does something else meanwhile every rate is lower, the ratios move by a tenth, and the run should be repeated.`,
    loadName === 'wrk'
      ? 'A server that answers slowly lets the load generator sleep between answers, and waking it costs the server time in the kernel. That is in the rates, and a virtual machine makes it dear; the time in its own code is free of it.'
      : 'autocannon runs on one core and can be slower than bare Hono, which makes the gate look better than it is; install wrk for ratios to rely on.',
  ]
}

/** Names in the environment the servers that it does not name yet. */
async function provideServers(): Promise<void> {
  for (const [name, start] of [
    ['DATABASE_URL', startPostgres],
    ['REDIS_URL', startRedis],
  ] as const) {
    if (process.env[name]) continue
    progress(`starting a server for ${name}`)
    const server = await start()
    started.push(server)
    process.env[name] = server.url
    // Away from the core of the server that is measured; what it forks follows it.
    moveToLoadCore(server.pid())
  }
}

async function stopServers(): Promise<void> {
  await Promise.all(started.splice(0).map((server) => server.stop()))
}

/** One line that is overwritten on a terminal; plain lines elsewhere. */
function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`)
  else if (line !== '') process.stderr.write(`${line}\n`)
}

function write(text: string): void {
  process.stdout.write(text)
}
