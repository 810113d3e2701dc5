// The official client, unmodified, against `reference-server clients`.
//
//     node scenario.mjs PACKAGE ADDRESS [longpoll | tls]
//
// PACKAGE is a name in package.json beside this file, looked up in the working
// directory's node_modules. With `longpoll` everything goes over long polling, with `tls` over `wss:`. Prints one line for each step and exits with 0 when
// all hold.

import assert from "node:assert/strict"
import {createRequire} from "node:module"
import {join} from "node:path"

const [name, address, transport] = process.argv.slice(2)
const polls = transport === "longpoll"
const require = createRequire(join(process.cwd(), "package.json"))
const {version} = require(join(process.cwd(), "node_modules", name, "package.json"))
const minor = Number(version.split(".")[1])
// Before 1.8 the clients know no `fetch`.
if(polls && minor < 8){ await import("./xhr.mjs") }
const {Socket, Presence, LongPoll} = require(name)
const WebSocket = require("ws")
const url = `${transport === "tls" ? "wss" : "ws"}://${address}/socket`
const room = `room:npm-${version}-${transport ?? "websocket"}`
const PATIENCE = 10_000

const steps = []
const step = (title, run) => steps.push([title, run])

function connect(options = {}){
  const socket = new Socket(url, {
    transport: polls ? LongPoll : WebSocket,
    reconnectAfterMs: () => 50,
    rejoinAfterMs: () => 50,
    ...options
  })
  socket.connect()
  return socket
}

