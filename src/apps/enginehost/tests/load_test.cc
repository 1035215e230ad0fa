// The engine's configuration, and loading a pack: memory limits, damaged and truncated packs.
#include "load.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "holdfast/enginehost/plan.h"
#include "holdfast/importer/importer.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast::enginehost {
namespace {

using ::testing::HasSubstr;

const std::string kModel = HOLDFAST_SOURCE_DIR "/tests/golden/tiny/llama-gqa-untied.gguf";

TEST(LoadConfigTest, EveryMemberIsRead) {
  const auto c = parse_load_config(
      R"({"pack_fd":4,"threads":3,"usable_cpus":5,"cpus":[2,0,7],"load":"mmap","context":640,"kv_tokens":1280,"kv_type":"f32",
          "isa":"avx2","batch_max":2,"prefill_chunk":64,"queue_max":9,"logits_rows":7,
          "hidden_states":true,"template":"x","memory_limit_bytes":123456,
          "speculation":"draft","draft_pack_fd":5,"keys_fd":7,"draft_keys_fd":8,
          "memory_lock":"required"})");
  ASSERT_TRUE(c.ok()) << c.error().to_string();
  EXPECT_EQ(c->pack_fd, 4);
  EXPECT_EQ(c->threads, 3u);
  EXPECT_EQ(c->usable_cpus, 5u);
  EXPECT_EQ(c->cpus, (std::vector<int>{2, 0, 7}));
  EXPECT_EQ(c->load, LoadMode::kMap);
  EXPECT_EQ(c->context, 640u);
  EXPECT_EQ(c->kv_tokens, 1280u);
  EXPECT_EQ(c->kv_type, kvcache::KvType::kF32);
  EXPECT_EQ(c->isa, "avx2");
  EXPECT_EQ(c->batch_max, 2u);
  EXPECT_EQ(c->prefill_chunk, 64u);
  EXPECT_EQ(c->queue_max, 9u);
  EXPECT_EQ(c->logits_rows, 7u);
  EXPECT_TRUE(c->hidden_states);
  EXPECT_EQ(c->template_text, "x");
  EXPECT_EQ(c->memory_limit_bytes, 123456u);
  EXPECT_EQ(c->speculation.source, runtime::SpeculationOptions::Source::kModel);
  EXPECT_EQ(c->draft_pack_fd, 5);
  EXPECT_EQ(c->keys_fd, 7);
  EXPECT_EQ(c->draft_keys_fd, 8);
  EXPECT_EQ(c->memory_lock, platform::MemoryLock::kRequired);
  EXPECT_EQ(parse_load_config("{}")->memory_lock, platform::MemoryLock::kBestEffort);
  EXPECT_EQ(parse_load_config(R"({"memory_lock":"off"})")->memory_lock, platform::MemoryLock::kOff);
}

TEST(LoadConfigTest, TheDelayIsKnownToBuildsWithHooksAlone) {
#ifdef HOLDFAST_TEST_HOOKS
  EXPECT_EQ(parse_load_config(R"({"test_token_delay_ms":10000})")->test_token_delay_ms, 10000u);
  EXPECT_FALSE(parse_load_config(R"({"test_token_delay_ms":10001})").ok());
#else
  EXPECT_FALSE(parse_load_config(R"({"test_token_delay_ms":1})").ok());
#endif
}

TEST(LoadConfigTest, EachKindOfSpeculation) {
  using Source = runtime::SpeculationOptions::Source;
  const auto parsed = [](const char* word) {
    return parse_load_config(json::write(json::Object{{"speculation", word}}))->speculation;
  };
  EXPECT_EQ(parsed("off").source, Source::kNone);
  EXPECT_EQ(parsed("auto").source, Source::kLookup);
  EXPECT_TRUE(parsed("auto").adaptive);
  EXPECT_EQ(parsed("ngram").source, Source::kLookup);
  EXPECT_FALSE(parsed("ngram").adaptive);
  EXPECT_TRUE(parsed("draft").adaptive);
  EXPECT_EQ(parse_load_config("{}")->speculation.source, Source::kNone);
}

