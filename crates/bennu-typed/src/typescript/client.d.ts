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
