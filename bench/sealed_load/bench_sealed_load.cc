// What sealing costs a load: the same model, not sealed and sealed, in turns A B A B.
//
//   bench_sealed_load PLAIN.hfc [ROUNDS] [THREADS]
//
// Writes PLAIN.hfc.sealed beside it and removes it at the end. A load is all that an engine does up
// to being ready: reading, checking or decrypting, tokenizer, model. Cold: the file's pages are
// dropped from the page cache before each load (POSIX_FADV_DONTNEED); warm: they are all in it.
// Prints each load, medians and leasts, and the processor time that sealing adds beside what the
// AEAD takes at its best.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "holdfast/crypto/aead.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/socket.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/seal_pack.h"
#include "load.h"

namespace {

using namespace holdfast;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <typename T>
T or_die(Result<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "error: %s\n", result.error().to_string().c_str());
  std::exit(1);
}

crypto::Secret dek() { return or_die(crypto::Secret::copy_of(Bytes(32, std::byte{7}))); }

void write_sealed(const std::string& from, const std::string& to) {
  const platform::File source = or_die(platform::File::open_read(from));
  const vault::PackReader reader = or_die(vault::PackReader::open(source));
  platform::File out = or_die(platform::File::create_or_replace(to, 0600));
  platform::SystemEntropy entropy;
  const vault::SealPlan seal = or_die(vault::SealPlan::make(dek(), entropy, 0));
  or_die(vault::seal_pack(reader, out, &seal));
  if (!out.sync().ok()) std::exit(1);
}

// Reads the file into the page cache, or drops it from there.
void set_cached(const std::string& path, bool cached) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (cached) {
    std::vector<char> buffer(4 << 20);
    while (::read(fd, buffer.data(), buffer.size()) > 0) {
    }
  } else {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }
  ::close(fd);
}

int keys_for(const std::string& path) {
  const platform::File file = or_die(platform::File::open_read(path));
  const vault::PackHeader header = or_die(vault::read_pack_header(file));
  if (!header.seal) return -1;
  const vault::ContentKeys keys =
      or_die(vault::derive_content_keys(dek(), *header.seal, header.salt, header.model_id));
  platform::SocketPair pair = or_die(platform::make_socket_pair());
  const auto soon = platform::Deadline::after(std::chrono::seconds(5));
  if (!vault::send_content_keys(pair.ours.get(), keys, soon).ok()) std::exit(1);
  return pair.theirs.release();
}

struct Load {
  double wall = 0;
  double processor = 0;  // what a busy machine does not change
};

Load load_once(const std::string& path, unsigned threads, bool warm) {
  set_cached(path, warm);
  enginehost::LoadConfig config;
  config.threads = threads;
  config.usable_cpus = threads;
  config.context = 512;
  config.batch_max = 1;
  config.pack_fd = ::open(path.c_str(), O_RDONLY);
  config.keys_fd = keys_for(path);
  const auto begin = Clock::now();
  const auto worked = platform::own_cpu_time();
  const auto loaded = enginehost::load_model(config);
  const Load took{seconds_since(begin),
                  std::chrono::duration<double>(platform::own_cpu_time() - worked).count()};
  if (const auto* failure = std::get_if<enginehost::LoadFailure>(&loaded)) {
    std::fprintf(stderr, "error: %s\n", failure->error.to_string().c_str());
    std::exit(1);
  }
  return took;
}

int number(std::string_view text, int otherwise) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && value > 0 ? value : otherwise;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

// Bytes per second of one thread that decrypts a chunk in its cache.
double aead_peak() {
  crypto::Aead aead(crypto::fastest_aead(), Bytes(32));
  Bytes chunk(vault::kChunkBytes);
  Bytes tag(crypto::kTagBytes);
  double best = 0;
  for (int i = 0; i < 400; ++i) {
    const auto begin = Clock::now();
    aead.seal({}, {}, chunk, chunk, tag);
    best = std::max(best, static_cast<double>(chunk.size()) / seconds_since(begin));
  }
  return best;
}

struct Series {
  std::vector<double> wall;
  std::vector<double> processor;
  void add(const Load& load) {
    wall.push_back(load.wall);
    processor.push_back(load.processor);
  }
};

void compare(const char* name, const std::string& plain, const std::string& sealed, int rounds,
             unsigned threads, bool warm, double bytes, double peak) {
  Series a;
  Series b;
  std::vector<double> ratios;
  for (int i = 0; i < rounds; ++i) {
    a.add(load_once(plain, threads, warm));
    b.add(load_once(sealed, threads, warm));
    ratios.push_back(b.wall.back() / a.wall.back());
    std::printf("%s  %.3f s (%.3f)  %.3f s (%.3f)\n", name, a.wall.back(), a.processor.back(),
                b.wall.back(), b.processor.back());
  }
  const double rate = bytes / median(b.wall);
  // The least of each: what a virtual machine's host takes only ever adds.
  const double extra = least(b.processor) - least(a.processor);
  std::printf("%s  plain %.3f s (processor %.3f s)  sealed %.3f s (processor %.3f s)\n", name,
              median(a.wall), median(a.processor), median(b.wall), median(b.processor));
  std::printf("      ratio of medians %.3f  median of ratios %.3f  %.2f GB/s\n",
              median(b.wall) / median(a.wall), median(ratios), rate / 1e9);
  std::printf("      least: plain %.3f s  sealed %.3f s  ratio %.3f\n", least(a.wall),
              least(b.wall), least(b.wall) / least(a.wall));
  std::printf("      sealing adds %.3f s of processor time; the AEAD's peak would be %.3f s\n",
              extra, bytes / peak);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_sealed_load PLAIN.hfc [ROUNDS] [THREADS]\n", stderr);
    return 2;
  }
  const std::string plain = argv[1];
  const int rounds = number(argc > 2 ? argv[2] : "7", 7);
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const auto threads = static_cast<unsigned>(argc > 3 ? number(argv[3], cores) : cores);
  const std::string sealed = plain + ".sealed";
  auto begin = Clock::now();
  write_sealed(plain, sealed);
  const auto bytes = static_cast<double>(or_die(platform::File::open_read(plain)).size());
  std::printf("%.1f MB, sealed in %.2f s, %u threads, %s\n", bytes / 1e6, seconds_since(begin),
              threads, std::string(aead_algorithm_name(crypto::fastest_aead())).c_str());
  const double peak = aead_peak();
  std::printf("AEAD peak %.2f GB/s a thread\n", peak / 1e9);
  compare("warm", plain, sealed, rounds, threads, true, bytes, peak);
  compare("cold", plain, sealed, rounds, threads, false, bytes, peak);
  std::remove(sealed.c_str());
  return 0;
}
