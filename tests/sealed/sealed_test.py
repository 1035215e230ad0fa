"""usage: sealed_test.py SEALED_PACK_TOOL HFC_READER
What one implementation seals the other opens, and neither opens anything that was changed."""
import base64
import hashlib
import hmac
import importlib.machinery
import importlib.util
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TOOL, READER = sys.argv[1:3]
DEK, KEK = bytes(range(32)), bytes([0xA0] * 32)


def load_reader():
    loader = importlib.machinery.SourceFileLoader("hfc_reader", READER)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("hfc_reader", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


hfc = load_reader()


def run(*command, status=0):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == status, (command, done)
    return done.stdout + done.stderr


def read(*arguments, status=0):
    return run(sys.executable, READER, *arguments, status=status)


def contents(seed):
    """Objects and vectors over several chunks; one ends exactly at a chunk's border."""
    source = random.Random(seed)
    return {"2": b"{{ messages }}", "1": source.randbytes(70_000), "a.weight": source.randbytes(600_000),
            "norm": source.randbytes(64), "z": source.randbytes(3 * hfc.CHUNK)}


def put(folder, parts):
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    return [f"{name}={folder / name}" for name in parts]


def expected(parts, kind_name):
    lines = []
    for name, content in parts.items():
        what = f"object {kind_name(name)}" if name.isdigit() else f"tensor {name}"
        lines.append((what, str(len(content)), hashlib.sha256(content).hexdigest()))
    return sorted(lines)


def listed(text):
    words = [line.split() for line in text.splitlines() if line.startswith(("object", "tensor"))]
    return sorted((" ".join(w[:2]), w[-2], w[-1]) for w in words)


def listed_by_reader(text):
    words = [line.split() for line in text.splitlines() if line.startswith(("object", "tensor"))]
    return sorted((" ".join(w[:2]), w[2] if w[0] == "object" else w[4], w[-1]) for w in words)


def write_pack(path, parts, alg, dek=DEK, salt=bytes(range(32, 64))):
    """A sealed pack by the words of docs/formats/pack.md."""
    payload, objects, tensors = bytearray(), [], []
    for name, content in parts.items():
        payload += bytes(-len(payload) % 64)
        if name.isdigit():
            objects.append(struct.pack(">BH", int(name), 0) + struct.pack(">QQ", len(payload), len(content)) +
                           hashlib.sha256(content).digest())
        else:
            tensors.append((name.encode(), struct.pack(">HBQQQ", 0, 1, len(content) // 4, len(payload), len(content))))
        payload += content
    payload += bytes(-len(payload) % hfc.CHUNK)
    index_off = len(payload)
    payload += b"HFIX" + struct.pack(">HHII", 1, 0, len(objects), len(tensors)) + b"".join(objects)
    payload += b"".join(struct.pack(">H", len(name)) + name + rest for name, rest in sorted(tensors))
    n_chunks = -(-len(payload) // hfc.CHUNK)
    data_off = 4096 + -(-16 * n_chunks // 4096) * 4096
    model_id = bytes(range(64, 80))
    digests = [hashlib.sha256(parts[k]).digest() if k in parts else bytes(32) for k in ("2", "1")]
    head = struct.pack(">4sHBBII6Q", b"HFC1", 1, alg, 18, 0, 4096, len(payload), n_chunks, 4096, data_off, index_off,
                       len(payload) - index_off)
    head += salt + model_id + bytes(32) + digests[0] + digests[1] + hashlib.sha256(b"source").digest()
    head += struct.pack(">IIQQ", 2, 7, 9, 1_700_000_000)
    head += bytes(992 - len(head))
    digest = hashlib.sha256(head).digest()
    content_key, prefix, header_key = hfc.content_keys(dek, alg, salt, model_id)
    aead, tags, data = hfc.AEADS[alg](content_key), b"", b""
    for i in range(n_chunks):
        plain = bytes(payload[i * hfc.CHUNK:(i + 1) * hfc.CHUNK])
        sealed = aead.encrypt(prefix + struct.pack(">IB", i, i == n_chunks - 1), plain, digest + struct.pack(">Q", len(payload)))
        data, tags = data + sealed[:-16], tags + sealed[-16:]
    head += hmac.digest(header_key, head, "sha256") + bytes(3072)
    path.write_bytes(head + tags.ljust(data_off - 4096, b"\0") + data)


def test_vectors():
    content_key, prefix, header_key = hfc.content_keys(DEK, 1, bytes(range(32, 64)), bytes(range(64, 80)))
    assert content_key.hex() == "ac301149d2ec743174a417754ec60868e7271fec6be93edd4ef2714a724add85"
    assert prefix.hex() == "70aa245483cb68"
    assert header_key.hex() == "4ae1afa881b46b8bbbb1a13ef4bc6b91e42d3db8c522284baca29191da7aef35"


def test_ours_is_read_by_python(folder):
    for alg in (1, 2):
        parts = contents(alg)
        pack = folder / f"ours{alg}.hfc"
        run(TOOL, "write", pack, DEK.hex(), alg, "", *put(folder, parts))
        text = read(pack, "--dek", DEK.hex())
        assert listed_by_reader(text) == expected(parts, lambda k: hfc.KINDS[int(k)]), text
        read(pack, "extract", "a.weight", folder / "out", "--dek", DEK.hex())
        assert (folder / "out").read_bytes() == parts["a.weight"]
        read(pack, "--dek", bytes(32).hex(), status=6)
        read(pack, status=6)


def test_wrap_slots_open_for_python(folder):
    pack = folder / "ours1.hfc"
    read(pack, "--kek", KEK.hex(), status=6)
    run(TOOL, "slot", pack, DEK.hex(), KEK.hex(), 3, bytes(range(16, 28)).hex())
    assert "sealed: AESGCM" in read(pack, "--kek", KEK.hex())
    read(pack, "--kek", DEK.hex(), status=6)


def test_pythons_is_read_by_us(folder):
    for alg in (1, 2):
        parts = contents(10 + alg)
        pack = folder / f"theirs{alg}.hfc"
        write_pack(pack, parts, alg)
        assert listed(run(TOOL, "list", pack, DEK.hex())) == expected(parts, str)
        run(TOOL, "list", pack, bytes(32).hex(), status=6)
        run(TOOL, "list", pack, status=7)


def test_both_notice_the_same_damage(folder):
    """Bits anywhere, a cut, and a chunk in the place of another."""
    whole = (folder / "theirs1.hfc").read_bytes()
    source, damaged = random.Random(4), folder / "damaged.hfc"
    places = [source.randrange(6, 1024) for _ in range(6)] + [4096 + source.randrange(7 * 16) for _ in range(3)] + \
        [source.randrange(8192, len(whole)) for _ in range(6)]
    for at in places:
        changed = bytearray(whole)
        changed[at] ^= 1 << source.randrange(8)
        damaged.write_bytes(changed)
        read(damaged, "--dek", DEK.hex(), status=6)
        run(TOOL, "list", damaged, DEK.hex(), status=6)
    first, second = whole[8192:8192 + hfc.CHUNK], whole[8192 + hfc.CHUNK:8192 + 2 * hfc.CHUNK]
    for changed in (whole[:-1], whole + b"\0", whole[:8192] + second + first + whole[8192 + 2 * hfc.CHUNK:]):
        damaged.write_bytes(changed)
        read(damaged, "--dek", DEK.hex(), status=6)
        run(TOOL, "list", damaged, DEK.hex(), status=6)


def bundle(key, resources, root):
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "model", "digest": {"sha256": root}}],
                            "predicateType": "https://model_signing/signature/v1.0",
                            "predicate": {"resources": resources, "serialization": {"method": "files", "hash_type": "sha256",
                                                                                    "allow_symlinks": False}}}).encode()
    kind = hfc.STATEMENT
    pae = f"DSSEv1 {len(kind)} {kind} {len(statement)} ".encode() + statement
    signature = key.sign(pae, ec.ECDSA(hfc.CURVES[key.curve.name]()))
    return json.dumps({"mediaType": hfc.BUNDLE, "verificationMaterial": {"publicKey": {"hint": hashlib.sha256(pem).hexdigest()}},
                       "dsseEnvelope": {"payload": base64.b64encode(statement).decode(), "payloadType": kind,
                                        "signatures": [{"sig": base64.b64encode(signature).decode()}]}}).encode(), pem


def test_signatures(folder):
    resources = [{"name": "model.gguf", "algorithm": "sha256", "digest": hashlib.sha256(b"weights").hexdigest()}]
    root = hashlib.sha256(bytes.fromhex(resources[0]["digest"])).hexdigest()
    (folder / "other.pem").write_bytes(bundle(ec.generate_private_key(ec.SECP256R1()), resources, root)[1])
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        text, pem = bundle(ec.generate_private_key(curve), resources, root)
        (folder / "key.pem").write_bytes(pem)
        pack = folder / "signed.hfc"
        run(TOOL, "write", pack, DEK.hex(), 1, root, *put(folder, {"6": text, "norm": bytes(64)}))
        assert "model.gguf" in read(pack, "signature", "--dek", DEK.hex(), "--key", folder / "key.pem")
        read(pack, "signature", "--dek", DEK.hex(), "--key", folder / "other.pem", status=6)
        run(TOOL, "write", pack, DEK.hex(), 1, "00" * 32, *put(folder, {"6": text, "norm": bytes(64)}))
        assert "another signature" in read(pack, "signature", "--dek", DEK.hex(), "--key", folder / "key.pem", status=6)


def main():
    test_vectors()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        test_ours_is_read_by_python(folder)
        test_wrap_slots_open_for_python(folder)
        test_pythons_is_read_by_us(folder)
        test_both_notice_the_same_damage(folder)
        test_signatures(folder)
    print("ok")


if __name__ == "__main__":
    main()