TEST(LoadConfigTest, EachLimitAndOneBeyond) {
  struct Row {
    const char* key;
    std::int64_t low;
    std::int64_t high;
  };
  const Row rows[] = {
      {"pack_fd", 4, 1023},
      {"threads", 1, std::int64_t{tensor::ThreadTeam::kThreadsMax}},
      {"usable_cpus", 1, 65536},
      {"context", 0, std::int64_t{model::kContextMax}},
      {"kv_tokens", 0, std::int64_t{1} << 40},
      {"batch_max", 1, 1024},
      {"prefill_chunk", 1, std::int64_t{model::kContextMax}},
      {"queue_max", 1, 65536},
      {"logits_rows", 0, 65536},
      {"memory_limit_bytes", 0, std::int64_t{1} << 60},
      {"draft_pack_fd", 4, 1023},
      {"keys_fd", 4, 1023},
      {"draft_keys_fd", 4, 1023},
  };
  for (const Row& row : rows) {
    const auto parsed = [&](std::int64_t value) {
      return parse_load_config(json::write(json::Object{{row.key, value}}));
    };
    EXPECT_TRUE(parsed(row.low).ok()) << row.key;
    EXPECT_TRUE(parsed(row.high).ok()) << row.key;
    for (const std::int64_t beyond : {row.low - 1, row.high + 1}) {
      const auto refused = parsed(beyond);
      ASSERT_FALSE(refused.ok()) << row.key << " " << beyond;
      EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(refused.error().to_string(), HasSubstr(row.key));
    }
  }
}

TEST(LoadConfigTest, WhatIsNotAConfiguration) {
  for (const char* text : {"",
                           "[]",
                           "1",
                           "{",
                           R"({"nonesuch":1})",
                           R"({"threads":"1"})",
                           R"({"threads":1.5})",
                           R"({"isa":1})",
                           R"({"hidden_states":1})",
                           R"({"cpus":0})",
                           R"({"cpus":["0"]})",
                           R"({"cpus":[-1]})",
                           R"({"cpus":[65536]})",
                           R"({"cpus":[1.5]})",
                           R"({"load":"copy"})",
                           R"({"kv_type":"q8"})",
                           R"({"memory_lock":"maybe"})",
                           R"({"speculation":"maybe"})",
                           R"({"speculation":1})",
                           R"({"template":null})"}) {
    EXPECT_FALSE(parse_load_config(text).ok()) << text;
  }
}

class LoadModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << "no golden files";
    std::string pattern = ::testing::TempDir() + "/holdfast-load-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    auto store = registry::Store::open(fs_, platform::system_clock(), dir_ + "/data");
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    importer::ImportOptions options;
    options.path = kModel;
    options.engine_program = HOLDFAST_ENGINE;
    const auto imported = importer::import_model(**store, options);
    ASSERT_TRUE(imported.ok()) << imported.error().to_string();
    const auto pack = (*store)->open_pack(imported->model);
    ASSERT_TRUE(pack.ok());
    pack_ = *platform::read_all(**pack, 1u << 30);
    store_ = std::move(*store);
  }
  // A descriptor of the pack of another golden model.
  int other_pack(const std::string& name) {
    importer::ImportOptions options;
    options.path = HOLDFAST_SOURCE_DIR "/tests/golden/tiny/" + name + ".gguf";
    options.name = name;
    options.engine_program = HOLDFAST_ENGINE;
    const auto imported = importer::import_model(*store_, options);
    EXPECT_TRUE(imported.ok());
    const auto pack = store_->open_pack(imported->model);
    EXPECT_TRUE(pack.ok());
    auto fd = platform::duplicate(**pack);
    EXPECT_TRUE(fd.ok());
    return fd->release();
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }
  // Of a copy of the pack, as it is in pack_ at this moment.
  std::variant<std::unique_ptr<LoadedModel>, LoadFailure> load(LoadConfig config) {
    const std::string path = dir_ + "/copy.hfc";
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(pack_.data()),
               static_cast<std::streamsize>(pack_.size()));
    auto file = platform::File::open_read(path);
    EXPECT_TRUE(file.ok());
    config.pack_fd = std::move(*file).release().release();
    return load_model(config);
  }
  LoadFailure failure(const LoadConfig& config) {
    auto result = load(config);
    if (auto* f = std::get_if<LoadFailure>(&result)) return std::move(*f);
    ADD_FAILURE() << "it was loaded";
    return {internal_error("loaded"), 0, 0};
  }

  platform::PosixFileSystem fs_;
  std::string dir_;
  std::unique_ptr<registry::Store> store_;
  Bytes pack_;
};

