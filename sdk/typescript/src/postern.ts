/**
 * The client of Postern's API: keys, tenants and audit of a platform, and sessions with their
 * secrets, for servers, Workers and trusted browsers.
 *
 * The danger is the key that it holds. It refuses to hold one in a page, writes none into an error or
 * a log, and shows none when it is printed.
 */
import { ApiKeys } from './api-keys.ts'
import { AuditEvents } from './audit-events.ts'
import { isPage, variable } from './environment.ts'
import { Permissions, Platforms } from './platforms.ts'
import { Sessions } from './sessions.ts'
import { Tenants } from './tenants.ts'
import { Transport } from './transport.ts'

export type { Agent, AgentInfo, AgentStatus, Agents, CreateAgent } from './agents.ts'
export type { ListApiKeys, UpdateOptions } from './api-keys.ts'
export type { ListAuditEvents } from './audit-events.ts'
export {
  AuthenticationError,
  ConflictError,
  ConnectionError,
  type FieldError,
  InvalidRequestError,
  NotFoundError,
  PermissionError,
  PosternError,
  RateLimitError,
  ServerError,
} from './errors.ts'
export type { Page, PageOptions, Pages } from './page.ts'
export type {
  ApiKey,
  AuditEvent,
  CreateApiKeyBody,
  CreateTenantBody,
  GetApiKeyUsageData,
  GetApiKeyUsageQuery,
  ImportApiKeysData,
  ImportedApiKey,
  IssuedApiKey,
  PermissionGroup,
  Platform,
  Receipt,
  RotateApiKeyBody,
  Tenant,
  UpdateApiKeyBody,
  UpdateTenantBody,
  VerifyApiKeyBody,
  VerifyApiKeyData,
} from './schema.ts'
export type {
  ListSessions,
  SecretInfo,
  Secrets,
  Session,
  SessionInfo,
  SessionList,
  Sessions,
} from './sessions.ts'
export type { ListTenants } from './tenants.ts'
export type { RequestOptions, Told, WaitOptions } from './transport.ts'

/** How a client is made. Everything has a default but the key and the address. */
export type PosternOptions = {
  /**
   * A secret API key that holds admin permissions, or an operator key. Default: the environment's
   * POSTERN_API_KEY. null: send none, because `fetch` or a session does it.
   */
  readonly apiKey?: string | null
  /** Sent as `x-tn` with every call. A key that is bound to tenants must have it among them. */
  readonly tenant?: string
  /** The platform to act on, by slug. For operator keys, where there are several. */
  readonly platform?: string
  /**
   * Where the gateway is, e.g. `https://api.example.com`: the API is at `/v1` there. An address with
   * a path of its own is taken as the API's. Default: the environment's POSTERN_URL.
   */
  readonly baseUrl?: string
  /** The longest one try may take. Default: 30 000. */
  readonly timeoutMs?: number
  /** How often a call is tried again that may succeed then. Default: 2. */
  readonly maxRetries?: number
  /** Sends the requests. Default: the runtime's own. */
  readonly fetch?: typeof fetch
  /** Holds a secret key in a page all the same, where every visitor can read it. */
  readonly dangerouslyAllowBrowser?: boolean
}

/**
 * A client of one gateway. Throws `TypeError` where an option cannot be used, and for a secret key in
 * a page; it asks nothing of the gateway before the first call.
 */
export class Postern {
  /** API keys: create, list, get, update, rotate, revoke, disable, enable, verify, usage, import, export. */
  readonly apiKeys: ApiKeys
  /** The platform's customers. */
  readonly tenants: Tenants
  /** What a key can be allowed. */
  readonly permissions: Permissions
  /** What is configured. */
  readonly platforms: Platforms
  /** Who changed what. */
  readonly auditEvents: AuditEvents
  /** Working sessions of a tenant's users, and their secrets. */
  readonly sessions: Sessions
  readonly #shown: Readonly<Record<string, string | undefined>>

  constructor(options: PosternOptions = {}) {
    const { tenant, platform, timeoutMs = 30_000, maxRetries = 2 } = options
    const apiKey = options.apiKey === undefined ? variable('POSTERN_API_KEY') : options.apiKey
    if (apiKey === undefined)
      throw new TypeError('apiKey is missing, and POSTERN_API_KEY is not set')
    if (apiKey !== null) checkKey(apiKey, options.dangerouslyAllowBrowser === true)
    const root = rootOf(options.baseUrl ?? variable('POSTERN_URL'))
    if (!(timeoutMs > 0 && timeoutMs <= 2 ** 31 - 1))
      throw new TypeError('timeoutMs is out of range')
    if (!Number.isInteger(maxRetries) || maxRetries < 0) {
      throw new TypeError('maxRetries must be 0, 1, 2, …')
    }
    const transport = new Transport({
      root,
      headers: {
        ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }),
        ...(tenant !== undefined && { 'x-tn': tenant }),
      },
      platform,
      timeoutMs,
      maxRetries,
      // Workers and browsers refuse a `fetch` that is called as anything's method.
      fetch: options.fetch ?? ((...args) => fetch(...args)),
    })
    this.apiKeys = new ApiKeys(transport)
    this.tenants = new Tenants(transport)
    this.permissions = new Permissions(transport)
    this.platforms = new Platforms(transport)
    this.auditEvents = new AuditEvents(transport)
    this.sessions = new Sessions(transport)
    this.#shown = { baseUrl: root, platform, tenant, apiKey: apiKey === null ? '' : redact(apiKey) }
    // What Node prints, `depth` and `showHidden` or not.
    const value = () => `Postern ${JSON.stringify(this.#shown)}`
    Object.defineProperty(this, Symbol.for('nodejs.util.inspect.custom'), { value })
  }

  /** What may be known of this client: where it calls, and the public part of its key. */
  toJSON(): Readonly<Record<string, string | undefined>> {
    return this.#shown
  }
}

/** Publishable keys may be seen by anyone. A platform's own words for its prefixes are not known here. */
const publishable = /^(?:pk|client)_/

function checkKey(apiKey: string, isBrowserAllowed: boolean): void {
  // Said here, without the key: the message of `fetch` would repeat it.
  if (!/^[!-~]+$/.test(apiKey)) throw new TypeError('apiKey has characters that no key has')
  if (!isPage() || isBrowserAllowed || publishable.test(apiKey)) return
  throw new TypeError(
    'a secret key in a page can be read by every visitor: call the API from your server, or say dangerouslyAllowBrowser',
  )
}

/** `sk_live_k7Gh2Qm9x_…`: the prefix and the ref are public, and nothing else is. */
function redact(apiKey: string): string {
  const [start = ''] = /^(?:[a-z][a-z0-9]*_)+[0-9A-Za-z]{9}_/.exec(apiKey) ?? []
  return `${start}…`
}

function rootOf(baseUrl: string | undefined): string {
  if (baseUrl === undefined) throw new TypeError('baseUrl is missing, and POSTERN_URL is not set')
  const wrong =
    'baseUrl must be like https://api.example.com, without credentials, query or fragment'
  let url: URL
  try {
    url = new URL(baseUrl)
  } catch {
    throw new TypeError(wrong)
  }
  const { protocol, username, password, search, hash, origin, pathname } = url
  if (!/^https?:$/.test(protocol) || username + password + search + hash !== '') {
    throw new TypeError(wrong)
  }
  const path = pathname.replace(/\/+$/, '')
  return origin + (path === '' ? '/v1' : path)
}
