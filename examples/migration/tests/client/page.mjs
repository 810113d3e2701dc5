// A page of the application, with the official client: joins topics where they live, and says what comes.
//
//     node page.mjs PACKAGES ADDRESS SETTINGS
//
// Prints a line of JSON for whatever happens, and ends with its standard input.

import { createRequire } from "node:module"
import { join } from "node:path"

const [packages, address, settings] = process.argv.slice(2)
const { params, topics, moved, headers, transport: name, localAddress } = JSON.parse(settings)
const require = createRequire(join(packages, "package.json"))
const { LongPoll, Socket } = require("phoenix")
const WebSocket = require("ws")

const say = (what) => console.log(JSON.stringify(what))

// What a browser would add by itself.
globalThis.location = { protocol: "http:", host: address }
const fetch = globalThis.fetch
globalThis.fetch = (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } })
class BrowserSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { headers, localAddress })
  }
}

const transport = name === "longpoll" ? LongPoll : BrowserSocket
const options = { params, transport, reconnectAfterMs: () => 60_000 }

const phoenix = new Socket("/socket", options)
const bennu = new Socket("/bennu/socket", options)

const socketOf = (topic) => (moved.some((prefix) => topic.startsWith(prefix)) ? bennu : phoenix)

for (const topic of topics) {
  const socket = socketOf(topic)
  socket.onError((error) => say({ topic, refused: String(error.message ?? error) }))
  socket.onClose(({ code }) => say({ topic, closed: code }))
  socket.connect()
  const channel = socket.channel(topic, {})
  channel.onMessage = (event, payload) => {
    if (!event.startsWith("phx_") && !event.startsWith("chan_reply")) say({ topic, event, payload })
    return payload
  }
  const joined = channel.join()
  for (const status of ["ok", "error"]) joined.receive(status, (response) => say({ topic, [status]: response }))
}

process.stdin.on("end", () => process.exit(0)).resume()
