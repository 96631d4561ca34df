/** The shapes of the management API. Written by scripts/sdk-types.ts; edits are lost. */

/** Fields whose names inside are yours or the data's, and stay as they are. */
export const opaqueFields: ReadonlySet<string> = new Set(['changes', 'metadata'])

/** The component `ImportedApiKey` of the document. */
export type ImportedApiKey = {
  readonly name: string
  readonly tenants?: readonly string[] | null
  readonly permissions?: readonly string[]
  readonly expiresAt?: string | Date | null
  readonly restrictions?: {
    readonly ips?: readonly string[] | null
    readonly origins?: readonly string[] | null
    readonly referrers?: readonly string[] | null
    readonly endpoints?: readonly string[] | null
  } | null
  readonly rateLimit?:
    | {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }
    | readonly {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }[]
    | null
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>
  readonly id?: string
  readonly prefix?: string
  readonly ref?: string
  readonly last4?: string
  readonly key?: string
  readonly sha256?: string
  readonly hmacSha256?: string
  readonly pepperVersion?: number
}

/** The component `Problem` of the document. */
export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance: string | null
  readonly code: string
  readonly requestId: string
  readonly success: false
  readonly message: string
  readonly error: {
    readonly type: string
    readonly code: string
    readonly message: string
    readonly param: string | null
    readonly docUrl: string
    readonly requestId: string
  }
  readonly errors: readonly {
    readonly location: string
    readonly code: string
    readonly message: string
    readonly fix?: string
  }[]
}

/** The component `Receipt` of the document. */
export type Receipt = {
  /** The number of the announcement; null: the other nodes could not be told. */
  readonly epoch: number | null
  /** Nodes that were live, and those that have gone and may still go by their memory; null: no node remembers anything. */
  readonly nodes: number | null
  /** How many of them go by the change. */
  readonly acknowledged: number
  /** From then on every node goes by it. */
  readonly effectiveAt: string
  /** For how long after the answer a node may still go by what was before. */
  readonly maxStalenessMs: number
}

/** The component `ApiKey` of the document. */
export type ApiKey = {
  readonly id: string
  readonly object: 'api_key'
  readonly name: string
  readonly type: string
  readonly class: 'secret' | 'publishable'
  readonly environment: 'test' | 'live'
  readonly prefix: string
  readonly ref: string
  readonly last4: string
  readonly createdAt: string
  readonly createdBy: {
    readonly type: string
    readonly id: string
  } | null
  readonly expiresAt: string | null
  readonly lastUsed: string | null
  readonly lastUsedAt: string | null
  readonly status:
    | 'revoked'
    | 'expired'
    | 'disabled'
    | 'rotating'
    | 'expires_soon'
    | 'never_used'
    | 'active'
  readonly permissions: readonly string[]
  readonly tenants: readonly string[] | null
  readonly restrictions: {
    readonly ips: readonly string[] | null
    readonly origins: readonly string[] | null
    readonly referrers: readonly string[] | null
    readonly endpoints: readonly string[] | null
  }
  readonly rateLimit:
    | {
        readonly name: string
        readonly quota: number
        readonly windowSeconds: number
      }
    | readonly {
        readonly name: string
        readonly quota: number
        readonly windowSeconds: number
      }[]
    | null
  readonly rotation: {
    readonly dueAt: string | null
    readonly secrets: readonly {
      readonly id: string
      readonly last4: string
      readonly createdAt: string
      readonly firstUsedAt: string | null
      readonly lastUsedAt: string | null
      readonly lastUsedFrom: string | null
      readonly expiresAt: string | null
      readonly state: 'current' | 'overlapping' | 'ended'
    }[]
  }
  readonly metadata: Readonly<Record<string, unknown>>
  readonly etag: string
}

