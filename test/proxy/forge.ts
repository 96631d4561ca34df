/**
 * Identity tokens that the gateway would never make. The signing key is made here once more, with
 * other functions than in src/proxy/signing.ts: if the two part, nothing forged verifies any more.
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign,
} from 'node:crypto'

/** The key that a platform signs with in an epoch of 30 days, as docs/identity.md says. */
export function signingKey(masterKey: Uint8Array, platform: string, epoch: number): KeyObject {
  const parts = ['postern/identity/v1', platform, String(epoch)].map((part) => Buffer.from(part))
  const info = Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
  const seed = Buffer.from(hkdfSync('sha256', masterKey, Buffer.alloc(0), info, 32))
  const head = Buffer.from('302e020100300506032b657004220420', 'hex')
  return createPrivateKey({ key: Buffer.concat([head, seed]), format: 'der', type: 'pkcs8' })
}

/** Its public half, `x` of a JWK. */
export const publicX = (key: KeyObject): string =>
  String(createPublicKey(key).export({ format: 'jwk' }).x)

export const encodePart = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

export const decodePart = (part: string | undefined): Record<string, unknown> =>
  JSON.parse(Buffer.from(part ?? '', 'base64url').toString())

/** Signs anything with Ed25519. Text is taken for JSON as it stands. */
export function forge(key: KeyObject, header: unknown, claims: unknown): string {
  const signed = `${encodePart(header)}.${encodePart(claims)}`
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`
}

/** The attack that takes a public key for a shared secret. */
export function forgeHmac(secret: Uint8Array | string, header: unknown, claims: unknown): string {
  const signed = `${encodePart(header)}.${encodePart(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}
