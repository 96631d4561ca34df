/** Which key does the person mean? */
import type { ApiKey, Postern } from '../../sdk/typescript/src/postern.ts'
import { Misuse, NotThere } from './command.ts'

/**
 * The key that is meant, by id or by its whole name. Throws `NotThere` for none and `Misuse` for
 * several; a revoked key is meant only where no other has the name.
 */
export async function keyNamed({ apiKeys }: Postern, name: string): Promise<ApiKey> {
  if (/^key_[0-9a-f]{32}$/.test(name)) return apiKeys.get(name)
  if (/_[0-9A-Za-z]{32,}$/.test(name)) {
    throw new Misuse('that looks like a whole key: say its id or its name')
  }
  const { data } = await apiKeys.list({ name, limit: 100 }).page()
  const living = data.filter(({ status }) => status !== 'revoked')
  const [found, ...others] = living.length === 0 ? data : living
  if (found === undefined) throw new NotThere(`there is no key with the id or the name ${name}`)
  if (others.length === 0) return found
  const ids = [found, ...others].map(({ id }) => id).join(', ')
  throw new Misuse(`several keys are called ${name}: say which one of ${ids}`)
}
