/**
 * The nouns that every room shares, and the ports where Node and Workers truly differ: one file, so
 * that what passes between the rooms is read in one place.
 *
 * Nothing here does anything. A noun lives here when two rooms need it; a port lives here when it
 * has an implementation per runtime, held to one suite in `test/suites/`.
 */

/** `test` or `live`. The words in key prefixes (`dev`, `prod`, …) are spellings of these two. */
export type EnvironmentName = 'test' | 'live'

/** What a key may be shown to: `secret` stays on servers, `publishable` may be in a browser. */
export type KeyClass = 'secret' | 'publishable'

/** How a platform's callers name their tenant: always, through the key, or not at all. */
export type Tenancy = 'required' | 'implied' | 'none'

/** One prefix of a key scheme and what it says about the key behind it. */
export type KeyPrefix = {
  readonly prefix: string
  readonly class: KeyClass
  readonly environment: EnvironmentName
}

/** Maps prefixes to (class, environment), and says where the credential and the tenant come from. */
export type Scheme = {
  readonly name: string
  readonly prefixes: readonly KeyPrefix[]
  /** Prefixes of keys issued elsewhere: no ref, no checksum. */
  readonly adopted: readonly KeyPrefix[]
  /** The headers a credential may come in. Both, unless a platform narrows it. */
  readonly headers: readonly ('x-api-key' | 'authorization')[]
  readonly tenancy: Tenancy
}

/** What is said when a limit's store cannot be reached: count in memory, let pass, or refuse. */
export type OnStoreDown = 'local' | 'allow' | 'deny'

/**
 * Never more than `quota` in any window of `windowSeconds`, on the store's clock. `leased` (also where
 * nothing is said): nodes borrow from the store and spend in memory; `exact`: each request asks it.
 */
export type Limit = {
  readonly name: string
  readonly quota: number
  readonly windowSeconds: number
  readonly onStoreDown: OnStoreDown
  readonly counting?: 'leased' | 'exact'
}

/** The limits a platform gives to keys and tenants that have none of their own. */
export type LimitPlan = {
  readonly environments: Readonly<
    Record<EnvironmentName, { readonly key: readonly Limit[]; readonly tenant: readonly Limit[] }>
  >
  /** Wins over the environment's `key` limits where it is given for the key's class. */
  readonly classes: Readonly<Partial<Record<KeyClass, readonly Limit[]>>>
}

/** One address of an upstream. */
export type Target = {
  /** Scheme, host and port, as `new URL(…).origin` writes them: `http://10.0.0.5:8080`. */
  readonly origin: string
  /** Its share of the requests, against the other targets'; a positive integer. */
  readonly weight: number
}

/** What TLS to an upstream is made with: PEM texts. null: the system's authorities, no certificate. */
export type UpstreamTls = {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  /** The name that is sent (SNI) and that the certificate must carry. null: the target's host. */
  readonly serverName: string | null
}

/** How a target is asked whether it is well. Times in milliseconds. */
export type HealthCheck = {
  /** Answers 2xx or 3xx to GET when well. */
  readonly path: string
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Answers in a row that change the opinion. */
  readonly healthyAfter: number
  readonly unhealthyAfter: number
}

/** A backend service that the gateway forwards to. Belongs to one platform. */
export type Upstream = {
  /** Unique within the platform. */
  readonly name: string
  /** `aud` of the identity token: a token for one upstream is refused by another. */
  readonly audience: string
  /** Answered by the gateway itself, so that there is something to forward to. Its target is a name. */
  readonly builtin: 'echo' | null
  readonly targets: readonly Target[]
  /** The `Host` that is sent. null: the target's own; never the client's. */
  readonly host: string | null
  /** Ranges in canonical form of private addresses that its targets may have. */
  readonly allow: readonly string[]
  /** Until a connection stands, TLS included; waiting for a free one counts. */
  readonly connectMs: number
  /** From the request's last byte, or its head where the body is still being sent, to the answer's head. */
  readonly headersMs: number
  /** Between two pieces of a body: of the answer's, or of the request's that is passed on. */
  readonly idleMs: number
  /** For each target. */
  readonly connectionsMax: number
  /** Requests that wait for a connection; one more is a 503. */
  readonly queueMax: number
  /** Further tries of an idempotent request without a body of which nothing was answered. */
  readonly retries: number
  /** Failures in a row after which a target is left alone for a time, and then tried once. */
  readonly breaker: { readonly failures: number; readonly openMs: number }
  readonly health: HealthCheck | null
  readonly tls: UpstreamTls
  /** `Authorization` is the upstream's own: the scheme takes its keys elsewhere. */
  readonly keepAuthorization: boolean
}