TEST_F(LoadModelTest, TheLimitIsExact) {
  LoadConfig config;
  config.context = 512;
  config.batch_max = 1;
  auto whole = load(config);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(whole));
  const model::MemoryPlan plan = std::get<0>(whole)->plan;
  const std::uint64_t need = plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes;
  config.memory_limit_bytes = need;
  EXPECT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(load(config)));
  config.memory_limit_bytes = need - 1;
  const LoadFailure f = failure(config);
  EXPECT_EQ(f.error.code(), ErrorCode::kExhausted);
  EXPECT_EQ(f.limit_bytes, need - 1);
  EXPECT_EQ(f.needed_bytes, need);
}

// One implementation: what is planned without loading is what loading decides, refusals too.
TEST_F(LoadModelTest, WhatIsPlannedIsWhatLoadingDoes) {
  ModelSize size;
  const platform::MemorySource source{ByteView(pack_)};
  const auto pack = vault::PackReader::open(source);
  ASSERT_TRUE(pack.ok());
  size.hyper = *model::from_json(as_string_view(*pack->read_object(vault::ObjectKind::kConfig)));
  for (const vault::TensorEntry& t : pack->index().tensors) size.weights_bytes += t.length;
  size.kept_bytes = pack->payload_bytes() - size.weights_bytes;
  for (const int batch : {1, 3, 20}) {
    for (const std::int64_t limit : {0, 1'000'000, 1'500'000, 3'000'000, 9'000'000}) {
      for (const int context : {0, 96, 512}) {
        const std::string json = json::write(json::Object{
            {"context", context}, {"batch_max", batch}, {"memory_limit_bytes", limit}});
        const auto planned = plan_engine(json, size, {.sequences = 1, .tokens = 96});
        const auto loaded = load(*parse_load_config(json));
        ASSERT_EQ(planned.index(), loaded.index()) << json;
        if (const auto* refused = std::get_if<LoadFailure>(&loaded)) {
          const auto& no = std::get<footprint::NoFit>(planned);
          EXPECT_EQ(no.error.to_string(), refused->error.to_string());
          EXPECT_EQ(no.needed_bytes, refused->needed_bytes);
          continue;
        }
        const LoadedModel& model = *std::get<0>(loaded);
        const footprint::Fit& fit = std::get<EnginePlan>(planned).fit;
        EXPECT_EQ(fit.context, model.model->options().context_length) << json;
        EXPECT_EQ(fit.pages, model.cache->pages_total()) << json;
        EXPECT_EQ(fit.plan.total_bytes(), model.plan.total_bytes()) << json;
        EXPECT_EQ(fit.plan.process_bytes, model.plan.process_bytes) << json;
        EXPECT_EQ(fit.reduced, model.context_reduced) << json;
      }
    }
  }
}

