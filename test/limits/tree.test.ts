import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { effectiveLimits, join, planTree, treeFor } from '../../src/limits/tree.ts'
import { limit, platformOf, recordOf, routeOf } from './platform.ts'

describe('what is counted where', () => {
  it('T16: parts are joined so that no other parts give the same string', () => {
    expect(join('a:b', 'c')).not.toBe(join('a', 'b:c'))
    const parts = fc.array(fc.string({ unit: fc.constantFrom('a', ':', '1', '2', ' ') }))
    fc.assert(
      fc.property(parts, parts, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other)
        expect(join(...one) === join(...other)).toBe(same)
      }),
    )
  })

  it('T16: a tenant, an API key and a route of one id are three nodes', () => {
    const platform = platformOf([limit(1, 60)], [limit(2, 60)])
    const route = routeOf({ id: 'same', limits: [limit(3, 60)] })
    const { tree } = treeFor(platform, route, recordOf({ id: 'same' }), 'same')
    expect(new Set(tree.nodes.map(({ key }) => key)).size).toBe(3)
  })

  it('L17: test and live, and two platforms, are different shards', () => {
    const shard = (id: string, environment: 'test' | 'live'): string =>
      treeFor(platformOf([limit(1, 60)], [], { id }), routeOf(), recordOf({ environment }), null)
        .tree.shard
    expect(new Set([shard('a', 'test'), shard('a', 'live'), shard('b', 'live')]).size).toBe(3)
  })

  it('counting knows the id of the API key and none of its secrets', () => {
    const platform = platformOf([limit(1, 60)])
    const before = treeFor(platform, routeOf(), recordOf({ last4: 'aaaa', pepperVersion: 1 }), 't')
    const rotated = treeFor(platform, routeOf(), recordOf({ last4: 'bbbb', pepperVersion: 2 }), 't')
    expect(rotated.tree).toEqual(before.tree)
  })

  it('the limits of a key are its own, else its class’s, else its environment’s', () => {
    const [own, ofClass, ofEnvironment] = [[limit(1, 60)], [limit(2, 60)], [limit(3, 60)]]
    const platform = platformOf(ofEnvironment)
    const classes = { publishable: ofClass }
    const withClass = { ...platform, limits: { ...platform.limits, classes } }
    const publishable = recordOf({ class: 'publishable' })
    expect(effectiveLimits(withClass, { ...publishable, limits: own })).toBe(own)
    expect(effectiveLimits(withClass, publishable)).toBe(ofClass)
    expect(effectiveLimits(withClass, recordOf())).toBe(ofEnvironment)
    expect(effectiveLimits(withClass, recordOf({ limits: [] }))).toEqual([])
  })

  it('names are unique: the node, and the limit where a node has several', () => {
    const two = [limit(1, 60, { name: 'burst' }), limit(2, 1, { name: 'burst' })]
    const route = routeOf({ limits: [limit(5, 60)] })
    const { names, owners } = treeFor(platformOf(two, [limit(9, 60)]), route, recordOf(), 't')
    expect(names).toEqual(['tenant', 'key-burst', 'key-burst-2', 'route'])
    expect(owners).toHaveLength(3)
  })

  it('nodes without limits are left out, and the tenant where there is none', () => {
    const platform = platformOf([], [limit(1, 60)])
    expect(treeFor(platform, routeOf(), recordOf(), null).tree.nodes).toEqual([])
    expect(treeFor(platform, routeOf(), recordOf(), 't').names).toEqual(['tenant'])
  })

  it('limits of one node and one window length share a counter with the smallest quota', () => {
    const nodes = [{ key: 'a', limits: [limit(9, 60), limit(4, 60), limit(7, 1)] }]
    const plan = planTree({ shard: 's', nodes })
    expect(plan.counters.map(({ quota, windowSeconds }) => [quota, windowSeconds])).toEqual([
      [4, 60],
      [7, 1],
    ])
    expect(plan.limits.map(({ counter }) => counter)).toEqual([0, 0, 1])
  })
})
