// The memory model against the kernel's count: real models in real engine children, sequences
// filled to their context at the same time. Oracle: VmHWM of /proc.
//
// Compiled twice: tests/memory has the points that take seconds, tests/memory/slow the rest.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/backend/engine_process.h"
#include "holdfast/enginehost/plan.h"
#include "holdfast/importer/importer.h"
#include "holdfast/platform/machine_state.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast {
namespace {

// Of the peak.
constexpr double kErrorMax = 0.02;
// Tokens that each sequence makes while all run: within its last page.
constexpr std::uint32_t kGenerated = 24;
constexpr std::uint32_t kPageTokens = 32;

struct Point {
  const char* variable;  // of the environment: path of the GGUF file
  const char* model;
  std::uint32_t context;
  std::uint32_t sequences;
  const char* kv_type = "f16";
  bool huge_pages = true;
  const char* load = "read";
  std::uint32_t threads = 2;

  std::string name() const {
    return std::string(model) + "_" + std::to_string(context) + "_x" + std::to_string(sequences) +
           "_" + kv_type + (huge_pages ? "" : "_small_pages") +
           (std::string_view(load) == "read" ? "" : "_mapped") + "_" + std::to_string(threads) +
           "_threads";
  }
};

std::string name_of(const ::testing::TestParamInfo<Point>& info) { return info.param.name(); }
// Without it a test's name would hold addresses.
void PrintTo(const Point& p, std::ostream* out) { *out << p.name(); }

class ResidentTest : public ::testing::TestWithParam<Point> {
 protected:
  void SetUp() override {
    const char* path = ::getenv(GetParam().variable);
    if (path == nullptr || !std::filesystem::exists(path))
      GTEST_SKIP() << GetParam().variable << " names no file";
    std::string pattern = ::testing::TempDir() + "/holdfast-memory-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    auto store = registry::Store::open(fs_, platform::system_clock(), dir_);
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    importer::ImportOptions options;
    options.path = path;
    options.name = "model";
    options.threads = 2;
    options.engine_program = HOLDFAST_ENGINE;
    const auto imported = importer::import_model(**store, options);
    ASSERT_TRUE(imported.ok()) << imported.error().to_string();
    store_ = std::move(*store);
    auto pack = store_->open_pack(imported->model);
    ASSERT_TRUE(pack.ok());
    pack_ = std::move(*pack);
    read_size();
  }
  void TearDown() override {
    store_.reset();
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  void read_size() {
    const auto reader = vault::PackReader::open(*pack_);
    ASSERT_TRUE(reader.ok()) << reader.error().to_string();
    const auto config = reader->read_object(vault::ObjectKind::kConfig);
    ASSERT_TRUE(config.ok());
    const auto hyper = model::from_json(as_string_view(*config));
    ASSERT_TRUE(hyper.ok());
    size_.hyper = *hyper;
    for (const vault::TensorEntry& t : reader->index().tensors) size_.weights_bytes += t.length;
    size_.kept_bytes = reader->payload_bytes() - size_.weights_bytes;
  }

  static json::Object config() {
    const Point& p = GetParam();
    return {{"threads", p.threads},
            {"usable_cpus", 2},
            {"load", p.load},
            {"context", p.context},
            {"batch_max", p.sequences},
            {"kv_tokens", std::uint64_t{p.context} * p.sequences},
            {"kv_type", p.kv_type},
            {"prefix_cache", true},
            {"prefix_bytes_max", std::int64_t{1} << 40}};
  }

  // Started by a process that may not have huge pages, a child has none.
  void start() {
    backend::EngineProcessOptions o;
    o.program = HOLDFAST_ENGINE;
    auto fd = platform::duplicate(*pack_);
    ASSERT_TRUE(fd.ok());
    o.pack = std::move(*fd);
    o.config = config();
    ASSERT_EQ(::prctl(PR_SET_THP_DISABLE, GetParam().huge_pages ? 0 : 1, 0, 0, 0), 0);
    auto engine = backend::EngineProcess::start(std::move(o));
    ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    ASSERT_TRUE(engine.ok()) << engine.error().to_string();
    engine_ = std::move(*engine);
  }

  // All tokens of one sequence but those that it makes; no two alike.
  wire::Submit prompt(std::uint32_t sequence, std::uint32_t max_tokens) const {
    wire::Submit s;
    s.kind = wire::PromptKind::kTokens;
    std::uint64_t state = sequence + 1;
    for (std::uint32_t i = 0; i < GetParam().context - kGenerated - 4; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      s.tokens.push_back(static_cast<std::int32_t>((state >> 33) % size_.hyper.n_vocab));
    }
    s.sampling.temperature = 0;
    s.sampling.ignore_eos = true;
    s.sampling.max_tokens = max_tokens;
    s.scheduling.cache_domain = "memory";
    return s;
  }

  // Reads each prompt alone, so that its pages are kept; then all of them run together, each in its
  // own pages. Returns the pages that were in use while all ran.
  std::int64_t fill() {
    const std::uint32_t n = GetParam().sequences;
    for (std::uint32_t i = 0; i < n; ++i) {
      const auto reply = engine_->call(prompt(i, 1));
      EXPECT_TRUE(reply.ok()) << reply.error().to_string();
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::uint32_t begun = 0;
    std::uint32_t ended = 0;
    std::vector<char> seen(n, 0);
    for (std::uint32_t i = 0; i < n; ++i) {
      engine_->send(prompt(i, kGenerated), [&, i](const wire::Message& m) {
        const std::lock_guard lock(mutex);
        if (std::holds_alternative<wire::Token>(m) && seen[i] == 0) begun += seen[i] = 1;
        if (const auto* e = std::get_if<wire::ErrorReply>(&m))
          ADD_FAILURE() << wire::to_error(*e).to_string();
        if (backend::is_last(m)) ++ended;
        changed.notify_all();
      });
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return begun == n || ended > 0; });
    EXPECT_EQ(ended, 0u) << "a sequence ended before all ran";
    lock.unlock();
    const auto stats = engine_->call(wire::Stats{});
    lock.lock();
    changed.wait(lock, [&] { return ended == n; });
    const auto parsed = json::parse(std::get<wire::StatsReply>(*stats).stats_json);
    return parsed->find("pages_used")->as_int();
  }

  platform::PosixFileSystem fs_;
  std::string dir_;
  std::unique_ptr<registry::Store> store_;
  std::unique_ptr<platform::OpenFile> pack_;
  enginehost::ModelSize size_;
  std::unique_ptr<backend::EngineProcess> engine_;
};

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

TEST_P(ResidentTest, PredictedIsMeasured) {
  const Point& p = GetParam();
  ASSERT_NO_FATAL_FAILURE(start());
  const std::int64_t pages = fill();
  EXPECT_EQ(pages, p.sequences * p.context / kPageTokens);
  const auto memory = platform::ProcessMemory::read(engine_->pid());
  ASSERT_TRUE(memory.resident_peak_bytes);
  // Where the kernel does not tell, the system's setting does.
  bool huge = p.huge_pages && platform::transparent_huge_pages() != "never";
  if (memory.huge_page_bytes) huge = *memory.huge_page_bytes > 0;
  const auto planned =
      enginehost::plan_engine(json::write(config()), size_,
                              {.sequences = p.sequences, .tokens = p.context, .huge_pages = huge});
  ASSERT_TRUE(std::holds_alternative<enginehost::EnginePlan>(planned));
  const enginehost::EnginePlan& plan = std::get<enginehost::EnginePlan>(planned);
  const footprint::Resident& r = plan.resident;
  const auto measured = static_cast<double>(*memory.resident_peak_bytes);
  const double error = static_cast<double>(r.total_bytes()) / measured - 1;
  std::printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %+.2f %% |\n", p.name().c_str(),
              megabytes(r.weights_bytes), megabytes(r.kv_bytes), megabytes(r.scratch_bytes),
              megabytes(r.process_bytes), megabytes(r.total_bytes()), measured / 1e6, error * 100);
  EXPECT_LE(std::abs(error), kErrorMax);
  // Where all parts are small beside the weights, each is needed still: without it the error shows.
  if (p.context == 512) {
    for (const std::uint64_t part :
         {r.weights_bytes, r.kv_bytes, r.scratch_bytes, r.process_bytes}) {
      EXPECT_LT(static_cast<double>(r.total_bytes() - part) / measured - 1, -kErrorMax);
    }
  }
  // One implementation: what the child counted at load is what was planned here.
  const auto counted = [&](const char* part) {
    return static_cast<std::uint64_t>(engine_->info().find(part)->as_int());
  };
  EXPECT_EQ(counted("weights_bytes"), plan.fit.plan.weights_bytes);
  EXPECT_EQ(counted("kv_bytes"), plan.fit.plan.kv_bytes);
  EXPECT_EQ(counted("scratch_bytes"), plan.fit.plan.scratch_bytes);
  EXPECT_EQ(counted("process_bytes"), plan.fit.plan.process_bytes);
}

constexpr const char* kSmollm = "HOLDFAST_SMOLLM2";
constexpr const char* kGemma = "HOLDFAST_GEMMA3";

#ifdef HOLDFAST_SLOW_POINTS
INSTANTIATE_TEST_SUITE_P(
    Slow, ResidentTest,
    ::testing::Values(Point{kSmollm, "smollm2", 2048, 8}, Point{kGemma, "gemma3", 2048, 8},
                      Point{kSmollm, "smollm2", 8192, 4}, Point{kSmollm, "smollm2", 8192, 8},
                      Point{kGemma, "gemma3", 8192, 4}, Point{kGemma, "gemma3", 8192, 8}),
    name_of);
#else
INSTANTIATE_TEST_SUITE_P(
    Fast, ResidentTest,
    ::testing::Values(Point{kSmollm, "smollm2", 512, 1}, Point{kSmollm, "smollm2", 512, 4},
                      Point{kSmollm, "smollm2", 512, 8}, Point{kSmollm, "smollm2", 2048, 1},
                      Point{kSmollm, "smollm2", 2048, 4}, Point{kSmollm, "smollm2", 8192, 1},
                      Point{kGemma, "gemma3", 512, 1}, Point{kGemma, "gemma3", 512, 4},
                      Point{kGemma, "gemma3", 512, 8}, Point{kGemma, "gemma3", 2048, 1},
                      Point{kGemma, "gemma3", 2048, 4}, Point{kGemma, "gemma3", 8192, 1},
                      Point{kSmollm, "smollm2", 2048, 4, "q8_0"},
                      Point{kGemma, "gemma3", 512, 4, "q4_0"},
                      Point{kSmollm, "smollm2", 512, 4, "f16", false},
                      Point{kGemma, "gemma3", 512, 1, "f16", false},
                      Point{kSmollm, "smollm2", 512, 4, "f16", true, "mmap"},
                      Point{kGemma, "gemma3", 512, 1, "f16", true, "mmap", 1},
                      Point{kSmollm, "smollm2", 512, 1, "f16", true, "read", 1},
                      Point{kSmollm, "smollm2", 512, 4, "f16", true, "read", 8}),
    name_of);
#endif

}  // namespace
}  // namespace holdfast
