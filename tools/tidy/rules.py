"""The rules. Each takes a Tree and yields (path, line, message); each has a test in test_tidy.py."""
import os
import re
import shutil
import subprocess

from tree import CODE

TESTS = re.compile(r"(^|/)(tests|testing)/|^bench/")


def at(source, position):
    return source.count("\n", 0, position) + 1


class Banned:
    """A call that has a better home: `pattern` may occur only in paths that match `allowed`."""

    def __init__(self, pattern, replacement, allowed="", in_tests=False):
        self.pattern = re.compile(pattern)
        self.replacement = replacement
        self.allowed = re.compile(allowed) if allowed else None
        self.in_tests = in_tests

    def permits(self, path):
        return (self.in_tests and TESTS.search(path)) or (self.allowed and self.allowed.search(path))


# A free function, called: neither a member nor a declaration that has its return type in front.
def call(names):
    return rf"(?<![\w.>:&*] )(?<![\w.:>])(?:return\s+)?(?:std::|::)?\b(?:{names})\s*\("


CORE = r"^src/core/"
# Composition roots: they choose the real clock, and read and write the files that a user names on the command line.
CORE_OR_APPS = r"^src/(core|apps)/"
BANNED = [
    Banned(call("time|gettimeofday|clock_gettime|localtime|localtime_r"), "take a platform::Clock", CORE, True),
    Banned(r"\bstd::chrono::(system|steady|high_resolution)_clock::now\b", "take a platform::Clock", CORE_OR_APPS, True),
    Banned(r"\bstd::this_thread::sleep_(for|until)\b", "wait on a condition or a platform::Clock", CORE, True),
    Banned(call("rand|srand|drand48") + r"|\bstd::random_device\b", "take a platform::Entropy or a seeded generator", CORE),
    Banned(r"\bstd::(mt19937(_64)?|default_random_engine)\b", "use the counter-based numbers of the sampler, or platform::Entropy", "", True),
    Banned(call("getenv|secure_getenv|setenv|putenv"), "read settings through core/config", CORE, True),
    Banned(r"(?<![\w>])::open\s*\(|#include <fcntl.h>|" + call("openat|creat|fopen|fdopen|opendir"),
           "use platform::File or platform::FileSystem", r"^src/(core|trust/jail)/", True),
    Banned(r"\bstd::(i|o|)fstream\b", "use platform::File or platform::FileSystem", CORE_OR_APPS, True),
    Banned(call("system|popen|execl|execv|execve|execvp|fork|vfork"), "use platform::Process", r"^src/(core|trust/jail)/", True),
    Banned(r"\bstd::w?regex\b|#include <regex>", "write a small parser, or use PCRE2 behind the tokenizer's wrapper"),
    Banned(r"\bstd::(cout|cerr|clog)\b|#include <iostream>", "return text to apps, or use observe::Logger", r"^src/apps/", True),
    Banned(call("printf|puts|putchar"), "return text to apps, or use observe::Logger", r"^src/apps/", True),
    Banned(call("strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca"), "use std::string, snprintf or spans"),
    Banned(call("atoi|atol|atof|atoll"), "use std::from_chars and check the result"),
    Banned(call("setlocale") + r"|\bstd::locale\b", "leave the C locale: numbers in formats depend on it"),
    Banned(r"\bthrow\b(?!\s*\()", "return an Error", r"(^|/)tests/"),
    Banned(r"(?<!static_)\bassert\s*\(|#include <cassert>", "use HF_CHECK, or return an Error for outside input"),
]


def banned(tree):
    """calls that have a replacement of our own"""
    for path in tree.own(*CODE):
        for ban in BANNED:
            if ban.permits(path):
                continue
            for match in ban.pattern.finditer(tree.code(path)):
                what = match.group().strip().rstrip("(").strip()
                yield path, at(tree.code(path), match.start()), f"{what}: {ban.replacement}"


def flags(tree):
    """compiler flags that change results or hide faults"""
    for path in tree.own("CMakeLists.txt", ".cmake", "CMakePresets.json"):
        for number, line in tree.lines(path):
            if found := re.search(r"-ffast-math|-Ofast|-funsafe-math\S*|-fassociative-math|-march=native", line.split("#")[0]):
                yield path, number, f"{found.group()}: same input, same output, on every machine"


