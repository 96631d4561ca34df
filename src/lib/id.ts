/** A new random id: the prefix and 32 hex digits (122 random bits), e.g. `req_` + …. */
export function newId(prefix: string): string {
  return prefix + crypto.randomUUID().replaceAll('-', '')
}
