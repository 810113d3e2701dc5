// The channels of Rooms 1.0.0, written by bennu from their Rust types. Do not edit.

/** What can hang on a message. */
export type Attachment = {
  kind: "image";
  /** Width and height in pixels. */
  size: [number, number];
  url: string;
} | {
  kind: "link";
  /** @default "" */
  title: string;
  url: string;
};

/** What can hang on a message. */
export type AttachmentInput = {
  kind: "image";
  /** Width and height in pixels. */
  size: [number, number];
  url: string;
} | {
  kind: "link";
  /** @default "" */
  title?: string;
  url: string;
};

/** A name, or red, green and blue. */
export type Colour = string | [number, number, number];

/** What is known of a member's device. */
export interface Device {
  /** In seconds since 1970. */
  online_at: number;
}

/** Who came, and who is gone. */
export interface DevicePresenceDiff {
  joins: DevicePresences;
  leaves: DevicePresences;
}

/** Who is there, by key. */
export type DevicePresences = { [key: string]: {
  metas: (Device & {
    phx_ref: string;
    phx_ref_prev?: string;
  })[];
} };

export interface Member {
  /** Absent for guests. */
  account_id?: number | null;
  role: Role;
}

export interface Message {
  attachments: Attachment[];
  author: string;
  body: string;
  id: number;
  reply_to: number | null;
  /** @format date-time */
  sent_at: string;
}

export interface MessageCreated {
  id: number;
}

export interface NameTaken {
  /** Names that are free. */
  suggestions: string[];
}

export interface NewMessage {
  /** @default [] */
  attachments?: AttachmentInput[];
  body: string;
  /** The message that this one answers. */
  reply_to?: number | null;
}

export interface NewName {
  name: string;
}

export interface Point {
  x: number;
  y: number;
}

/** Why a message or a join was refused. */
export interface Rejection {
  /** What is wrong with which field, by path, such as `items[2].name`. */
  errors?: { [key: string]: string[] };
  /** Why, in a few words. */
  reason: string;
}

export type Role = "owner" | "guest";

export interface RoomInKick {
  name: string;
  /** @default "" */
  reason?: string;
}

export interface RoomOutTyping {
  name: string;
}

/** How to enter a room. */
export interface RoomParams {
  /**
   * How many messages to get at once.
   * @default 0
   */
  history?: number;
  /** What the others see. */
  name: string;
}

/** What is in the room. */
export interface RoomState {
  drawing: Stroke[];
  /** Members by name. */
  members: { [key: string]: Member };
  messages: Message[];
}

/** A line or a text on the drawing. */
export type Stroke = {
  line: {
    colour: Colour;
    points: Point[];
  };
} | {
  text: [string, Point];
} | {
  clear: { [key: string]: unknown };
};

/** The contract of `room:*`. */
export interface RoomChannel {
  params: RoomParams & {
    /** Where the client was: what it missed since then is sent again, all of it or nothing. */
    recover?: {
      epoch: string;
      offset: number;
    } | null;
  };
  join: { ok: RoomState & {
    /** Which history the offset is of. */
    epoch: string;
    offset: number;
    /** Whether `recover`, if it was there, will be had. */
    recovered?: boolean;
  }; error: Rejection; timeout: undefined };
  push: {
    /** Says something in the room. */
    "message:new": { payload: NewMessage; replies: { ok: MessageCreated; error: Rejection; timeout: undefined } };
    "typing:start": { payload: Record<string, never>; replies: { error: Rejection; timeout: undefined } };
    "stroke:add": { payload: Stroke; replies: { ok: Record<string, never>; error: Rejection; timeout: undefined } };
    /** A picture, as PNG. */
    "picture:send": { payload: ArrayBuffer; replies: { ok: ArrayBuffer; error: Rejection; timeout: undefined } };
    "member:rename": { payload: NewName; replies: { ok: Record<string, never>; error: NameTaken | Rejection; timeout: undefined } };
    "member:kick": { payload: RoomInKick; replies: { error: Rejection; timeout: undefined } };
  };
  on: {
    /** Somebody said something. */
    "message:new": Message & {
      /** Its place in the history, if it is a broadcast. */
      phx_offset?: number;
    };
    "typing:start": RoomOutTyping;
    "stroke:add": Stroke;
    "picture:new": ArrayBuffer;
    presence_state: DevicePresences;
    presence_diff: DevicePresenceDiff;
    /** The room closes, and there is nothing more to say. */
    "room:closing": Record<string, never>;
  };
}

/** The contract of `lobby`. */
export interface LobbyChannel {
  params: Record<string, never>;
  join: { ok: Record<string, never>; error: Rejection; timeout: undefined };
  push: {};
  on: {
    /** How many are in which room. */
    rooms: { [key: string]: number };
  };
}

/** A `Socket` of the official client that knows the channels: `const socket: TypedSocket = new Socket(…)`. */
export interface TypedSocket {
  channel(topic: `room:${string}`, params: RoomChannel["params"] | (() => RoomChannel["params"])): TypedChannel<RoomChannel>;
  channel(topic: "lobby", params?: LobbyChannel["params"] | (() => LobbyChannel["params"])): TypedChannel<LobbyChannel>;
}

/** What the types of a channel are taken from. */
export interface ChannelContract {
  params: unknown;
  join: object;
  push: object;
  on: object;
}

/** What `join` and `push` return: `receive` knows which replies can come, and with what. */
export interface TypedPush<Replies> {
  receive<Status extends keyof Replies & ("ok" | "error" | "timeout")>(
    status: Status,
    callback: (response: Replies[Status]) => void,
  ): TypedPush<Replies>;
}

/**
 * A `Channel` of the official client that knows its events, such as
 * `const room: TypedChannel<RoomChannel> = socket.channel("room:1", params)`.
 */
export interface TypedChannel<Contract extends ChannelContract> {
  readonly topic: string;
  readonly state: "closed" | "errored" | "joined" | "joining" | "leaving";
  join(timeout?: number): TypedPush<Contract["join"]>;
  leave(timeout?: number): TypedPush<{ ok: Record<string, never>; timeout: undefined }>;
  push<Event extends keyof Contract["push"] & string>(
    event: Event,
    payload: Contract["push"][Event] extends { payload: infer Payload extends object } ? Payload : never,
    timeout?: number,
  ): TypedPush<Contract["push"][Event] extends { replies: infer Replies } ? Replies : never>;
  on<Event extends keyof Contract["on"] & string>(
    event: Event,
    callback: (payload: Contract["on"][Event]) => void,
  ): number;
  off<Event extends keyof Contract["on"] & string>(event: Event, ref?: number): void;
  onClose(callback: () => void): number;
  onError(callback: (reason?: unknown) => void): number;
}
