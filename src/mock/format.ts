/**
 * What the formats of a schema look like: a test for each of those that are checked. A format that is
 * not here says nothing about a value (JSON Schema 2020-12 7.2.3). Every expression is our own and
 * linear; the document names formats and never brings one.
 */

const date = /^\d{4}-(\d\d)-(\d\d)$/
const time = /^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const base64 = /^[A-Za-z0-9+/]*={0,2}$/

const daysOf = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isDate(text: string): boolean {
  const [, month, day] = date.exec(text) ?? []
  const days = daysOf[Number(month) - 1]
  if (days === undefined || Number(day) < 1 || Number(day) > days) return false
  const year = Number(text.slice(0, 4))
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return Number(month) !== 2 || Number(day) < 29 || isLeap
}

const isHost = (text: string): boolean =>
  text.length <= 253 && text.split('.').every((one) => label.test(one))

const isIpv4 = (text: string): boolean => {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((one) => /^(?:0|[1-9]\d{0,2})$/.test(one) && +one < 256)
}

function isIpv6(text: string): boolean {
  if (text.length > 45 || !/^[0-9a-f:.]+$/i.test(text)) return false
  return URL.canParse(`http://[${text}]/`)
}

function isEmail(text: string): boolean {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > 320) return false
  return /^[^\s@"(),:;<>[\]\\]+$/.test(text.slice(0, at)) && isHost(text.slice(at + 1))
}

const isUri = (text: string): boolean =>
  /^[a-z][a-z0-9+.-]*:[^\s<>"{}|\\^`]*$/i.test(text) && URL.canParse(text)

/** By the format's name: whether a text is one. */
export const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) =>
    /^.{10}[Tt ]/.test(text) && isDate(text.slice(0, 10)) && time.test(text.slice(11)),
  date: isDate,
  time: (text) => time.test(text),
  duration: (text) =>
    /^P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)$/.test(text),
  email: isEmail,
  'idn-email': (text) => /^[^\s@]+@[^\s@]+$/.test(text),
  hostname: isHost,
  ipv4: isIpv4,
  ipv6: isIpv6,
  uri: isUri,
  url: isUri,
  'uri-reference': (text) => /^[^\s<>"{}|\\^`]*$/.test(text),
  uuid: (text) => uuid.test(text),
  byte: (text) => text.length % 4 === 0 && base64.test(text),
}

/** Whole numbers that a format bounds. */
export const wholeFormats: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-2_147_483_648, 2_147_483_647],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
}
