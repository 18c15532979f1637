"""The look of the HTML report: GitHub's colours in light and dark, legible from a phone to a wide screen."""

STYLE = """
:root { --ground: #fff; --card: #f6f8fa; --ink: #1f2328; --muted: #59636e; --line: #d1d9e0; --link: #0969da;
  --good: #1a7f37; --ask: #9a6700; --bad: #d1242f; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --card: #151b23; --ink: #f0f6fc; --muted: #9198a1;
  --line: #3d444d; --link: #4493f8; --good: #3fb950; --ask: #d29922; --bad: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 2.2rem 0 .6rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.2rem; }
p, ul, .wide, pre, details, picture { margin: .6rem 0; }
ul { padding-left: 1.3rem; }
a { color: var(--link); }
header { padding: 1rem 1.2rem; background: var(--card); border: 1px solid var(--line); border-left: 6px solid;
  border-radius: 6px; }
header p { margin: .4rem 0 .6rem; font-size: 1.05rem; }
header.ready { border-left-color: var(--good); } header.ready h1 { color: var(--good); }
header.needs-owner { border-left-color: var(--ask); } header.needs-owner h1 { color: var(--ask); }
header.blocked { border-left-color: var(--bad); } header.blocked h1 { color: var(--bad); }
.tally { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0; padding: 0; list-style: none; }
.tally .passed b { color: var(--good); } .tally .needs-owner b { color: var(--ask); }
.tally .failed b { color: var(--bad); } .tally .not-run b { color: var(--muted); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
.findings { padding: 0; list-style: none; }
.findings li { margin: .5rem 0; padding: .5rem .8rem; background: var(--card); border-radius: 6px; }
code, pre { font: 85%/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { padding: .15em .35em; background: color-mix(in srgb, var(--muted) 16%, transparent); border-radius: 4px;
  unicode-bidi: isolate; }
pre { padding: .8rem 1rem; background: var(--card); border-radius: 6px; white-space: pre-wrap; }
pre code { padding: 0; background: none; font-size: inherit; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal; }
th { background: var(--card); font-weight: 600; }
td code, td strong { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
details { padding: 0 .8rem; border: 1px solid var(--line); border-radius: 6px; }
summary { margin: 0 -.8rem; padding: .45rem .8rem; cursor: pointer; font-weight: 600; }
picture, img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
details > img { margin-bottom: .8rem; }
.good { color: var(--good); } .ask { color: var(--ask); } .bad { color: var(--bad); } .unknown { color: var(--muted); }
@media print { details:not([open]) > * { display: block; } }
"""