HEAVY = re.compile(r"#include <(regex|iostream|fstream|boost/json[^>]*|boost/beast[^>]*|boost/asio[^>]*)>")


def headers(tree):
    """headers: what the file is for in line 1, #pragma once, no using namespace; public ones include nothing heavy"""
    for path in tree.own(".h"):
        text = tree.text(path)
        if not text.startswith("// "):
            yield path, 1, "the first line says what the file is for"
        if "\n#pragma once\n" not in text:
            yield path, 1, "#pragma once is missing"
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            if re.match(r"\s*using namespace\b", line):
                yield path, number, "no using namespace in a header"
            if "/include/" in path and (heavy := HEAVY.search(line)):
                yield path, number, f"<{heavy.group(1)}> is heavy: include it in the .cc file"


def sources(tree):
    """every source file is named by a CMakeLists.txt of its folder or one above"""
    functions = "\n".join(tree.text(f) for f in tree.own(".cmake"))
    for path in tree.own(".cc"):
        folder, name = os.path.split(path)
        named = path in functions
        while not named:
            relative = os.path.relpath(path, folder or ".")
            listing = os.path.join(folder, "CMakeLists.txt")
            if listing in tree.known:
                body = re.sub(r"#[^\n]*", "", tree.text(listing))
                named = re.search(rf"(?<![\w/]){re.escape(relative)}(?![\w.])", body) is not None
                # Lists built from the stem, as for the same kernel in several folders.
                named = named or (re.search(rf"(?<!\w){re.escape(name[:-3])}(?!\w)", body) is not None and "foreach" in body)
            if not folder:
                break
            folder = os.path.dirname(folder)
        if not named:
            yield path, 1, "no CMakeLists.txt names this file"


def modules(tree):
    """every module has a README.md and a CMakeLists.txt, and below apps also tests"""
    for folder in sorted({"/".join(f.split("/")[:3]) for f in tree.files if re.match(r"src/\w+/[\w-]+/", f)}):
        for part in ("README.md", "CMakeLists.txt", "tests"):
            needed = part != "tests" or not folder.startswith("src/apps/")
            if needed and f"{folder}/{part}" not in tree.known:
                yield folder, 1, f"the module has no {part}"


def layering(tree):
    """the table of modules in docs/style.md and the one in cmake/HoldfastLayer.cmake agree"""
    guide, layer = "docs/style.md", "cmake/HoldfastLayer.cmake"
    if guide not in tree.known or layer not in tree.known:
        return
    written = {name: (group, rank) for rank, group, name in
               re.findall(r"^\| (\d+) \| (\w+)/([\w-]+) \|", tree.text(guide), re.M)}
    built = {name: (group, rank) for name, group, rank in
             re.findall(r'"([\w-]+)\|(\w+)\|(\d+)"', tree.text(layer))}
    for name in sorted(set(written) | set(built)):
        if written.get(name) == built.get(name) or built.get(name, ("",))[0] == "apps":
            continue
        yield layer, 1, f"{name}: {built.get(name, 'absent')} here, {written.get(name, 'absent')} in {guide}"


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:src|docs|tools|tests|cmake|changes|bench|deploy|web|include)/[\w./+-]+)`")
# The guide describes the tree as it is to be; a decision is not edited when the tree moves on.
MAY_NAME_ABSENT = re.compile(r"^docs/(style\.md|adr/)")


def anchors(text):
    titles = re.findall(r"^#+ +(.*?) *$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"`", "", title).lower()).replace(" ", "-") for title in titles}


