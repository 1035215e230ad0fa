"""tools/mutants on a project of one file and one test. Oracle: which mutants are canaries is known."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = sys.argv.pop(1)

CMAKE = """cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
enable_testing()
add_executable(sum_test sum_test.cc)
target_compile_options(sum_test PRIVATE -Wall -Wextra -Werror)
add_test(NAME sum_test.adds COMMAND sum_test)
add_test(NAME sum_test.broken COMMAND ${CMAKE_COMMAND} -E false)
"""
PRESETS = """{"version": 6, "configurePresets": [{"name": "ci", "generator": "Ninja",
"binaryDir": "${sourceDir}/build/ci"}]}"""
SOURCE = """int sum(int a, int b) { return a + b; }
static int other(int a) { return a - 1; }
int main() { return other(2) == 1 && sum(2, 3) == 5 ? 0 : 1; }
"""


def mutant(name, find, replace, test="sum_test.adds$"):
    return f'[[mutant]]\nname = "{name}"\nfile = "sum_test.cc"\nfind = "{find}"\nreplace = "{replace}"\ntest = "{test}"\n'


KILLED = mutant("killed", "a + b", "a * b")
SURVIVES = mutant("survives", "? 0 : 1", "? 0 : 2")
NO_BUILD = mutant("no build", "a - 1", "a - ;")


class Mutants(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-mutants-")
        self.root = Path(self.folder.name)
        (self.root / "tools" / "mutants.d").mkdir(parents=True)
        for name, text in (("CMakeLists.txt", CMAKE), ("CMakePresets.json", PRESETS), ("sum_test.cc", SOURCE),
                           (".gitignore", "build/\n")):
            (self.root / name).write_text(text)
        subprocess.run(["git", "init", "-q", self.root], check=True)

    def tearDown(self):
        self.folder.cleanup()

    def run_with(self, text, *arguments):
        (self.root / "tools" / "mutants.d" / "all.toml").write_text(text)
        done = subprocess.run([TOOL, "--root", self.root, *arguments], capture_output=True, text=True)
        self.assertEqual((self.root / "sum_test.cc").read_text(), SOURCE, "the tree was changed")
        return done

    def test_each_verdict(self):
        done = self.run_with(KILLED + SURVIVES + NO_BUILD)
        self.assertEqual(done.returncode, 1, done.stderr)
        for line in (r"^killed +killed \(", r"^survived +survives \(", r"^did not build +no build \("):
            self.assertRegex(done.stdout, f"(?m){line}")
        self.assertIn("3 mutants: 1 killed, 1 survived, 1 did not build", done.stdout)
        self.assertEqual((self.root / "build" / "mutants" / "sum_test.cc").read_text(), SOURCE, "the copy was left broken")

    def test_what_becomes_unused_is_no_error(self):
        done = self.run_with(mutant("parameter", "a + b", "a") + mutant("function", "other(2) == 1 &&", ""))
        self.assertIn("1 killed, 1 survived, 0 did not build", done.stdout, done.stderr)

    def test_all_killed(self):
        done = self.run_with(KILLED + SURVIVES, "killed")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 mutants: 1 killed, 0 survived", done.stdout)

    def test_shards_are_everything_once(self):
        lists = [self.run_with(KILLED + SURVIVES + NO_BUILD, "--list", "--shard", f"{i}/2").stdout.splitlines() for i in (1, 2)]
        self.assertEqual([line.split("  ")[0] for line in lists[0]], ["killed", "no build"])
        self.assertEqual([line.split("  ")[0] for line in lists[1]], ["survives"])

    def test_changes_that_are_not_committed_are_tested(self):
        self.assertEqual(self.run_with(KILLED).returncode, 0)
        (self.root / "sum_test.cc").write_text(SOURCE.replace("== 5", "!= 0"))
        done = subprocess.run([TOOL, "--root", self.root], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, "a test that sees nothing let the mutant live: " + done.stdout)

    def refused(self, text, message, *arguments):
        done = self.run_with(text, *arguments)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertRegex(done.stderr, message)

    def test_wrong_lists(self):
        self.refused(mutant("a", "return", "return"), "occurs 3 times")
        self.refused(mutant("a", "nowhere", "x"), "occurs 0 times")
        self.refused(KILLED + KILLED, "twice")
        self.refused(KILLED.replace("replace", "replaced"), "lacks replace")
        self.refused(KILLED.replace("sum_test.cc", "other.cc"), "there is no other.cc")
        self.refused(mutant("a", "a - 1", "a - 1"), "changes nothing")
        self.refused(KILLED, "no mutant has such a name", "other")
        self.refused(KILLED, "--shard", "--shard", "3/2")

    def test_tests_that_are_not_there_or_fail_anyway_prove_nothing(self):
        self.refused(mutant("a", "a - 1", "a - 2", "nothing_of_that_name"), "no test has a name")
        self.refused(mutant("a", "a - 1", "a - 2", "sum_test.broken"), "fails on unbroken code")


if __name__ == "__main__":
    unittest.main()
