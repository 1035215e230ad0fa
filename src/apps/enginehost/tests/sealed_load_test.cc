// Loading sealed packs: in this process, where memory can be compared, and in a real engine, where
// plaintext is searched for. Oracle: the same model, not sealed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "../../importer/tests/pack_keys.h"
#include "holdfast/backend/engine_process.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/vault/pack_reader.h"
#include "load.h"

namespace holdfast::enginehost {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kModel = HOLDFAST_SOURCE_DIR "/tests/golden/tiny/llama-gqa-untied.gguf";
const auto kSoon = platform::Deadline::after(std::chrono::seconds(30));

bool contains(ByteView hay, ByteView needle) {
  return std::search(hay.begin(), hay.end(), needle.begin(), needle.end()) != hay.end();
}

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const ByteView view = as_bytes_view(text);
  return {view.begin(), view.end()};
}

// Files below `dir` that hold the bytes.
std::vector<std::string> files_with(const std::string& dir, ByteView needle) {
  std::vector<std::string> found;
  for (const auto& entry :
       fs::recursive_directory_iterator(dir, fs::directory_options::skip_permission_denied)) {
    std::error_code ec;
    if (entry.is_regular_file(ec) && contains(read_file(entry.path()), needle)) {
      found.push_back(entry.path());
    }
  }
  return found;
}

// The golden model with 64 random bytes in a vector, which import copies as they are: 16 numbers
// around one.
struct CanaryModel {
  CanaryModel() {
    bytes = read_file(kModel);
    std::mt19937 random(std::random_device{}());
    std::uniform_real_distribution<float> about_one(0.9f, 1.1f);
    ByteWriter out;
    for (int i = 0; i < 16; ++i) out.le(about_one(random));
    canary = std::move(out).take();
    const platform::MemorySource source{ByteView(bytes)};
    const platform::ByteSource* const parts[] = {&source};
    const auto file = gguf::parse(parts);
    const gguf::TensorInfo* norm = file->find_tensor("output_norm.weight");
    EXPECT_NE(norm, nullptr);
    std::ranges::copy(canary, bytes.begin() + static_cast<std::ptrdiff_t>(norm->offset));
  }
  Bytes bytes;
  Bytes canary;
};

class SealedLoad : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kModel)) GTEST_SKIP() << "no golden files";
    std::string pattern = ::testing::TempDir() + "/holdfast-sealed-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    fs::create_directories(dir_ + "/given");
    std::ofstream(dir_ + "/given/model.gguf", std::ios::binary)
        .write(reinterpret_cast<const char*>(model_.bytes.data()),
               static_cast<std::streamsize>(model_.bytes.size()));
    plain_ = import("plain", nullptr);
    sealed_ = import("sealed", &keys_);
  }
  void TearDown() override {
    if (!dir_.empty()) fs::remove_all(dir_);
  }
  // Path of the only pack in a data directory of that name.
  std::string import(const std::string& name, importer::PackKeys* keys) {
    auto store = registry::Store::open(files_, platform::system_clock(), dir_ + "/" + name);
    EXPECT_TRUE(store.ok());
    importer::ImportOptions options;
    options.path = dir_ + "/given/model.gguf";
    options.engine_program = HOLDFAST_ENGINE;
    options.keys = keys;
    const auto imported = importer::import_model(**store, options);
    EXPECT_TRUE(imported.ok()) << imported.error().to_string();
    for (const auto& entry : fs::directory_iterator(dir_ + "/" + name + "/packs")) {
      return entry.path();
    }
    return {};
  }
  platform::UniqueFd open(const std::string& path) {
    auto file = platform::File::open_read(path);
    EXPECT_TRUE(file.ok()) << path;
    return std::move(*file).release();
  }
  vault::ContentKeys keys() {
    const auto file = platform::File::open_read(sealed_);
    auto found = keys_.keys_of(*file);
    EXPECT_TRUE(found.ok()) << found.error().to_string();
    return *std::move(found);
  }
  // A socket on which the keys have arrived.
  platform::UniqueFd sent(const vault::ContentKeys& keys) {
    auto pair = platform::make_socket_pair();
    EXPECT_TRUE(vault::send_content_keys(pair->ours.get(), keys, kSoon).ok());
    return std::move(pair->theirs);
  }
  LoadConfig config(const std::string& path) {
    LoadConfig c;
    c.context = 64;
    c.batch_max = 1;
    c.threads = 2;
    c.pack_fd = open(path).release();
    return c;
  }
  Error failure(const LoadConfig& c) {
    auto result = load_model(c);
    if (auto* f = std::get_if<LoadFailure>(&result)) return std::move(f->error);
    ADD_FAILURE() << "it was loaded";
    return internal_error("loaded");
  }

  platform::PosixFileSystem files_;
  importer::testing::TestPackKeys keys_;
  CanaryModel model_;
  std::string dir_;
  std::string plain_;
  std::string sealed_;
};

