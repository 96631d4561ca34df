/** The platform's customers. */
import { type Page, type PageOptions, Pages } from './page.ts'
import type { CreateTenantBody, ListTenantsQuery, Tenant, UpdateTenantBody } from './schema.ts'
import {
  type Ask,
  type RequestOptions,
  segment,
  type Told,
  type Transport,
  type WaitOptions,
} from './transport.ts'

/** Which tenants, and how many at a time. */
export type ListTenants = Omit<ListTenantsQuery, 'limit' | 'cursor'> & PageOptions

/** `client.tenants`. Every call rejects with a `PosternError`. */
export class Tenants {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Adds a tenant, under an id of your own. */
  create(tenant: CreateTenantBody, options?: RequestOptions): Promise<Tenant> {
    return this.#transport.data({ method: 'POST', path: '/tenants', body: tenant, options })
  }

  /** The tenants that pass the filter, newest first: `for await (const tenant of tenants.list())`. */
  list(filter: ListTenants = {}, options?: RequestOptions): Pages<Tenant> {
    return new Pages((cursor) => {
      const query = cursor === undefined ? filter : { ...filter, cursor }
      return this.#transport.json<Page<Tenant>>({ method: 'GET', path: '/tenants', query, options })
    })
  }

  /** One tenant. */
  get(id: string, options?: RequestOptions): Promise<Tenant> {
    return this.#transport.data({ method: 'GET', path: pathOf(id), options })
  }

  /** Changes the metadata that is named; null takes a name away. `ifMatch`: as for API keys. */
  update(
    id: string,
    changes: UpdateTenantBody,
    { ifMatch, ...options }: RequestOptions & { readonly ifMatch?: string } = {},
  ): Promise<Tenant> {
    return this.#transport.data({
      method: 'PATCH',
      path: pathOf(id),
      body: changes,
      headers: { 'if-match': ifMatch ?? '*' },
      isUnrepeatable: ifMatch !== undefined,
      options,
    })
  }

  /**
   * Refuses every call for this tenant until it is resumed. `receipt` of the answer says since when
   * every node does.
   */
  suspend(id: string, { wait, ...options }: WaitOptions = {}): Promise<Told<Tenant>> {
    return this.#transport.told(actOf(id, 'suspend', options), wait)
  }

  /** Lets a suspended tenant go on. */
  resume(id: string, options?: RequestOptions): Promise<Tenant> {
    return this.#transport.data(actOf(id, 'resume', options))
  }
}

const actOf = (id: string, verb: string, options?: RequestOptions): Ask => ({
  ...{ method: 'POST', path: `${pathOf(id)}/${verb}`, body: {}, options },
})

const pathOf = (id: string): string => `/tenants/${segment(id)}`