/** Who may call a route from a browser. The gateway answers; what the upstream says of it is dropped. */
export type Cors = {
  /** Serialised origins that every key may be used from. A key's own `origins` are added to them. */
  readonly origins: readonly string[]
  /** Request headers that a script may send, lower case. */
  readonly requestHeaders: readonly string[]
  /** Answer headers that a script may read, lower case. */
  readonly exposedHeaders: readonly string[]
  readonly maxAgeSeconds: number
}

/** A header that a route's upstream gets, with values of secrets of the caller's session in it. */
export type SecretHeader = {
  /** Lower case. */
  readonly name: string
  /** What stands around the values: one more than there are of those. */
  readonly texts: readonly string[]
  /** The names of the secrets whose values stand between, in turn. */
  readonly secrets: readonly string[]
}

/** host + path + methods -> an in-process handler or an upstream, with what a caller needs to pass. */
export type Route = {
  /** Unique within the platform; stands in logs and in counter keys. */
  readonly id: string
  /** Of the platform's hosts, those that have this route; empty: all. They go before routes of all. */
  readonly hosts: readonly string[]
  /** Segments: literals, `:name`, `*` for one without a name, and a last `**` for the rest (also nothing). */
  readonly path: string
  /** null: every method. HEAD is implied by GET. */
  readonly methods: readonly string[] | null
  /** The name of the in-process handler; null where there is an upstream. */
  readonly handler: string | null
  readonly upstream: Upstream | null
  /** Where calls with test keys go instead of `upstream`. null: there too, and it is told so. */
  readonly sandbox: Upstream | null
  /** The path that the upstream gets, of literals and what `path` names. null: the caller's. */
  readonly rewrite: string | null
  /** null: the upstream gets no secrets, and its answer is not looked through. */
  readonly secrets: readonly SecretHeader[] | null
  /** null: browsers get no leave from the gateway, and an upstream's own passes. */
  readonly cors: Cors | null
  readonly permission: string | null
  readonly classes: readonly KeyClass[]
  readonly environments: readonly EnvironmentName[]
  /** Units charged at every node of the tree; a positive integer. */
  readonly cost: number
  readonly limits: readonly Limit[]
  /** Bytes; a larger body is a 413. */
  readonly bodyBytesMax: number
  /** A body must be JSON (415 otherwise). */
  readonly jsonOnly: boolean
  readonly requireHttps: boolean
  /** `%2f` and `%25` may stand in this route's path. */
  readonly encodedSlash: boolean
}

/** Which words `error.code` uses; the top-level `code` is ours (but see `theazo` in problem.ts). */
export type Vocabulary = 'slash' | 'azotte' | 'theazo'

/**
 * What answers the calls of test keys. `mock`: the platform's OpenAPI document; `sandbox`: what
 * answers live ones, on the tenant's test rows; `discard`: the same, and what a handler wrote is
 * taken back.
 */
export type TestMode = 'mock' | 'sandbox' | 'discard'

