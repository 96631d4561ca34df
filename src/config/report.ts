/**
 * What is wrong with the configuration, said so that it can be mended: which field, at which line,
 * and what was probably meant. Nothing here knows YAML. No message carries a value that came from
 * the environment or looked like a secret.
 */

/** Where a field stands: `['platforms', 0, 'slug']`. */
export type Path = readonly (string | number)[]

/** One finding, before anyone looked up its line. */
export type Fault = {
  readonly path: Path
  readonly message: string
  readonly fix?: string
  /** The field's name is at fault, not its value. */
  readonly atName?: boolean
  /** Characters from the start of the file, where the path cannot say it. */
  readonly offset?: number
}

/** One finding with its place. `line` and `column` count from 1; both are 0 for the environment. */
export type ConfigError = {
  readonly file: string
  readonly line: number
  readonly column: number
  /** `routes[0].path`; empty when the file as a whole is meant. */
  readonly path: string
  readonly message: string
  readonly fix?: string
}

/**
 * One line per error: `postern.yaml:12:5 platforms[0].slgu: unknown field "slgu"; did you mean
 * "slug"?`. Safe to print: text from the file is quoted, short, and without control characters.
 */
export function renderErrors(errors: readonly ConfigError[]): string {
  return errors.map(renderError).join('\n')
}

function renderError({ file, line, column, path, message, fix }: ConfigError): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`
  const subject = path === '' ? '' : `${path}: `
  return printable(`${place} ${subject}${message}${fix === undefined ? '' : `; ${fix}`}`)
}

/** A path as people write it. Names that are not plain words are quoted, so that paths are unique. */
export function pathText(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[A-Za-z_][\w-]{0,63}$/.test(step)) text += `[${quote(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** Text from the file, for a message: in quotes, at most 40 characters, nothing unprintable. */
export function quote(text: string): string {
  return printable(JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text))
}

/** Controls and invisible characters as escapes: a message must not move a terminal's cursor. */
const printable = (text: string): string =>
  text.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
