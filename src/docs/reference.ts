/**
 * The page that shows an OpenAPI document: one vendored script (src/docs/assets), nothing from
 * elsewhere, and nothing sent elsewhere. A runtime that has no such file shows where the document is.
 *
 * The script is Scalar's `@scalar/api-reference` 1.46.4, `dist/browser/standalone.js`, MIT licence
 * (https://github.com/scalar/scalar/blob/main/LICENSE), packed with `gzip -9n`. SHA-256 of the script:
 * 81b8d2bdab4a42ab81465386441b9a0f928b68631364360f00e8cce620cc1efb.
 */

/** The name of the script, with its version, so that it may be kept for ever. */
export const referenceScriptName = 'scalar-1.46.4.js'

/** An answer to be sent as it is. */
export type ReferenceAnswer = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The page. `path`: where it stands; `documentPath`: where the document is. */
export function referencePage(
  path: string,
  documentPath: string,
  hasScript: boolean,
): ReferenceAnswer {
  const content = hasScript
    ? `<div id="reference"></div>\n<script src="${path}/${referenceScriptName}"></script>\n<script src="${path}/start.js"></script>`
    : `<h1>API reference</h1>\n<p>The OpenAPI document of this API is at <a href="${documentPath}">${documentPath}</a>. Open it in the viewer of your choice.</p>`
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Management API</title>
</head>
<body>
${content}
<noscript>The OpenAPI document is at <a href="${documentPath}">${documentPath}</a>.</noscript>
</body>
</html>
`
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'public, max-age=300',
    // Scalar writes styles into the page. Its calls go to this origin, and nowhere else.
    'content-security-policy':
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  }
  return { headers, body }
}

/** The script that starts the page: everything that would call elsewhere is off. */
export function referenceStart(documentPath: string): ReferenceAnswer {
  const settings = {
    url: documentPath,
    withDefaultFonts: false,
    telemetry: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    hideClientButton: true,
    showDeveloperTools: 'never',
  }
  return {
    headers: {
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=300',
    },
    body: `Scalar.createApiReference('#reference', ${JSON.stringify(settings)})\n`,
  }
}

/** The headers of the vendored script. `gzip`: it goes as it is kept. */
export const referenceScriptHeaders = (gzip: boolean): Record<string, string> => ({
  'content-type': 'text/javascript; charset=utf-8',
  'cache-control': 'public, max-age=31536000, immutable',
  vary: 'accept-encoding',
  ...(gzip && { 'content-encoding': 'gzip' }),
})
