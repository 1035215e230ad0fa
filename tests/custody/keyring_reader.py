"""Opens a keyring with the secret of one slot, from docs/formats/keyring.md alone."""
import hashlib
import hmac
import sqlite3
import struct
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Wrong(Exception):
    pass


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def open_sealed(key, sealed, aad):
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)
    except InvalidTag:
        raise Wrong("does not open") from None


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Wrong("too short")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, kind):
        return struct.unpack(">" + kind, self.take(struct.calcsize(kind)))[0]

    def lp(self):
        return self.take(self.number("H"))


def factor_key(kind, params, slot, secret):
    if kind == 1:
        salt, memory, passes, lanes = params[:16], *struct.unpack(">III", params[16:])
        return hash_secret_raw(secret, salt, passes, memory, lanes, 32, Type.ID)
    return hkdf(secret, slot, {2: b"holdfast/slot/v1/tpm2", 3: b"holdfast/slot/v1/pkcs11", 4: b"holdfast/slot/v1/systemd", 8: b"holdfast/slot/v1/file"}[kind])


def tpm_params(params):
    """What a slot in a TPM says: whether there is a PIN, registers, policy digest, TPM2B_PUBLIC, TPM2B_PRIVATE."""
    r = Reader(params)
    flags, mask, policy = r.number("H"), r.number("I"), r.take(32)
    return {"pin": flags == 1, "pcrs": [n for n in range(24) if mask >> n & 1], "policy": policy,
            "public": r.lp(), "private": r.lp()}


def token_params(params):
    r = Reader(params)
    return {"uri": r.lp().decode(), "mechanism": r.number("B"), "iv": r.lp(), "wrapped": r.lp()}


class Keyring:
    def __init__(self, path):
        self.data = Path(path).read_bytes()
        r = Reader(self.data)
        if r.take(4) != b"HFK1" or r.number("H") != 1:
            raise Wrong("no keyring of version 1")
        n = r.number("H")
        self.instance, self.generation, self.epoch = r.take(16), r.number("Q"), r.number("I")
        if any(r.take(28)):
            raise Wrong("reserved bytes")
        self.slots = [self.slot(Reader(r.take(r.number("I")))) for _ in range(n)]
        self.signed, self.mac = r.at, r.take(32)
        if r.at != len(self.data):
            raise Wrong("too long")

    def slot(self, r):
        slot = {"id": r.take(16), "n": r.number("B"), "flags": r.number("B")}
        if r.number("H"):
            raise Wrong("reserved bytes of a slot")
        slot["created"], slot["label"] = r.number("Q"), r.lp().decode()
        slot["factors"] = [(r.number("B"), r.lp()) for _ in range(slot["n"])]
        slot["wrapped"] = r.take(len(r.data) - r.at)
        return slot

    def root(self, slot, secrets):
        """The root key; Wrong for any other secret, and for a file of which the MAC is not right."""
        keys = [factor_key(kind, params, slot["id"], s) for (kind, params), s in zip(slot["factors"], secrets)]
        sealed = slot["wrapped"]
        for index, key in enumerate(keys):
            aad = b"holdfast/slot-irk/v1\0" + self.instance + slot["id"] + struct.pack(">IB", self.epoch, index)
            sealed = open_sealed(key, sealed, aad)
        mac_key = hkdf(sealed, self.instance, b"holdfast/keyring/v1")
        if not hmac.compare_digest(hmac.digest(mac_key, self.data[:self.signed], hashlib.sha256), self.mac):
            raise Wrong("MAC")
        return sealed


def unwrap(parent, purpose, ident, blob):
    version, alg, epoch = struct.unpack(">BBI", blob[:6])
    if (version, alg) != (1, 1):
        raise Wrong("wrapped key")
    aad = b"holdfast/wrap/v1\0" + struct.pack(">H", len(purpose)) + purpose
    aad += struct.pack(">H", len(ident)) + ident + struct.pack(">I", epoch)
    return open_sealed(parent, blob[6:], aad)


def rows(path, purpose):
    with sqlite3.connect(path) as db:
        return db.execute("SELECT id, epoch, blob FROM wrapped_keys WHERE purpose = ?", (purpose,)).fetchall()
