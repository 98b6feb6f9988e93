"""The style of the page of queries: by day and by night, on a screen and on a phone."""

_BARS = "\n".join(f".b{part} {{ --part: {part}% }}" for part in range(0, 101, 5))
"""The length of a bar by class: the page's policy allows no style of an element's own."""

STYLE = (
    """
:root {
  color-scheme: light dark;
  --ink: #1d2330; --soft: #5a6475; --paper: #ffffff; --raised: #f4f6f9; --line: #d9dee7;
  --accent: #1f5fd0; --bar: #cfe0fb; --bad: #b3261e; --mark: #8a4b00; --mark-paper: #fff1dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8f0; --soft: #9aa5b8; --paper: #12161d; --raised: #1b212b; --line: #2e3745;
    --accent: #86b3ff; --bar: #24406f; --bad: #ff8a80; --mark: #ffc675; --mark-paper: #3a2a12;
  }
}
* { box-sizing: border-box }
body { background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
  margin: 0 auto; max-width: 110rem; padding: 1.25rem }
a { color: var(--accent) }
code { font: 13px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  overflow-wrap: anywhere }
small { color: var(--soft); display: block; font-size: 12.5px; overflow-wrap: anywhere }
header { align-items: baseline; display: flex; gap: 1rem; justify-content: space-between }
h1 { font-size: 1.5rem; margin: 0 }
dl { display: flex; flex-wrap: wrap; gap: .75rem 2.25rem; margin: 1rem 0 }
dl div { display: flex; flex-direction: column-reverse }
dt { color: var(--soft); font-size: 13px }
dd { font-size: 1.35rem; font-variant-numeric: tabular-nums; font-weight: 600; margin: 0 }
form { align-items: end; display: flex; flex-wrap: wrap; gap: .6rem 1rem; margin: 1rem 0 }
label { color: var(--soft); display: grid; font-size: 13px; gap: .15rem }
select, input, button { background: var(--raised); border: 1px solid var(--line);
  border-radius: 6px; color: var(--ink); font: inherit; font-size: 14px; max-width: 20rem;
  padding: .35rem .5rem }
input { width: 5.5rem }
button { background: var(--accent); border-color: var(--accent); color: var(--paper);
  cursor: pointer; padding: .35rem .9rem }
form a { padding: .35rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
thead th { background: var(--paper); border-bottom: 2px solid var(--line); position: sticky; top: 0;
  white-space: nowrap }
thead a { color: var(--soft); font-size: 13px; font-weight: 600; text-decoration: none }
thead a:hover { text-decoration: underline }
thead th a + a { margin-left: .9rem }
.up, .down { color: var(--ink) }
.down::after { content: " \\2193" }
.up::after { content: " \\2191" }
th, td { border-bottom: 1px solid var(--line); padding: .55rem .7rem; text-align: right;
  vertical-align: top }
th:first-child, td.text, thead th:nth-child(2), thead th:last-child { text-align: left }
th:first-child { padding-left: 0 }
tbody th { font-weight: normal; min-width: 16rem; width: 42% }
tbody tr:hover { background: var(--raised) }
td { white-space: nowrap }
td.text { overflow-wrap: anywhere; white-space: normal }
td:nth-child(2) { min-width: 7.5rem }
td:last-child { min-width: 14rem }
td p { margin: 0 0 .4rem }
td b a { background: var(--mark-paper); border-radius: 4px; color: var(--mark); font-size: 13px;
  font-weight: 600; padding: .1rem .35rem; text-decoration: none }
.bad { color: var(--bad); font-weight: 600 }
td span { background: linear-gradient(90deg, var(--bar) var(--part), var(--raised) var(--part))
  0 100% / 100% 4px no-repeat; display: inline-block; min-width: 4.5rem; padding-bottom: .35rem }
i { color: var(--soft); font-size: 12.5px; font-style: normal; white-space: nowrap }
summary { cursor: pointer }
.note { background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1.1rem }
footer { color: var(--soft); font-size: 13px; margin-top: 1.5rem; max-width: 62rem }
@media (max-width: 78rem) {
  body { padding: .9rem }
  table, tbody, tr, td, tbody th { display: block; width: auto }
  thead tr { display: flex; flex-wrap: wrap; gap: .35rem .9rem }
  thead, thead th { border: 0; display: block; padding: 0; position: static }
  tbody tr { border: 1px solid var(--line); border-radius: 10px; display: grid; gap: .45rem .9rem;
    grid-template-columns: repeat(auto-fit, minmax(5.5rem, 1fr)); margin-top: .75rem;
    padding: .8rem }
  tbody th, td, th:first-child { border: 0; min-width: 0; padding: 0; text-align: left;
    white-space: normal }
  tbody th, td.text { grid-column: 1 / -1 }
  td::before { color: var(--soft); content: attr(data-title); display: block; font-size: 12px;
    font-weight: normal }
  td.text:empty { display: none }
  td:last-child, td:nth-child(2) { min-width: 0 }
  td span { display: block }
}
"""
    + _BARS
    + "\n"
)
