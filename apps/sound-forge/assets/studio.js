// The studio's page: tracks from the REST interface, progress from the unmodified Phoenix client.
import { Socket } from "/assets/phoenix.mjs"

const DEMO = "demo:house?bpm=124&key=Am&seed=7&seconds=30"
const STAGES = { download: "Download", processing: "Stems", analysis: "Analysis" }
const NOTES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]

const csrf = document.querySelector("meta[name=csrf-token]").content
const at = selector => document.querySelector(selector)
const copyOf = id => at(`template#${id}`).content.firstElementChild.cloneNode(true)

async function api(method, path, body) {
  const headers = { "x-csrf-token": csrf }
  if (body && !(body instanceof FormData)) {
    headers["content-type"] = "application/json"
    body = JSON.stringify(body)
  }
  const response = await fetch(path, { method, headers, body })
  const answer = response.status === 204 ? {} : await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

function guarded(action) {
  return async event => {
    event?.preventDefault()
    at("#problem").hidden = true
    try {
      await action(event)
    } catch (error) {
      at("#problem").textContent = error.message
      at("#problem").hidden = false
    }
  }
}

// A socket token is good for a quarter of an hour; the client reads the latest when it connects anew.
let token
const renewToken = async () => { token = (await api("GET", "/session/socket-token")).data.token }
await renewToken()
setInterval(() => renewToken().catch(() => {}), 5 * 60 * 1000)

const socket = new Socket("/socket", { params: () => ({ token }) })
const showConnection = on => {
  at("#connection").textContent = on ? "live" : "connection lost, trying again…"
  at("#connection").classList.toggle("on", on)
}
socket.onOpen(() => showConnection(true))
socket.onClose(() => showConnection(false))
socket.connect()

function trackRow(id) {
  const known = document.getElementById(`track-${id}`)
  if (known) return known
  const row = copyOf("track")
  row.id = `track-${id}`
  row.querySelector(".remove").onclick = guarded(async () => {
    if (!confirm(`Remove ${row.querySelector("h2").textContent} and all that belongs to it?`)) return
    await api("DELETE", `/api/tracks/${id}`)
    row.remove()
    showEmpty()
  })
  at("#tracks").prepend(row)
  showEmpty()
  return row
}

const showEmpty = () => { at("#empty").hidden = at("#tracks").children.length > 0 }

function showJob(job) {
  const known = document.getElementById(`job-${job.job_id}`)
  const row = known ?? copyOf("job")
  if (!known) {
    row.id = `job-${job.job_id}`
    row.querySelector(".stage").textContent = STAGES[job.job_type]
    row.querySelector("progress").setAttribute("aria-label", `${STAGES[job.job_type]} progress`)
    row.querySelector(".cancel").onclick = guarded(() => api("DELETE", `/api/jobs/${job.job_id}`))
    trackRow(job.track_id).querySelector(".jobs").append(row)
  }
  row.className = job.status
  row.querySelector("progress").value = job.progress
  row.querySelector(".message").textContent = job.status === "completed" ? "Done" : `${job.message} ${job.progress} %`
  if (job.status === "failed") row.querySelector(".message").textContent = job.error ?? job.message
  row.querySelector(".cancel").hidden = ["completed", "failed"].includes(job.status)
}

function follow(job) {
  showJob(job)
  const channel = socket.channel(`jobs:${job.job_id}`)
  channel.on("job:progress", progress => showJob({ ...job, ...progress }))
  channel.on("job:completed", async ({ next_job_id, track_id }) => {
    channel.leave()
    if (next_job_id) follow((await api("GET", `/api/jobs/${next_job_id}`)).data)
    showTrack((await api("GET", `/api/tracks/${track_id}`)).data)
  })
  channel.on("job:failed", ({ error }) => {
    channel.leave()
    showJob({ ...job, status: "failed", progress: 0, error })
  })
  channel.join()
}

function showTrack(track) {
  const row = trackRow(track.id)
  row.querySelector("h2").textContent = track.title
  showPlayers(row, track)
  if (track.analysis) {
    showFacts(row, track)
    showPeaks(row.querySelector(".peaks"), track.analysis.peaks, track.analysis.duration)
    showChroma(row.querySelector(".chroma"), track.analysis)
    row.querySelector(".charts").hidden = false
  }
}

function showPlayers(row, { audio, stems = [] }) {
  const sources = [...(audio ? [["Track", audio.url]] : []), ...stems.map(({ stem, url }) => [stem, url])]
  const players = row.querySelector(".players")
  if (players.children.length === sources.length) return
  players.replaceChildren(...sources.map(([name, url]) => {
    const player = copyOf("player")
    player.querySelector("span").textContent = name[0].toUpperCase() + name.slice(1)
    player.querySelector("audio").src = url
    return player
  }))
}

function showFacts(row, { analysis, duration_ms }) {
  const number = (value, digits, unit) => (value == null ? "–" : `${value.toFixed(digits)} ${unit}`)
  const facts = {
    Tempo: number(analysis.tempo, 1, "BPM"),
    Key: analysis.key ?? "–",
    Loudness: number(analysis.loudness_lufs, 1, "LUFS"),
    Beats: analysis.beats?.length ?? "–",
    Length: number(duration_ms / 1000, 1, "s"),
  }
  const list = row.querySelector(".facts")
  list.hidden = false
  list.replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const pair = document.createElement("div")
    pair.append(Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }))
    return pair
  }))
}

