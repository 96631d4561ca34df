/**
 * `npm run test:faults`: every row of the table of threats that is about things that break, on real
 * processes, at a tenth of its length. Prints what was done, what was measured and what is allowed, and
 * writes the same to test/faults/results.md.
 *
 * FAULT_SCALE: the part of the lengths (1: all of it). FAULT_ROWS: some of the rows, as Q1,Q5; then
 * nothing is written. FAULT_PENDING=1: rows and figures too whose feature is not there yet.
 * FAULT_SLACK: how much slower than intended the machine may be.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Facts, renderPage, renderTable } from './table.ts'
import type { Result } from './verdicts.ts'

const results = new URL('results.md', import.meta.url)
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

process.exitCode = await main()

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-faults-'))
  const file = join(folder, 'results')
  const started = performance.now()
  try {
    const code = await runRows(file)
    const found = existsSync(file) ? readResults(file) : []
    const facts: Facts = {
      scale: process.env.FAULT_SCALE ?? '0.1',
      slack: process.env.FAULT_SLACK ?? '1',
      minutes: Math.round((performance.now() - started) / 6000) / 10,
      processor: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
      node: process.version,
      date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    }
    process.stdout.write(`\n${renderTable(found)}\n`)
    if (process.env.FAULT_ROWS === undefined && found.length > 0) {
      writeFileSync(results, renderPage(found, facts))
      process.stdout.write('Written to test/faults/results.md.\n')
    }
    return code
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function readResults(file: string): Result[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}

/** The rows, as tests; their servers are theirs, and stopped by them. */
function runRows(file: string): Promise<number> {
  const args = [here('../run.ts'), '--config', here('vitest.config.ts'), ...process.argv.slice(2)]
  const child = spawn(process.execPath, args, {
    env: { ...process.env, FAULT_RESULTS: file },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => void child.kill(signal))
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}
