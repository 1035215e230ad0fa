// Test support: an engine on a tiny golden model, and everything that it says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/gguf/gguf.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/file.h"
#include "holdfast/runtime/engine.h"
#include "holdfast/tokenizer/vocabulary_gguf.h"
#include "tiny_model.h"

namespace holdfast::runtime {

using model::TinyModel;

// Keeps everything that the engine says.
class Recorder final : public OutputSink {
 public:
  struct Answer {
    std::optional<StartedOutput> started;
    std::vector<TokenOutput> tokens;
    std::string text;
    std::optional<FinishedOutput> finished;
    std::optional<Failure> failure;
    std::vector<float> rows;
    std::optional<std::pair<double, std::uint32_t>> score;
    int ends = 0;
  };
  void on_started(RequestId id, StartedOutput s) override { answers[id].started = std::move(s); }
  void on_token(RequestId id, TokenOutput t, std::string text) override {
    answers[id].tokens.push_back(std::move(t));
    answers[id].text += text;
  }
  void on_finished(RequestId id, FinishedOutput f) override {
    answers[id].finished = std::move(f);
    ++answers[id].ends;
  }
  void on_rows(RequestId id, std::uint32_t, std::uint32_t, std::span<const float> v) override {
    answers[id].rows.insert(answers[id].rows.end(), v.begin(), v.end());
  }
  void on_score(RequestId id, double nll, std::uint32_t n) override {
    answers[id].score = {nll, n};
    ++answers[id].ends;
  }
  void on_failed(RequestId id, Failure f) override {
    answers[id].failure = std::move(f);
    ++answers[id].ends;
  }
  std::vector<std::int32_t> ids(RequestId id) {
    std::vector<std::int32_t> out;
    for (const TokenOutput& t : answers[id].tokens) out.push_back(t.id);
    return out;
  }
  std::map<RequestId, Answer> answers;
};

struct BenchSetup {
  std::uint32_t threads = 1;
  std::uint32_t chunk = 64;
  std::uint32_t sequences = 4;
  std::uint32_t context = 256;
  std::size_t pages = 64;
  std::uint32_t queue = 16;
  std::uint32_t guests = 0;
  std::size_t prefix_pages = 0;
  std::vector<std::vector<std::int32_t>> shared_prefixes = {};
  SpeculationOptions speculation = {};
  std::string model = "llama-gqa-untied";
  std::string draft = "llama-gqa-untied";  // with Source::kModel
  const platform::Clock* clock = &platform::system_clock();
  kernels::KvType kv_type = kernels::KvType::kF16;
};

// A golden model with everything that an engine needs.
class Bench {
 public:
  explicit Bench(const BenchSetup& s = {}) {
    const std::string path = model::golden_dir() + "/" + s.model + ".gguf";
    tiny = TinyModel::open(path);
    auto file = platform::File::open_read(path);
    const platform::ByteSource* part = &*file;
    auto gguf = gguf::parse(std::span(&part, 1));
    auto vocabulary = tokenizer::vocabulary_from_gguf(*gguf);
    HF_CHECK(vocabulary.ok());
    tokens = *tokenizer::Tokenizer::load_owned(*tokenizer::serialize(*vocabulary));
    model::LoadOptions o;
    o.context_length = s.context;
    const bool guesses = s.speculation.source != SpeculationOptions::Source::kNone;
    const std::uint32_t ahead = guesses ? s.speculation.tokens_max : 0;
    const std::uint32_t places = s.sequences + s.guests;
    o.batch_tokens_max = s.chunk + places + ahead;
    o.sequences_max = places;
    o.logits_rows_max = std::min(o.batch_tokens_max, std::max(places, 16u) + ahead);
    o.hidden_rows_max = 4;
    o.threads = s.threads;
    o.kv_type = s.kv_type;
    const auto& hyper = tiny->inspection().hyper;
    weights = *model::Model::load(hyper, *tiny, o);
    cache = *kvcache::PagedKvCache::create(model::kv_layout(hyper, o.kv_type), s.pages);
    team = *tensor::ThreadTeam::create(s.threads, 2);
    const auto* table = kernels::available_kernels(platform::CpuFeatures::detect()).back();
    EngineParts parts{*weights, *team, *table, *cache, *tokens, *s.clock};
    if (s.speculation.source == SpeculationOptions::Source::kModel) load_draft(s, o, parts);
    EngineOptions options;
    options.sequences_max = s.sequences;
    options.guests_max = s.guests;
    options.prefill_chunk = s.chunk;
    options.queue_max = s.queue;
    options.prefix_pages_max = s.prefix_pages;
    options.shared_prefixes = s.shared_prefixes;
    options.speculation = s.speculation;
    engine.emplace(parts, options, sink);
  }
  void load_draft(const BenchSetup& s, model::LoadOptions o, EngineParts& parts) {
    o.logits_rows_max = s.sequences + s.guests;
    tiny_draft = TinyModel::open(model::golden_dir() + "/" + s.draft + ".gguf");
    const auto& hyper = tiny_draft->inspection().hyper;
    draft_weights = *model::Model::load(hyper, *tiny_draft, o);
    draft_cache = *kvcache::PagedKvCache::create(model::kv_layout(hyper, o.kv_type), s.pages);
    parts.draft_model = draft_weights.get();
    parts.draft_cache = draft_cache.get();
  }
  void run() {
    for (int i = 0; i < 10000 && !engine->idle(); ++i) engine->step();
    EXPECT_TRUE(engine->idle());
    EXPECT_EQ(cache->pages_in_use(), 0u);
    EXPECT_EQ(cache->pages_free() + engine->stats().pages_kept, cache->pages_total());
    if (draft_cache) {
      EXPECT_EQ(draft_cache->pages_free(), draft_cache->pages_total());
    }
  }
  std::int32_t vocab() const { return static_cast<std::int32_t>(tiny->inspection().hyper.n_vocab); }

  std::unique_ptr<TinyModel> tiny;
  std::unique_ptr<TinyModel> tiny_draft;
  std::unique_ptr<tokenizer::Tokenizer> tokens;
  std::unique_ptr<model::Model> weights;
  std::unique_ptr<kvcache::PagedKvCache> cache;
  std::unique_ptr<model::Model> draft_weights;
  std::unique_ptr<kvcache::PagedKvCache> draft_cache;
  std::unique_ptr<tensor::ThreadTeam> team;
  Recorder sink;
  std::optional<Engine> engine;
};

inline std::vector<std::int32_t> prompt_of(std::size_t n, int salt = 0) {
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < n; ++i)
    out.push_back(
        static_cast<std::int32_t>((i * 37 + static_cast<std::size_t>(salt) * 11 + 5) % 300));
  return out;
}

inline Request generate(RequestId id, std::vector<std::int32_t> tokens, std::uint32_t n,
                        float temperature = 0) {
  Request r;
  r.id = id;
  r.tokens = std::move(tokens);
  r.generate.emplace();
  r.generate->max_tokens = n;
  r.generate->ignore_eos = true;
  r.generate->sampling.temperature = temperature;
  r.generate->sampling.seed = 7;
  return r;
}

}  // namespace holdfast::runtime
