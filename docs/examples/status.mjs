// Ask metawsm how its runs are, without any library: node status.mjs [ROOT]
import { spawn } from "node:child_process";

const server = spawn("metawsm", ["serve"], { stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map();
let last = 0;

// A message is its length, an empty line, and JSON.
function send(message) {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function ask(method, params) {
  send({ id: ++last, method, params });
  return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
}

let unread = Buffer.alloc(0);
server.stdout.on("data", (data) => {
  unread = Buffer.concat([unread, data]);
  for (let end; (end = unread.indexOf("\r\n\r\n")) >= 0; ) {
    const length = Number(/content-length: *(\d+)/i.exec(unread.toString("latin1", 0, end))[1]);
    if (unread.length < end + 4 + length) return;
    const message = JSON.parse(unread.toString("utf8", end + 4, end + 4 + length));
    unread = unread.subarray(end + 4 + length);
    if ("method" in message) continue; // what the server tells besides
    const { resolve, reject } = waiting.get(message.id);
    "error" in message ? reject(new Error(message.error.message)) : resolve(message.result);
  }
});

const root = process.argv[2] ?? ".";
await ask("initialize", { processId: null, rootUri: null, capabilities: {}, initializationOptions: { root } });
send({ method: "initialized", params: {} });
for (const run of (await ask("metawsm/runs", { limit: 10 })).runs) {
  console.log(run.runId, run.status, ...run.tickets);
}
await ask("shutdown");
send({ method: "exit" });
