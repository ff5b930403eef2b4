"""A program with an input line of its own, as agents have: it keeps what it is given in a file.

    python prompting_program.py FILE [--plain] [--swallow N] [--within SECONDS] [--look LOOK]
        [--dialog WHEN] [--busy SECONDS] [--cursor] [--draft TEXT] [--clear SECONDS]

Each text that Enter sends is a line of JSON in FILE. `--plain` does not ask for bracketed paste.
`--swallow` ignores so many Enters, `--within` those that come so soon after a paste. `--look` draws it
like `claude`, or as `silent`, which shows nothing, or `frozen`, which goes on showing an empty box.
`--dialog` opens one at the `start`, at a `paste` or at an `enter`. `--busy` is how long it does not
read at first. `--cursor` puts the terminal's cursor into the box that is drawn like claude's, where an
example is shown behind it as long as the box is empty. `--draft` begins with a text in the box, which
`--clear` takes away after so many seconds.
"""

import argparse
import json
import os
import sys
import termios
import time
import tty
from pathlib import Path

BEGIN, END = b"\x1b[200~", b"\x1b[201~"
RULE = "─" * 100


class Program:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.text = options.draft.encode()
        self.pasted_at = 0.0
        self.swallowed = 0

    def draw(self, said: str = "") -> None:
        if self.options.look == "silent":
            return
        shown = "" if self.options.look == "frozen" else self.text.decode("utf-8", "replace")
        if len(shown) > 400:
            shown = f"[Pasted text #1 +{shown.count(chr(10))} lines]"
        boxed = shown.replace("\n", "\n  ") if self.options.cursor else shown
        lines = [*said.split("\n"), "", RULE, *f"❯ {boxed}".split("\n"), RULE, "  ? for shortcuts"]
        if self.options.look == "line":
            lines = [*said.split("\n"), f"> {shown}"] if said else [f"> {shown}"]
            os.write(1, ("\r\x1b[J" + "\r\n".join(lines)).encode())
            return
        os.write(1, ("\x1b[H\x1b[2J" + "\r\n".join(lines)).encode())
        if self.options.cursor:
            row, column = said.count("\n") + 4 + shown.count("\n"), 3 + len(shown.rpartition("\n")[2])
            example = "" if shown else "\x1b[2mTry something\x1b[0m"
            os.write(1, f"\x1b[{row};{column}H{example}\x1b[{row};{column}H".encode())

    def dialog(self) -> None:
        lines = [RULE, " Bash command", "   rm -rf build", "", " Do you want to proceed?"]
        lines += [" ❯ 1. Yes", "   2. No", "", " Esc to cancel"]
        os.write(1, ("\x1b[H\x1b[2J" + "\r\n".join(lines)).encode())

    def enter(self) -> None:
        if time.monotonic() - self.pasted_at < self.options.within or self.swallowed < self.options.swallow:
            self.swallowed += 1
            return
        with Path(self.options.file).open("a") as file:
            file.write(json.dumps(self.text.decode("utf-8", "replace")) + "\n")
        said, self.text = f"* {len(self.text)} bytes, {self.swallowed} lost", b""
        if self.options.dialog == "enter":
            self.dialog()
        else:
            self.draw(said)

    def run(self) -> None:
        tty.setraw(0)
        if not self.options.plain:
            os.write(1, b"\x1b[?2004h")
        if self.options.dialog == "start":
            self.dialog()
        else:
            self.draw()
        time.sleep(self.options.busy)
        if self.options.clear:
            time.sleep(self.options.clear)
            self.text = b""
            self.draw()
        data, inside = b"", False
        while data or (data := os.read(0, 65536)):
            if inside:
                if END not in data:
                    data += os.read(0, 65536)
                    continue
                pasted, _, data = data.partition(END)
                self.text += pasted.replace(b"\r", b"\n")
                self.pasted_at, inside = time.monotonic(), False
                self.dialog() if self.options.dialog == "paste" else self.draw()
            elif data.startswith(BEGIN):
                data, inside = data.removeprefix(BEGIN), True
            elif data[:1] == b"\r":
                data = data[1:]
                self.enter()
            elif data[:1] == b"\x03":
                return
            else:
                self.text, data = self.text + data[:1], data[1:]
                if not data:
                    self.draw()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--swallow", type=int, default=0)
    parser.add_argument("--within", type=float, default=0.0)
    parser.add_argument("--busy", type=float, default=0.0)
    parser.add_argument("--cursor", action="store_true")
    parser.add_argument("--draft", default="")
    parser.add_argument("--clear", type=float, default=0.0)
    parser.add_argument("--look", default="line")
    parser.add_argument("--dialog", default="")
    options = parser.parse_args()
    before = termios.tcgetattr(0)
    try:
        Program(options).run()
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)


if __name__ == "__main__":
    sys.exit(main())
