// What is used of workerd's own modules, in place of a package of all its types.
declare module 'cloudflare:workers' {
  export abstract class DurableObject<Env = unknown> {
    protected readonly env: Env
    constructor(state: object, env: Env)
  }
}

// Bundled as text: see `rules` in wrangler.toml.
declare module '*.yaml' {
  const text: string
  export default text
}
