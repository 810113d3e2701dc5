import { Presence, Socket } from "phoenix";
import type { Attachment, Message, RoomChannel, TypedChannel, TypedSocket } from "./channels";

// The official client is a typed socket as it is.
const socket: TypedSocket = new Socket("/socket", { params: { token: "t" } });

const room = socket.channel("room:42", { name: "ada" });
socket.channel("room:42", () => ({ name: "ada", history: 20 }));
export const enter = (id: number): TypedChannel<RoomChannel> => socket.channel(`room:${id}`, { name: "ada" });

// Whoever was there before says where; what is replayed looks as it did live.
let position: { epoch: string; offset: number } | null = null;
const returning = socket.channel("room:42", () => ({ name: "ada", recover: position }));
returning.join().receive("ok", ({ epoch, offset, recovered }) => {
  position = { epoch, offset };
  console.log(recovered === true);
});
returning.on("message:new", ({ body, phx_offset }) => {
  if (position && phx_offset !== undefined) position.offset = phx_offset;
  console.log(body);
});

// So is a channel, which leaves the untyped one for `Presence`.
const channel = new Socket("/socket").channel("room:1", { name: "ada" });
const typed: TypedChannel<RoomChannel> = channel;
new Presence(channel);

room
  .join()
  .receive("ok", ({ messages, members }) => {
    const bodies: string[] = messages.map((message) => message.body);
    const account: number | null | undefined = members["ada"]?.account_id;
    const owner: boolean = members["ada"]?.role === "owner";
    console.log(bodies, account, owner);
  })
  .receive("error", ({ reason, errors }) => console.log(reason, errors?.["name"]?.[0]))
  .receive("timeout", () => console.log("no answer"));

room
  .push("message:new", {
    body: "hello",
    reply_to: null,
    attachments: [
      { kind: "link", url: "https://example.com" },
      { kind: "image", url: "a.png", size: [1, 2] },
    ],
  })
  .receive("ok", ({ id }) => console.log(id.toFixed()))
  .receive("error", ({ errors }) => console.log(errors));
room.push("typing:start", {}, 1_000);
room.push("stroke:add", { line: { points: [{ x: 0, y: 1 }], colour: [255, 0, 0] } });
room.push("stroke:add", { text: ["here", { x: 0, y: 1 }] });
room.push("stroke:add", { clear: {} });
room.push("picture:send", new ArrayBuffer(8)).receive("ok", (picture) => console.log(picture.byteLength));
room.push("member:rename", { name: "bob" }).receive("error", (error) => {
  if ("suggestions" in error) console.log(error.suggestions.join());
  else console.log(error.reason);
});

const listener = room.on("message:new", (message: Message) => {
  const replied: number | null = message.reply_to;
  console.log(message.sent_at, replied, message.attachments.map(describe));
});
room.on("presence_diff", ({ joins, leaves }) => {
  const online: number | undefined = joins["ada"]?.metas[0]?.online_at;
  const reference: string | undefined = leaves["bob"]?.metas[0]?.phx_ref;
  console.log(online, reference);
});
room.on("typing:start", ({ name }) => console.log(name));
room.on("picture:new", (picture) => console.log(picture.byteLength));
room.off("message:new", listener);
room.leave().receive("ok", () => console.log("left"));

socket.channel("lobby").on("rooms", (rooms) => console.log(rooms["kitchen"]));
typed.onError(() => console.log(typed.topic, typed.state));

function describe(attachment: Attachment): string {
  switch (attachment.kind) {
    case "image":
      return `${attachment.url}, ${attachment.size[0]} wide`;
    case "link":
      return attachment.title;
  }
}
