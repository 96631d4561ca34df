/**
 * Collections whose things are named by whoever sets them, several in one call: POST `/secrets` with
 * `{"NAME": "value"}` sets, the list shows `{name, …}`, and `/secrets/{name}` is one of them. Recognised by
 * that: the body is a map, and what is listed has a field of the name of the path's last parameter.
 *
 * What was sent is never kept, only what it was called: a document cannot say which maps are secret.
 */
import type { WorldThing } from '../context.ts'
import type { Operation } from './document.ts'
import { isJson, listIn } from './pointer.ts'
import type { Shape } from './shape.ts'
import type { Variants } from './variants.ts'

/** How the things of such a collection are called, and what a list shows of one. */
export type Named = { readonly key: string; readonly items: Shape }

/** What one call may set. */
const namesMax = 100

/**
 * `item`: the path of one thing. `listed`: what the items of the list are. null: the things of this
 * collection are not named by their callers.
 */
export function namedBy(
  item: string,
  post: Operation | null,
  listed: Shape | null,
  variants: Variants,
): Named | null {
  const key = /\{([^{}/]+)\}$/.exec(item)?.[1]
  const body = post?.body?.media[0]?.shape ?? null
  if (key === undefined || body === null || listed === null) return null
  const isMap = variants
    .of(body)
    .every(({ properties, additional }) => properties.size === 0 && additional !== null)
  const hasKey = variants.of(listed).some(({ properties }) => properties.has(key))
  return isMap && hasKey ? { key, items: listed } : null
}

/** The things that a body sets. `show` makes what a list shows of one, from what is known of it. */
export function thingsSet(
  { key }: Named,
  sent: Readonly<Record<string, unknown>>,
  show: (fields: Readonly<Record<string, unknown>>) => unknown,
): WorldThing[] {
  return Object.keys(sent)
    .slice(0, namesMax)
    .flatMap((name) => {
      const data = show({ [key]: name })
      return isJson(data) ? [{ id: name, data }] : []
    })
}

/** The things in a list of such a collection: those that have a name. */
export function thingsListed({ key }: Named, list: unknown): WorldThing[] {
  return listIn(list)
    .filter(isJson)
    .flatMap((data) => {
      const name = data[key]
      return typeof name === 'string' ? [{ id: name, data }] : []
    })
}
