// The plain protocol of bennu-bench on `ws`, for Node.js:
//
//     node ws.mjs --port 4100
//
// `ws` turns Nagle's algorithm off by itself.

import {createServer} from "node:http"
import {WebSocketServer} from "ws"
import {BACKLOG, HOST, port} from "./options.mjs"

const E = "e".charCodeAt(0)
const FRAME = {binary: false}

const echo = (socket, data) => socket.send(data, FRAME)
const fanout = (socket, data) => {
  for(const member of socket.members){ member.send(data, FRAME) }
}
const mixed = (socket, data) => (data[0] === E ? echo : fanout)(socket, data)

const paths = new Map([["/echo", echo], ["/fanout", fanout], ["/mixed", mixed]])
// The sockets of each path.
const members = new Map([...paths.keys()].map(path => [path, new Set()]))

const http = createServer((_, response) => response.writeHead(404).end())
const server = new WebSocketServer({noServer: true, perMessageDeflate: false})

http.on("upgrade", (request, stream, head) => {
  const handle = paths.get(request.url)
  if(!handle){ return stream.end("HTTP/1.1 404 Not Found\r\n\r\n") }
  server.handleUpgrade(request, stream, head, socket => {
    socket.members = members.get(request.url).add(socket)
    socket.on("message", data => handle(socket, data))
    socket.on("close", () => socket.members.delete(socket))
    socket.on("error", () => socket.terminate())
  })
})
http.listen({port: port(), host: HOST, backlog: BACKLOG})
