/** The OpenAPI document of the management API, as a gateway serves it, without a gateway. */
import { createTenants } from '../src/keys/tenant.ts'
import { createVerifier } from '../src/keys/verify.ts'
import { createManagement } from '../src/manage/management.ts'
import { createRouter } from '../src/routing.ts'

const unasked = (): never => {
  throw new Error('the document is made without a store')
}

/** Builds the management API over no store and asks it for its document. */
export async function managementDocument(): Promise<unknown> {
  const bytes = new Uint8Array(32)
  const management = createManagement({
    platforms: [],
    router: createRouter([]),
    verifier: createVerifier({
      findKey: unasked,
      peppers: { current: 1, versions: new Map([[1, bytes]]) },
    }),
    binder: createTenants({ findTenant: unasked }),
    basePath: '/v1',
    hosts: [],
    rotationMs: { test: 0, live: 0 },
    announce: unasked,
    defer: unasked,
    pepper: { version: 1, bytes },
    masterKey: bytes,
    sql: { query: unasked, begin: unasked, close: unasked },
    readScript: null,
  })
  const path = '/v1/openapi.json'
  const response = await management.open({ method: 'GET', requestHeaders: new Headers() }, path)
  if (response === null) throw new Error(`nothing is served at ${path}`)
  return response.json()
}
