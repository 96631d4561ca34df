/**
 * May this be a session's secrets? A flat object of names and values, as they will stand in the
 * environment of a process. Everything that is wrong with it is said at once.
 *
 * The danger is the answer itself: whoever swaps names and values by mistake must not read a secret
 * back, or find one in a log. So a name is repeated only when it could be one, and a value never.
 */
import type { FieldError, Refusal } from '../problem.ts'

/** Names and values, ready to be sealed. */
export type SecretValues = ReadonlyMap<string, string>

/** Secrets that one session may have, and that one call may set. */
export const secretsMax = 100
/** Bytes of a value as UTF-8: with `secretsMax` of them, an environment stays below what Linux takes. */
export const valueBytesMax = 16_384
export const nameCharactersMax = 128

const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/

// What the dynamic linker, shells and interpreters read before a program does: setting one of these
// is running code, or leading it elsewhere.
const reservedPrefixes = ['LD_', 'DYLD_', 'POSTERN_', 'BASH_FUNC_', 'GIT_CONFIG_', 'NPM_CONFIG_']
const reservedNames = new Set(
  `PATH HOME SHELL USER LOGNAME PWD OLDPWD IFS ENV PS4 TMPDIR HOSTNAME SHELLOPTS BASHOPTS BASH_ENV
  PROMPT_COMMAND CDPATH GLOBIGNORE NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS
  NODE_TLS_REJECT_UNAUTHORIZED PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS
  PYTHONBREAKPOINT PERL5LIB PERL5OPT PERLLIB RUBYLIB RUBYOPT JAVA_TOOL_OPTIONS _JAVA_OPTIONS
  JDK_JAVA_OPTIONS CLASSPATH GCONV_PATH LOCPATH NLSPATH HOSTALIASES RES_OPTIONS MALLOC_TRACE
  GLIBC_TUNABLES GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS SSH_ASKPASS EDITOR VISUAL PAGER BROWSER
  OPENSSL_CONF OPENSSL_MODULES SSL_CERT_FILE SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY`.split(
    /\s+/,
  ),
)

/** Whether secrets can have this name. */
export const isSecretName = (name: string): boolean =>
  name.length <= nameCharactersMax && namePattern.test(name) && !isReserved(name)

/** Windows reads variables in any case, and so is a reserved one refused in any. */
function isReserved(name: string): boolean {
  const upper = name.toUpperCase()
  return reservedNames.has(upper) || reservedPrefixes.some((prefix) => upper.startsWith(prefix))
}

/** Reads a body as names and values; or a `request/invalid` with everything that is wrong in it. */
export function readSecrets(body: unknown): SecretValues | Refusal {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return invalid([
      flaw('body', 'invalid_type', 'must be an object of names and values: {"NAME": "value"}'),
    ])
  }
  const entries: [string, unknown][] = Object.entries(body)
  const count = `must have 1 to ${secretsMax} names`
  if (entries.length === 0) return invalid([flaw('body', 'too_small', count)])
  if (entries.length > secretsMax) return invalid([flaw('body', 'too_big', count)])
  const values = new Map<string, string>()
  const errors: FieldError[] = []
  for (const [at, [name, value]] of entries.entries()) {
    const wrong = nameFlaw(name, at) ?? valueFlaw(name, value)
    if (wrong !== null) errors.push(wrong)
    else if (typeof value === 'string') values.set(name, value)
  }
  return errors.length > 0 ? invalid(errors) : values
}

function nameFlaw(name: string, at: number): FieldError | null {
  if (name.length > nameCharactersMax || !namePattern.test(name)) {
    const says = `name ${at + 1} must be 1 to ${nameCharactersMax} characters of A-Z a-z 0-9 _ and not start with a digit`
    return flaw('body', 'invalid_name', says)
  }
  if (!isReserved(name)) return null
  return flaw(
    `body.${name}`,
    'reserved_name',
    'is a variable that programs are run by: choose another name',
  )
}

function valueFlaw(name: string, value: unknown): FieldError | null {
  const location = `body.${name}`
  if (typeof value !== 'string') return flaw(location, 'invalid_type', 'must be a string')
  if (value === '') return flaw(location, 'too_small', 'must not be empty')
  if (value.includes('\0') || !value.isWellFormed()) {
    return flaw(location, 'invalid_value', 'must be text without NUL')
  }
  // A character has at most three bytes for each unit of its length.
  const long = value.length > valueBytesMax / 3 && utf8Bytes(value) > valueBytesMax
  return long ? flaw(location, 'too_big', `must have at most ${valueBytesMax} bytes`) : null
}

const flaw = (location: string, code: string, message: string): FieldError => ({
  location,
  code,
  message,
})

const invalid = (errors: readonly FieldError[]): Refusal => ({ code: 'request/invalid', errors })

const utf8Bytes = (value: string): number => new TextEncoder().encode(value).byteLength
