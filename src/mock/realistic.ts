/**
 * What would stand in a field of this name? Guesses from names and formats, made by seed, around the
 * clock that is given. A guess is a proposal: sample.ts fits it to the schema and drops what does not.
 *
 * Nothing here is real on purpose: hosts and addresses are those reserved for documentation (RFC 2606,
 * RFC 5737, RFC 3849), and ids say `mock`, so that a mock's answer is never taken for data.
 */
import type { Random } from './random.ts'

export type Field = {
  /** As the document writes it: `createdAt`. */
  readonly name: string
  /** What the object is that it belongs to: `customer`. */
  readonly owner: string
  readonly random: Random
  /** Milliseconds since 1970, at the beginning of a day, so that a day's answers are the same. */
  readonly today: number
}

const dayMs = 86_400_000
const letters = 'abcdefghijklmnopqrstuvwxyz'
const digits = '0123456789'
const hex = '0123456789abcdef'
const base62 = `${digits}ABCDEFGHIJKLMNOPQRSTUVWXYZ${letters}`

const firstNames = [
  ...['Ada', 'Amara', 'Chidi', 'Elena', 'Farid', 'Grace', 'Hiro', 'Ines', 'Jonas', 'Kavya'],
  ...['Leila', 'Mateo', 'Nadia', 'Oskar', 'Priya', 'Rosa', 'Samir', 'Tomas', 'Yuki', 'Zoe'],
]
const lastNames = [
  ...['Abebe', 'Bauer', 'Costa', 'Diaz', 'Eriksen', 'Fischer', 'Garcia', 'Haddad', 'Ito'],
  ...['Jensen', 'Kowalski', 'Larsen', 'Moreau', 'Nakamura', 'Okafor', 'Petrov', 'Rossi', 'Silva'],
]
const companies = [
  'Northwind',
  'Bluefield',
  'Harbour',
  'Juniper',
  'Lighthouse',
  'Meridian',
  'Orchard',
]
const suffixes = ['Labs', 'Trading', 'Systems', 'Works', 'Group']
const things = [
  ...['compass', 'lantern', 'harvest', 'granite', 'meadow', 'orchid', 'pebble', 'ripple', 'saddle'],
  ...['timber', 'velvet', 'willow', 'anchor', 'beacon', 'canyon', 'ember', 'fjord', 'glacier'],
]
const places = [
  ...[
    'Lisbon',
    'Nairobi',
    'Osaka',
    'Oslo',
    'Porto',
    'Quito',
    'Riga',
    'Seville',
    'Turin',
    'Utrecht',
  ],
]
const streets = ['Mill Lane', 'Station Road', 'High Street', 'River Walk', 'Orchard Way']
const countries = ['PT', 'KE', 'JP', 'NO', 'EC', 'LV', 'ES', 'IT', 'NL', 'DE']
const currencies = ['EUR', 'USD', 'GBP', 'JPY', 'CHF']
const zones = ['Europe/Lisbon', 'Africa/Nairobi', 'Asia/Tokyo', 'Europe/Oslo', 'America/Guayaquil']
const states = ['active', 'pending', 'completed']
const sentences = [
  'Reviewed and ready for the next step.',
  'Created while trying out the interface.',
  'Waiting for a reply before it goes on.',
  'Moved here from an earlier version.',
]

const person = ({ random }: Field) => `${random.pick(firstNames)} ${random.pick(lastNames)}`
const company = ({ random }: Field) => `${random.pick(companies)} ${random.pick(suffixes)}`
const title = ({ random }: Field) => {
  const [one, two] = [random.pick(things), random.pick(things)]
  return `${one.charAt(0).toUpperCase()}${one.slice(1)} ${two}`
}
const slug = ({ random }: Field) => `${random.pick(things)}-${random.pick(things)}`
const host = ({ random }: Field) => `${random.pick(things)}.example.com`
const email = ({ random }: Field) =>
  `${random.pick(firstNames)}.${random.pick(lastNames)}@example.com`.toLowerCase()
const url = (field: Field) => `https://${host(field)}/${field.random.pick(things)}`
const sentence = ({ random }: Field) => random.pick(sentences)
const version = ({ random }: Field) =>
  `${random.whole(0, 4)}.${random.whole(0, 20)}.${random.whole(0, 9)}`

