// The official client, unmodified, on connections whose credential expires; the code between the
// marks is what docs/authentication.md tells users to write.
//
//     node credentials.mjs PACKAGE ADDRESS
//
// Tokens are the seconds that they hold; anything else is refused. Exits with 0 when all holds.

import assert from "node:assert/strict"
import {createRequire} from "node:module"
import {join} from "node:path"

const [name, address] = process.argv.slice(2)
const require = createRequire(join(process.cwd(), "package.json"))
const {Socket} = require(name)
const WebSocket = require("ws")
const {version} = require(join(process.cwd(), "node_modules", name, "package.json"))
const PATIENCE = 10_000

// Gives one token after another, and the last one from then on.
function tokens(...list){
  return async () => list.length > 1 ? list.shift() : list[0]
}

function connect(fetchToken, first){
  let token = first
  const socket = new Socket(`ws://${address}/socket`, {
    transport: WebSocket,
    reconnectAfterMs: () => 20,
    rejoinAfterMs: () => 20,
    // <documented>
    params: () => ({token})
  })
  socket.onMessage(({topic, event}) => {
    if(topic !== "phoenix" || event !== "token_expiring"){ return }
    fetchToken().then(fresh => {
      token = fresh
      socket.push({topic: "phoenix", event: "token", payload: {token}, ref: socket.makeRef()})
    })
  })
  // </documented>
  socket.connect()
  return socket
}

async function until(condition, what){
  const started = Date.now()
  while(!condition()){
    assert.ok(Date.now() - started < PATIENCE, `${what} did not become true within ${PATIENCE} ms`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

function joined(socket){
  let joins = 0
  const channel = socket.channel("room:a", {})
  channel.join().receive("ok", () => joins++)
  return {channel, joins: () => joins}
}

console.log(`phoenix ${version}`)

{
  // Told at once, since the life is short; renewed before it ends, and never cut.
  const answers = [], closes = []
  const socket = connect(tokens("3600"), "2")
  socket.onMessage(({topic, event, payload}) => topic === "phoenix" && event === "phx_reply" && answers.push(payload))
  socket.onClose(({code}) => closes.push(code))
  const room = joined(socket)
  await until(() => room.joins() === 1 && answers.length > 0, "the renewal")
  assert.equal(answers[0].status, "ok")
  assert.ok(answers[0].response.expires_in > 3500, JSON.stringify(answers))
  await new Promise(resolve => setTimeout(resolve, 2_500))
  assert.deepEqual([closes, room.joins(), room.channel.state], [[], 1, "joined"])
  socket.disconnect()
  console.log("ok      a renewed connection outlives its first credential, its channels untouched")
}

{
  // What the renewal brings is refused, so the connection ends when its first credential does.
  const closes = []
  let fresh = false
  const socket = connect(async () => { fresh = true; return "revoked" }, "1")
  socket.onClose(({code}) => closes.push(code))
  const first = joined(socket)
  await until(() => fresh && first.joins() === 1, "the notice")
  await until(() => closes.length > 0, "the end")
  assert.equal(closes[0], 4401)
  socket.disconnect()
  console.log("ok      a connection that was not renewed ends with 4401")
}

{
  const closes = [], list = ["1", "3600"]
  const socket = new Socket(`ws://${address}/socket`, {
    transport: WebSocket,
    reconnectAfterMs: () => 20,
    rejoinAfterMs: () => 20,
    params: () => ({token: list.length > 1 ? list.shift() : list[0]})
  })
  socket.onClose(({code}) => closes.push(code))
  socket.connect()
  const room = joined(socket)
  await until(() => room.joins() === 2, "the rejoin with a fresh token")
  assert.deepEqual([closes, room.channel.state], [[4401], "joined"])
  socket.disconnect()
  console.log("ok      a client that does not renew comes back by itself with a fresh token")
}

process.exit(0)
