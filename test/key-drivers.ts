/** Three ways to manage keys, by the same steps: curl, the `postern` command, the TypeScript SDK. */
import { Postern } from '../sdk/typescript/src/postern.ts'
import { postern } from './cli/terminal.ts'
import { curl } from './http-clients.ts'

export type NewKey = {
  readonly name: string
  /** A word of the platform. */
  readonly type: string
  readonly permissions: readonly string[]
}
export type Issued = { readonly id: string; readonly key: string }
/** How a key stands, and its secrets, the newest first. */
export type Standing = { readonly status: string; readonly secrets: readonly string[] }

export type KeyDriver = {
  create(key: NewKey): Promise<Issued>
  /** Holds it to these endpoints. */
  restrict(id: string, endpoints: readonly string[]): Promise<void>
  /** `overlapSeconds` begin at once. */
  rotate(id: string, overlapSeconds: number): Promise<Issued>
  show(id: string): Promise<Standing>
  revoke(id: string): Promise<void>
}

/** Makes a driver for the API at `url`, as the holder of `key`. */
export const keyDrivers: Readonly<Record<string, (url: string, key: string) => KeyDriver>> = {
  curl: overCurl,
  CLI: overCommand,
  SDK: overSdk,
}

function overCurl(url: string, key: string): KeyDriver {
  const send = async (method: string, path: string, body?: unknown) => {
    const headers = {
      authorization: `Bearer ${key}`,
      ...(method === 'PATCH' && { 'if-match': '*' }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const asked = { url: `${url}/v1/api-keys${path}`, method, headers, body }
    const { status, text, json } = await curl.send(asked)
    if (status >= 300) throw new Error(`${method} ${path}: ${text}`)
    return json.data
  }
  return {
    create: (body) => send('POST', '', body),
    restrict: (id, endpoints) => send('PATCH', `/${id}`, { restrictions: { endpoints } }),
    rotate: (id, overlap) => send('POST', `/${id}/rotate`, { overlap, overlap_from: 'now' }),
    async show(id) {
      const { status, rotation } = await send('GET', `/${id}`)
      return { status, secrets: statesOf(rotation.secrets) }
    },
    revoke: (id) => send('DELETE', `/${id}`),
  }
}

function overCommand(url: string, apiKey: string): KeyDriver {
  const env = { POSTERN_URL: url, POSTERN_API_KEY: apiKey }
  const keys = async (...args: string[]) => {
    const { code, out, err } = await postern(['keys', ...args, '-o', 'json'], { env, cwd: '/' })
    if (code !== 0) throw new Error(`postern keys ${args.join(' ')}:\n${err}`)
    return JSON.parse(out)
  }
  return {
    create: ({ name, type, permissions }) =>
      keys('create', name, '--type', type, '--perm', permissions.join()),
    restrict: (id, endpoints) =>
      keys('update', id, ...endpoints.flatMap((one) => ['--endpoint', one])),
    rotate: (id, seconds) =>
      keys('rotate', id, '--overlap', `${seconds}s`, '--overlap-from', 'now', '--yes'),
    async show(id) {
      const { status, rotation } = await keys('show', id)
      return { status, secrets: statesOf(rotation.secrets) }
    },
    revoke: (id) => keys('revoke', id, '--yes'),
  }
}

function overSdk(baseUrl: string, apiKey: string): KeyDriver {
  const { apiKeys } = new Postern({ baseUrl, apiKey })
  return {
    create: ({ permissions, ...key }) => apiKeys.create({ ...key, permissions: [...permissions] }),
    async restrict(id, endpoints) {
      await apiKeys.update(id, { restrictions: { endpoints: [...endpoints] } })
    },
    rotate: (id, overlap) => apiKeys.rotate(id, { overlap, overlapFrom: 'now' }),
    async show(id) {
      const { status, rotation } = await apiKeys.get(id)
      return { status, secrets: statesOf(rotation.secrets) }
    },
    async revoke(id) {
      await apiKeys.revoke(id)
    },
  }
}

const statesOf = (secrets: readonly { readonly state: string }[]) =>
  secrets.map(({ state }) => state)
