// Compressed messages both ways: the official client over `ws`, against `reference-server clients`.
//
//     node compression.mjs PACKAGE ADDRESS

import assert from "node:assert/strict"
import {createRequire} from "node:module"
import {join} from "node:path"

const [name, address] = process.argv.slice(2)
const require = createRequire(join(process.cwd(), "package.json"))
const {version} = require(join(process.cwd(), "node_modules", name, "package.json"))
const {Socket} = require(name)
const WebSocket = require("ws")
console.log(`phoenix ${version}`)

// What the offer of a browser is, and one that offers nothing.
class Compressing extends WebSocket {
  constructor(url, protocols){ super(url, protocols, {perMessageDeflate: {threshold: 1024}}) }
}
class Plain extends WebSocket {
  constructor(url, protocols){ super(url, protocols, {perMessageDeflate: false}) }
}

const TOPIC = "room:compression"

async function joined(transport){
  const socket = new Socket(`ws://${address}/socket`, {transport})
  socket.connect()
  const channel = socket.channel(TOPIC, {})
  await answer(channel.join())
  return {channel, wire: socket.conn, tcp: socket.conn._socket}
}

function answer(push){
  return new Promise((resolve, reject) => {
    push.receive("ok", resolve).receive("error", reject).receive("timeout", () => reject(new Error("timeout")))
  })
}

// Bytes on TCP each way while `work` runs.
async function traffic({tcp}, work){
  const [read, written] = [tcp.bytesRead, tcp.bytesWritten]
  await work()
  return {read: tcp.bytesRead - read, written: tcp.bytesWritten - written}
}

const compressing = await joined(Compressing)
const plain = await joined(Plain)
assert.equal(compressing.wire.extensions, "permessage-deflate")
assert.equal(plain.wire.extensions, "")

// Replies: 64 KB of text that repeats itself, and bytes that do.
const long = {text: "Grüße aus der Schmiede, ".repeat(2_700)}
const size = Buffer.byteLength(JSON.stringify(long))
const echoed = async ({channel}) => assert.deepEqual(await answer(channel.push("echo", long)), long)
let moved = await traffic(compressing, () => echoed(compressing))
assert.ok(moved.read < size / 20 && moved.written < size / 20, `compressed: ${JSON.stringify(moved)}`)
moved = await traffic(plain, () => echoed(plain))
assert.ok(moved.read > size && moved.written > size, `plain: ${JSON.stringify(moved)}`)

const bytes = new Uint8Array(50_000).map((_, i) => i % 100).buffer
moved = await traffic(compressing, async () => {
  const reply = await answer(compressing.channel.push("bin_echo", bytes))
  assert.deepEqual(new Uint8Array(reply), new Uint8Array(bytes))
})
assert.ok(moved.read < 5_000 && moved.written < 5_000, `binary: ${JSON.stringify(moved)}`)

// A broadcast reaches both, each in its way, and none refers to an earlier one.
const heard = [compressing, plain].map(({channel}) => new Promise(resolve => {
  let count = 0
  channel.on("shout", payload => {
    assert.deepEqual(payload, long)
    if(++count === 10){ resolve() }
  })
}))
moved = await traffic(compressing, async () => {
  for(let i = 0; i < 10; i++){ plain.channel.push("shout", long) }
  await Promise.all(heard)
})
assert.ok(moved.read < 10 * size / 20, `broadcasts: ${JSON.stringify(moved)}`)

// What does not compress, and what is not worth it, arrives as it is.
const noise = {text: Buffer.from(crypto.getRandomValues(new Uint8Array(20_000))).toString("base64")}
assert.deepEqual(await answer(compressing.channel.push("echo", noise)), noise)
assert.deepEqual(await answer(compressing.channel.push("echo", {})), {})
process.exit(0)
