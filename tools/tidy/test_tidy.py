"""Tests of the rules: each is shown a tree that breaks it and one that does not."""
import os
import tempfile
import unittest

import rules
from tree import Tree, blank

HEADER = "// What it is for.\n#pragma once\n"


class RuleTest(unittest.TestCase):
    def findings(self, rule, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                full = os.path.join(root, name)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
            return list(rules.RULES[rule](Tree(root)))

    def breaks(self, rule, files, line=None):
        found = self.findings(rule, files)
        self.assertTrue(found, (rule, files))
        if line is not None:
            self.assertEqual(found[0][1], line)
        return found[0][2]

    def passes(self, rule, files):
        self.assertEqual(self.findings(rule, files), [])

    def code(self, body, path="src/engine/x/a.cc"):
        return {path: body}

    def test_every_rule_has_a_test(self):
        for rule in rules.RULES:
            self.assertTrue(hasattr(self, f"test_{rule}"), rule)

    def test_banned(self):
        calls = ["long t = time(nullptr);", "auto t = std::chrono::steady_clock::now();", "int r = rand();", "return std::rand();",
                 'const char* h = std::getenv("HOME");', 'int fd = ::open("a", 0);', 'FILE* f = fopen("a", "r");', "std::ifstream in(path);",
                 "std::regex r;", "#include <regex>", 'std::cout << "a";', 'printf("a");', "strcpy(a, b);", "int n = atoi(s);",
                 "throw 1;", "assert(a);", 'system("ls");', "std::mt19937 g;", "std::this_thread::sleep_for(t);",
                 'setlocale(LC_ALL, "");', "#include <fcntl.h>", "std::random_device d;"]
        for line in calls:
            self.assertTrue(self.breaks("banned", self.code("\n" + line + "\n"), 2), line)
        self.assertIn("platform::Clock", self.breaks("banned", self.code("long t = time(nullptr);\n")))
        fine = ["clock.time();", "x->open(1);", "file.open(1);", "Result<int> open(int a);", "// time(nullptr)", 'log("rand()");', "/* atoi(x)\n */",
                "int start_time(int a);", "static_assert(true);", "snprintf(b, n, f);", "std::strtod(s, e);", "Store::open(path);", "my_rand();"]
        for line in fine:
            self.passes("banned", self.code(line + "\n"))

    def test_banned_has_a_place_for_each(self):
        self.passes("banned", self.code("long t = time(nullptr);\n", "src/core/platform/clock.cc"))
        self.passes("banned", self.code('std::cout << "a";\n', "src/apps/cli/a.cc"))
        self.passes("banned", self.code("std::ifstream in(p);\nstd::mt19937 g(seed);\n", "src/engine/x/tests/a_test.cc"))
        self.breaks("banned", self.code("int r = rand();\n", "src/engine/x/tests/a_test.cc"))

    def test_flags(self):
        self.breaks("flags", {"CMakeLists.txt": "\nadd_compile_options(-ffast-math)\n"}, 2)
        self.breaks("flags", {"CMakePresets.json": '{"a": "-Ofast"}\n'})
        self.passes("flags", {"cmake/a.cmake": "# never -ffast-math\nadd_compile_options(-O2)\n"})

    def test_headers(self):
        path = "src/a/b/include/holdfast/b/b.h"
        self.breaks("headers", {path: "#pragma once\n// Late.\n"}, 1)
        self.breaks("headers", {path: "// What it is for.\nint a;\n"})
        self.breaks("headers", {path: HEADER + "using namespace std;\n"}, 3)
        self.breaks("headers", {path: HEADER + "#include <iostream>\n"}, 3)
        self.breaks("headers", {path: HEADER + "#include <boost/json.hpp>\n"}, 3)
        self.passes("headers", {path: HEADER + "#include <string>\n// using namespace std;\n"})
        self.passes("headers", {"src/a/b/private.h": HEADER + "#include <fstream>\n"})

    def test_sources(self):
        self.breaks("sources", {"src/a/b/x.cc": "", "src/a/b/CMakeLists.txt": "m(b SRCS other_x.cc)\n"})
        self.breaks("sources", {"src/a/b/x.cc": "", "src/a/b/CMakeLists.txt": "# x.cc\n"})
        self.breaks("sources", {"src/a/b/x.cc": ""})
        self.passes("sources", {"src/a/b/x.cc": "", "src/a/b/CMakeLists.txt": "m(b SRCS x.cc)\n"})
        self.passes("sources", {"src/a/b/sub/x.cc": "", "src/a/b/CMakeLists.txt": "m(b SRCS sub/x.cc)\n"})
        self.passes("sources", {"tests/x.cc": "", "cmake/a.cmake": "target_sources(t ${D}/tests/x.cc)\n"})

    def test_modules(self):
        whole = {"src/core/b/README.md": "", "src/core/b/CMakeLists.txt": "", "src/core/b/tests/a.cc": ""}
        self.passes("modules", whole)
        for missing in whole:
            self.breaks("modules", {k: v for k, v in whole.items() if k != missing} | {"src/core/b/b.cc": ""})

    def test_layering(self):
        guide = "| rank | module | what |\n|---|---|---|\n| 0 | core/base | x |\n| 3 | engine/gguf | y |\n"
        layer = 'set(M "base|core|0" "gguf|engine|3" "cli|apps|11")\n'
        self.passes("layering", {"docs/style.md": guide, "cmake/HoldfastLayer.cmake": layer})
        self.breaks("layering", {"docs/style.md": guide, "cmake/HoldfastLayer.cmake": layer.replace("|3", "|4")})
        self.breaks("layering", {"docs/style.md": guide, "cmake/HoldfastLayer.cmake": layer.replace('"gguf|engine|3" ', "")})

    def test_links(self):
        self.breaks("links", {"docs/a.md": "\n[b](b.md)\n"}, 2)
        self.breaks("links", {"docs/a.md": "[b](b.md#two-words)\n", "docs/b.md": "# Two\n"})
        self.breaks("links", {"docs/a.md": "see `src/core/base/none.h`\n"})
        self.passes("links", {"docs/a.md": "[b](b.md#two-words) [c](https://x.org/y) [d](#own-title)\n# Own `title`\n",
                              "docs/b.md": "# Two words\n"})
        self.passes("links", {"README.md": "`src/a/b.h`, `src/a/b`, `src/a`\n```\n[x](none.md)\n```\n", "src/a/b.h": ""})
        self.passes("links", {"docs/a.md": "`include/b/c.h`\n", "src/a/b/include/b/c.h": ""})
        self.passes("links", {"docs/adr/0001-a.md": "`src/gone/x.h`\n"})

    def test_leftovers(self):
        self.breaks("leftovers", self.code("\n// TODO: later\n"), 2)
        self.breaks("leftovers", self.code("// FIXME\n"))
        self.breaks("leftovers", self.code("TEST(A, DISABLED_B) {}\n"))
        self.breaks("leftovers", self.code("  // foo(bar);\n"))
        self.breaks("leftovers", self.code("  // int a = 5;\n"))
        self.passes("leftovers", self.code("// TODO(#12): later\n// Words, then more; and so on.\n// The type is Result<T>;\n"))

    def test_whitespace(self):
        self.breaks("whitespace", self.code("int a; \n"))
        self.breaks("whitespace", self.code("int a;"))
        self.breaks("whitespace", self.code("int a;\r\n"))
        self.breaks("whitespace", self.code("\tint a;\n"))
        self.passes("whitespace", self.code("int a;\n"))

    def test_decisions(self):
        self.breaks("decisions", {"docs/adr/0001-a.md": "", "docs/adr/0001-b.md": ""})
        self.breaks("decisions", {"docs/adr/one.md": ""})
        self.passes("decisions", {"docs/adr/0001-a.md": "", "docs/adr/0002-b.md": "", "docs/adr/README.md": ""})

    def test_scripts(self):
        self.breaks("scripts", {"tools/x": "#!/bin/sh\n"})
        self.passes("scripts", {"tools/x": "text\n"})

    def test_formatting(self):
        import shutil
        if not shutil.which("clang-format-14"):
            self.skipTest("clang-format-14 is not installed")
        style = {".clang-format": "BasedOnStyle: Google\n"}
        self.breaks("formatting", self.code("int   a ;\n") | style)
        self.passes("formatting", self.code("int a;\n") | style)

    def test_blanking_keeps_lines_and_includes(self):
        source = 'a /* x\n y */ b // c\n"d\\"e" f \'g\' R"(h\n")" i 1\'000\n#include "j.h"\n'
        kept = blank(source)
        self.assertEqual(kept.count("\n"), source.count("\n"))
        for gone in "xycdeg":
            self.assertNotIn(gone, kept.replace("include", ""))
        for present in ("a", "b", "f", "i", "1'000", '"j.h"'):
            self.assertIn(present, kept)


if __name__ == "__main__":
    unittest.main()