/** An API key, with the whole string, this once. */
export type IssuedApiKey = {
  readonly id: string
  readonly object: 'api_key'
  readonly name: string
  readonly type: string
  readonly class: 'secret' | 'publishable'
  readonly environment: 'test' | 'live'
  readonly prefix: string
  readonly ref: string
  readonly last4: string
  readonly createdAt: string
  readonly createdBy: {
    readonly type: string
    readonly id: string
  } | null
  readonly expiresAt: string | null
  readonly lastUsed: string | null
  readonly lastUsedAt: string | null
  readonly status:
    | 'revoked'
    | 'expired'
    | 'disabled'
    | 'rotating'
    | 'expires_soon'
    | 'never_used'
    | 'active'
  readonly permissions: readonly string[]
  readonly tenants: readonly string[] | null
  readonly restrictions: {
    readonly ips: readonly string[] | null
    readonly origins: readonly string[] | null
    readonly referrers: readonly string[] | null
    readonly endpoints: readonly string[] | null
  }
  readonly rateLimit:
    | {
        readonly name: string
        readonly quota: number
        readonly windowSeconds: number
      }
    | readonly {
        readonly name: string
        readonly quota: number
        readonly windowSeconds: number
      }[]
    | null
  readonly rotation: {
    readonly dueAt: string | null
    readonly secrets: readonly {
      readonly id: string
      readonly last4: string
      readonly createdAt: string
      readonly firstUsedAt: string | null
      readonly lastUsedAt: string | null
      readonly lastUsedFrom: string | null
      readonly expiresAt: string | null
      readonly state: 'current' | 'overlapping' | 'ended'
    }[]
  }
  readonly metadata: Readonly<Record<string, unknown>>
  readonly etag: string
  readonly key: string
}

/** The component `Tenant` of the document. */
export type Tenant = {
  readonly id: string
  readonly object: 'tenant'
  readonly status: 'active' | 'suspended'
  readonly suspendedAt: string | null
  readonly metadata: Readonly<Record<string, unknown>>
  readonly createdAt: string
  readonly updatedAt: string
  readonly etag: string
}

/** The component `Platform` of the document. */
export type Platform = {
  readonly id: string
  readonly object: 'platform'
  readonly slug: string
  readonly name: string
  readonly scheme: string
  readonly tenancy: 'required' | 'implied' | 'none'
  readonly hosts: readonly string[]
  readonly keyTypes: readonly {
    readonly type: string
    readonly prefix: string
    readonly pattern: string
    readonly class: 'secret' | 'publishable'
    readonly environment: 'test' | 'live'
  }[]
}

/** The component `PermissionGroup` of the document. */
export type PermissionGroup = {
  readonly object: 'permission_group'
  readonly service: string
  readonly permission: string
  readonly actions: readonly {
    readonly action: string
    readonly permission: string
  }[]
}

/** The component `AuditEvent` of the document. */
export type AuditEvent = {
  readonly id: string
  readonly object: 'audit_event'
  readonly at: string
  readonly action: string
  readonly actor: {
    readonly type: string
    readonly id: string
  }
  readonly address: string | null
  readonly requestId: string | null
  readonly resource: {
    readonly type: string
    readonly id: string
  }
  readonly changes: Readonly<Record<string, readonly [unknown, unknown]>>
}

/** What is answered by `POST /v1/api-keys/import`. */
export type ImportApiKeysData = {
  readonly imported: number
  readonly conflicts: number
  readonly keys: readonly {
    readonly id: string
    readonly name: string
    readonly outcome: 'imported' | 'conflict'
  }[]
}

/** What is sent to `POST /v1/api-keys/verify`. */
export type VerifyApiKeyBody = {
  /** The whole key. It is not stored and not logged. */
  readonly key: string
  readonly method?: string
  /** The path of the request, without query. */
  readonly path?: string
  readonly tenant?: string
  /** The client's address. */
  readonly ip?: string
  /** The Origin header. */
  readonly origin?: string
  /** A permission it should hold. */
  readonly permission?: string
}

/** What is answered by `POST /v1/api-keys/verify`. */
export type VerifyApiKeyData = {
  readonly valid: boolean
  readonly code: string | null
  readonly status: number | null
  readonly detail: string | null
  readonly key: ApiKey | null
}

/** The query of `POST /v1/api-keys/{id}/rotate`. */
export type RotateApiKeyQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** What is sent to `POST /v1/api-keys/{id}/rotate`. */
export type RotateApiKeyBody = {
  /** How long the old secret stays good. Default: 24h. */
  readonly overlap?: 'now' | '15min' | '1h' | '24h' | '7d' | number
  /** When that begins: with the first use of the new secret (default), or now. */
  readonly overlapFrom?: 'first_use' | 'now'
  /** End it sooner, once the old secret has been silent for so long. */
  readonly endAfterQuietHours?: number
}

/** The query of `GET /v1/api-keys/{id}/usage`. */
export type GetApiKeyUsageQuery = {
  /** The first day. Default: 30 days up to `to`. */
  readonly from?: string
  /** The last day. Default: today. */
  readonly to?: string
}

