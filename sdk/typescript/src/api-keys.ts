/** API keys, from their making to their end. */
import { toWire } from './case.ts'
import { type Page, type PageOptions, Pages } from './page.ts'
import type {
  ApiKey,
  CreateApiKeyBody,
  GetApiKeyUsageData,
  GetApiKeyUsageQuery,
  ImportApiKeysData,
  ImportedApiKey,
  IssuedApiKey,
  ListApiKeysQuery,
  RotateApiKeyBody,
  UpdateApiKeyBody,
  VerifyApiKeyBody,
  VerifyApiKeyData,
} from './schema.ts'
import {
  type Ask,
  type RequestOptions,
  segment,
  type Told,
  type Transport,
  type WaitOptions,
} from './transport.ts'

/** Which keys, and how many at a time. */
export type ListApiKeys = Omit<ListApiKeysQuery, 'limit' | 'cursor'> & PageOptions

/** How a key is changed. */
export type UpdateOptions = WaitOptions & {
  /** The `etag` that the change is for: where the key was changed since, `ConflictError` is thrown. */
  readonly ifMatch?: string
}

/** `client.apiKeys`. Every call rejects with a `PosternError`. */
export class ApiKeys {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Creates a key. `key` of the answer is the whole string, this once: no other call shows it again.
   * What is left out is as narrow as the calling key.
   */
  create(key: CreateApiKeyBody, options?: RequestOptions): Promise<IssuedApiKey> {
    return this.#transport.data({ method: 'POST', path: '/api-keys', body: key, options })
  }

  /** The keys that pass the filter, newest first: `for await (const key of apiKeys.list())`. */
  list(filter: ListApiKeys = {}, options?: RequestOptions): Pages<ApiKey> {
    return new Pages((cursor) => {
      const query = cursor === undefined ? filter : { ...filter, cursor }
      return this.#transport.json<Page<ApiKey>>({
        method: 'GET',
        path: '/api-keys',
        query,
        options,
      })
    })
  }

  /** One key, without its secret. */
  get(id: string, options?: RequestOptions): Promise<ApiKey> {
    return this.#transport.data({ method: 'GET', path: pathOf(id), options })
  }

  /**
   * Changes what is named and leaves the rest; null takes a restriction away. Overwrites what others
   * changed meanwhile, unless `ifMatch` says which version was read. `receipt` of the answer says since
   * when every node goes by it.
   */
  update(
    id: string,
    changes: UpdateApiKeyBody,
    { ifMatch, wait, ...options }: UpdateOptions = {},
  ): Promise<Told<ApiKey>> {
    const ask = {
      method: 'PATCH',
      path: pathOf(id),
      body: changes,
      headers: { 'if-match': ifMatch ?? '*' },
      // A change that arrived while its answer was lost has moved the version: tried again, it would
      // be refused as somebody else's.
      isUnrepeatable: ifMatch !== undefined,
      options,
    } as const
    return this.#transport.told(ask, wait)
  }

  /**
   * Gives a key another secret, which `key` of the answer shows, this once. The old one stays good for
   * `overlap`. The id `self` is the calling key. Waits for the other nodes where a secret ends at once.
   */
  rotate(
    id: string,
    rotation: RotateApiKeyBody = {},
    options?: WaitOptions,
  ): Promise<Told<IssuedApiKey>> {
    return this.#end(id, 'rotate', rotation, options)
  }

  /**
   * Ends a key for good. The row stays, for the audit. `receipt` of the answer says since when no node
   * takes the key any more.
   */
  revoke(id: string, options?: WaitOptions): Promise<Told<ApiKey>> {
    return this.#end(id, 'revoke', {}, options)
  }

  /** Stops a key until it is enabled. `receipt`: as of `revoke`. */
  disable(id: string, options?: WaitOptions): Promise<Told<ApiKey>> {
    return this.#end(id, 'disable', {}, options)
  }

  /** Makes a disabled key work again. */
  enable(id: string, options?: RequestOptions): Promise<ApiKey> {
    return this.#transport.data(actOf(id, 'enable', {}, options))
  }

  /**
   * What the gateway would say of a request with this key, and why. Nothing is charged; what is not
   * said of the request is not checked. A bad key is an answer, not an error.
   */
  verify(question: VerifyApiKeyBody, options?: RequestOptions): Promise<VerifyApiKeyData> {
    return this.#transport.data({
      method: 'POST',
      path: '/api-keys/verify',
      body: question,
      isRead: true,
      options,
    })
  }

  /** How much a key was used, by day. Without days: the last 30. */
  usage(
    id: string,
    days: GetApiKeyUsageQuery = {},
    options?: RequestOptions,
  ): Promise<GetApiKeyUsageData> {
    return this.#transport.data({
      method: 'GET',
      path: `${pathOf(id)}/usage`,
      query: days,
      options,
    })
  }

  /**
   * Adopts keys from elsewhere, known by their string or its SHA-256. All or none: one that is wrong
   * throws `InvalidRequestError`, whose `errors` say which. At most 20 000 at a time.
   */
  import(keys: readonly ImportedApiKey[], options?: RequestOptions): Promise<ImportApiKeysData> {
    const lines = keys.map((key) => `${JSON.stringify(toWire(key))}\n`).join('')
    return this.#transport.data({ method: 'POST', path: '/api-keys/import', lines, options })
  }

  /** All keys that still work, one by one, as `import` takes them elsewhere: with digests, no strings. */
  export(options?: RequestOptions): AsyncGenerator<ImportedApiKey, void, undefined> {
    return this.#transport.lines({ method: 'GET', path: '/api-keys/export', options })
  }

  #end<Data>(
    id: string,
    verb: string,
    body: object,
    { wait, ...options }: WaitOptions = {},
  ): Promise<Told<Data>> {
    return this.#transport.told(actOf(id, verb, body, options), wait)
  }
}

const actOf = (id: string, verb: string, body: object, options?: RequestOptions): Ask => ({
  ...{ method: 'POST', path: `${pathOf(id)}/${verb}`, body, options },
})

const pathOf = (id: string): string => `/api-keys/${segment(id)}`
