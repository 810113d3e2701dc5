// Compressed messages both ways: the official client over a browser's own WebSocket, against `reference-server clients`.
// Runs in the page of `tests/it/browser.rs`, and tells it how it went:
//
//     http://PAGE/?ADDRESS

import {Socket} from "/phoenix.mjs"

const TOPIC = "room:browser"
const BROADCASTS = 10

// Text that repeats itself, of some 64 KB, and bytes that do.
const long = {text: "Grüße aus der Schmiede, ".repeat(2_700)}
const bytes = new Uint8Array(50_000).map((_, i) => i % 100)

function equal(actual, expected, what){
  const [a, b] = [actual, expected].map(value => JSON.stringify(value))
  if(a !== b){ throw new Error(`${what}: ${a?.slice(0, 200)} in place of ${b.slice(0, 200)}`) }
}

function answer(push){
  return new Promise((resolve, reject) => {
    push.receive("ok", resolve)
      .receive("error", reason => reject(new Error(JSON.stringify(reason))))
      .receive("timeout", () => reject(new Error("timeout")))
  })
}

async function scenario(){
  const socket = new Socket(`ws://${location.search.slice(1)}/socket`, {transport: WebSocket})
  socket.connect()
  const channel = socket.channel(TOPIC, {})
  await answer(channel.join())
  const {extensions} = socket.conn

  equal(await answer(channel.push("echo", long)), long, "an echo")
  const reply = await answer(channel.push("bin_echo", bytes.buffer))
  equal([...new Uint8Array(reply)], [...bytes], "a binary echo")
  equal(await answer(channel.push("echo", {})), {}, "an echo below the threshold")

  // One after the other, so that a message that referred to an earlier one would be noticed.
  const heard = []
  const all = new Promise(resolve => channel.on("shout", payload => {
    if(heard.push(payload) === BROADCASTS){ resolve() }
  }))
  for(let i = 0; i < BROADCASTS; i++){ channel.push("shout", {i, ...long}) }
  await all
  heard.forEach((payload, i) => equal(payload, {i, ...long}, `broadcast ${i}`))

  await new Promise(resolve => socket.disconnect(resolve))
  return {extensions}
}

const outcome = await scenario().catch(error => ({error: String(error)}))
await fetch("/outcome", {
  method: "POST",
  headers: {"content-type": "application/json"},
  body: JSON.stringify(outcome)
})
