/**
 * An upstream whose database shows the caller's tenant and nothing else: the tenant of the verified
 * token is bound to a transaction, and row-level security is the predicate. The query names none.
 *
 *   psql "$OWNER_DATABASE_URL" -f examples/upstream-tenant.sql
 *   POSTERN_JWKS_URL=http://127.0.0.1:8787/.well-known/jwks.json \
 *   POSTERN_ISSUER=urn:postern:plt_acme POSTERN_AUDIENCE=notes \
 *   DATABASE_URL=postgres://… npx node examples/upstream-tenant.ts
 *
 * DATABASE_URL is a login that owns nothing and is no superuser: those are above the policy.
 */
import { createServer } from 'node:http'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import pg from 'pg'

function setting(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}

const keys = createRemoteJWKSet(new URL(setting('POSTERN_JWKS_URL')))
const expected = {
  issuer: setting('POSTERN_ISSUER'),
  audience: setting('POSTERN_AUDIENCE'),
  typ: 'postern-identity+jwt',
  algorithms: ['EdDSA'],
  requiredClaims: ['sub', 'exp', 'tenant', 'env'],
  maxTokenAge: 60,
  clockTolerance: 5,
}
const pool = new pg.Pool({ connectionString: setting('DATABASE_URL') })
pool.on('error', (error) => console.error('an idle connection ended:', error.message))

/** Runs `work` in a transaction that sees the rows of one tenant in one environment. */
async function inScope<T>(env: string, tenant: string, work: (db: pg.PoolClient) => Promise<T>) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    // `true`: set local. It ends with the transaction, so it never waits in the pool for another.
    const bind = `select set_config('app.env', $1, true), set_config('app.tenant', $2, true)`
    await client.query(bind, [env, tenant])
    const result = await work(client)
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    client.release(true) // Closed, not pooled: nobody knows what state it is in.
    throw error
  }
}

const server = createServer(async (request, response) => {
  const answer = (status: number, body: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const token = String(request.headers['postern-identity'])
  const caller = await jwtVerify(token, keys, expected).catch(() => null)
  if (caller === null) return answer(401, { error: 'no valid identity' })
  const { env, tenant } = caller.payload
  try {
    const list = (db: pg.PoolClient) => db.query('select text from notes order by id')
    const { rows } = await inScope(String(env), String(tenant), list)
    answer(200, rows)
  } catch (error) {
    console.error('the query failed:', error)
    answer(500, { error: 'internal error' })
  }
})

server.listen(Number(process.env.PORT ?? 9002), '127.0.0.1', () => {
  console.log('listening on', server.address())
})
