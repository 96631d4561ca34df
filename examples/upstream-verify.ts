/**
 * An upstream that knows who is calling: it believes the Postern-Identity token, and no other header.
 *
 *   POSTERN_JWKS_URL=http://127.0.0.1:8787/.well-known/jwks.json \
 *   POSTERN_ISSUER=urn:postern:plt_acme POSTERN_AUDIENCE=orders npx node examples/upstream-verify.ts
 */
import { createServer } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'

/** Without an issuer or an audience jose would take anybody's: a missing one ends the process. */
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
  requiredClaims: ['sub', 'exp'],
  maxTokenAge: 60,
  clockTolerance: 5,
}

const server = createServer(async (request, response) => {
  const answer = (status: number, body: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  try {
    const { payload } = await jwtVerify(String(request.headers['postern-identity']), keys, expected)
    const { sub, tenant, env, permissions } = payload
    answer(200, { key: sub, tenant, env, permissions })
  } catch (error) {
    // Keys that cannot be fetched say nothing of the caller.
    const code = error instanceof errors.JOSEError ? error.code : 'ERR_JWKS_TIMEOUT'
    const unknown = code === 'ERR_JWKS_TIMEOUT' || code === 'ERR_JOSE_GENERIC'
    answer(unknown ? 503 : 401, { error: unknown ? 'cannot verify now' : 'no valid identity' })
  }
})

server.listen(Number(process.env.PORT ?? 9001), '127.0.0.1', () => {
  console.log('listening on', server.address())
})
