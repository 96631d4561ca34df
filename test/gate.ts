/** A gate to call in tests: the real deployment in this process, on a free port, over any storage. */
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderErrors } from '../src/config/report.ts'
import { type Config, parseConfig } from '../src/config.ts'
import type { KeyRecord } from '../src/context.ts'
import { createCredentials } from '../src/db/credentials.ts'
import type { Handlers } from '../src/handler.ts'
import { handlers as served } from '../src/handlers/named.ts'
import { generateKey, storedDigest } from '../src/keys/format.ts'
import { newId } from '../src/lib/id.ts'
import { type Deployment, deploy } from '../src/runtime/node/deployment.ts'
import { firstStart } from '../src/runtime/node/first-start.ts'
import { createLog } from '../src/runtime/node/log.ts'
import { readRootSecrets } from '../src/runtime/node/secrets.ts'
import type { Lookup } from '../src/runtime/node/upstream/connect.ts'
import type { GateUnderTest } from './suites/gate.suite.ts'

export type TestGate = GateUnderTest & {
  readonly deployment: Deployment
  readonly config: Config
  readonly folder: string
}

const example = new URL('../postern.yaml', import.meta.url)

/** postern.yaml with limits that a suite cannot reach by accident. */
export function roomyConfig(): string {
  return readFileSync(example, 'utf8')
    .replaceAll(/\[(?:100|500|1000|5000)\/min\]/g, '[100000/min]')
    .concat('\nkeys: { failures: { count: 100, window: 10s }, positiveTtl: 50ms }\n')
}

/** Reads a config for a gate whose data are in `folder`. Throws what is wrong with it. */
export function configOf(
  text: string,
  folder: string,
  env: Readonly<Record<string, string>> = {},
  handlers: Handlers = served,
): Config {
  const variables = { POSTERN_DIR: join(folder, 'data'), PORT: '0', ...env }
  const parsed = parseConfig(text, 'postern.yaml', variables, Object.keys(handlers))
  if (!parsed.ok) throw new Error(renderErrors(parsed.errors))
  const { config } = parsed
  // In one process with its callers, whose work would count as the gate's.
  return { ...config, server: { ...config.server, overloadMs: null } }
}

/** Starts the gate that `text` describes, with the storage that `env` names (none: embedded). */
export async function startGate(
  env: Readonly<Record<string, string>> = {},
  text = roomyConfig(),
  handlers: Handlers = served,
  lookup?: Lookup,
): Promise<TestGate> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-gate-'))
  const config = configOf(text, folder, env, handlers)
  const logFile = join(folder, 'log')
  const log = createLog(config.log.level, openSync(logFile, 'a'))
  const secrets = readRootSecrets({}, config.storage.folder)
  const deployment = await deploy(config, secrets, handlers, log, lookup)
  await deployment.listen()
  const { entries } = await firstStart(config, deployment, secrets, join(folder, 'env'))
  const named = (name: string) => entries.get(name) ?? ''
  const credentials = createCredentials(deployment.ports.gatewaySql)
  const [platform] = config.platforms
  if (platform === undefined) throw new Error('the config has no platform')
  const pepper = {
    version: secrets.peppers.current,
    bytes: [...secrets.peppers.versions.values()][0]!,
  }

  async function mint(
    changes: Partial<KeyRecord>,
    as: { revoked?: boolean; disabled?: boolean } = {},
  ) {
    const { key, ref, last4 } = generateKey(changes.prefix ?? 'sk_live_')
    const id = newId('key_')
    const refusal = await credentials.insertKey({
      id,
      platform: platform!.id,
      environment: 'live',
      class: 'secret',
      name: 'minted',
      prefix: 'sk_live_',
      tenants: null,
      permissions: platform!.permissions,
      restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
      limits: null,
      expiresAt: null,
      ...changes,
      ref,
      last4,
      secret: { pepperVersion: pepper.version, digest: storedDigest(key, pepper.bytes) },
    })
    if (refusal !== null) throw new Error(refusal.code)
    for (const column of [as.revoked && 'revoked_at', as.disabled && 'disabled_at']) {
      if (!column) continue
      const text = `update postern.api_keys set ${column} = now() where id = $1`
      await deployment.ports.gatewaySql.query({ platform: platform!.id }, { text, values: [id] })
    }
    return key
  }

  return {
    deployment,
    config,
    folder,
    url: deployment.urls.get(platform.slug) ?? '',
    seeded: {
      pk_dev_: named('POSTERN_PK_DEV'),
      sk_dev_: named('POSTERN_SK_DEV'),
      pk_live_: named('POSTERN_PK_LIVE'),
      sk_live_: named('POSTERN_SK_LIVE'),
      admin: named('POSTERN_ADMIN_KEY'),
      operator: named('POSTERN_OPERATOR_KEY'),
    },
    mint,
    async suspend(tenant) {
      await credentials.suspendTenant(platform.id, tenant, true)
    },
    async addTenant(tenant) {
      await credentials.insertTenant(platform.id, tenant)
    },
    async logged() {
      await log.flush()
      return readFileSync(logFile, 'utf8')
    },
    async stop() {
      await deployment.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
