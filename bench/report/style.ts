/** How the page looks; its colours are those of the drawings. */
export const styleSheet = `* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; margin: 3rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .6rem; }
p { max-width: 46rem; margin: .5rem 0 1rem; }
a { color: var(--link); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1rem 0 0; padding: 0; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; margin: .4rem 0 1.2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0 .5rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--ink-soft); font-weight: 600; vertical-align: bottom; }
th:last-child, td:last-child { padding-right: 0; }
td.number, th.number { text-align: right; }
th, td, caption { white-space: nowrap; }
td.prose { white-space: normal; min-width: 15rem; max-width: 24rem; overflow-wrap: anywhere; }
td.wide { min-width: 33rem; max-width: 40rem; }
td small { color: var(--ink-soft); font-size: .78rem; white-space: nowrap; }
tbody tr:hover { background: var(--paper-soft); }
details { margin: .6rem 0 1.2rem; }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
summary small { color: var(--ink-soft); font-weight: 400; }
details caption { display: none; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem 2rem; align-items: flex-start; margin: .8rem 0 1.2rem; }
figure { margin: 0; width: min-content; max-width: 100%; }
figcaption { margin-bottom: .4rem; line-height: 1.35; }
figcaption b { display: block; }
figcaption span { color: var(--ink-soft); font-size: .82rem; }
figure svg { display: block; }
.warning ul { margin: .2rem 0 0; padding-left: 1.2rem; }
.warning { max-width: 46rem; margin: .5rem 0 1rem; border-left: 4px solid var(--warn-line); background: var(--warn-paper); color: var(--warn-ink); padding: .5rem .8rem; }
@media (max-width: 40rem) { body { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.5rem; } }
@media print { details { display: block; } .scroll { overflow: visible; } }`;
