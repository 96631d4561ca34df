/**
 * Whether a piece of text looks like a secret that somebody is about to commit. It judges looks
 * only; where the words are ordinary it stays silent, since a refused path or slug would be worse.
 */
import { presets } from '../keys/schemes.ts'

const issued = Object.values(presets).flatMap((scheme) => scheme.prefixes.map((p) => p.prefix))

/** `sk_live_` is telling in itself; `dev_` starts many an honest name, so more must follow it. */
const likeKey = issued.map((prefix) => {
  const least = prefix.split('_').length > 2 ? 12 : 20
  return `${prefix}(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{${least},}`
})
/** The shape of every key we issue (keys/format.ts), whatever its prefix. */
const ownKey = '[a-z0-9]_[0-9A-Za-z]{9}_[0-9A-Za-z]{38}(?![0-9A-Za-z])'
const apiKey = new RegExp(`${ownKey}|(?:^|[^A-Za-z0-9])(?:${likeKey.join('|')})`)
const urlPassword = /[a-z][a-z0-9+.-]*:\/\/[^\s/?#@:]*:[^\s/?#@]+@/i
const privateKey = /BEGIN [A-Z0-9 ]*PRIVATE KEY/
/** A certificate looks as random as a secret, and is there to be shown. */
const certificates = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g

/** What the text looks like, or null. References (`${env:NAME}`) inside it are not looked at. */
export function secretLook(text: string): string | null {
  const literal = text.replaceAll(/\$\{env:[^}]*\}/g, '')
  if (privateKey.test(literal)) return 'a private key'
  if (urlPassword.test(literal)) return 'a password in a URL'
  if (apiKey.test(literal)) return 'an API key'
  const secretive = literal.replaceAll(certificates, '')
  // Paths and URLs are made of words; base64 has slashes too, but no slash in front.
  const words = /^\/|:\/\//.test(secretive) ? secretive.split(/[/?&=]/) : [secretive]
  return words.some(isRandom) ? 'a random token' : null
}

/** 32 or more hexadecimal digits, or letters of both cases mixed with digits, without a pattern. */
function isRandom(text: string): boolean {
  for (const [run] of text.matchAll(/[A-Za-z0-9+/=_-]{32,}/g)) {
    const counts = [/[a-z]/g, /[A-Z]/g, /[0-9]/g].map((kind) => run.match(kind)?.length ?? 0)
    const [lower = 0, upper = 0, digit = 0] = counts
    if (/^[0-9a-f]+$/i.test(run) && digit > 2 && lower + upper > 2 && bits(run) > 3) return true
    // Words run together have both cases too, but few digits and fewer different letters.
    if (lower > 2 && upper > 2 && digit > 0 && bits(run) > 4.3) return true
  }
  return false
}

/** Shannon entropy, in bits per character. */
function bits(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  let sum = 0
  for (const count of counts.values()) sum -= (count / text.length) * Math.log2(count / text.length)
  return sum
}
