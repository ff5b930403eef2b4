"""Ask metawsm how its runs are, without any library: python status.py [ROOT]."""

import json
import subprocess
import sys

server = subprocess.Popen(["metawsm", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def send(**message):
    """Write one message: its length, an empty line, and JSON."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    server.stdin.flush()


def receive():
    """Read one message."""
    length = 0
    while (header := server.stdout.readline()) not in (b"\r\n", b""):
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return json.loads(server.stdout.read(length))


def ask(method, params):
    """Send a request and return its result; what the server tells besides is left out."""
    send(id=1, method=method, params=params)
    while "result" not in (message := receive()):
        if "error" in message:
            sys.exit(message["error"]["message"])
    return message["result"]


root = sys.argv[1] if len(sys.argv) > 1 else "."
ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}, "initializationOptions": {"root": root}})
send(method="initialized", params={})
for run in ask("metawsm/runs", {"limit": 10})["runs"]:
    print(run["runId"], run["status"], *run["tickets"])
ask("shutdown", None)
send(method="exit")