TEST_F(SealedLoad, GivesTheBytesOfThePlainPack) {
  const auto plain = load_model(config(plain_));
  LoadConfig c = config(sealed_);
  c.keys_fd = sent(keys()).release();
  const auto sealed = load_model(c);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(sealed))
      << std::get<LoadFailure>(sealed).error.to_string();
  const LoadedModel& model = *std::get<0>(sealed);
  EXPECT_EQ(model.seal, crypto::fastest_aead());
  EXPECT_FALSE(std::get<0>(plain)->seal);
  EXPECT_TRUE(std::ranges::equal(model.payload.view(), std::get<0>(plain)->payload.view()));
  EXPECT_TRUE(contains(model.payload.view(), model_.canary));
}

TEST_F(SealedLoad, CannotBeMappedAndIsReadInstead) {
  LoadConfig c = config(sealed_);
  c.keys_fd = sent(keys()).release();
  c.load = LoadMode::kMap;
  const auto sealed = load_model(c);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(sealed));
  EXPECT_EQ(std::get<0>(sealed)->load, LoadMode::kRead);
  EXPECT_EQ(std::get<0>(sealed)->payload.mapping.view().size(), 0u);
}

TEST_F(SealedLoad, NeedsItsKeysAndNoOthers) {
  EXPECT_EQ(failure(config(sealed_)).code(), ErrorCode::kUnavailable);
  LoadConfig c = config(sealed_);
  vault::ContentKeys wrong = keys();
  wrong.header_key.bytes()[31] ^= std::byte{1};
  c.keys_fd = sent(wrong).release();
  EXPECT_THAT(failure(c).client_message(), HasSubstr("HM"));
  c = config(sealed_);
  wrong = keys();
  wrong.content_key.bytes()[0] ^= std::byte{1};
  c.keys_fd = sent(wrong).release();
  EXPECT_THAT(failure(c).to_string(), HasSubstr("chunk"));
  // Keys for a pack that is not sealed: somebody took the seal off.
  c = config(plain_);
  c.keys_fd = sent(keys()).release();
  EXPECT_EQ(failure(c).code(), ErrorCode::kCorrupt);
}

TEST_F(SealedLoad, AKeyHolderThatDiesIsAnError) {
  LoadConfig c = config(sealed_);
  c.keys_fd = platform::make_socket_pair()->theirs.release();
  EXPECT_EQ(failure(c).code(), ErrorCode::kUnavailable);
  c = config(sealed_);
  auto pair = platform::make_socket_pair();
  const vault::ContentKeyMessage message(keys());
  ASSERT_TRUE(platform::send_all(pair->ours.get(), message.view().first(79), kSoon).ok());
  pair->ours.reset();
  c.keys_fd = pair->theirs.release();
  EXPECT_EQ(failure(c).code(), ErrorCode::kCorrupt);
}

