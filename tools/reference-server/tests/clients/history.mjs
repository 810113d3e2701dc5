// The official client, unmodified, on a topic with a history. What makes its channels recover is the
// first JavaScript in docs/history.md, as it stands there.
//
//     node history.mjs PACKAGE ADDRESS
//
// The server keeps five messages of a room. Exits with 0 when all holds.

import assert from "node:assert/strict"
import {readFileSync} from "node:fs"
import {createRequire} from "node:module"
import {join} from "node:path"

const [name, address] = process.argv.slice(2)
const require = createRequire(join(process.cwd(), "package.json"))
const {Socket} = require(name)
const WebSocket = require("ws")
const {version} = require(join(process.cwd(), "node_modules", name, "package.json"))
const PATIENCE = 10_000

const documented = readFileSync(new URL("../../../../docs/history.md", import.meta.url), "utf8")
const [, code] = documented.match(/```js\n(.*?)```/s)
const recoverable = new Function(`${code}; return recoverable`)()

async function until(condition, what){
  const started = Date.now()
  while(!condition()){
    assert.ok(Date.now() - started < PATIENCE, `${what} did not become true within ${PATIENCE} ms`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

function push(channel, event, payload){
  return new Promise((resolve, reject) => channel.push(event, payload).receive("ok", resolve).receive("error", reject))
}

// A client in a room, and what its handlers heard. It stays away for as long as `online` is false.
function enter(user, room){
  const client = {online: true, heard: [], log: [], joins: []}
  const socket = new Socket(`ws://${address}/socket`, {
    transport: WebSocket,
    params: {user},
    reconnectAfterMs: () => client.online ? 20 : 200,
    rejoinAfterMs: () => 20
  })
  // Away: the client's own endpoint leads nowhere until it is back.
  const url = socket.endPointURL.bind(socket)
  socket.endPointURL = () => client.online ? url() : "ws://127.0.0.1:9/"
  socket.connect()
  client.socket = socket
  client.channel = recoverable(socket, room, {who: user})
  client.channel.on("message:new", ({n}) => { client.heard.push(n); client.log.push(n) })
  client.channel.on("after_join", ({recovery}) => client.log.push(recovery))
  client.channel.join().receive("ok", ({recovered}) => { client.joins.push(recovered); client.log.push("joined") })
  return client
}

const numbers = (from, to) => Array.from({length: to - from + 1}, (_, i) => from + i)

async function shout(client, from, to){
  for(const n of numbers(from, to)){ await push(client.channel, "message:new", {n}) }
}

// Has the server cut a client off, and keeps that client away until `meanwhile` is done.
async function away(witness, client, user, meanwhile){
  const joins = client.joins.length
  client.online = false
  await push(witness.channel, "cut", {user})
  await until(() => !client.socket.isConnected(), "the cut")
  await meanwhile()
  client.log.length = 0
  client.online = true
  await until(() => client.joins.length > joins, "the rejoin")
}

console.log(`phoenix ${version}`)
const room = `room:${version}`
const bob = enter("bob", room)
const alice = enter("alice", room)
await until(() => alice.joins.length === 1 && bob.joins.length === 1, "both joins")
assert.deepEqual(alice.joins, [undefined])
await until(() => alice.log.includes("NotAsked"), "after_join")
await shout(bob, 1, 3)
await until(() => alice.heard.length === 3, "live messages")
console.log("ok      live messages")

await away(bob, alice, "alice", () => shout(bob, 4, 7))
assert.equal(alice.joins.at(-1), true)
await until(() => alice.log.includes("Recovered"), "the replay")
assert.deepEqual(alice.log, ["joined", 4, 5, 6, 7, "Recovered"])
await shout(bob, 8, 8)
await until(() => alice.heard.length >= 8, "a live message after the replay")
assert.deepEqual(alice.heard, numbers(1, 8))
console.log("ok      what was missed comes through the ordinary handlers, in order and once")

await away(bob, alice, "alice", async () => {})
assert.deepEqual([alice.joins.at(-1), alice.heard.length], [true, 8])
console.log("ok      who missed nothing recovers too")

await away(bob, alice, "alice", () => shout(bob, 9, 14))
assert.equal(alice.joins.at(-1), false)
await until(() => alice.log.includes("Lost"), "after_join")
await shout(bob, 15, 15)
await until(() => alice.heard.at(-1) === 15, "a live message after the loss")
assert.deepEqual(alice.heard, [...numbers(1, 8), 15])
console.log("ok      more than is kept is not replayed in part, and the client is told")

await away(bob, alice, "alice", () => shout(bob, 16, 17))
await until(() => alice.heard.at(-1) === 17, "the replay")
assert.deepEqual(alice.heard, [...numbers(1, 8), 15, 16, 17])
assert.deepEqual(bob.heard, numbers(1, 17))
console.log("ok      the next time it recovers again")

process.exit(0)
