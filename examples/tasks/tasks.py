#!/usr/bin/env python3
"""A task list over the socket of `ferry spoke`, offline or not. Needs Python 3.8 and nothing else.

    tasks.py add "Buy milk"          prints the task's id
    tasks.py list
    tasks.py done ID
    tasks.py rename ID "Buy tea"
    tasks.py note ID "From the shop"  the note is a text: edits of two machines merge
    tasks.py drop ID
    tasks.py conflicts                titles that two machines wrote without knowing of each other
    tasks.py take CONFLICT winner|loser

The socket is FERRY_SPOKE_SOCKET, else the one that `ferry spoke` chooses by itself.
"""

import json
import os
import socket
import sys
import uuid


class SpokeError(Exception):
    """What the spoke refused, in its own words."""


class Spoke:
    """JSON-RPC 2.0, one object per line."""

    def __init__(self, path):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError as error:
            raise SpokeError(f"no spoke at {path} ({error}): start one with: ferry spoke") from error
        self.lines = connection.makefile("rw", encoding="utf-8", newline="\n")
        self.calls = 0

    def call(self, method, **params):
        self.calls += 1
        request = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}
        self.lines.write(json.dumps(request) + "\n")
        self.lines.flush()
        answer = json.loads(self.lines.readline())
        if "error" in answer:
            raise SpokeError(answer["error"]["message"])
        return answer["result"]

    def append(self, *ops):
        """All of these ops, or none."""
        return self.call("op.append", ops=list(ops))


def socket_path():
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if os.environ.get("FERRY_SPOKE_SOCKET"):
        return os.environ["FERRY_SPOKE_SOCKET"]
    if runtime:
        return os.path.join(runtime, "ferry", "spoke.sock")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "ferry", "spoke.db.sock")


def write(task, field, value):
    return {"kind": "set", "entity": f"task/{task}", "field": field, "value": value}


def add(spoke, title):
    task = uuid.uuid4().hex[:12]
    create = {"kind": "create", "entity": f"task/{task}", "value": "task"}
    spoke.append(create, write(task, "title", title), write(task, "done", False))
    print(task)


def show(spoke):
    after = None
    while True:
        page = spoke.call("entity.list", prefix="task/", **({"after": after} if after else {}))
        for entry in page["entities"]:
            view = spoke.call("entity.get", entity=entry["entity"])
            mark = "x" if view["fields"].get("done") else " "
            doubt = "  (!)" if view["conflicts"] else ""
            note = view["text"].get("note", "")
            task = entry["entity"].partition("/")[2]
            print(f"[{mark}] {task}  {view['fields'].get('title', '')}{doubt}" + (f"\n      {note}" if note else ""))
        after = page["next"]
        if not after:
            return


def change(spoke, task, op):
    """Writes to a task that is there: an op alone would make its entity exist."""
    spoke.call("entity.get", entity=f"task/{task}")
    spoke.append(op)


def take(spoke, conflict, side):
    if side not in ("winner", "loser"):
        raise SpokeError(f"take winner or loser, not {side}")
    spoke.call("conflicts.resolve", id=conflict, take=side)


def note(spoke, task, text):
    """Behind what the note says already; places in a text are counted in UTF-16 units."""
    view = spoke.call("entity.get", entity=f"task/{task}")
    end = len(view["text"].get("note", "").encode("utf-16-le")) // 2
    splice = [[end, 0, ("\n" if end else "") + text]]
    spoke.append({"kind": "text", "entity": f"task/{task}", "field": "note", "splice": splice})


def conflicts(spoke):
    for lost in spoke.call("conflicts.list")["conflicts"]:
        stands = lost["winning"]["value"] if lost["winning"] else "(deleted)"
        print(f"{lost['id']}  {lost['entity']} {lost['field']}: {lost['losing']['value']!r} lost against {stands!r}")


def main(arguments):
    commands = {
        "add": (1, add),
        "list": (0, show),
        "done": (1, lambda spoke, task: change(spoke, task, write(task, "done", True))),
        "rename": (2, lambda spoke, task, title: change(spoke, task, write(task, "title", title))),
        "note": (2, note),
        "drop": (1, lambda spoke, task: change(spoke, task, {"kind": "tombstone", "entity": f"task/{task}"})),
        "conflicts": (0, conflicts),
        "take": (2, take),
    }
    count, command = commands.get(arguments[0] if arguments else "", (None, None))
    if command is None or len(arguments) != count + 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        command(Spoke(socket_path()), *arguments[1:])
    except SpokeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
