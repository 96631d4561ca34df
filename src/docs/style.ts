/**
 * The stylesheet of the docs, served as /docs/style.css: the system's fonts, light and dark as the
 * reader's system is set, and nothing that asks for more than 360 pixels. Every pair of colours
 * keeps a contrast of at least 4.5:1 (WCAG 2.2, 1.4.3); the test computes it from this text.
 */
export const stylesheet = `:root {
  color-scheme: light dark;
  --text: #1b1d21; --muted: #555b64; --page: #ffffff; --block: #f2f3f5;
  --line: #d5d8dd; --link: #0a4fc4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e4e6ea; --muted: #a6adb8; --page: #14161a; --block: #1f2329;
    --line: #3a4049; --link: #8db8ff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 46rem;
  color: var(--text); background: var(--page);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere;
}
nav { color: var(--muted); font-size: .9rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1rem 0; }
h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem; }
p, ul { margin: .5rem 0; }
ul { padding-left: 1.25rem; }
a { color: var(--link); }
a:focus-visible, pre:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
code { font: .9em ui-monospace, monospace; background: var(--block); padding: .1em .25em; border-radius: 3px; }
pre { background: var(--block); padding: .75rem; overflow-x: auto; border-radius: 6px; overflow-wrap: normal; }
pre code { padding: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; font-size: .9rem; }
`
