// The page of the rooms, on the official client.

import { Presence, Socket } from "/phoenix.mjs"

const TYPING_EVERY = 2_000
const TYPING_SHOWN = 4_000
const MAX_REFUSALS = 3

const find = (selector) => document.querySelector(selector)
const element = (name, text = "", properties = {}) =>
  Object.assign(document.createElement(name), { textContent: text }, properties)

const { users } = await (await fetch("/users")).json()
const nameOf = (id) => users.find((user) => user.id === id)?.name ?? "somebody"

// A room as this page has it: what was said, who is there, who types, and where in the topic's history we are.
class Room {
  constructor(socket, { id, name }, changed) {
    Object.assign(this, { id, name, changed, messages: [], typing: new Map(), unread: 0, position: null, missed: false })
    this.channel = socket.channel(`room:${id}`, () => (this.position ? { recover: this.position } : {}))
    this.presence = new Presence(this.channel)
    this.presence.onSync(() => this.synced())
    this.channel.on("messages:history", ({ messages }) => this.add(messages))
    this.channel.on("message:new", (message) => this.add([message]))
    this.channel.on("typing:start", ({ user_id }) => this.type(user_id))
    this.channel.join().receive("ok", (response) => this.joined(response))
  }

  // After a reconnect, what comes before the presence is what this page missed.
  joined({ epoch, offset }) {
    this.messages.forEach((message) => (message.missed = false))
    this.missed = this.rejoining ?? false
    this.rejoining = true
    if (epoch !== undefined) this.position = { epoch, offset }
  }

  synced() {
    this.missed = false
    this.changed(this)
  }

  add(messages) {
    for (const message of messages) {
      if (message.phx_offset !== undefined) this.position = { ...this.position, offset: message.phx_offset }
      if (message.id !== undefined && this.messages.some(({ id }) => id === message.id)) continue
      this.typing.delete(message.user_id)
      this.unread += 1
      this.messages.push({ ...message, missed: this.missed })
    }
    this.changed(this)
  }

  type(user) {
    clearTimeout(this.typing.get(user))
    this.typing.set(user, setTimeout(() => { this.typing.delete(user); this.changed(this) }, TYPING_SHOWN))
    this.changed(this)
  }

  push(event, payload) {
    return this.channel.push(event, payload)
  }
}

// Draws one room, and the list of all.
class View {
  constructor(rooms, enter) {
    this.rooms = rooms
    this.enter = enter
  }

  show(room) {
    this.room = room
    find("#mention").hidden = true
    this.draw(room)
    find("#say").elements.body.focus()
  }

  draw(changed) {
    if (changed === this.room) {
      this.room.unread = 0
      this.drawMessages()
      this.drawOnline()
      const typing = [...this.room.typing.keys()].map(nameOf)
      find("#typing").textContent = typing.length ? `${typing.join(" and ")} ${typing.length > 1 ? "are" : "is"} typing…` : ""
    }
    find("#rooms").replaceChildren(...this.rooms.map((room) => this.roomItem(room)))
  }

  drawMessages() {
    const list = find("#messages")
    const lines = this.room.messages.map(line)
    const firstMissed = this.room.messages.findIndex(({ missed }) => missed)
    if (firstMissed >= 0) lines.splice(firstMissed, 0, element("li", "While you were away", { className: "mark" }))
    list.replaceChildren(...lines)
    list.scrollTop = list.scrollHeight
  }

  drawOnline() {
    const people = this.room.presence.list((id, { user, metas }) => {
      const item = element("li", user.name)
      item.append(element("small", devices(metas)))
      return item
    })
    find("#online").replaceChildren(...people)
  }

  roomItem(room) {
    const button = element("button", room.name, { onclick: () => this.enter(room) })
    button.setAttribute("aria-current", room === this.room)
    if (room.unread) button.append(element("span", room.unread, { className: "count" }))
    const item = element("li")
    item.append(button)
    return item
  }
}