function within(promise, what){
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${PATIENCE} ms`)), PATIENCE)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// Resolves with [status, response] of the first answer to a push or join.
function answer(push, ...statuses){
  const wanted = statuses.length > 0 ? statuses : ["ok", "error", "timeout"]
  const answered = new Promise(resolve => {
    wanted.forEach(status => push.receive(status, response => resolve([status, response])))
  })
  return within(answered, "an answer")
}

async function until(condition, what){
  const started = Date.now()
  while(!condition()){
    assert.ok(Date.now() - started < PATIENCE, `${what} did not become true within ${PATIENCE} ms`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

const bytes = buffer => [...new Uint8Array(buffer)]

// What the client sends arrives; what the server answers cannot be told to it, and takes nothing else along.
async function binaryOverLongPoll(){
  if(minor < 7){ return "this client version cannot send it when polling" }
  const texts = []
  const ref = aliceRoom.on("shout", payload => texts.push(payload))
  const unanswered = answer(aliceRoom.push("bin_echo", new Uint8Array([0, 255]).buffer, 500))
  assert.deepEqual(await answer(aliceRoom.push("shout", {text: "survives"})), ["ok", {}])
  assert.equal((await unanswered)[0], "timeout")
  assert.deepEqual(texts, [{text: "survives"}])
  aliceRoom.off("shout", ref)
}

// Before 1.8 the clients take a new session without noticing, and push as if they were joined still.
async function lostSession(){
  const [joinsBefore, token] = [aliceJoins, alice.conn.token]
  aliceRoom.push("drop_me", {})
  await until(() => alice.conn.token && alice.conn.token !== token, "the new session")
  assert.equal(aliceRoom.state, "joined", "the client has not noticed")
  assert.deepEqual(await answer(aliceRoom.push("echo", {})), ["error", {reason: "unmatched topic"}])
  await until(() => aliceJoins > joinsBefore && aliceRoom.state === "joined", "the rejoin")
  await restored("lost session")
}

// Alice is back in the room, and everybody sees her once.
async function restored(after){
  assert.deepEqual(await answer(aliceRoom.push("echo", {after})), ["ok", {after}])
  await until(() => presence.list(key => key).sort().join() === "alice,bob", `presence after the ${after}`)
  assert.equal(presence.state.alice.metas.length, 1)
}

const alice = connect()
const bob = connect({params: {anything: "goes"}})
const aliceRoom = alice.channel(room, {user: "alice"})
const bobRoom = bob.channel(room, {user: "bob"})
const presence = new Presence(aliceRoom)
const log = []
presence.onJoin((key, before, now) => log.push(["join", key, before ? before.metas.length : 0, now.metas.length]))
presence.onLeave((key, left) => log.push(["leave", key, left.metas.length]))
let syncs = 0
presence.onSync(() => syncs++)
let aliceJoins = 0

step("connect is refused with a bad token and accepted otherwise", async () => {
  const refused = connect({params: {token: "bad"}})
  let opened = false
  refused.onOpen(() => { opened = true })
  await within(new Promise(resolve => refused.onError(resolve)), "a refusal")
  refused.disconnect()
  assert.equal(opened, false)
  await until(() => alice.isConnected() && bob.isConnected(), "the connections")
})

step("auth token", async () => {
  if(!("authToken" in alice)){
    return `not supported by this client version (since 1.8)`
  }
  const socket = connect({authToken: "secret.token"})
  await until(() => socket.isConnected(), "the connection with a token")
  if(!polls){ assert.equal(socket.conn.protocol, "phoenix") }
  socket.disconnect()
})

step("join", async () => {
  const push = aliceRoom.join()
  push.receive("ok", () => aliceJoins++)
  assert.deepEqual(await answer(push), ["ok", {joined: room}])
  assert.equal(aliceRoom.state, "joined")
  assert.deepEqual(await answer(bobRoom.join()), ["ok", {joined: room}])
})

step("deny", async () => {
  const denied = alice.channel("room:deny", {})
  assert.deepEqual(await answer(denied.join()), ["error", {reason: "unauthorized"}])
  denied.leave()
})

step("unmatched topic", async () => {
  const unmatched = alice.channel("nowhere", {})
  assert.deepEqual(await answer(unmatched.join()), ["error", {reason: "unmatched topic"}])
  unmatched.leave()
})

step("reply", async () => {
  const payload = {text: "é🚀", list: [1, 2.5, null, true], nested: {a: {}}}
  assert.deepEqual(await answer(aliceRoom.push("echo", payload)), ["ok", payload])
  assert.deepEqual(await answer(aliceRoom.push("whatever", {})), ["ok", {}])
})

step("error", async () => {
  assert.deepEqual(await answer(aliceRoom.push("fail", {})), ["error", {reason: "nope"}])
})

step("timeout", async () => {
  const [status] = await answer(aliceRoom.push("silent", {}, 200))
  assert.equal(status, "timeout")
})

step("20 ordered broadcasts between two clients", async () => {
  const seen = {alice: [], bob: []}
  const refs = [
    [aliceRoom, aliceRoom.on("shout", ({n}) => seen.alice.push(n))],
    [bobRoom, bobRoom.on("shout", ({n}) => seen.bob.push(n))]
  ]
  const numbers = Array.from({length: 20}, (_, n) => n)
  const answers = await Promise.all(numbers.map(n => answer(aliceRoom.push("shout", {n}))))
  assert.ok(answers.every(([status]) => status === "ok"))
  await until(() => seen.alice.length >= 20 && seen.bob.length >= 20, "all broadcasts")
  // Before 1.7 each push is a request of its own when polling, and they overtake one another.
  if(polls && minor < 7){ Object.values(seen).forEach(seen => seen.sort((a, b) => a - b)) }
  assert.deepEqual(seen, {alice: numbers, bob: numbers})
  refs.forEach(([channel, ref]) => channel.off("shout", ref))
})

step("binary reply and broadcast", async () => {
  if(polls){ return binaryOverLongPoll() }
  const payload = new Uint8Array([0, 1, 2, 254, 255]).buffer
  const [status, response] = await answer(aliceRoom.push("bin_echo", payload))
  assert.deepEqual([status, bytes(response)], ["ok", [0, 1, 2, 254, 255]])
  const received = new Promise(resolve => bobRoom.on("shout", resolve))
  await answer(aliceRoom.push("shout", payload))
  assert.deepEqual(bytes(await within(received, "a binary broadcast")), [0, 1, 2, 254, 255])
  bobRoom.off("shout")
})

step("presence of two clients", async () => {
  await until(() => presence.list().length === 2, "two presences")
  assert.ok(syncs >= 1, "onSync was called")
  const keys = presence.list(key => key).sort()
  assert.deepEqual(keys, ["alice", "bob"])
  const [meta] = presence.state.alice.metas
  assert.equal(typeof meta.phx_ref, "string")
  assert.equal(typeof meta.online_at, "number")
})

step("presence: another device of a user, and its leave", async () => {
  log.length = 0
  const carol = connect()
  const first = carol.channel(room, {user: "bob"})
  await answer(first.join())
  await until(() => presence.state.bob.metas.length === 2, "a second meta of bob")
  carol.disconnect()
  await until(() => presence.state.bob.metas.length === 1, "the second meta's leave")
  assert.deepEqual(log, [["join", "bob", 1, log[0][3]], ["leave", "bob", 1]])
  assert.equal(presence.list().length, 2)
})

step("crash and rejoin", async () => {
  const joinsBefore = aliceJoins
  let errors = 0
  aliceRoom.onError(() => errors++)
  aliceRoom.push("crash", {})
  await until(() => aliceJoins > joinsBefore && aliceRoom.state === "joined", "the rejoin")
  assert.equal(errors, 1)
  assert.ok(alice.isConnected(), "the connection survived")
  assert.deepEqual(await answer(aliceRoom.push("echo", {after: "crash"})), ["ok", {after: "crash"}])
  assert.deepEqual(await answer(bobRoom.push("echo", {not: "touched"})), ["ok", {not: "touched"}])
  await until(() => presence.list(key => key).sort().join() === "alice,bob", "presence after the rejoin")
})

step("server-side close, reconnect and automatic rejoin", async () => {
  if(polls && minor < 8){ return lostSession() }
  const joinsBefore = aliceJoins
  const closed = new Promise(resolve => alice.onClose(resolve))
  aliceRoom.push("drop_me", {})
  const event = await within(closed, "the close")
  assert.equal(event.code, polls ? 3410 : 1001)
  await until(() => aliceJoins > joinsBefore && aliceRoom.state === "joined", "reconnect and rejoin")
  await restored("close")
})

step("leave", async () => {
  let closes = 0
  bobRoom.onClose(() => closes++)
  const [status] = await answer(bobRoom.leave())
  assert.equal(status, "ok")
  await until(() => bobRoom.state === "closed", "the closed channel")
  assert.equal(closes, 1)
  await until(() => presence.list().length === 1, "bob's leave")
  const again = bob.channel(room, {user: "bob"})
  assert.deepEqual(await answer(again.join()), ["ok", {joined: room}])
  await until(() => presence.list().length === 2, "bob's return")
})

step("disconnect", async () => {
  const closed = Promise.all([alice, bob].map(socket => new Promise(resolve => socket.disconnect(resolve))))
  await within(closed, "the end of both connections")
})

console.log(`phoenix ${version}`)
let failed = 0
for(const [title, run] of steps){
  try {
    const note = await run()
    console.log(`ok      ${title}${note ? `: ${note}` : ""}`)
  } catch(error){
    console.log(`FAILED  ${title}: ${error.stack}`)
    failed++
    break
  }
}
process.exit(failed)