TEST_F(LoadModelTest, PlansOfWrongConfigurationsAreRefused) {
  const auto code = [](std::string_view config, const EngineUse& use) {
    const auto planned = plan_engine(config, {}, use);
    return std::get<footprint::NoFit>(planned).error.code();
  };
  EXPECT_EQ(code(R"({"nonesuch":1})", {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("{}", {.sequences = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("{}", {}), ErrorCode::kCorrupt);  // a model without layers
}

TEST_F(LoadModelTest, ADraftModelIsCountedInThePlanAndInTheLimit) {
  LoadConfig config;
  config.context = 512;
  config.batch_max = 2;
  auto alone = load(config);
  config.speculation.source = runtime::SpeculationOptions::Source::kModel;
  config.draft_pack_fd = other_pack("llama-tied-ropefreqs");
  auto both = load(config);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(both))
      << std::get<LoadFailure>(both).error.to_string();
  const LoadedModel& model = *std::get<0>(both);
  ASSERT_TRUE(model.draft);
  EXPECT_EQ(model.draft->cache->pages_total(), model.cache->pages_total());
  EXPECT_EQ(model.plan.kv_bytes, model.cache->bytes() + model.draft->cache->bytes());
  EXPECT_GT(model.plan.weights_bytes, std::get<0>(alone)->plan.weights_bytes);
  const std::uint64_t one_context = model.plan.kv_bytes / config.places();
  const std::uint64_t need = model.plan.weights_bytes + model.plan.scratch_bytes + one_context;
  config.memory_limit_bytes = need;
  config.draft_pack_fd = other_pack("llama-tied-ropefreqs");
  auto tight = load(config);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(tight));
  EXPECT_EQ(std::get<0>(tight)->plan.total_bytes(), need);
  config.memory_limit_bytes = need - 1;
  config.draft_pack_fd = other_pack("llama-tied-ropefreqs");
  const LoadFailure f = failure(config);
  EXPECT_EQ(f.error.code(), ErrorCode::kExhausted);
  EXPECT_EQ(f.needed_bytes, need);
  config.memory_limit_bytes = 1;
  config.draft_pack_fd = other_pack("llama-tied-ropefreqs");
  EXPECT_THAT(failure(config).error.to_string(), HasSubstr("draft model does not fit"));
}

// As many tokens that differ, and fewer.
TEST_F(LoadModelTest, ADraftModelOfAnotherVocabularyIsRefused) {
  LoadConfig config;
  config.context = 64;
  config.speculation.source = runtime::SpeculationOptions::Source::kModel;
  for (const char* name : {"gemma3", "quant-Q4_0"}) {
    config.draft_pack_fd = other_pack(name);
    const LoadFailure f = failure(config);
    EXPECT_EQ(f.error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(f.error.to_string(), HasSubstr("another vocabulary"));
  }
}

TEST_F(LoadModelTest, ADraftModelThatIsNotThereIsAnError) {
  LoadConfig config;
  config.context = 64;
  config.speculation.source = runtime::SpeculationOptions::Source::kModel;
  EXPECT_THAT(failure(config).error.to_string(), HasSubstr("draft model"));
}

// A context that was asked for is never cut down; the limit of one byte loads nothing.
TEST_F(LoadModelTest, NothingFitsInOneByte) {
  LoadConfig config;
  config.memory_limit_bytes = 1;
  const LoadFailure f = failure(config);
  EXPECT_EQ(f.error.code(), ErrorCode::kExhausted);
  EXPECT_THAT(f.error.to_string(), HasSubstr("no context fits"));
}

class LoadModes : public LoadModelTest, public ::testing::WithParamInterface<LoadMode> {};

TEST_P(LoadModes, EveryDamagedByteIsFound) {
  LoadConfig config;
  config.context = 64;
  config.batch_max = 1;
  config.threads = 2;
  config.load = GetParam();
  const Bytes intact = pack_;
  const std::size_t step = intact.size() / 61 | 1;
  for (std::size_t at = 0; at < intact.size(); at += step) {
    pack_ = intact;
    pack_[at] ^= std::byte{0x10};
    auto result = load(config);
    // Between the parts of a pack lies padding that nobody reads.
    if (const auto* f = std::get_if<LoadFailure>(&result)) {
      EXPECT_THAT(f->error.code(), ::testing::AnyOf(ErrorCode::kCorrupt, ErrorCode::kUnsupported))
          << at << " " << f->error.to_string();
    } else {
      EXPECT_LT(at, 16384u) << "damage was not seen";
      EXPECT_EQ(intact[at], std::byte{0}) << at;
    }
  }
}

TEST_P(LoadModes, ATruncatedPackIsCorrupt) {
  LoadConfig config;
  config.load = GetParam();
  config.context = 64;
  const Bytes intact = pack_;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4095},
                                 std::size_t{4096}, intact.size() / 2, intact.size() - 1}) {
    pack_.assign(intact.begin(), intact.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(failure(config).error.code(), ErrorCode::kCorrupt) << size;
  }
}

// Oracle: the pack's own bytes, where its header says the payload begins.
TEST_P(LoadModes, ThePayloadIsThePacksAndAligned) {
  LoadConfig config;
  config.context = 64;
  config.batch_max = 1;
  config.threads = 3;
  config.load = GetParam();
  auto result = load(config);
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<LoadedModel>>(result));
  const ByteView payload = std::get<0>(result)->payload.view();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(payload.data()) % 64, 0u);
  const platform::MemorySource source{ByteView(pack_)};
  const auto pack = vault::PackReader::open(source);
  ASSERT_TRUE(pack.ok());
  ASSERT_EQ(payload.size(), pack->payload_bytes());
  EXPECT_TRUE(std::ranges::equal(
      payload, ByteView(pack_).subspan(pack->header().data_off(), pack->payload_bytes())));
}

INSTANTIATE_TEST_SUITE_P(Modes, LoadModes, ::testing::Values(LoadMode::kRead, LoadMode::kMap));

}  // namespace
}  // namespace holdfast::enginehost