/** An API product guarded by the gateway. Two platforms of one deployment never see each other. */
export type Platform = {
  /** `plt_…`: survives a change of slug, and is what rows carry. */
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly scheme: Scheme
  /** Exact host names, lower case, without port. Empty: any host (single platform, or own port). */
  readonly hosts: readonly string[]
  /** A listener of its own, or null: the deployment's. */
  readonly port: number | null
  readonly vocabulary: Vocabulary
  /** Absolute URL where the error pages live, or null: the gateway serves them itself. */
  readonly docsUrl: string | null
  /** `iss` of identity tokens. */
  readonly issuer: string
  /** Every permission a key or a route of this platform may name, `service:action`. */
  readonly permissions: readonly string[]
  readonly limits: LimitPlan
  readonly testMode: TestMode
  /** The file of the OpenAPI document that mocks come from, from where the process runs. */
  readonly openapi: string | null
  readonly upstreams: readonly Upstream[]
  readonly routes: readonly Route[]
}

/** The rows a handle can see: exactly one tenant of one environment of one platform. */
export type Scope = {
  readonly platform: string
  readonly environment: EnvironmentName
  readonly tenant: string
}

/** What a key is held to besides permissions. null: not restricted; an empty list allows nothing. */
export type Restrictions = {
  readonly ips: readonly string[] | null
  readonly origins: readonly string[] | null
  readonly referrers: readonly string[] | null
  readonly endpoints: readonly string[] | null
}

/** An API key as the store knows it, found through one of its secrets. Frozen; safe to cache. */
export type KeyRecord = {
  readonly id: string
  readonly platform: string
  readonly environment: EnvironmentName
  readonly class: KeyClass
  readonly name: string
  readonly prefix: string
  /** Public; stays the same through rotation. Empty for adopted keys. */
  readonly ref: string
  readonly last4: string
  /** Which of the key's secrets was shown. */
  readonly secretId: string
  /** null: every tenant of the platform. */
  readonly tenants: readonly string[] | null
  readonly permissions: readonly string[]
  readonly restrictions: Restrictions
  /** null: the class's, else the environment's. */
  readonly limits: readonly Limit[] | null
  /** Milliseconds since 1970, of whichever ends first: the key or the secret that was shown. */
  readonly expiresAt: number | null
  readonly revoked: boolean
  readonly disabled: boolean
  /** Which pepper the shown secret is stored under; an older one is written anew on use. */
  readonly pepperVersion: number
  /** Another secret has taken the place of the shown one, whose first use may start its end. */
  readonly replaced?: boolean
}

/** What a publishable key may call, without which key it is: enough to answer a preflight. Frozen. */
export type KeyRule = Pick<KeyRecord, 'environment' | 'permissions'> &
  Pick<Restrictions, 'endpoints'>

/** A platform's customer, as the store knows it. */
export type TenantRecord = { readonly id: string; readonly suspended: boolean }

/** What was shown. A tagged union from the start: access tokens and console users come later. */
export type Credential = {
  readonly kind: 'api_key'
  readonly id: string
  /** Which of the key's secrets it was. */
  readonly secretId: string
  readonly prefix: string
  readonly ref: string
  readonly last4: string
}

/**
 * Who makes a change, as the audit says it. A tagged union from the start, like the credential: an
 * operator is an API key of no platform, `system` is Postern itself (seeding, a sweeper).
 */
export type Actor = {
  readonly kind: 'api_key' | 'operator' | 'console_user' | 'system'
  readonly id: string
}

/** Who is calling, once verified. `tenant` is null only where the platform has no tenants. */
export type Principal = {
  readonly platform: string
  readonly environment: EnvironmentName
  readonly tenant: string | null
  readonly class: KeyClass
  readonly permissions: readonly string[]
  readonly credential: Credential
}

/** The one record of a request: the only input of log, meter and metrics. It holds no secret. */
export type Outcome = {
  readonly requestId: string
  readonly method: string
  /** Canonical path; null when the target never became one. Never the query. */
  path: string | null
  route: string | null
  platform: string | null
  environment: EnvironmentName | null
  tenant: string | null
  credential: Credential | null
  clientAddress: string
  /** As a browser said it with a key that was good; null: it said none. */
  origin: string | null
  status: number
  code: string | null
  /** For the log only: why it was refused or what broke. */
  cause: string | null
  cost: number
  /** A mock answered: nothing of it is metered. */
  mocked: boolean
  requestBytes: number
  responseBytes: number
  durationMs: number
}