/** A version 4 UUID (RFC 9562 5.4). */
export const uuid = ({ random }: Field): string =>
  `${random.text(hex, 8)}-${random.text(hex, 4)}-4${random.text(hex, 3)}-${random.pick(['8', '9', 'a', 'b'])}${random.text(hex, 3)}-${random.text(hex, 12)}`

/** An id with the prefix that the document's example has, else one made of its owner's name. */
export function idText({ name, owner, random }: Field, example: unknown): string {
  const plain = snake(name)
  const whose = /^(.+)_ids?$/.exec(plain)?.[1] ?? owner
  const shown =
    typeof example === 'string' ? /^([A-Za-z][A-Za-z0-9]{0,11}[_-])/.exec(example) : null
  const prefix = shown?.[1] ?? `${(lastWord(whose) || 'obj').slice(0, 3)}_`
  return `${prefix}mock${random.text(base62, 12)}`
}

const lastWord = (text: string): string => /[a-z]+$/.exec(snake(text))?.[0] ?? ''

const snakes = new Map<string, string>()
const makers = new Map<string, ((field: Field) => string) | null>()
const rememberedMax = 10_000

/** Keeps what was worked out for a name. Names may be a stranger's, so only so many are kept. */
function remember<V>(known: Map<string, V>, name: string, value: V): V {
  if (known.size >= rememberedMax) known.clear()
  known.set(name, value)
  return value
}

/** `createdAt` and `Created-At` as `created_at`: names are compared like this. */
export const snake = (name: string): string =>
  snakes.get(name) ?? remember(snakes, name.slice(0, 100), snaked(name))

const snaked = (name: string): string =>
  name
    .slice(0, 100)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase()

/** Whether a field of this name names something: `id`, `customerId`, `uuid`. */
export const isId = (name: string): boolean => /(?:^|_)(?:id|uid|guid|uuid)s?$/.test(snake(name))

/** Names, the most exact first, and what stands in a text of that name. */
const texts: readonly (readonly [RegExp, (field: Field) => string])[] = [
  [/(?:^|_)e?mail(?:_address)?$/, email],
  [/(?:^|_)(?:first|given)_name$/, ({ random }) => random.pick(firstNames)],
  [/(?:^|_)(?:last|family|sur)_?name$/, ({ random }) => random.pick(lastNames)],
  [
    /(?:^|_)(?:user_?name|login|handle|nickname)$/,
    ({ random }) => random.pick(firstNames).toLowerCase(),
  ],
  [/(?:^|_)(?:company|organi[sz]ation|vendor|merchant)(?:_name)?$/, company],
  [/(?:^|_)(?:full_name|display_name|author|contact|assignee|created_by|updated_by)$/, person],
  [/(?:^|_)(?:file_?name|file)$/, (field) => `${slug(field)}.pdf`],
  [/(?:^|_)(?:host|hostname|domain)(?:_name)?$/, host],
  [/(?:^|_)(?:ip|ip_address|remote_addr)$/, ({ random }) => `192.0.2.${random.whole(1, 254)}`],
  [/(?:^|_)(?:url|uri|href|link|website|homepage|avatar|image|photo|logo|picture)$/, url],
  [/(?:^|_)(?:slug|path|key_?name|repository|repo|branch|bucket|namespace)$/, slug],
  [
    /(?:^|_)(?:phone|mobile|telephone|fax)(?:_number)?$/,
    ({ random }) => `+1202555${random.text(digits, 4)}`,
  ],
  [
    /(?:^|_)(?:street|address|address_?line_?\d?|line_?1)$/,
    ({ random }) => `${random.whole(1, 180)} ${random.pick(streets)}`,
  ],
  [/(?:^|_)(?:city|town|location|place)$/, ({ random }) => random.pick(places)],
  [/(?:^|_)(?:zip|zip_?code|postal_?code|post_?code)$/, ({ random }) => random.text(digits, 5)],
  [/(?:^|_)(?:country|country_code|nationality)$/, ({ random }) => random.pick(countries)],
  [/(?:^|_)currency(?:_code)?$/, ({ random }) => random.pick(currencies)],
  [/(?:^|_)(?:time_?zone|tz)$/, ({ random }) => random.pick(zones)],
  [
    /(?:^|_)(?:locale|language|lang)(?:_code)?$/,
    ({ random }) => random.pick(['en', 'pt', 'ja', 'es']),
  ],
  [/(?:^|_)(?:color|colour)$/, ({ random }) => `#${random.text(hex, 6)}`],
  [/(?:^|_)(?:status|state|phase)$/, ({ random }) => random.pick(states)],
  [/(?:^|_)(?:version|release)$/, version],
  [/(?:^|_)(?:sha|hash|digest|checksum|etag|fingerprint)$/, ({ random }) => random.text(hex, 40)],
  [
    /(?:^|_)(?:token|cursor|secret|password|api_?key)$/,
    ({ random }) => `mock_${random.text(base62, 24)}`,
  ],
  [/(?:^|_)(?:mime_?type|content_?type|media_?type)$/, () => 'application/json'],
  [/(?:^|_)user_agent$/, () => 'Mozilla/5.0 (X11; Linux x86_64)'],
  [
    /(?:^|_)(?:code|sku|reference|ref|number|serial)$/,
    ({ random }) => `${random.text('ABCDEFGHJKLMNPQRSTUVWXYZ', 3)}-${random.text(digits, 5)}`,
  ],
  [
    /(?:^|_)(?:amount|price|total|balance)$/,
    ({ random }) => `${random.whole(1, 900)}.${random.text(digits, 2)}`,
  ],
  [
    /(?:^|_)(?:description|summary|message|comment|notes?|body|text|content|bio|about|reason|detail)s?$/,
    sentence,
  ],
  [/(?:^|_)(?:title|subject|headline|label|topic)$/, title],
  [
    /(?:^|_)(?:tags?|labels?|category|categories|keyword|keywords|topics)$/,
    ({ random }) => random.pick(things),
  ],
]

