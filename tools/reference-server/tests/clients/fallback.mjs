// `longPollFallbackMs` of the official client, against `reference-server clients`.
//
//     node fallback.mjs PACKAGE ADDRESS

import assert from "node:assert/strict"
import {createRequire} from "node:module"
import {join} from "node:path"

const [name, address] = process.argv.slice(2)
const require = createRequire(join(process.cwd(), "package.json"))
const {version} = require(join(process.cwd(), "node_modules", name, "package.json"))
// Before 1.8 the clients know no `fetch`.
if(Number(version.split(".")[1]) < 8){ await import("./xhr.mjs") }
const {Socket, LongPoll} = require(name)
const WebSocket = require("ws")
console.log(`phoenix ${version}`)

// A WebSocket that the server refuses: nothing is mounted there.
let refusals = 0
class Refused extends WebSocket {
  constructor(url, protocols){
    super(url.replace("/websocket", "/refused"), protocols)
    refusals++
  }
}

// What a browser keeps for a tab.
const store = new Map()
const sessionStorage = {getItem: key => store.get(key) ?? null, setItem: (key, value) => store.set(key, value)}

async function joins(transport){
  const options = {transport, sessionStorage, longPollFallbackMs: 5_000, reconnectAfterMs: () => 50}
  const socket = new Socket(`ws://${address}/socket`, options)
  socket.connect()
  const topic = "room:fallback"
  const response = await new Promise((resolve, reject) => {
    const push = socket.channel(topic, {}).join()
    push.receive("ok", resolve).receive("error", reject).receive("timeout", () => reject(new Error("timeout")))
  })
  assert.deepEqual(response, {joined: topic})
  const {conn} = socket
  socket.disconnect()
  return conn
}

// The refusal is enough: the client does not wait for the time it was given.
const started = Date.now()
assert.ok(await joins(Refused) instanceof LongPoll, "it fell back")
assert.ok(Date.now() - started < 5_000, "at once")
assert.equal(refusals, 1)
assert.deepEqual([...store], [["phx:fallback:LongPoll", "true"]])

// It remembers that for the tab.
assert.ok(await joins(Refused) instanceof LongPoll, "it polls again")
assert.equal(refusals, 1)

// Where the WebSocket is served, it is used.
store.clear()
assert.ok(await joins(WebSocket) instanceof WebSocket, "no fallback is needed")
assert.deepEqual([...store], [])
process.exit(0)
