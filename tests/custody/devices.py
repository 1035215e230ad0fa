"""A TPM 2 and a PKCS#11 token in software, for tests of slots, with tools that look at them from outside."""
import os
import shutil
import socket
import subprocess
import tempfile
import time
import tty

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PRIMARY = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


def have_tpm():
    return all(shutil.which(p) for p in ("swtpm", "tpm2_load", "tpm2_unseal"))


def have_token():
    return shutil.which("softhsm2-util") and os.path.exists(SOFTHSM)


def two_free_ports():
    while True:
        with socket.socket() as a, socket.socket() as b:
            a.bind(("127.0.0.1", 0))
            try:
                b.bind(("127.0.0.1", a.getsockname()[1] + 1))
            except OSError:
                continue
            return a.getsockname()[1]


class Tpm:
    """Behind a terminal device, which is opened, written and read as /dev/tpmrm0 is; or behind TCP."""

    def __init__(self, over_tcp=False):
        self.root = tempfile.mkdtemp(prefix="holdfast-tpm-")
        self.over_tcp = over_tcp
        self.start()

    def start(self):
        self.descriptors = []
        if self.over_tcp:
            port = two_free_ports()
            self.tcti = f"swtpm:host=127.0.0.1,port={port}"
            how = ["socket", "--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}"]
        else:
            self.descriptors = list(os.openpty())  # the device's end stays open: without it the TPM ends
            for descriptor in self.descriptors:
                tty.setraw(descriptor)
            self.tcti = "device:" + os.ttyname(self.descriptors[1])
            how = ["chardev", "--fd", str(self.descriptors[0])]
        self.process = subprocess.Popen(
            ["swtpm", *how, "--tpm2", "--tpmstate", f"dir={self.root}", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, pass_fds=self.descriptors[:1])
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                return self.tool("tpm2_getrandom", "--hex", "4")
            except subprocess.CalledProcessError:
                time.sleep(0.05)
        raise AssertionError("swtpm did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []

    def close(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def tool(self, *arguments):
        """The standard output of a program of tpm2-tools; what it leaves in the TPM is flushed."""
        done = subprocess.run(arguments, cwd=self.root, capture_output=True,
                              env=os.environ | {"TPM2TOOLS_TCTI": self.tcti})
        if arguments[0] not in ("tpm2_flushcontext", "tpm2_startauthsession"):
            subprocess.run(["tpm2_flushcontext", "-t"], cwd=self.root, capture_output=True,
                           env=os.environ | {"TPM2TOOLS_TCTI": self.tcti})
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done.stdout

    def transient(self):
        """Handles of objects and sessions that somebody left in it."""
        env = os.environ | {"TPM2TOOLS_TCTI": self.tcti}
        return b"".join(subprocess.run(["tpm2_getcap", what], capture_output=True, env=env, check=True).stdout
                        for what in ("handles-transient", "handles-loaded-session")).strip()

    def unseal(self, params, pin=None):
        """The secret of a slot as tpm2-tools unseal it."""
        for name in ("public", "private"):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(params[name])
        self.tool("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", PRIMARY, "-c", "primary")
        self.tool("tpm2_load", "-C", "primary", "-u", "public", "-r", "private", "-c", "object")
        registers = "sha256:" + ",".join(map(str, params["pcrs"]))
        if pin is None:
            return self.tool("tpm2_unseal", "-c", "object", "-p", "pcr:" + registers)
        self.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
        try:
            self.tool("tpm2_policypcr", "-S", "session", "-l", registers)
            self.tool("tpm2_policyauthvalue", "-S", "session")
            return self.tool("tpm2_unseal", "-c", "object", "-p", "session:session+" + pin)
        finally:
            self.tool("tpm2_flushcontext", "session")


class Token:
    PIN = "4711-user"

    def __init__(self, label="holdfast test"):
        self.label = label
        self.root = tempfile.mkdtemp(prefix="holdfast-token-")
        os.mkdir(os.path.join(self.root, "tokens"))
        self.conf = os.path.join(self.root, "softhsm2.conf")
        with open(self.conf, "w") as f:
            f.write(f"directories.tokendir = {self.root}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.util("--init-token", "--free", "--label", label, "--so-pin", "security-officer", "--pin", self.PIN)

    def util(self, *arguments):
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True,
                       env=os.environ | {"SOFTHSM2_CONF": self.conf})

    def uri(self, key, query=""):
        return f"pkcs11:token={self.label.replace(' ', '%20')};object={key}?module-path={SOFTHSM}{query}"

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)
