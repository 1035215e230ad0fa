"""The server with the scripted engine, as the scripts here start and watch it."""
import os
import subprocess


def start(build, *arguments):
    """(process, port); closing the process's standard input ends it."""
    server = subprocess.Popen([build + "/tests/api/api_fake_server", *arguments],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return server, int(server.stdout.readline().strip().rpartition(":")[2])


def resident_mib(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