function line({ system, user_id, body, inserted_at, missed }) {
  if (system) return element("li", body, { className: "system" })
  const item = element("li", "", { className: missed ? "missed" : "" })
  const time = new Date(inserted_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
  item.append(element("b", nameOf(user_id)), element("span", time, { className: "soft" }), element("div", body))
  return item
}

// "web, phone ×2, since 12:30"
function devices(metas) {
  const counts = new Map()
  metas.forEach(({ device }) => counts.set(device, (counts.get(device) ?? 0) + 1))
  const names = [...counts].map(([device, count]) => (count > 1 ? `${device} ×${count}` : device))
  const since = new Date(1_000 * Math.min(...metas.map(({ online_at }) => online_at)))
  return `${names.join(", ")}, since ${since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`
}

function enterSite({ token, user, rooms: mine, device }) {
  find("#door").hidden = true
  find("#site").hidden = false
  find("#me").textContent = `${user.name} (${device})`

  const socket = new Socket("/socket", { params: { token, device } })
  const status = (online, text) => {
    find("#status").textContent = text
    find("#status").classList.toggle("online", online)
  }
  let refusals = 0
  status(false, "connecting")
  socket.onOpen(() => {
    refusals = 0
    status(true, "connected")
  })
  socket.onError(async () => {
    status(false, "reconnecting")
    refusals += 1
    // The server is there, but again and again it does not let this token in.
    const isThere = refusals >= MAX_REFUSALS && (await fetch("/users").then(({ ok }) => ok, () => false))
    if (isThere) leaveSite(socket, "You were signed out.")
  })
  socket.onClose(() => status(false, "reconnecting"))
  socket.connect()

  const view = new View([], (room) => view.show(room))
  view.rooms.push(...mine.map((room) => new Room(socket, room, (changed) => view.draw(changed))))
  view.show(view.rooms[0])

  const notifications = socket.channel(`notifications:${user.id}`)
  notifications.on("mention", ({ room_id, user_id }) => {
    const room = view.rooms.find(({ id }) => id === room_id)
    if (!room || room === view.room) return
    const mention = find("#mention")
    mention.textContent = `${nameOf(user_id)} mentions you in ${room.name}`
    mention.hidden = false
    mention.onclick = () => view.show(room)
  })
  notifications.join()

  let typedAt = 0
  find("#say").oninput = () => {
    if (Date.now() - typedAt < TYPING_EVERY) return
    typedAt = Date.now()
    view.room.push("typing:start", {})
  }
  find("#say").onsubmit = (event) => {
    event.preventDefault()
    const input = event.target.elements.body
    const failed = (text) => Object.assign(find("#error"), { textContent: text, hidden: false })
    view.room.push("message:new", { body: input.value })
      .receive("ok", () => { input.value = ""; typedAt = 0; find("#error").hidden = true })
      .receive("error", ({ errors }) => failed(`Your message ${errors.body.join(" and ")}.`))
      .receive("timeout", () => failed("The server does not answer."))
  }
  find("#leave").onclick = () => leaveSite(socket)
  // For the test of this page, and for whoever looks inside.
  window.rooms = { socket, view }
}

function leaveSite(socket, why) {
  sessionStorage.removeItem("session")
  socket.disconnect(() => {
    if (why) sessionStorage.setItem("why", why)
    location.reload()
  })
}

async function logIn(user) {
  const answer = await fetch("/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user_id: user.id }),
  })
  const session = { ...(await answer.json()), device: find("#device").value }
  sessionStorage.setItem("session", JSON.stringify(session))
  enterSite(session)
}

// One session for each tab, so that two tabs can be two people.
const session = JSON.parse(sessionStorage.getItem("session"))
if (session) {
  enterSite(session)
} else {
  find("#why").textContent = sessionStorage.getItem("why") ?? find("#why").textContent
  sessionStorage.removeItem("why")
  find("#users").replaceChildren(...users.map((user) => {
    const item = element("li")
    item.append(element("button", user.name, { onclick: () => logIn(user) }))
    return item
  }))
  find("#door").hidden = false
}
