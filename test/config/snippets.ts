/**
 * The examples of configuration in our documents. Each says in its fence where it belongs: the whole
 * file, beside `platforms`, in a platform, or in a list of routes.
 */
import { fragment } from './parse.ts'

const indent = (text: string, by: string): string => text.replaceAll(/^(?=.)/gm, by)

const wrap: Readonly<Record<string, (text: string) => string>> = {
  file: (text) => text,
  top: (text) => fragment + text,
  platform: (text) => {
    const own = /^routes:/m.test(text) ? '' : 'routes: [{ path: /v1, handler: subscriptions }]\n'
    const head = /^id:/m.test(text) ? '' : 'id: plt_a\nslug: a\n'
    return `version: 1\nplatforms:\n  -\n${indent(head + own + text, '    ')}`
  },
  routes: (text) => {
    const names = new Set([...text.matchAll(/\bupstream: ([\w-]+)/g)].map(([, name]) => name))
    const upstreams = [...names].map((name) => `{ name: ${name}, url: "https://a.example" }`)
    const own = `permissions: { data: [read, write] }\nupstreams: [${upstreams.join(', ')}]`
    return `version: 1\nplatforms:\n  - id: plt_a\n    slug: a\n${indent(own, '    ')}\n    routes:\n${indent(text, '      ')}`
  },
}

/** The examples of a document, each made into a whole file. An unknown place makes an empty one. */
export function snippetsOf(document: string) {
  return [...document.matchAll(/```yaml ?(\w*)\n([\s\S]*?)```/g)].map(
    ([, place = '', text = '']) => ({ place, text, file: wrap[place]?.(text) ?? '' }),
  )
}