/** What a key, by one of its secrets, did on a day. Counts are integers >= 0. */
export type UsageEntry = {
  readonly keyId: string
  /** The secret that was shown. */
  readonly secretId: string
  /** UTC, `2026-11-25`. */
  readonly day: string
  readonly requests: number
  /** Requests that were answered with 400 or more. */
  readonly errors: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Milliseconds since 1970, on the clock of whoever counted. */
  readonly firstUsedAt: number
  readonly lastUsedAt: number
  readonly lastAddress: string
  readonly lastOrigin: string | null
}

/** Entries that are added all or none, and once however often they are sent within 24 hours. */
export type UsageBatch = { readonly id: string; readonly entries: readonly UsageEntry[] }

// ---- counter -------------------------------------------------------------------------------------

/** A place where requests are counted: a tenant, an API key, a route. */
export type CounterNode = {
  /** Unambiguous: parts are joined so that no two nodes can share it (threats T16). */
  readonly key: string
  readonly limits: readonly Limit[]
}

/** What one request is charged to, all nodes at once or none. */
export type CounterTree = {
  /** Platform and environment: the Redis hash tag, and the name of the Durable Object. */
  readonly shard: string
  readonly nodes: readonly CounterNode[]
}

/** Where a limit stands after a charge. `resetSeconds`: until the quota is whole again, >= 0. */
export type LimitState = {
  readonly limit: Limit
  readonly node: number
  readonly remaining: number
  /** Until the oldest units counted come back: the `t` of RateLimit. >= 0; 0 when none are out. */
  readonly moreSeconds: number
  readonly resetSeconds: number
}

/** The verdict of a charge. Refused: which node and limit, and when one more unit would pass. */
export type Borrowed =
  | { readonly granted: true; readonly states: readonly LimitState[] }
  | {
      readonly granted: false
      readonly node: number
      readonly limit: Limit
      readonly retryAfterSeconds: number
      readonly states: readonly LimitState[]
    }

/**
 * The counter port. `want` is a positive integer. May answer without an await. Rejects with
 * `StoreDown` when the store does not answer in time; it never hangs and never throws otherwise.
 */
export type Counter = {
  borrow(tree: CounterTree, want: number): Borrowed | Promise<Borrowed>
  close(): Promise<void>
}

/** Units that were lent in a sub-window, as the store numbers them, and have not been spent. */
export type Back = { readonly slot: number; readonly units: number }

/** What is asked of one counter. Units are whole numbers >= 0. */
export type Ask = {
  /** Unambiguous in its shard; a place and a window length. */
  readonly key: string
  readonly windowSeconds: number
  readonly quota: number
  /** Taken back first, and kept whatever becomes of the rest. */
  readonly backs: readonly Back[]
  /** Charged now, together with the needs of all other counters of the call, or not at all. */
  readonly need: number
  /** Lent as far as there is room, if the needs passed; few when little is left, then none. */
  readonly extra: number
}

/** Where a counter stands after a call, and what was lent of it. Milliseconds. */
export type Standing = {
  /** Units that passed lately or are lent. */
  readonly used: number
  /** Until the oldest of them come back; 0 when there are none. */
  readonly moreMs: number
  /** Until all have. */
  readonly resetMs: number
  readonly lent: number
  /** What a `Back` names them by. */
  readonly slot: number
  /** How long they may be spent, from when the call was made. */
  readonly validMs: number
}

/** The answer of a store: the standings in the order of the asks. */
export type Lent = {
  /** Which ask could not be met, so that nothing was charged or lent; -1: all were. */
  readonly refusing: number
  /** When refused: until the same asks would pass. Infinity: never. */
  readonly waitMs: number
  readonly standings: readonly Standing[]
}

/**
 * The store below a counter that many nodes share: charges at once, and lends. A call is never made
 * twice, because the first may have been counted. `lend` rejects with `StoreDown` when the store does
 * not answer in time; what became of the call is then unknown.
 */
export type Lender = {
  lend(shard: string, asks: readonly Ask[]): Promise<Lent>
  close(): Promise<void>
}

