// Loaded by opencode for one launch of an agent: tells `metawsm hook` of what the agent does.
// One event after the other, so that they arrive in their order, and never more than is news.

import { spawn } from "node:child_process"

const TOLD = new Set([
  "session.status",
  "session.idle",
  "session.error",
  "permission.asked",
  "permission.replied",
  "question.asked",
  "question.replied",
  "question.rejected",
])
const LONGEST_MS = 10000

const tell = (event) =>
  new Promise((resolve) => {
    const hook = spawn(process.env.METAWSM_BIN, ["hook", "opencode"], {
      stdio: ["pipe", "ignore", "ignore"],
      timeout: LONGEST_MS,
    })
    for (const end of ["error", "close"]) hook.on(end, resolve)
    hook.stdin.on("error", () => {})
    hook.stdin.end(JSON.stringify(event))
  })

export const Metawsm = async () => {
  // An opencode that the agent itself starts inherits the variables, but is not the agent.
  process.env.METAWSM_OPENCODE ??= String(process.pid)
  if (!process.env.METAWSM_BIN || process.env.METAWSM_OPENCODE !== String(process.pid)) return {}

  const children = new Set()
  let last = ""
  let queue = Promise.resolve()
  const add = (event) => {
    queue = queue.then(() => tell(event))
  }

  return {
    "chat.message": async ({ sessionID }) => {
      if (children.has(sessionID)) return
      last = ""
      add({ type: "chat.message", properties: { sessionID } })
    },
    event: async ({ event }) => {
      const { sessionID, info, status } = event.properties ?? {}
      if (info?.parentID && event.type.startsWith("session.")) children.add(info.id)
      if (!TOLD.has(event.type)) return
      // What its subagents do is part of its turn, but they may ask.
      if (children.has(sessionID) && !/^(permission|question)\./.test(event.type)) return
      const state = `${event.type} ${status?.type ?? ""}`
      if (event.type === "session.status" && state === last) return
      last = state
      add({ type: event.type, properties: event.properties })
    },
  }
}
