// Who is there, as the official client's `Presence` shows it in a browser, at one node of a cluster. Runs in the pages of
// `tests/it/cluster/browsers.rs`, and tells them whenever it changes:
//
//     http://PAGE/?ADDRESS&USER

import {Presence, Socket} from "/phoenix.mjs"

const [address, user] = location.search.slice(1).split("&")

async function tell(outcome){
  await fetch("/outcome", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({user, ...outcome})
  })
}

const socket = new Socket(`ws://${address}/socket`, {transport: WebSocket})
socket.connect()
const channel = socket.channel("room:browsers", {user})
const presence = new Presence(channel)

// One after the other, so that what is told last is what is shown last.
let told = Promise.resolve()
presence.onSync(() => {
  const list = presence.list((key, {metas}) => [key, metas.map(meta => meta.phx_ref).sort()])
  const shown = Object.fromEntries(list.sort(([a], [b]) => a < b ? -1 : 1))
  document.body.textContent = JSON.stringify(shown)
  told = told.then(() => tell({list: JSON.parse(document.body.textContent)}))
})
channel.join().receive("error", reason => tell({error: JSON.stringify(reason)}))