/** The store behind a port did not answer. The caller decides by name what that means. */
export class StoreDown extends Error {
  override readonly name = 'StoreDown'
}

// ---- signal --------------------------------------------------------------------------------------

/** What has changed in the store: whoever remembers it must forget. An id is its platform's. */
export type Change = {
  readonly kind: 'key' | 'tenant'
  readonly platform: string
  readonly id: string
}

/** What became of an announcement. */
export type Receipt = {
  /** Larger than that of any before; null: the channel could not be reached. */
  readonly epoch: number | null
  /** Nodes that were live, this one included; null: no node remembers anything. */
  readonly nodes: number | null
  /** How many of them have forgotten. */
  readonly acknowledged: number
  /** Milliseconds since 1970: from then on no node goes by what was before. */
  readonly effectiveAt: number
  /** How long after the receipt a node may still go by what was before; 0: none does. */
  readonly maxStalenessMs: number
}

/** The signal port: tells every node of a deployment what to forget, and knows whether it was heard. */
export type Signal = {
  /**
   * Tells every live node, this one first, and waits until all have forgotten, for `waitMs` at most
   * (0: not at all). Call it when the change has been committed. Never rejects and never hangs: what
   * could not be done stands in the receipt.
   */
  announce(change: Change, waitMs: number): Promise<Receipt>
  /**
   * Names the one who is told (the last call wins): of each change, and null when some may have been
   * missed, so that everything is to be forgotten. Has forgotten when it returns, and does not throw.
   */
  listen(heard: (change: Change | null) => void): void
  /**
   * For how long it has not been certain that everything announced was heard here, in milliseconds on
   * a clock that does not step; 0: it is certain now. Infinity: it never was.
   */
  silentMs(): number
  close(): Promise<void>
}

// ---- the test world ------------------------------------------------------------------------------

/** A thing of a tenant's test world, as its platform's document shows it. */
export type WorldThing = { readonly id: string; readonly data: Readonly<Record<string, unknown>> }

/**
 * What one tenant's test world remembers, collection by collection (a path such as `/v1/things`). Bound
 * to a scope; holds a bounded number of things, of which the oldest goes first, and forgets each some
 * time after it was last written. Everything rejects when the store does not answer.
 */
export type World = {
  /** Puts in what a collection begins with, unless it has begun. */
  begin(collection: string, things: readonly WorldThing[]): Promise<void>
  get(collection: string, id: string): Promise<WorldThing | null>
  /** Newest first. `where`: fields that are these texts. `total` counts those of other pages too. */
  list(
    collection: string,
    page: {
      readonly where: Readonly<Record<string, string>>
      readonly offset: number
      readonly limit: number
    },
  ): Promise<{ readonly things: readonly WorldThing[]; readonly total: number }>
  /** False: there is one of that id. */
  add(collection: string, thing: WorldThing): Promise<boolean>
  /** Writes over the one of that id. */
  put(collection: string, thing: WorldThing): Promise<void>
  delete(collection: string, id: string): Promise<void>
  /** Forgets everything of this tenant, also what had begun. */
  reset(): Promise<void>
}

// ---- sql -----------------------------------------------------------------------------------------

/** Who a flight speaks as. A platform alone is the gateway's own scope, with no tenant's rows. */
export type SqlScope = Scope | { readonly platform: string } | null

/** One statement, as node-postgres takes it. */
export type Statement = {
  readonly text: string
  readonly values?: readonly unknown[]
  readonly name?: string
  readonly rowMode?: 'array'
  readonly types?: unknown
}

export type SqlResult<Row = Record<string, unknown>> = {
  readonly rows: Row[]
  readonly rowCount: number | null
  readonly command: string
  readonly fields: readonly { readonly name: string }[]
}

/** A client inside an open transaction whose scope is bound. */
export type SqlTransaction = {
  query<Row = Record<string, unknown>>(statement: Statement): Promise<SqlResult<Row>>
  /** Ends it: 'commit' or 'rollback'. The connection is dropped when that fails. */
  end(how: 'commit' | 'rollback'): Promise<void>
}

