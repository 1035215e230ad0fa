#!/usr/bin/env python3
"""Memory of idle connections: usage: idle.py BUILD_DIR [--connections N]

Opens connections to the server with the scripted engine, sends one request on each, leaves them open, and prints the resident
memory of the server before and after."""
import argparse
import resource
import socket
import time

from scripted import resident_mib, start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--connections", type=int, default=10000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server, port = start(options.build, "127.0.0.1:0", str(options.connections + 100))
    before = resident_mib(server.pid)
    connections = []
    for i in range(options.connections):
        # More than one source address: a port range ends near 28,000.
        s = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + i % 4}", 0), timeout=30)
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        connections.append(s)
    time.sleep(1)
    after = resident_mib(server.pid)
    print(f"connections {len(connections)} resident_MiB {before:.1f} -> {after:.1f} "
          f"KiB_per_connection {(after - before) * 1024 / len(connections):.2f}")
    for s in connections:
        s.close()
    server.stdin.close()
    server.wait(timeout=30)


if __name__ == "__main__":
    main()
