/**
 * A gate of the bench, in a process of its own so that it can be held to one core:
 *
 *     node bench/server.ts '{"counting": "exact", …}'     the rest is in bench/gate-setup.ts
 *
 * It is the whole gateway in front of a handler that answers a small JSON, or of an upstream, on the
 * PostgreSQL at DATABASE_URL, counting in the Redis at REDIS_URL (`leased` unless it is told `exact`)
 * or, without one, in memory. It tells its parent where it listens and what to send, and ends with it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderErrors } from '../src/config/report.ts'
import { type Config, parseConfig } from '../src/config.ts'
import { createHandler } from '../src/handler.ts'
import { deploy } from '../src/runtime/node/deployment.ts'
import { firstStart } from '../src/runtime/node/first-start.ts'
import { createLog } from '../src/runtime/node/log.ts'
import { readRootSecrets } from '../src/runtime/node/secrets.ts'
import type { RootSecrets } from '../src/runtime/root-secrets.ts'
import { type GateSetup, platformFile, storeKeys } from './gate-setup.ts'
import { answer, answerAsServer, type Listening } from './processes.ts'

const handlers = { hello: createHandler().get('/', (c) => c.json(answer)) }

async function startGate(setup: GateSetup): Promise<Listening> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { DATABASE_URL, REDIS_URL } = process.env
  const env = { POSTERN_DIR: folder, PORT: '0', DATABASE_URL, REDIS_URL }
  const parsed = parseConfig(platformFile(setup), 'bench.yaml', env, Object.keys(handlers))
  if (!parsed.ok) throw new Error(renderErrors(parsed.errors))
  const { config } = parsed
  const secrets = readRootSecrets({}, folder)
  const deployment = await deploy(config, secrets, handlers, createLog(config.log.level))
  await deployment.listen()
  const file = join(folder, 'env')
  const { entries } = await firstStart(config, deployment, secrets, file)
  const key = /^POSTERN_SK_LIVE=(\S+)$/m.exec(readFileSync(file, 'utf8'))?.[1]
  if (key === undefined) throw new Error('the gate seeded no live secret key')
  if (setup.keys !== undefined) await writeKeys(setup.keys, config, secrets.peppers)
  return {
    url: `${entries.get('POSTERN_URL')}/v1/hello`,
    headers: { 'x-api-key': key, 'x-tn': 'tenant_abc123' },
  }
}

async function writeKeys(
  { count, file }: NonNullable<GateSetup['keys']>,
  { platforms }: Config,
  { current, versions }: RootSecrets['peppers'],
): Promise<void> {
  const bytes = versions.get(current)
  const [platform] = platforms
  const { DATABASE_URL = '' } = process.env
  if (bytes === undefined || platform === undefined) throw new Error('there is nothing to store by')
  const keys = await storeKeys(DATABASE_URL, platform.id, { version: current, bytes }, count)
  writeFileSync(file, keys.join('\n'), { mode: 0o600 })
}

if (import.meta.main) {
  answerAsServer(await startGate(JSON.parse(process.argv[2] ?? '{}')))
}