/** The sql port, one per role. Each statement is one flight: scope and statement before one Sync. */
export type Sql = {
  query<Row = Record<string, unknown>>(
    scope: SqlScope,
    statement: Statement,
  ): Promise<SqlResult<Row>>
  /** Opens a transaction: `begin` (drizzle's own text, with its isolation level) and the scope. */
  begin(scope: SqlScope, begin?: string): Promise<SqlTransaction>
  close(): Promise<void>
}

// ---- forward -------------------------------------------------------------------------------------

/** One request on its way to one target. Everything in it is decided; the port only sends it. */
export type Hop = {
  /** The credential in its tenant: a connection is used again for the same owner only (threats R24). */
  readonly owner: string
  readonly upstream: Upstream
  readonly target: Target
  readonly method: string
  /** Canonical path and raw query, as the target gets them. */
  readonly path: string
  /** Names and values in turn, `host` included. Framing and `connection` are the port's to write. */
  readonly headers: readonly string[]
  /** The client sends a body, which is sent on as it comes. */
  readonly hasBody: boolean
  /** The client asked for a WebSocket, and the target is to be asked too. */
  readonly upgrade: boolean
  /** The gateway's headers, laid over the answer's (`layAnswer` of proxy/headers.ts). */
  readonly gate: Readonly<Record<string, string>>
  /** The gateway owns CORS here: what the upstream says of it is dropped. */
  readonly ownsCors: boolean
  /** Texts of ASCII that nobody may read in the answer (proxy/cover.ts); null: it is not looked through. */
  readonly covered: readonly string[] | null
  /** Told of an open WebSocket; answers what to call when it has closed. */
  onOpen(socket: OpenSocket): () => void
}

/** A WebSocket that stands between a client and an upstream. */
export type OpenSocket = {
  /** Ends it towards the client with a close frame of this code (RFC 6455 7.4), and cuts the upstream. */
  close(code: number, reason: string): void
}

/** What went wrong with a hop, in the words of RFC 9209 section 2.3; the last is the client's doing. */
export type HopFailure =
  | 'dns_timeout'
  | 'dns_error'
  | 'destination_ip_prohibited'
  | 'connection_refused'
  | 'connection_timeout'
  | 'connection_terminated'
  | 'connection_limit_reached'
  | 'tls_protocol_error'
  | 'tls_certificate_error'
  | 'http_response_timeout'
  | 'http_response_incomplete'
  | 'http_response_header_section_size'
  | 'http_protocol_error'
  | 'client_gone'

/**
 * A hop that came to nothing: no byte of an answer has gone to the client. `untouched`: nothing of the
 * request can have reached the target.
 */
export class HopFault extends Error {
  override readonly name = 'HopFault'
  readonly failure: HopFailure
  readonly untouched: boolean

  constructor(failure: HopFailure, untouched: boolean, cause: string) {
    super(cause)
    this.failure = failure
    this.untouched = untouched
  }
}

/**
 * The forward port. Resolves when the answer's head is on its way to the client: on Node with a
 * response that stands for bytes already sent, on Workers with the answer itself. Rejects with
 * `HopFault`, or with the `Problem` of a request body that went wrong. An answer that breaks off later
 * cuts the client's connection.
 */
export type Forward = (hop: Hop, exchange: Exchange) => Promise<Response>

// ---- sandbox -------------------------------------------------------------------------------------

/** What a program is written in; `shell` is a POSIX script. */
export type Compute = 'python' | 'node' | 'shell'

/** A program to run apart from everything, for one tenant. */
export type SandboxRun = {
  readonly compute: Compute
  readonly code: string
  /** All it finds in its environment, besides PATH, HOME and LANG. Never in an argument. */
  readonly variables: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly network: boolean
}

/** How a program ended. `exitCode` is null where it did not end by itself. */
export type SandboxEnd = {
  readonly reason: 'exited' | 'timeout' | 'stopped' | 'failed'
  readonly exitCode: number | null
}