TEST_F(SealedLoad, EveryDamagedByteIsFound) {
  const Bytes intact = read_file(sealed_);
  const std::string copy = dir_ + "/copy.hfc";
  for (std::size_t at = 6; at < intact.size(); at += intact.size() / 61 | 1) {
    Bytes bytes = intact;
    bytes[at] ^= std::byte{0x10};
    std::ofstream(copy, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    LoadConfig c = config(copy);
    c.keys_fd = sent(keys()).release();
    EXPECT_EQ(failure(c).code(), ErrorCode::kCorrupt) << at;
  }
}

// What one mapping of a process is, and whether the canary is in it.
struct Region {
  std::string what;
  bool named = false;
  bool has_canary = false;
  std::string flags;
};

std::vector<Region> regions_of(pid_t pid, ByteView canary, bool& readable) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const int memory = ::open((proc + "/mem").c_str(), O_RDONLY);
  readable = memory >= 0;
  std::vector<Region> regions;
  std::ifstream smaps(proc + "/smaps");
  for (std::string line; std::getline(smaps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    char access[5] = {};
    char name[512] = {};
    unsigned long inode = 0;
    const int fields = std::sscanf(line.c_str(), "%lx-%lx %4s %*x %*s %lu %511[^\n]", &begin, &end,
                                   access, &inode, name);
    if (fields >= 4) {
      Region r{line, inode != 0, false, {}};
      Bytes bytes(access[0] == 'r' && end - begin < (1u << 30) ? end - begin : 0);
      const ssize_t n = ::pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin));
      if (n > 0) r.has_canary = contains(ByteView(bytes).first(static_cast<std::size_t>(n)), canary);
      regions.push_back(std::move(r));
    } else if (line.starts_with("VmFlags:") && !regions.empty()) {
      regions.back().flags = line + " ";
    }
  }
  if (memory >= 0) ::close(memory);
  return regions;
}

class SealedEngine : public SealedLoad {
 protected:
  std::unique_ptr<backend::EngineProcess> start(const std::string& path, bool with_keys) {
    backend::EngineProcessOptions o;
    o.program = HOLDFAST_ENGINE;
    o.pack = open(path);
    if (with_keys) o.keys = sent(keys());
    o.config = json::Object{{"context", 64}, {"threads", 1}};
    auto engine = backend::EngineProcess::start(std::move(o));
    EXPECT_TRUE(engine.ok()) << engine.error().to_string();
    return engine.ok() ? *std::move(engine) : nullptr;
  }
};

TEST_F(SealedEngine, SaysThatTheModelIsSealed) {
  const auto sealed = start(sealed_, true);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->info().find("sealed")->as_string(),
            crypto::aead_algorithm_name(crypto::fastest_aead()));
  const auto plain = start(plain_, false);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->info().find("sealed")->as_string(), "no");
}

// The weights of a sealed model are in the engine's locked memory and nowhere else. Each place where
// the canary must not be is shown to be looked at by one where it is.
TEST_F(SealedEngine, PlaintextIsInLockedMemoryAlone) {
  const auto engine = start(sealed_, true);
  ASSERT_TRUE(engine);
  EXPECT_EQ(files_with(dir_ + "/sealed", model_.canary), std::vector<std::string>());
  EXPECT_EQ(files_with(dir_ + "/plain", model_.canary), std::vector<std::string>{plain_});
  EXPECT_THAT(files_with(dir_, model_.canary),
              ::testing::UnorderedElementsAre(dir_ + "/given/model.gguf", plain_));
  bool readable = false;
  const auto regions = regions_of(engine->pid(), model_.canary, readable);
  if (!readable) {
    // Without privileges nobody may look into the engine, which is the promise; the flags of its
    // memory are seen in SealedLoad.
    EXPECT_NE(::geteuid(), 0u);
    return;
  }
  int found = 0;
  for (const Region& r : regions) {
    if (!r.has_canary) continue;
    ++found;
    EXPECT_FALSE(r.named) << r.what;
    EXPECT_THAT(r.flags, HasSubstr(" dd ")) << r.what;
    if (engine->info().find("memory_locked")->as_bool()) {
      EXPECT_THAT(r.flags, HasSubstr(" lo ")) << r.what;
    }
  }
  EXPECT_EQ(found, 1);
}

// A crash leaves no core: the limit is zero and the process may not be dumped, whatever the pattern.
TEST_F(SealedEngine, LeavesNoCore) {
  const auto engine = start(sealed_, true);
  ASSERT_TRUE(engine);
  std::ifstream limits("/proc/" + std::to_string(engine->pid()) + "/limits");
  std::string text{std::istreambuf_iterator<char>(limits), {}};
  EXPECT_THAT(text, ::testing::ContainsRegex("Max core file size +0 +0"));
  const pid_t pid = engine->pid();
  ASSERT_EQ(::kill(pid, SIGABRT), 0);
  for (int i = 0; i < 100 && engine->alive(); ++i) platform::pause_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(engine->alive());
  for (const std::string dir : {std::string("."), dir_}) {
    for (const auto& entry : fs::directory_iterator(dir)) {
      EXPECT_FALSE(entry.path().filename().string().starts_with("core")) << entry.path();
    }
  }
}

}  // namespace
}  // namespace holdfast::enginehost
