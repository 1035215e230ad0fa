"""What the server and the processes below it hold, from /proc."""

import os
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Held:
    """Of the server and, summed, of all processes that it started."""

    server_bytes: int = 0
    engine_bytes: int = 0
    server_descriptors: int = 0
    engine_descriptors: int = 0  # 0 where this account may not look
    server_threads: int = 0
    engine_threads: int = 0
    processes: int = 0

    @property
    def bytes(self):
        return self.server_bytes + self.engine_bytes


def _stat(pid):
    """(state, parent, threads, resident bytes), or None if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[17]), int(fields[21]) * _PAGE


def _descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def look(server):
    """Held by the process `server` and its descendants now."""
    stats = {int(name): stat for name in os.listdir("/proc") if name.isdigit() and (stat := _stat(name))}
    below, family = {server}, {server}
    while below:
        below = {pid for pid, stat in stats.items() if stat[1] in below and stat[0] != "Z"} - family
        family |= below
    held = Held(processes=len(family))
    for pid in family & stats.keys():
        _, _, threads, size = stats[pid]
        kind = "server" if pid == server else "engine"
        for field, value in (("bytes", size), ("threads", threads), ("descriptors", _descriptors(pid))):
            setattr(held, f"{kind}_{field}", getattr(held, f"{kind}_{field}") + value)
    return held