/** A program that was started. */
export type SandboxProcess = {
  /** Never rejects. */
  readonly ended: Promise<SandboxEnd>
  /** What it has written to either stream so far, the values of its variables covered. */
  output(): { readonly text: string; readonly truncated: boolean }
  /** Ends it and all that it started. Harmless when it has ended. */
  stop(): void
}

/** The sandbox port: a provider of processes that see and reach nothing of this machine. */
export type Sandbox = {
  /** Why none can be started here, for the log; null: they can. */
  readonly unavailable: string | null
  /** Starts a program. Rejects with a plain Error where that fails; never starts a bare process. */
  start(run: SandboxRun): Promise<SandboxProcess>
  /** Ends all that were started. */
  close(): Promise<void>
}

// ---- the exchange --------------------------------------------------------------------------------

/** What a runtime knows of one exchange that a `Request` cannot say. */
export type Exchange = {
  /** As it stood on the wire; '' where there was too little of a request to have one. */
  readonly method: string
  /** The request target as it was sent (Workers: path and query of the URL). */
  readonly target: string
  /** Lower-case host without port, as `Host` or the absolute-form target named it. */
  readonly host: string
  /** The port of the listener that took the request; 0 where there is none. */
  readonly port: number
  /** The client's address: the socket's, or what trusted hops vouch for. */
  readonly clientAddress: string
  /** The client spoke TLS, to us or to a trusted hop. */
  readonly secure: boolean
  /** What the client called, without a slash at its end: `https://api.example:8443`. */
  readonly origin: string
  /** The request's headers, by lower-case name. A repeated field comes joined by commas. */
  readonly requestHeaders: { get(name: string): string | null }
  /**
   * The request, with the canonical path in its URL. A runtime may make it when it is first asked for,
   * so what needs no more than the rest of the exchange should not ask. Throws where there was too
   * little of a request to make one, and a `Problem` where it cannot be made.
   */
  readonly request: Request
  /** The header lines as they arrived, names and values in turn. */
  readonly rawHeaders: readonly string[]
  /** The request announces a body. */
  readonly hasBody: boolean
  /** Somebody has begun to read it. */
  readonly bodyUsed: boolean
  /** The client asks for a WebSocket, in a form that RFC 6455 section 4.2.1 takes. */
  readonly upgrade: boolean
  /** Adds the gate's headers to the answer and hands the outcome to the log when it has been sent. */
  reply(response: Response, headers: Record<string, string>, outcome: Outcome): Response
  /**
   * Holds the request body to a number of bytes while it is read: reading more throws a `Problem`
   * `request/too_large`. False when it is known already to be larger. Absent where it cannot be done.
   */
  limitBody?(bytesMax: number): boolean
}

/** The long-lived ports of a deployment. */
export type Ports = {
  /** Speaks as the tenant role: tenant tables only. */
  readonly tenantSql: Sql
  /** Speaks as the gateway role: credentials and the gateway's own tables. */
  readonly gatewaySql: Sql
  /** Speaks as the tenant role where the salts of sessions are kept; null: beside the tenants' rows. */
  readonly saltSql: Sql | null
  readonly counter: Counter
  readonly signal: Signal
  /** Whether a request of this environment is turned away, so that those already here stay quick. */
  shed(environment: EnvironmentName): boolean
  /** Charges a failed authentication. null: answer it; else the seconds until failures are heard. */
  chargeFailure(clientAddress: string): Promise<number | null>
  /** Charges what a page without a key asks for. null: answer it; else the seconds until it is heard. */
  chargePreflight(clientAddress: string): Promise<number | null>
  readonly forward: Forward
  readonly sandbox: Sandbox
  /** Work that outlives the answer: drained on SIGTERM, `waitUntil` on Workers. */
  defer(work: Promise<unknown>): void
  health(): Promise<Health>
}

/** What `/readyz` says. Degraded: still serving, with a part missing; `detail` is for operators. */
export type Health = {
  readonly status: 'ready' | 'degraded' | 'unavailable' | 'draining'
  readonly parts: Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>
}