def links(tree):
    """links and paths in documents lead somewhere"""
    for path in tree.own(".md"):
        folder = os.path.dirname(path)
        prose = re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m.group()), tree.text(path), flags=re.M | re.S)
        for match in LINK.finditer(prose):
            target, _, fragment = match.group(1).partition("#")
            if re.match(r"[a-z]+:", match.group(1)):
                continue
            full = os.path.normpath(os.path.join(folder, target)) if target else path
            if full not in tree.known:
                yield path, at(prose, match.start()), f"dead link {match.group(1)}"
            elif fragment and full.endswith(".md") and fragment not in anchors(tree.text(full)):
                yield path, at(prose, match.start()), f"no heading #{fragment} in {full}"
        for match in PATH.finditer(prose):
            name = match.group(1).rstrip("/.")
            found = name in tree.known or os.path.normpath(os.path.join(folder, name)) in tree.known
            # A name without its ending, as `src/core/base/bytes`, or one that starts at its module's folder.
            found = found or any(name + end in tree.known for end in (".h", ".cc", ".md"))
            found = found or any(known.endswith("/" + name) for known in tree.known)
            if not found and not MAY_NAME_ABSENT.match(path):
                yield path, at(prose, match.start()), f"there is no {name}"


def leftovers(tree):
    """TODO names an issue; no FIXME, no disabled test, no commented-out code"""
    for path in tree.own(".cc", ".h", ".def", ".cmake", ".py", ".md", "CMakeLists.txt", ".js", ".css"):
        if path.startswith("tools/tidy/") or path == "docs/style.md":
            continue
        for number, line in tree.lines(path):
            if re.search(r"\bTODO\b(?!\(#\d+\))", line):
                yield path, number, "write TODO(#issue)"
            if found := re.search(r"\b(FIXME|XXX|HACK)\b", line):
                yield path, number, f"{found.group()} is left over"
            if re.search(r"\bDISABLED_\w", line):
                yield path, number, "a disabled test: repair or remove it"
            if path.endswith(CODE) and re.match(r"\s*//.*[;{]\s*$", line) and re.search(r"[=(]", line) and not re.search(r"[a-z], |: |\. ", line):
                yield path, number, "commented-out code"


def whitespace(tree):
    """no tabs in code, no trailing blanks, a newline at the end, no carriage returns"""
    for path in tree.own(".cc", ".h", ".def", ".cmake", ".py", ".md", "CMakeLists.txt", ".json", ".sh"):
        text = tree.text(path)
        if text and not text.endswith("\n"):
            yield path, at(text, len(text)), "no newline at the end"
        for number, line in tree.lines(path):
            if re.search(r"[ \t]$", line) or "\r" in line:
                yield path, number, "blanks at the end of the line"
            if "\t" in line and path.endswith(CODE):
                yield path, number, "a tab"


def decisions(tree):
    """decision records: names NNNN-title.md, no number twice"""
    seen = {}
    for path in tree.own(".md"):
        if not path.startswith("docs/adr/") or path.endswith("README.md"):
            continue
        if not (match := re.match(r"docs/adr/(\d{4})-[a-z0-9-]+\.md$", path)):
            yield path, 1, "the name is not NNNN-title.md"
        elif match.group(1) in seen:
            yield path, 1, f"the number is also that of {seen[match.group(1)]}"
        else:
            seen[match.group(1)] = path


def scripts(tree):
    """scripts with a #! line are executable"""
    for path in tree.files:
        full = os.path.join(tree.root, path)
        if path.startswith(("tools/", ".ci/")) or "/" not in path:
            with open(full, "rb") as file:
                if file.read(2) == b"#!" and not os.access(full, os.X_OK):
                    yield path, 1, "has a #! line and is not executable"


def formatting(tree):
    """clang-format 14 leaves every file as it is (skipped where it is not installed)"""
    tool = shutil.which("clang-format-14")
    files = tree.own(*CODE)
    if not tool or not files or ".clang-format" not in tree.known:
        return
    for start in range(0, len(files), 40):
        run = subprocess.run([tool, "--dry-run", *files[start:start + 40]], cwd=tree.root, capture_output=True, text=True)
        first = {}
        for path, number in re.findall(r"^(\S+?):(\d+):\d+: warning: code should be clang-formatted", run.stderr, re.M):
            first.setdefault(path, int(number))
        for path, number in first.items():
            yield path, number, "run clang-format-14 -i on this file"


RULES = {rule.__name__: rule for rule in (
    banned, flags, headers, sources, modules, layering, links, leftovers, whitespace, decisions, scripts, formatting)}
