/**
 * Certificates for tests, made when they are needed: no key lies in the repository, none runs out,
 * and no program has to be there that makes them. DER (X.690) as far as an X.509 certificate of
 * RFC 5280 needs it, and no further.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

/** PEM texts, as TLS options take them. */
export type Certificate = { readonly cert: string; readonly key: string }

export type Authority = {
  /** Its own certificate, for those who are to believe it. */
  readonly ca: string
  /** A certificate for these host names and IPv4 addresses, and its private key. */
  issue(...names: string[]): Certificate
}

/** Creates an authority that nobody knows yet. */
export function createAuthority(name: string): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = { name, key: own.privateKey }
  const basic = extension('551d13', sequence(boolean(true)), true)
  return {
    ca: certificate(issuer, name, own.publicKey, [basic]),
    issue(...names) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const cert = certificate(issuer, names[0] ?? name, publicKey, [
        extension('551d11', sequence(...names.map(generalName))),
      ])
      return { cert, key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })) }
    },
  }
}

type Issuer = { readonly name: string; readonly key: KeyObject }

function certificate(issuer: Issuer, subject: string, key: KeyObject, extensions: Buffer[]) {
  const algorithm = sequence(objectId('2a8648ce3d040302')) // ecdsa-with-SHA256
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])), // a positive serial number
    algorithm,
    nameOf(issuer.name),
    sequence(time('20200101000000Z'), time('21200101000000Z')),
    nameOf(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signed = sequence(content, algorithm, bits(sign('sha256', content, issuer.key)))
  const lines = (signed.toString('base64').match(/.{1,64}/g) ?? []).join('\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const size =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: Buffer[]): Buffer => der(0x30, ...parts)
const objectId = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'))
const boolean = (value: boolean): Buffer => der(0x01, Buffer.from([value ? 255 : 0]))
const bits = (bytes: Buffer): Buffer => der(0x03, Buffer.from([0]), bytes)
const time = (text: string): Buffer => der(0x18, Buffer.from(text))

/** One relative name: the common name. */
const nameOf = (text: string): Buffer =>
  sequence(der(0x31, sequence(objectId('550403'), der(0x0c, Buffer.from(text)))))

const extension = (id: string, value: Buffer, critical = false): Buffer =>
  sequence(objectId(id), ...(critical ? [boolean(true)] : []), der(0x04, value))

const generalName = (name: string): Buffer =>
  isIP(name) === 4
    ? der(0x87, Buffer.from(name.split('.').map(Number)))
    : der(0x82, Buffer.from(name))