/** What is answered by `GET /v1/api-keys/{id}/usage`. */
export type GetApiKeyUsageData = {
  readonly object: 'usage'
  readonly keyId: string
  readonly from: string
  readonly to: string
  readonly total: {
    readonly requests: number
    readonly errors: number
    readonly bytesIn: number
    readonly bytesOut: number
  }
  readonly days: readonly {
    readonly day: string
    readonly environment: 'test' | 'live'
    readonly billable: boolean
    readonly requests: number
    readonly errors: number
    readonly bytesIn: number
    readonly bytesOut: number
    readonly lastUsedAt: string
    readonly lastAddress: string | null
    readonly lastOrigin: string | null
  }[]
}

/** What is sent to `POST /v1/api-keys`. */
export type CreateApiKeyBody = {
  readonly name: string
  readonly tenants?: readonly string[] | null
  readonly permissions?: readonly string[]
  readonly expiresAt?: string | Date | null
  readonly restrictions?: {
    readonly ips?: readonly string[] | null
    readonly origins?: readonly string[] | null
    readonly referrers?: readonly string[] | null
    readonly endpoints?: readonly string[] | null
  } | null
  readonly rateLimit?:
    | {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }
    | readonly {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }[]
    | null
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>
  readonly type?: string
  readonly class?: 'secret' | 'publishable'
  readonly environment?: 'test' | 'live'
}

/** The query of `GET /v1/api-keys`. */
export type ListApiKeysQuery = {
  /** How many at most. Default: 20. */
  readonly limit?: string
  /** By creation. Default: desc, the newest first. */
  readonly order?: 'asc' | 'desc'
  /** The `next_cursor` of the page before. */
  readonly cursor?: string
  readonly environment?: 'test' | 'live'
  readonly class?: 'secret' | 'publishable'
  readonly status?:
    | 'revoked'
    | 'expired'
    | 'disabled'
    | 'rotating'
    | 'expires_soon'
    | 'never_used'
    | 'active'
  /** The whole name. */
  readonly name?: string
  /** Keys that work for it. */
  readonly tenant?: string
}

/** The query of `PATCH /v1/api-keys/{id}`. */
export type UpdateApiKeyQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** What is sent to `PATCH /v1/api-keys/{id}`. */
export type UpdateApiKeyBody = {
  readonly name?: string
  readonly tenants?: readonly string[] | null
  readonly permissions?: readonly string[]
  readonly expiresAt?: string | Date | null
  readonly restrictions?: {
    readonly ips?: readonly string[] | null
    readonly origins?: readonly string[] | null
    readonly referrers?: readonly string[] | null
    readonly endpoints?: readonly string[] | null
  } | null
  readonly rateLimit?:
    | {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }
    | readonly {
        readonly name?: string
        readonly quota: number
        readonly windowSeconds: number
      }[]
    | null
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>
}

/** The query of `DELETE /v1/api-keys/{id}`. */
export type DeleteApiKeyQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** The query of `POST /v1/api-keys/{id}/revoke`. */
export type RevokeApiKeyQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** The query of `POST /v1/api-keys/{id}/disable`. */
export type DisableApiKeyQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** What is sent to `POST /v1/tenants`. */
export type CreateTenantBody = {
  readonly id: string
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>>
}

/** The query of `GET /v1/tenants`. */
export type ListTenantsQuery = {
  /** How many at most. Default: 20. */
  readonly limit?: string
  /** By creation. Default: desc, the newest first. */
  readonly order?: 'asc' | 'desc'
  /** The `next_cursor` of the page before. */
  readonly cursor?: string
  readonly status?: 'active' | 'suspended'
}

/** What is sent to `PATCH /v1/tenants/{id}`. */
export type UpdateTenantBody = {
  readonly metadata: Readonly<Record<string, string | number | boolean | null>>
}

/** The query of `POST /v1/tenants/{id}/suspend`. */
export type SuspendTenantQuery = {
  /** Whether the answer waits until every node has heard of it, for 2 seconds at most (all, the default), or not (none). */
  readonly wait?: 'none' | 'all'
}

/** The query of `GET /v1/audit-events`. */
export type ListAuditEventsQuery = {
  /** How many at most. Default: 20. */
  readonly limit?: string
  /** By creation. Default: desc, the newest first. */
  readonly order?: 'asc' | 'desc'
  /** The `next_cursor` of the page before. */
  readonly cursor?: string
  /** The id of who acted. */
  readonly actor?: string
  /** `api_key.revoked` and so on. */
  readonly action?: string
  /** The id of what was changed. */
  readonly resource?: string
  /** Not before. */
  readonly since?: string | Date
  /** Before. */
  readonly until?: string | Date
}
