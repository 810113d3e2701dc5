// The tutorial's client, against the program's own server, with the official package.
//
//     node scenario.mjs PACKAGES ADDRESS ADMIN_TOKEN
//
// Prints a line for each step and exits with 0 when all hold.

import assert from "node:assert/strict"
import { createRequire } from "node:module"
import { join } from "node:path"

const [packages, address, adminToken] = process.argv.slice(2)
const require = createRequire(join(packages, "package.json"))
const { Socket, Presence } = require("phoenix")
const WebSocket = require("ws")

const PATIENCE = 10_000

async function logIn(user_id) {
  const answer = await post("/session", { user_id })
  return (await answer.json()).token
}

function post(path, body, headers = {}) {
  const init = { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) }
  return fetch(`http://${address}${path}`, init)
}

function connect(token, device = "web") {
  const socket = new Socket(`ws://${address}/socket`, {
    params: { token, device },
    transport: WebSocket,
    reconnectAfterMs: () => 50,
    rejoinAfterMs: () => 50,
  })
  socket.connect()
  return socket
}

// The first answer to a join or push, as [status, response].
function answer(push) {
  return within(new Promise((resolve) => {
    for (const status of ["ok", "error", "timeout"]) push.receive(status, (response) => resolve([status, response]))
  }))
}

// The next event of this name; call it before what causes it.
function next(channel, event) {
  return within(new Promise((resolve) => {
    const ref = channel.on(event, (payload) => { channel.off(event, ref); resolve(payload) })
  }), event)
}

function within(promise, what = "an answer") {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${PATIENCE} ms`)), PATIENCE)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// Looks again and again; within() bounds it.
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

async function step(title, run) {
  await run()
  console.log(`ok   ${title}`)
}

const tokens = { ada: await logIn(1), grace: await logIn(2), alan: await logIn(3) }
const [ada, grace, alan] = [connect(tokens.ada), connect(tokens.grace, "phone"), connect(tokens.alan)]
const lobby = ada.channel("room:1", {})
const hers = grace.channel("room:1", {})

await step("a join is answered, then comes what was said, then who is there", async () => {
  const history = next(lobby, "messages:history")
  const state = next(lobby, "presence_state")
  assert.deepEqual((await answer(lobby.join()))[0], "ok")
  assert.deepEqual((await history).messages, [])
  assert.equal((await state)["1"].user.name, "Ada")
  assert.equal((await answer(hers.join()))[0], "ok")
})

await step("a message reaches both, and then the sender's reply", async () => {
  const order = []
  lobby.on("message:new", () => order.push("message"))
  const [at_ada, at_grace] = [next(lobby, "message:new"), next(hers, "message:new")]
  const pushed = lobby.push("message:new", { body: "Hello!" })
  pushed.receive("ok", () => order.push("reply"))
  assert.equal((await answer(pushed))[0], "ok")
  const message = await at_grace
  assert.deepEqual(await at_ada, message)
  assert.deepEqual([message.id, message.body, message.user_id], [1, "Hello!", 1])
  assert.ok(!Number.isNaN(Date.parse(message.inserted_at)))
  assert.deepEqual(order, ["message", "reply"])
})

await step("a message that cannot be said is answered with its field's errors", async () => {
  assert.deepEqual(await answer(lobby.push("message:new", { body: "" })), ["error", { errors: { body: ["can't be blank"] } }])
})

await step("typing is told to the others alone", async () => {
  let heard = 0
  lobby.on("typing:start", () => (heard += 1))
  const typing = next(hers, "typing:start")
  lobby.push("typing:start", {})
  assert.deepEqual(await typing, { user_id: 1 })
  // What is answered later than the broadcast shows that nothing came in between.
  await answer(lobby.push("message:new", { body: "I typed" }))
  assert.equal(heard, 0)
})

await step("who is no member stays out", async () => {
  assert.deepEqual(await answer(alan.channel("room:2", {}).join()), ["error", { reason: "unauthorized" }])
})

await step("presence counts devices", async () => {
  // Of the compilers' room, so that the presence is there before its state.
  const compilers = ada.channel("room:2", {})
  const presence = new Presence(compilers)
  const devices = () => presence.list((id, { metas }) => [id, ...metas.map(({ device }) => device)])
  const shows = (expected) => JSON.stringify(devices()) === JSON.stringify(expected)
  const synced = (expected) => within(until(() => shows(expected)), JSON.stringify(expected))
  await answer(compilers.join())
  await synced([["1", "web"]])
  const tablet = connect(tokens.grace, "tablet")
  await answer(tablet.channel("room:2", {}).join())
  await synced([["1", "web"], ["2", "tablet"]])
  await answer(grace.channel("room:2", {}).join())
  await synced([["1", "web"], ["2", "tablet", "phone"]])
  tablet.disconnect()
  await synced([["1", "web"], ["2", "phone"]])
})

await step("who comes back after a lost connection gets what was missed", async () => {
  let position
  const room = ada.channel("room:3", () => (position ? { recover: position } : {}))
  const bodies = []
  room.on("message:new", ({ body, phx_offset }) => {
    bodies.push(body)
    position = { ...position, offset: phx_offset }
  })
  const joins = []
  const joined = (count) => within(until(() => joins.length === count), `join ${count}`)
  room.join().receive("ok", ({ epoch, offset, recovered }) => {
    joins.push(recovered)
    position = { epoch, offset }
  })
  const his = alan.channel("room:3", {})
  assert.equal((await answer(his.join()))[0], "ok")
  await joined(1)
  assert.equal((await answer(his.push("message:new", { body: "zero" })))[0], "ok")
  await within(until(() => bodies.length === 1), "the message")

  await within(new Promise((resolve) => ada.disconnect(resolve)), "the end of the connection")
  for (const body of ["one", "two"]) {
    assert.equal((await answer(his.push("message:new", { body })))[0], "ok")
  }
  ada.connect()
  await joined(2)
  await within(until(() => bodies.length === 3), "what was missed")
  assert.deepEqual(joins, [undefined, true])
  assert.deepEqual(bodies, ["zero", "one", "two"])
})

await step("the administrator speaks in the room", async () => {
  const announced = next(hers, "message:new")
  const headers = { authorization: `Bearer ${adminToken}` }
  assert.equal((await post("/admin/rooms/1/announcements", { body: "Back at noon" }, headers)).status, 204)
  const { body, system } = await announced
  assert.deepEqual({ body, system }, { body: "Back at noon", system: true })
})

await step("a user who is signed out does not come back, and others stay", async () => {
  const closed = within(new Promise((resolve) => grace.onClose(resolve)), "the close")
  const refused = closed.then(() => within(new Promise((resolve) => grace.onError(resolve)), "the refusal"))
  const headers = { authorization: `Bearer ${adminToken}` }
  assert.equal((await post("/admin/users/2/disconnect", {}, headers)).status, 204)
  assert.equal((await closed).code, 1001)
  await refused
  assert.ok(alan.isConnected())
})

process.exit(0)
