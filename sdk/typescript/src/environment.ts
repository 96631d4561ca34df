/** What surrounds this program. The only file here that looks. */

/** A variable of the environment; undefined where there is no such thing, as in a browser. */
export function variable(name: string): string | undefined {
  // Typed by hand: the package builds without the types of any one runtime.
  const { process } = globalThis as {
    readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> }
  }
  return process?.env?.[name] || undefined
}

/** Whether this is a page, whose reader can read everything that it holds. */
export const isPage = (): boolean => 'window' in globalThis && 'document' in globalThis
