/**
 * What to do about each error: one entry per code of the error table, read by someone whose
 * request has just been refused. It knows the codes and nothing of the rooms that produce them.
 * The danger is advice that has gone stale, so `satisfies` refuses a code without an entry, and
 * every `curl` is run against a started gateway and must be answered with its own code.
 */
import type { ProblemCode } from '../problem.ts'

/** The page of one code. Texts are plain sentences; the only markup is `code` in backticks. */
export type ErrorPage = {
  /** One sentence: what was found. */
  readonly cause: string
  readonly fix: string
  /** The situation that brings it about. */
  readonly reproduce: string
  /**
   * A line for bash that is answered with this code by a fresh `npm start`, given the variables of
   * `.env.local`; it prints exactly one body. null where one line cannot bring the situation about.
   */
  readonly curl: string | null
}

const key = '-H "x-api-key: $POSTERN_SK_DEV"'
const tenant = '-H "x-tn: tenant_abc123"'
const badKey = '-H "x-api-key: sk_dev_your_key_here"'
const json = '-H "content-type: application/json"'
const list = '/v1/subscriptions'

const curl = (path: string, ...options: string[]): string =>
  [`curl -s "$POSTERN_URL${path}"`, ...options].join(' \\\n  ')

/** One entry per code. */
export const errorPages = {
  'request/invalid': {
    cause: 'The request was read, but a field or parameter holds a value that is not allowed.',
    fix: 'Every bad field is in `errors[]` with its `location` and what is wrong with it. Correct them all; they are reported together.',
    reproduce: 'Create a subscription with an empty plan and a field that does not exist.',
    curl: curl(list, key, tenant, json, `-d '{"plan": "", "colour": "red"}'`),
  },
  'request/malformed': {
    cause: 'The request could not be read: its HTTP framing or its JSON is broken.',
    fix: 'Serialise the body with a JSON library, in UTF-8. NUL characters, lone surrogates, a name given twice in one object and very deep nesting are refused too. If the body is fine, look for a proxy between you and the gateway that rewrites headers.',
    reproduce: 'Send JSON that stops half way.',
    curl: curl(list, key, tenant, json, `-d '{"plan": '`),
  },
  'request/invalid_path': {
    cause: 'The path is spelled in a way that two servers could read differently.',
    fix: 'Send the plain path. Refused are `..` and `.` segments, `//`, backslashes, control characters, raw spaces and non-ASCII, and `%2f`, `%5c`, `%2e`, `%25`, `%00` to `%1f` (a route may allow `%2f` and `%25`). If an id can hold a slash, put it in the query or the body.',
    reproduce: 'Encode a slash of the path.',
    curl: curl('/v1%2fsubscriptions', key, tenant),
  },
  'request/duplicate_header': {
    cause:
      'A header that decides who is calling or how the body is framed was sent more than once.',
    fix: 'Send `x-api-key`, `authorization`, `x-tn`, `host`, `content-length`, `content-type` and the like once each. Often a client library adds one header and a proxy or middleware adds it again.',
    reproduce: 'Name two tenants.',
    curl: curl(list, key, tenant, '-H "x-tn: tenant_xyz789"'),
  },
  'auth/ambiguous_credentials': {
    cause: 'Two credentials came in one request, and the gateway does not choose between them.',
    fix: 'Send one API key: in `x-api-key` or in `authorization: Bearer`, not in both. A comma in the value counts as two credentials; a proxy may have joined two headers.',
    reproduce: 'Send one key in each header.',
    curl: curl(list, key, '-H "authorization: Bearer $POSTERN_SK_LIVE"', tenant),
  },
  'auth/key_in_url': {
    cause: 'The query string holds an API key, or a parameter that is meant for one.',
    fix: 'Move the key to a header. Rotate it as well: URLs are kept in access logs, histories and referrers.',
    reproduce: 'Name a key in the query. (A made-up one: do not put yours there to try.)',
    curl: curl(`${list}?api_key=sk_dev_example`, tenant),
  },
  'tenant/missing': {
    cause:
      'This API needs to know for which tenant you call, and the `x-tn` header is absent or empty.',
    fix: 'Add `x-tn: <tenant id>`. There is no default tenant. If your code sends it, check that the variable is set: an empty value counts as absent.',
    reproduce: 'Leave `x-tn` out.',
    curl: curl(list, key),
  },
  'tenant/malformed': {
    cause: 'The value of `x-tn` cannot be a tenant id.',
    fix: 'A tenant id is 1 to 63 characters of `A-Z a-z 0-9 _ -` and starts with a letter or a digit. Upper and lower case differ. Two ids joined by a comma are refused too; that happens when a proxy merges two headers.',
    reproduce: 'Put spaces in the id.',
    curl: curl(list, key, '-H "x-tn: not a tenant"'),
  },
  'auth/missing_key': {
    cause: 'The request carries no API key.',
    fix: 'Send `x-api-key: <key>` or `authorization: Bearer <key>`. If your code sends one, check that the environment variable is set where it runs, and that no redirect to another host dropped the header.',
    reproduce: 'Leave the key out.',
    curl: curl(list, tenant),
  },
  'auth/malformed_key': {
    cause:
      'What was sent cannot be a key of this API: its length, characters or checksum are wrong, or `authorization` does not hold `Bearer` and a key.',
    fix: 'Copy the key again, to its last character. Look for a line break, quotes or a space that came along, and for a placeholder that was never replaced. In `authorization`, the word before the key is `Bearer`, with one space.',
    reproduce: 'Send the placeholder of an example instead of a key.',
    curl: curl(list, badKey, tenant),
  },
  'auth/invalid_key': {
    cause: 'No active key of this API matches what was sent.',
    fix: 'Check that the key belongs to this API and this deployment; its first letters should be those of the keys you were given here. A key that was deleted, or whose rotation has ended, answers the same. The keys in `.env.local` belong to the database they were made in: delete `.postern` and they are gone. On platforms with the `theazo` vocabulary a missing or mistyped key has this code too; `detail` says which.',
    reproduce: 'Send a key whose prefix belongs to another API.',
    curl: curl(list, '-H "x-api-key: th_live_your_key_here"', tenant),
  },
  'auth/key_revoked': {
    cause: 'This key was revoked.',
    fix: 'Use another key. A revoked key is never restored; find out who revoked it and why before you replace it.',
    reproduce:
      'Revoke a key, then call with it. Only the whole, right key is told so: with one wrong character the answer is `auth/malformed_key` or `auth/invalid_key`.',
    curl: null,
  },
  'auth/key_expired': {
    cause: 'The time until which this key was valid has passed.',
    fix: 'Use the key that replaced it, or have a new one issued. If the key was rotated, the grace time of the old secret is over and a client still uses it.',
    reproduce: 'Call with a key after its expiry. Only the whole, right key is told so.',
    curl: null,
  },
  'auth/key_disabled': {
    cause: 'Somebody has switched this key off for now.',
    fix: 'Ask whoever manages the keys to enable it again. Retrying does not help before that.',
    reproduce: 'Disable a key, then call with it. Only the whole, right key is told so.',
    curl: null,
  },
  'tenant/mismatch': {
    cause: 'This key may not act for the tenant in `x-tn`, or there is no such tenant.',
    fix: 'Compare the id byte for byte, case included, and check that the key belongs to that tenant. The answer is the same whether the tenant exists or not, so it cannot be used to look for tenants.',
    reproduce: 'Name a tenant that does not exist.',
    curl: curl(list, key, '-H "x-tn: tenant_nobody"'),
  },
  'tenant/suspended': {
    cause: 'The key is good and the tenant is right, but the tenant is suspended.',
    fix: 'Ask the operator of this API to resume it. No key works for this tenant until then.',
    reproduce: 'Suspend a tenant, then call for it with a good key.',
    curl: null,
  },
  'auth/insufficient_permission': {
    cause: 'The key is good, but the route demands a permission the key does not hold.',
    fix: '`detail` names the permission. Use a key that holds it, or have it granted; `vec:*` grants a whole group, `*` everything.',
    reproduce: 'Call a route that demands `data:write` with a key that holds only `data:read`.',
    curl: null,
  },
  'auth/class_not_allowed': {
    cause:
      'The route does not take this class of key; most often a publishable key on a route for secret keys.',
    fix: 'Call from a server, with a secret key. Do not move the secret key into the browser to make the error go away: put a small endpoint of your own between.',
    reproduce: 'Write with a publishable key where it may only read.',
    curl: curl(list, '-H "x-api-key: $POSTERN_PK_DEV"', tenant, json, `-d '{"plan": "pro"}'`),
  },
  'auth/wrong_environment': {
    cause: 'A test key on a route for live, or a live key on a route for test.',
    fix: 'Use a key of the other environment. Its prefix says which it is for: `dev` and `test` are test, `live` and `prod` are live.',
    reproduce: 'Call a route that serves only live with a test key.',
    curl: null,
  },
  'auth/ip_not_allowed': {
    cause: 'The key has a list of addresses it may be used from, and yours is not on it.',
    fix: 'The log line with the request id shows the address the gateway saw. If it is that of your own load balancer, the gateway does not trust that proxy yet: it has to stand in `server.trustedProxies`. Otherwise add the address, or its range, to the key.',
    reproduce: 'Restrict a key to `203.0.113.0/24` and call from anywhere else.',
    curl: null,
  },
  'auth/origin_not_allowed': {
    cause:
      'The key has a list of origins or referrers it may be used from, and the request names another or none; or, of a preflight (the `OPTIONS` that a browser sends before a call), neither the route nor a publishable key that may make the call lists that origin.',
    fix: 'Add the exact origin to the key: scheme, host and port, such as `https://app.example.com`. `http` and `https`, and `www` or not, are different origins. Requests from servers send no origin: use a secret key there. The list is no proof of who calls, because programs other than browsers send the origin they like: give a publishable key only what anybody may do.',
    reproduce: 'Restrict a publishable key to one origin and call from a page on another.',
    curl: null,
  },
  'auth/endpoint_not_allowed': {
    cause: 'The key may call certain endpoints only, and this is not one of them.',
    fix: 'Use a key without that restriction, or add the endpoint to the key. Segments match whole: a key for `/v1/prod` cannot call `/v1/prod-backup`.',
    reproduce: 'Restrict a key to one endpoint and call another.',
    curl: null,
  },
  'auth/secret_key_in_browser': {
    cause:
      'A secret key came from a browser: the request carries `origin` together with `sec-fetch-*` headers.',
    fix: 'Rotate the key now: everyone who opened the page could read it. Then use a publishable key in the page, or call through your own server. If this is a server that forwards browser headers, stop forwarding `origin` and `sec-fetch-*`.',
    reproduce: 'Send a secret key with the headers a browser adds.',
    curl: curl(
      list,
      key,
      tenant,
      '-H "origin: https://app.example.com"',
      '-H "sec-fetch-mode: cors"',
    ),
  },
  'request/https_required': {
    cause: 'This route takes HTTPS only, and the request came in the clear.',
    fix: 'Call the `https://` URL, and rotate the key: it has crossed the network unprotected. If you did use HTTPS, the gateway does not trust the proxy that ends TLS yet: it has to stand in `server.trustedProxies`.',
    reproduce: 'Call a route that demands HTTPS over `http://`.',
    curl: null,
  },
  'secret/not_declared': {
    cause:
      'The agent asked for a secret that it did not declare when it was created; or a call that carries a secret to the service behind it names no session that holds it.',
    fix: 'Name the secret in `secrets` when the agent is created. A running agent cannot be given more. For a call, set the secret in a session, and send the id of the session as `Postern-Session`.',
    reproduce: 'Create an agent that declares one secret and let it ask for another.',
    curl: null,
  },
  'route/not_found': {
    cause: 'Nothing is served at this path.',
    fix: 'Check the path letter by letter: case counts, and so does a slash at the end. Then check that the host is the API you mean; another platform of the same gateway has other routes.',
    reproduce: 'Call a path that does not exist.',
    curl: curl('/v1/nothing', key, tenant),
  },
  'resource/not_found': {
    cause: 'The path is right, but this tenant has nothing with that id in this environment.',
    fix: 'Check the id, then the tenant in `x-tn`, then the key: a test key never sees live data. Something that belongs to another tenant answers exactly the same.',
    reproduce: 'Ask for a subscription that does not exist.',
    curl: curl(`${list}/sub_nobody`, key, tenant),
  },
  'secret/not_found': {
    cause: 'The session has no secret of that name.',
    fix: 'Names are compared byte for byte. List the names in the session; values are never shown.',
    reproduce: 'Delete a secret that was never set.',
    curl: null,
  },
  'route/method_not_allowed': {
    cause: 'The path exists, but not with this method.',
    fix: 'The `allow` header of the answer lists the methods. Method override headers are ignored.',
    reproduce: 'Use a method the route does not take.',
    curl: curl(list, '-X PURGE', key, tenant),
  },
  'request/timeout': {
    cause: 'The request did not arrive in full within the time the gateway waits.',
    fix: 'Send headers and body without pausing. Build the whole body before you open the request, and look at the network between you and the gateway.',
    reproduce: 'Announce a body of 10 bytes, send 5, and wait.',
    curl: null,
  },
  'idempotency/in_progress': {
    cause: 'An earlier request with the same `idempotency-key` has not finished yet.',
    fix: 'Wait a moment and send the same request again; you will get the answer of the first one. Do not take a new key: that would do the work twice.',
    reproduce: 'Send the same management POST twice at once with one `idempotency-key`.',
    curl: null,
  },
  'resource/conflict': {
    cause: 'Something with this id or name is there already.',
    fix: 'Choose another id, or update the one that exists. If this came from a retry, your first attempt worked: read the resource back.',
    reproduce: 'Create the same thing twice under an id of your choice.',
    curl: null,
  },
  'resource/changed': {
    cause: 'Somebody changed the resource between your read and your write.',
    fix: 'Read it again, apply your change to what you get, and send it with the new `etag` in `if-match`. Do not send the old change with the new tag unseen.',
    reproduce:
      'Read a resource, change it elsewhere, then write with the `etag` of the first read.',
    curl: null,
  },
  'request/too_large': {
    cause: 'The body is larger than this route takes.',
    fix: 'Send less at once, in several requests or pages. Compressing does not help: the gateway counts the bytes that are sent, and does not inflate them.',
    reproduce: 'Send a body of 20 MB.',
    curl: curl(list, key, tenant, json, '--data-binary @<(head -c 20000000 /dev/zero)'),
  },
  'request/uri_too_long': {
    cause: 'The path or the query is too long.',
    fix: 'Keep the path under 4 KiB and the query under 8 KiB. Long filters belong in the body of a POST.',
    reproduce: 'Ask for a path of 5000 characters.',
    curl: curl("/v1/$(printf '%05000d' 0)", key, tenant),
  },
  'request/unsupported_media_type': {
    cause: 'The route takes JSON, and `content-type` says the body is something else.',
    fix: 'Send `content-type: application/json` with every body. `curl -d` sends a form type unless you set the header.',
    reproduce: 'Send plain text.',
    curl: curl(list, key, tenant, '-H "content-type: text/plain"', "-d 'hello'"),
  },
  'request/expectation_failed': {
    cause: 'The `expect` header asks for something other than `100-continue`.',
    fix: 'Remove the `expect` header.',
    reproduce: 'Expect something else.',
    curl: curl(list, key, tenant, '-H "expect: something"'),
  },
  'platform/unknown_host': {
    cause: 'The gateway is there, but no API of it answers to this host name.',
    fix: 'Check the host of the URL and the `host` header your proxy sends on. If you run the gateway: the name has to stand in `hosts` of a platform, without the port.',
    reproduce: 'Give every platform its `hosts`, then call the gateway by its address.',
    curl: null,
  },
  'idempotency/key_reused': {
    cause: 'This `idempotency-key` came before, with another body or path.',
    fix: 'Make a new random key for each new operation, and keep it only for retries of that same operation.',
    reproduce: 'Send two different management POSTs with one `idempotency-key`.',
    curl: null,
  },
  'resource/precondition_required': {
    cause: 'This change could overwrite the work of others, so it needs an `if-match` header.',
    fix: 'Read the resource and send its `etag` in `if-match`.',
    reproduce: 'Change a management resource without `if-match`.',
    curl: null,
  },
  'rate_limit/exceeded': {
    cause:
      'The tenant, the key or the route has been called more often than its limit allows; or, of a preflight (the `OPTIONS` that a browser sends before a call), more than 300 came from your address within a minute.',
    fix: 'Wait as many seconds as `retry-after` says, then go on, more slowly. `ratelimit-policy` and `ratelimit` say which limit it was and what is left; slow down before it reaches 0. Refused requests are not counted. Without `retry-after`, one call costs more than the limit ever allows: tell the operator of this API.',
    reproduce:
      'Call 101 times within a minute; a test key has 100 a minute unless configured otherwise.',
    curl: `${curl(`${list}?n=[1-100]`, '-o /dev/null', key, tenant)}; \\\n${curl(list, key, tenant)}`,
  },
  'quota/exceeded': {
    cause: 'What the plan includes for this billing period is used up.',
    fix: 'Wait for the next period or have the plan raised. Unlike `rate_limit/exceeded`, slowing down does not help.',
    reproduce: 'Use up a quota.',
    curl: null,
  },
  'auth/too_many_failures': {
    cause:
      'Too many requests with bad keys came from your address, so further failures are cut short.',
    fix: 'Find the client that sends the bad key and stop it: a job with an old key in a loop is the usual one. A good key from the same address still passes.',
    reproduce: 'Call with a bad key again and again from one address.',
    curl: `${curl(`${list}?n=[1-200]`, '-o /dev/null', badKey, tenant)}; \\\n${curl(list, badKey, tenant)}`,
  },
  'request/headers_too_large': {
    cause: 'There are more than 100 header lines, or they are larger than 16 KiB together.',
    fix: 'Look for a cookie or a token that has grown, or a proxy that adds the same header again and again.',
    reproduce: 'Send a header of 20 000 characters.',
    curl: curl(list, key, tenant, `-H "x-filler: $(printf '%020000d' 0)"`),
  },
  'internal/error': {
    cause: 'Something broke inside the gateway or the handler that nobody foresaw.',
    fix: 'Quote the request id to the operator of this API. If you run it: the log line with that id holds the cause. Repeat a read freely; before you repeat a write, check whether it was done.',
    reproduce: 'Throw from a handler.',
    curl: null,
  },
  'mock/no_response': {
    cause:
      'A test key called an operation whose OpenAPI description holds neither an example nor a schema to answer from.',
    fix: 'Add an example or a schema to that operation in the OpenAPI document.',
    reproduce: 'Call, with a test key, an operation that is described without a response body.',
    curl: null,
  },
  'request/transfer_coding': {
    cause: 'The body came with a transfer coding other than `chunked`.',
    fix: 'Send `transfer-encoding: chunked` alone, or `content-length`. To compress a body, use `content-encoding`.',
    reproduce: 'Announce a gzip transfer coding.',
    curl: curl(list, key, tenant, json, '-H "transfer-encoding: gzip, chunked"', "-d '{}'"),
  },
  'sandbox/unavailable': {
    cause:
      'The gateway runs where programs cannot be kept apart from everything else: on Workers, or on a machine without bubblewrap or without user namespaces.',
    fix: 'Tell the operator of this API: no agent is ever started as a bare process. If you run it: install bubblewrap (`bwrap`) and start the gateway again; its log says at the start why agents cannot be started.',
    reproduce: 'Create an agent with a live key on a gateway without `bwrap`.',
    curl: null,
  },
  'upstream/unreachable': {
    cause: 'The gateway could not connect to the service behind this API.',
    fix: 'Try again in a moment. If you run it: the service is down, its name does not resolve, or a firewall is between; the `proxy-status` header and the log say which.',
    reproduce: 'Stop the upstream of a route, then call it.',
    curl: null,
  },
  'upstream/bad_response': {
    cause: 'The service behind this API answered, but not with valid HTTP, or it broke off.',
    fix: 'Before you repeat a write, check whether it was done. If you run it: look for a crash of the upstream, or for TLS spoken to a plain port.',
    reproduce: 'Let the upstream close the connection in the middle of its headers.',
    curl: null,
  },
  'upstream/blocked_address': {
    cause:
      'The name of the upstream leads to an address the gateway does not forward to, such as a private or link-local one.',
    fix: 'Tell the operator of this API. If you run it and the address is meant, allow it for that upstream by name.',
    reproduce: 'Point an upstream at `169.254.169.254`.',
    curl: null,
  },
  'auth/unavailable': {
    cause: 'The storage of keys did not answer, so the gateway cannot tell whether yours is good.',
    fix: 'Your key may be fine: do not rotate it. Try again after `retry-after`. If you run it: `/readyz` says what is down.',
    reproduce: 'Stop PostgreSQL, then call with a key the gateway has not seen lately.',
    curl: null,
  },
  'limits/unavailable': {
    cause: 'The storage of counters did not answer, and this limit is set to refuse in that case.',
    fix: 'Try again after `retry-after`. If you run it: bring Redis back, or set `onStoreDown` of that limit to `local`, which counts in memory meanwhile.',
    reproduce: 'Set `onStoreDown: deny` on a limit and stop Redis.',
    curl: null,
  },
  'storage/unavailable': {
    cause: 'The database behind this API did not answer in time.',
    fix: 'Try again after `retry-after`. Before you repeat a write, check whether it was done. If you run it: `/readyz` says what is down.',
    reproduce: 'Stop PostgreSQL while requests run.',
    curl: null,
  },
  'gateway/overloaded': {
    cause:
      'More requests are waiting than this node can serve in time, so it refuses some at once.',
    fix: 'Try again after `retry-after`, with a growing, random pause. If you run it: add a node, or look for what makes the database slow.',
    reproduce: 'Send more requests at once than the node and its database connections can take.',
    curl: null,
  },
  'gateway/misconfigured': {
    cause: 'The configuration names something that is not there, such as a handler or a secret.',
    fix: 'Tell the operator of this API. If you run it: the log line with this request id names what is missing.',
    reproduce: 'Name a handler in `postern.yaml` that the code does not have.',
    curl: null,
  },
  'upstream/timeout': {
    cause: 'The service behind this API accepted the request but did not answer in time.',
    fix: 'Before you repeat a write, check whether it was done. If you run it: look at the upstream first, then at the timeout of the route.',
    reproduce: 'Let the upstream wait longer than the timeout of its route.',
    curl: null,
  },
} satisfies Record<ProblemCode, ErrorPage>
