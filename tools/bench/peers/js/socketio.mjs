// The Socket.IO protocol of bennu-bench on `socket.io`, for Node.js:
//
//     node socketio.mjs --port 4100
//
// Its `ws` turns Nagle's algorithm off by itself.

import {createServer} from "node:http"
import {Server} from "socket.io"
import {BACKLOG, HOST, port} from "./options.mjs"

const http = createServer()
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false
})

// The request is not needed any more; its documentation recommends this where memory counts.
io.engine.on("connection", connection => { connection.request = null })

io.on("connection", socket => {
  socket.on("join", (topic, done) => {
    socket.join(topic)
    done("ok")
  })
  socket.on("echo", (payload, done) => done(payload))
  socket.on("shout", (topic, payload) => io.to(topic).emit("shout", topic, payload))
})
http.listen({port: port(), host: HOST, backlog: BACKLOG})
