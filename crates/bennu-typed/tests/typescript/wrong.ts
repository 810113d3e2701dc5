// Each line that ends in `wrong` and a reason is an error, and no other is.
import { Socket } from "phoenix";
import type { TypedSocket } from "./channels";

const socket: TypedSocket = new Socket("/socket");
const room = socket.channel("room:42", { name: "ada" });

socket.channel("attic:1", { name: "ada" }); // wrong: no channel has this topic
socket.channel("room:42"); // wrong: its params are missing
socket.channel("room:42", { nick: "ada" }); // wrong: a misspelt param
socket.channel("lobby", { name: "ada" }); // wrong: a channel without params
socket.channel("room:42", { name: "ada", recover: { epoch: "e" } }); // wrong: half a position
socket.channel("lobby", { recover: null }); // wrong: a channel without a history

room.push("message:edit", { body: "hello" }); // wrong: no such event
room.push("message:new", {}); // wrong: a field is missing
room.push("message:new", { body: 7 }); // wrong: a field of another type
room.push("message:new", { body: "a", reply_to: "1" }); // wrong: an optional field of another type
room.push("message:new", { body: "a", attachments: [{ kind: "video", url: "u" }] }); // wrong: no such variant
room.push("message:new", { body: "a", attachments: [{ kind: "image", url: "u", size: [1] }] }); // wrong: half a tuple
room.push("message:new", new ArrayBuffer(8)); // wrong: bytes in place of JSON
room.push("picture:send", { png: "" }); // wrong: JSON in place of bytes
room.push("typing:start", { name: "ada" }); // wrong: an event without payload
room.push("stroke:add", { circle: { x: 0, y: 0 } }); // wrong: no such shape
room.push("typing:stop", {}); // wrong: an event of nobody

room.push("message:new", { body: "a" }).receive("ok", (reply) => reply.body); // wrong: the reply has no such field
room.push("message:new", { body: "a" }).receive("ok", (id: number) => id); // wrong: the reply is an object
room.push("typing:start", {}).receive("ok", () => {}); // wrong: nothing answers it
room.push("message:new", { body: "a" }).receive("okay", () => {}); // wrong: no such status
room.push("member:rename", { name: "a" }).receive("error", (error) => error.suggestions); // wrong: it can be a rejection
room.join().receive("ok", (state) => state.topic); // wrong: the response has no such field

room.on("message:gone", () => {}); // wrong: no such event
room.on("message:new", (message) => message.text); // wrong: no such field
room.on("message:new", (message: { id: string }) => message.id); // wrong: a field of another type
room.on("typing:start", (typing) => typing.phx_offset); // wrong: an event that is not kept
room.on("presence_state", (members) => members["ada"]?.metas[0]?.offline_at); // wrong: no such field of a meta
room.on("member:rename", () => {}); // wrong: an event of the other way
socket.channel("lobby").push("rooms", {}); // wrong: nothing can be sent there
socket.channel("lobby").on("rooms", (rooms) => rooms["kitchen"]?.trim()); // wrong: a number