const svg = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name)
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value))
  return element
}

// Peaks are hundredths of full scale; the zoom nearest to the chart's width is drawn.
function showPeaks(chart, zooms, duration) {
  const { min, max } = zooms.reduce((best, zoom) =>
    Math.abs(zoom.min.length - 600) < Math.abs(best.min.length - 600) ? zoom : best)
  const step = 600 / max.length
  const points = values => values.map((value, i) => `${(i * step).toFixed(1)},${(40 - value * 0.38).toFixed(1)}`)
  const outline = [...points(max), ...points(min).reverse()]
  chart.setAttribute("aria-label", `Waveform over ${duration.toFixed(0)} seconds`)
  chart.replaceChildren(svg("path", { d: `M${outline.join("L")}Z` }))
}

function showChroma(chart, { chroma, key }) {
  const most = Math.max(...chroma, 1e-9)
  chart.setAttribute("aria-label", `Chroma: ${NOTES.map((note, i) => `${note} ${Math.round(chroma[i] / most * 100)} %`).join(", ")}`)
  chart.replaceChildren(...chroma.flatMap((value, i) => {
    const height = 70 * value / most
    const bar = svg("rect", { x: i * 20 + 3, y: 74 - height, width: 14, height })
    if (key?.startsWith(`${NOTES[i]} `)) bar.classList.add("tonic")
    const label = svg("text", { x: i * 20 + 10, y: 86 })
    label.textContent = NOTES[i]
    return [bar, label]
  }))
}

async function start() {
  const tracks = (await api("GET", "/api/tracks?page_size=50")).data
  for (const { id } of tracks.reverse()) showTrack((await api("GET", `/api/tracks/${id}`)).data)
  const jobs = (await api("GET", "/api/jobs?page_size=100")).data
  for (const job of jobs.reverse()) {
    if (["completed", "failed"].includes(job.status)) showJob(job)
    else follow(job)
  }
  showEmpty()
}

const bringIn = async answer => {
  const { job_id, track_id } = (await answer).data
  showTrack((await api("GET", `/api/tracks/${track_id}`)).data)
  follow((await api("GET", `/api/jobs/${job_id}`)).data)
}

at("#import-demo").onclick = guarded(() => bringIn(api("POST", "/api/download/track", { url: DEMO })))
at("#from-url").onsubmit = guarded(async event => {
  await bringIn(api("POST", "/api/download/track", { url: new FormData(event.target).get("url") }))
  event.target.reset()
})
at("#from-file").onchange = guarded(async event => {
  const form = event.currentTarget ?? at("#from-file")
  await bringIn(api("POST", "/api/tracks", new FormData(form)))
  form.reset()
})
at("#log-out").onclick = guarded(async () => {
  await api("POST", "/logout")
  location.reload()
})
guarded(start)()
