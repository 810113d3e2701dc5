// The plain protocol of bennu-bench on Bun, whose WebSockets are those of uWebSockets, with its publish:
//
//     bun bun.mjs --port 4100
//
// It turns Nagle's algorithm off by itself.

import {HOST, port} from "./options.mjs"

const echo = (socket, message) => socket.send(message)
const fanout = (socket, message) => server.publish(socket.data.path, message)
const mixed = (socket, message) => (message.startsWith("e") ? echo : fanout)(socket, message)

const paths = new Map([["/echo", echo], ["/fanout", fanout], ["/mixed", mixed]])

const server = Bun.serve({
  hostname: HOST,
  port: port(),
  fetch(request, server){
    const path = new URL(request.url).pathname
    const handle = paths.get(path)
    if(handle && server.upgrade(request, {data: {path, handle}})){ return }
    return new Response("not found", {status: 404})
  },
  websocket: {
    perMessageDeflate: false,
    // The longest that it takes: pings of its own would be in the figures.
    idleTimeout: 960,
    // However slow the receiver, nothing is dropped.
    backpressureLimit: 1 << 30,
    closeOnBackpressureLimit: false,
    open(socket){ socket.subscribe(socket.data.path) },
    message(socket, message){ socket.data.handle(socket, message) }
  }
})
