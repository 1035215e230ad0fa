"""The files of a source tree, as the rules see them."""
import functools
import os
import re
import subprocess

# Data and text of others: not ours to lint.
FOREIGN = ("tests/golden/", "tests/fuzz/corpus/", "third_party/")
CODE = (".cc", ".h")


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = sorted(f for f in self._list() if os.path.isfile(os.path.join(root, f)))
        self.known = set(self.files)
        for name in self.files:
            while name := os.path.dirname(name):
                self.known.add(name)

    def _list(self):
        """What git tracks or would track; without git, all files."""
        command = ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        inside = os.path.exists(os.path.join(self.root, ".git"))
        listing = subprocess.run(command, capture_output=True) if inside else None
        if listing and listing.returncode == 0:
            return [name.decode() for name in listing.stdout.split(b"\0") if name]
        return [os.path.relpath(os.path.join(folder, name), self.root)
                for folder, _, names in os.walk(self.root)
                for name in names
                if not re.search(r"(^|/)(build|\.git|__pycache__)(/|$)", os.path.relpath(folder, self.root))]

    def own(self, *suffixes):
        """Our own files with one of these endings."""
        return [f for f in self.files if f.endswith(suffixes) and not f.startswith(FOREIGN)]

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace", newline="") as file:
            return file.read()

    def lines(self, path):
        return enumerate(self.text(path).split("\n"), 1)

    @functools.lru_cache(maxsize=None)
    def code(self, path):
        """C++ source whose comments and literals are blanked; lines keep their numbers."""
        return blank(self.text(path))


# Raw strings, comments, strings, characters (but not the quote that separates digits).
_TOKENS = re.compile(
    r'R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.S)


def blank(source):
    def spaces(match):
        # The name of an included header is no string.
        line = source[source.rfind("\n", 0, match.start()) + 1:match.start()]
        if line.lstrip().startswith("#include"):
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())

    return _TOKENS.sub(spaces, source)
