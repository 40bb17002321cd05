"""The status page: one HTML document that reads `/status` every second. No assets, no build."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>syncbridge</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
 body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
 h1 { font-size: 1.4rem; margin: 0 } p { margin: .2rem 0 1.2rem; opacity: .75 }
 table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
 th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums }
 th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
 .live { color: #188038 } .waiting, .connecting, .starting, .snapshot { color: #b06000 } .stopped { color: #c5221f }
 a { color: inherit }
</style></head><body>
<h1>syncbridge <span id="ready"></span></h1><p id="about"></p>
<table id="shards"><thead><tr>
<th>shard</th><th>phase</th><th>epoch</th><th>seq</th><th>entities</th><th>events/s</th>
<th>records/s</th>
<th>commit p50 ms</th><th>p99 ms</th><th>lag ms</th><th>sessions</th></tr></thead><tbody></tbody></table>
<table id="topics"><thead><tr><th>topic</th><th></th><th>records</th></tr></thead><tbody></tbody></table>
<p><a href="/metrics">metrics</a> · <a href="/status">status</a> · <a href="/readyz">ready</a></p>
<script>
let last = null
const cell = (row, text, cls) => { const c = row.insertCell(); c.textContent = text; if (cls) c.className = cls }
async function tick() {
  try {
    const s = await (await fetch('/status')).json(), now = performance.now()
    document.getElementById('ready').textContent = s.ready ? '· ready' : '· not ready'
    document.getElementById('about').textContent =
      `${s.prefix} · ${s.delivery} · ${s.bootstrap_servers} · version ${s.version}`
    const body = document.querySelector('#shards tbody'); body.replaceChildren()
    const topics = {}
    s.shards.forEach((x, i) => {
      const was = last && last.s.shards[i], dt = last ? (now - last.now) / 1000 : 1
      const rate = k => was ? Math.round((x[k] - was[k]) / dt) : 0
      const row = body.insertRow()
      cell(row, x.shard); cell(row, x.phase, x.phase); cell(row, x.epoch); cell(row, x.seq); cell(row, x.entities)
      cell(row, rate('events')); cell(row, rate('records')); cell(row, x.commit_ms.p50); cell(row, x.commit_ms.p99)
      cell(row, x.lag_ms); cell(row, x.sessions)
      for (const [t, n] of Object.entries(x.topics)) topics[t] = (topics[t] || 0) + n
    })
    const list = document.querySelector('#topics tbody'); list.replaceChildren()
    for (const [t, n] of Object.entries(topics).sort((a, b) => b[1] - a[1])) {
      const row = list.insertRow(); cell(row, t); cell(row, ''); cell(row, n)
    }
    last = {s, now}
  } catch (e) { document.getElementById('ready').textContent = '· not reachable' }
}
tick(); setInterval(tick, 1000)
</script></body></html>
"""
