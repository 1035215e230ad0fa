#!/usr/bin/env python3
"""Runs the API suites inside a network namespace whose only other end counts packets: there must be none.

usage: no_egress_test.py SUITE... where a suite is a command in one word, run by the shell.
Needs root and network namespaces; exit status 77 where there are none."""
import ctypes
import json
import os
import shlex
import subprocess
import sys

TAG = f"hf{os.getpid()}"
INSIDE, COUNTING = TAG + "in", TAG + "out"
ADDRESS, OTHER_END = "10.254.77.1/30", "10.254.77.2"


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True).stdout


def inside(*command, **options):
    return subprocess.run(["ip", "netns", "exec", INSIDE, *command], **options)


def quiet(namespace):
    """No packets of the kernel's own: no IPv6 autoconfiguration, and no ARP (NOARP below)."""
    for scope in ("all", "default"):
        subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c",
                        f"echo 1 > /proc/sys/net/ipv6/conf/{scope}/disable_ipv6"], check=False,
                       stderr=subprocess.DEVNULL)


def build():
    for namespace in (INSIDE, COUNTING):
        ip("netns", "add", namespace)
        quiet(namespace)
    ip("-n", INSIDE, "link", "add", "way-out", "type", "veth", "peer", "name", "counter", "netns", COUNTING)
    for namespace, device in ((COUNTING, "counter"), (INSIDE, "way-out")):
        ip("-n", namespace, "link", "set", device, "arp", "off")
        ip("-n", namespace, "link", "set", device, "up")
    ip("-n", INSIDE, "link", "set", "lo", "up")
    ip("-n", INSIDE, "address", "add", ADDRESS, "dev", "way-out")
    ip("-n", INSIDE, "route", "add", "default", "via", OTHER_END)


def packets():
    link = json.loads(ip("-n", COUNTING, "-s", "-j", "link", "show", "dev", "counter"))[0]
    return link["stats64"]["rx"]["packets"]


def send_one(address):
    code = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{address}', 53))"
    inside(sys.executable, "-c", code, check=True)


def control(counted):
    """A packet to the other end, and one to an address that only the default route leads to, are each counted."""
    for address in (OTHER_END, "192.0.2.1"):
        send_one(address)
        now = packets()
        assert now == counted + 1, f"a packet to {address} made the counter go from {counted} to {now}"
        counted = now
    return counted


def namespaces_work():
    if os.geteuid() != 0:
        return "needs root"
    if ctypes.CDLL(None, use_errno=True).unshare(0) != 0:
        return "unshare is forbidden"
    try:
        build()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces here: {getattr(error, 'stderr', error)}"
    return ""


def run(suites):
    counted = control(packets())
    print(f"control: {counted} deliberate packets counted", flush=True)
    ran = 0
    for suite in suites:
        print(f"== {suite}", flush=True)
        status = inside(*shlex.split(suite)).returncode
        assert status in (0, 77), f"{suite} failed with status {status}"
        ran += status == 0
        leaked = packets() - counted
        assert leaked == 0, f"{leaked} packets left the machine during: {suite}"
    if ran == 0:
        print("skipped: no suite could run (HOLDFAST_SMOLLM2)")
        return 77
    assert control(packets()) == counted + 2
    print(f"{ran} suites ran, 0 packets of theirs were counted")
    return 0


def main():
    try:
        reason = namespaces_work()
        if reason:
            print(f"skipped: {reason}")
            return 77
        return run(sys.argv[1:])
    finally:
        for namespace in (INSIDE, COUNTING):
            ip("netns", "delete", namespace, check=False)


if __name__ == "__main__":
    sys.exit(main())