/** A text for a field of this name; what nothing is known of gets a word or two. */
export function textGuess(field: Field): string {
  const name = snake(field.name)
  const moment = momentGuess(field)
  if (moment !== null) return new Date(moment).toISOString()
  let maker = makers.get(name)
  if (maker === undefined) {
    maker = remember(makers, name, texts.find(([pattern]) => pattern.test(name))?.[1] ?? null)
  }
  if (maker !== null) return maker(field)
  if (/(?:^|_)name$/.test(name)) {
    if (/user|person|customer|member|owner|employee|contact|author/.test(field.owner))
      return person(field)
    if (/company|organi[sz]ation|vendor|merchant|team|account/.test(field.owner))
      return company(field)
    return title(field)
  }
  return slug(field)
}

/** Moments by name: from and to so many days away; what has been changed was there before. */
const moments: readonly (readonly [RegExp, number, number])[] = [
  [
    /(?:^|_)(?:expir\w*|due\w*|renews?\w*|ends?_?(?:at|on|date|time)|next_\w+_(?:at|date)|valid_until|scheduled\w*)$/,
    ...([2, 60] as const),
  ],
  [/(?:^|_)(?:birth_?day|birth_?date|date_of_birth|dob)$/, -22_000, -7_000],
  [/(?:^|_)(?:updated|modified|last_\w+)(?:_?(?:at|on|date|time))?$/, -29, -1],
  [
    /(?:^|_)(?:created|inserted|registered|joined|started|issued|published)(?:_?(?:at|on|date|time))?$|(?:^|_)(?:at|on|timestamp|date|time|datetime)$/,
    ...([-90, -30] as const),
  ],
]
const spans = new Map<string, readonly [number, number] | null>()

function spanOf(name: string): readonly [number, number] | null {
  const before = spans.get(name)
  if (before !== undefined) return before
  const plain = snake(name)
  const [, from, to] = moments.find(([pattern]) => pattern.test(plain)) ?? []
  return remember(spans, name, from === undefined || to === undefined ? null : [from, to])
}

/** Milliseconds since 1970 for a field that names a moment, else null. Whole seconds. */
export function momentGuess({ name, random, today }: Field): number | null {
  const span = spanOf(name)
  if (span === null) return null
  return today + random.whole(...span) * dayMs + random.whole(0, 86_399) * 1000
}

