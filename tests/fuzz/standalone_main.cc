// Seeded driver for fuzz targets under compilers without libFuzzer: runs the corpus, then mutations
// of it.
//
// usage: fuzz_x [--runs N] [--seed S] [FILE|DIRECTORY ...]
// The same seed, corpus and N give the same inputs. A crash prints the seed, the run and the input
// in hexadecimal, and exits 1 instead of dying by the signal, because ctest's WILL_FAIL does not
// accept a signal.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// Mutated inputs stay small: the smoke test looks at structure, long runs belong to libFuzzer.
constexpr std::size_t kInputBytesMax = 1u << 16;
constexpr std::size_t kPrintedBytesMax = 4096;

struct Options {
  std::uint64_t runs = 0;
  std::uint64_t seed = 1;
  std::vector<std::string> paths;
};

// What the signal handler reports: the input that runs now.
struct Current {
  std::uint64_t seed = 0;
  std::uint64_t run = 0;
  const Input* input = nullptr;
};
Current g_current;

[[noreturn]] void report_crash(int signal_number) {
  // The process is lost already; stdio is the best that is left, and _exit follows at once.
  std::fprintf(stderr, "\nsignal %d in run %llu of seed %llu, input of %zu bytes:\n", signal_number,
               static_cast<unsigned long long>(g_current.run),
               static_cast<unsigned long long>(g_current.seed), g_current.input->size());
  const std::size_t shown = std::min(g_current.input->size(), kPrintedBytesMax);
  for (std::size_t i = 0; i < shown; ++i) std::fprintf(stderr, "%02x", (*g_current.input)[i]);
  std::fprintf(stderr, "%s\n", shown < g_current.input->size() ? "..." : "");
  std::fflush(stderr);
  _exit(1);
}

void run_one(const Input& input, std::uint64_t run) {
  g_current.run = run;
  g_current.input = &input;
  // A copy of the exact size, so that a sanitizer sees reads past the end. data() of an empty
  // vector may be null, which targets do not expect.
  const Input exact(input.begin(), input.end());
  static const std::uint8_t kNothing = 0;
  LLVMFuzzerTestOneInput(exact.empty() ? &kNothing : exact.data(), exact.size());
}

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    std::fprintf(stderr, "not a number: %.*s\n", static_cast<int>(text.size()), text.data());
    std::exit(2);
  }
  return value;
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if ((arg == "--runs" || arg == "--seed") && i + 1 < argc) {
      (arg == "--runs" ? options.runs : options.seed) = parse_number(argv[++i]);
    } else if (arg.starts_with("--")) {
      std::fprintf(stderr, "usage: %s [--runs N] [--seed S] [FILE|DIRECTORY ...]\n", argv[0]);
      std::exit(2);
    } else {
      options.paths.emplace_back(arg);
    }
  }
  return options;
}

// Files in the order of their names, so that the order of the directory does not matter.
std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::exists(path)) {
      std::fprintf(stderr, "no such corpus: %s\n", path.c_str());
      std::exit(2);
    }
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Input> read_corpus(const std::vector<std::string>& paths) {
  std::vector<Input> corpus;
  for (const auto& file : corpus_files(paths)) {
    std::ifstream in(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// Changes inputs by bits, bytes, cuts, copies and splices.
class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<Input>& corpus) : random_(seed), corpus_(corpus) {}

  Input next() {
    Input input = corpus_.empty() ? random_bytes(below(256)) : corpus_[below(corpus_.size())];
    const std::size_t changes = 1 + below(8);
    for (std::size_t i = 0; i < changes; ++i) change(input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  // Modulo, not a distribution: those differ between standard libraries. The bias does not matter
  // here.
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random_() % n); }

  Input random_bytes(std::size_t n) {
    Input bytes(n);
    for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random_());
    return bytes;
  }

  auto position(const Input& input, std::size_t i) {
    return input.begin() + static_cast<std::ptrdiff_t>(i);
  }

  void change(Input& input) {
    static constexpr std::uint8_t kEdges[] = {0x00, 0x01, 0x7F, 0x80, 0xFF,
                                              '0',  '"',  '{',  '\n', ' '};
    if (input.empty()) {
      input = random_bytes(1 + below(16));
      return;
    }
    const std::size_t at = below(input.size());
    switch (below(8)) {
      case 0:
        input[at] = static_cast<std::uint8_t>(input[at] ^ (1u << below(8)));
        break;
      case 1:
        input[at] = static_cast<std::uint8_t>(random_());
        break;
      case 2:
        input[at] = kEdges[below(std::size(kEdges))];
        break;
      case 3:
        input.resize(at);
        break;
      case 4: {
        const std::size_t n = std::min(input.size() - at, 1 + below(16));
        input.erase(position(input, at), position(input, at + n));
        break;
      }
      case 5: {
        const Input bytes = random_bytes(1 + below(8));
        input.insert(position(input, at), bytes.begin(), bytes.end());
        break;
      }
      case 6: {
        const std::size_t n = std::min(input.size() - at, 1 + below(64));
        const Input copy(position(input, at), position(input, at + n));
        input.insert(position(input, below(input.size())), copy.begin(), copy.end());
        break;
      }
      default:
        splice(input, at);
    }
  }

  // The head of this input with the tail of another.
  void splice(Input& input, std::size_t at) {
    if (corpus_.empty()) return;
    const Input& other = corpus_[below(corpus_.size())];
    const std::size_t from = below(other.size());
    input.resize(at);
    input.insert(input.end(), position(other, from), other.end());
  }

  std::mt19937_64 random_;
  const std::vector<Input>& corpus_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const std::vector<Input> corpus = read_corpus(options.paths);
  std::printf("seed %llu, %zu corpus files, %llu mutations\n",
              static_cast<unsigned long long>(options.seed), corpus.size(),
              static_cast<unsigned long long>(options.runs));
  std::fflush(stdout);
  g_current.seed = options.seed;
  for (const int s : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(s, report_crash);
  for (const Input& input : corpus) run_one(input, 0);
  Mutator mutator(options.seed, corpus);
  for (std::uint64_t run = 1; run <= options.runs; ++run) run_one(mutator.next(), run);
  return 0;
}