/** A text of a format, or null for a format that nothing is known of. */
export function formatGuess(format: string, field: Field): string | null {
  const moment = () =>
    momentGuess(field) ??
    field.today - field.random.whole(1, 90) * dayMs + field.random.whole(0, 86_399) * 1000
  const { random } = field
  switch (format) {
    case 'date-time':
      return new Date(moment()).toISOString().replace('.000Z', 'Z')
    case 'date':
      return new Date(moment()).toISOString().slice(0, 10)
    case 'time':
      return `${new Date(moment()).toISOString().slice(11, 19)}Z`
    case 'duration':
      return `PT${random.whole(1, 59)}M`
    case 'email':
    case 'idn-email':
      return email(field)
    case 'hostname':
    case 'idn-hostname':
      return host(field)
    case 'ipv4':
      return `192.0.2.${random.whole(1, 254)}`
    case 'ipv6':
      return `2001:db8::${random.whole(1, 65_534).toString(16)}`
    case 'uri':
    case 'url':
    case 'iri':
      return url(field)
    case 'uri-reference':
      return `/${random.pick(things)}`
    case 'uuid':
      return uuid(field)
    case 'byte':
      return btoa(random.pick(things))
    case 'json-pointer':
      return `/${random.pick(things)}`
    default:
      return null
  }
}

/** A number for a field of this name. `whole`: an integer is wanted. */
export function numberGuess(field: Field, whole: boolean): number {
  const name = snake(field.name)
  const { random } = field
  const moment = momentGuess(field)
  if (whole && moment !== null) return moment / 1000
  if (/(?:^|_)lat(?:itude)?$/.test(name)) return random.whole(-80_0000, 80_0000) / 10_000
  if (/(?:^|_)(?:lng|lon|longitude)$/.test(name)) return random.whole(-170_0000, 170_0000) / 10_000
  if (/(?:^|_)(?:amount|price|cost|balance|subtotal|fee|tax|revenue|salary)/.test(name)) {
    const cents = random.whole(199, 49_999)
    return whole ? cents : cents / 100
  }
  if (/(?:^|_)(?:percent(?:age)?|progress)$/.test(name)) return random.whole(1, 100)
  if (/(?:^|_)(?:rate|ratio|score|probability|confidence)$/.test(name)) {
    return whole ? random.whole(1, 100) : random.whole(1, 99) / 100
  }
  if (/(?:^|_)year$/.test(name)) return new Date(field.today).getUTCFullYear()
  if (/(?:^|_)month$/.test(name)) return random.whole(1, 12)
  if (/(?:^|_)(?:day|age)s?$/.test(name)) return random.whole(1, 28)
  if (/(?:^|_)port$/.test(name)) return random.whole(1024, 49_151)
  if (/(?:^|_)(?:bytes|size)$/.test(name)) return random.whole(1_000, 5_000_000)
  if (/(?:^|_)(?:ms|millis\w*|latency|duration)$/.test(name)) return random.whole(5, 900)
  if (isId(name)) return random.whole(1_000, 99_999_999)
  if (/(?:^|_)(?:page|offset)$/.test(name)) return name.endsWith('offset') ? 0 : 1
  const small = random.whole(1, 100)
  return whole ? small : small + random.whole(0, 99) / 100
}

/** A yes or no for a field of this name: what a healthy answer would say. */
export function yesNoGuess({ name, random }: Field): boolean {
  const plain = snake(name)
  if (/^(?:success|ok|active|enabled|deleted|is_active)$/.test(plain)) return true
  if (
    /^(?:has_more|livemode|live_mode|truncated|is_deleted|archived|disabled|error)$/.test(plain)
  ) {
    return false
  }
  return random.next() < 0.5
}

/** A word, for a name that a document leaves open. */
export const wordGuess = (random: Random): string => random.pick(things)

/** One of several: `things` as `thing`, `cities` as `city`. */
export function singular(name: string): string {
  const plain = snake(name)
  if (/ies$/.test(plain)) return plain.replace(/ies$/, 'y')
  if (/(?:ss|us|is)$/.test(plain)) return plain
  return /(?:x|ch|sh|ss|z)es$/.test(plain) ? plain.slice(0, -2) : plain.replace(/s$/, '')
}
