// Oracle: bit identity. The logits of a position are the same for any number of threads, any cut of
// the prompt into steps, alone or beside other sequences, over shared pages, and on every
// instruction set. The comparator is tested with kernels that break the rule.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"
#include "tiny_model.h"

namespace holdfast::model {
namespace {

using kernels::KernelTable;

// Index of the first float whose bits differ; nullopt if all are equal.
std::optional<std::size_t> first_difference(const std::vector<float>& a,
                                            const std::vector<float>& b) {
  if (a.size() != b.size()) return std::min(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return i;
  }
  return std::nullopt;
}

std::vector<const KernelTable*> tables() {
  return kernels::available_kernels(platform::CpuFeatures::detect());
}

// Two cache types, with and without quantised weights, windows, biases, fused matrices, heads that
// are no multiple of 16, and 3 query heads on 1 KV head.
class Determinism : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = golden_models().at(GetParam());
    for (const GoldenSequence& s : golden_.sequences) {
      if (s.ids.size() > longest_.ids.size()) longest_ = s;
    }
    tiny_ = TinyModel::open(longest_.gguf);
  }
  std::vector<float> run(const KernelTable& table, const RunOptions& options) {
    return run_logits(*tiny_, table, longest_.context, longest_.ids, options);
  }

  GoldenModel golden_;
  GoldenSequence longest_;
  std::unique_ptr<TinyModel> tiny_;
};

TEST_P(Determinism, ThreadsDoNotMatter) {
  for (const std::uint32_t chunk : {1u, 512u}) {
    const auto one = run(*tables().back(), {.threads = 1, .chunk = chunk});
    for (std::uint32_t threads = 2; threads <= 4; ++threads) {
      const auto many = run(*tables().back(), {.threads = threads, .chunk = chunk});
      EXPECT_EQ(first_difference(one, many), std::nullopt)
          << threads << " threads, chunk " << chunk;
    }
  }
}

TEST_P(Determinism, ChunksDoNotMatter) {
  const auto whole = run(*tables().back(), {.chunk = 512});
  for (const std::uint32_t chunk : {1u, 2u, 7u, 33u, 64u}) {
    const auto cut = run(*tables().back(), {.threads = 2, .chunk = chunk});
    EXPECT_EQ(first_difference(whole, cut), std::nullopt) << "chunk " << chunk;
  }
}

TEST_P(Determinism, InstructionSetsDoNotMatter) {
  for (const kvcache::KvType type : {kvcache::KvType::kF16, kvcache::KvType::kF32}) {
    const auto scalar = run(*tables().front(), {.kv_type = type, .chunk = 64});
    for (const KernelTable* table : tables()) {
      const auto logits = run(*table, {.kv_type = type, .chunk = 64});
      EXPECT_EQ(first_difference(scalar, logits), std::nullopt) << table->isa;
    }
  }
}

// The prompt several times over, so that its end sees several chunks of keys, which few tokens and
// some threads share among themselves; with every type of keys and values that the model can have.
TEST_P(Determinism, ChunksOfKeysDoNotMatter) {
  std::vector<std::int32_t> ids;
  while (ids.size() < 2 * kernels::kAttentionChunk + 40) {
    ids.insert(ids.end(), longest_.ids.begin(), longest_.ids.end());
  }
  const auto context = static_cast<std::uint32_t>(ids.size());
  for (std::size_t i = 0; i < kernels::kKvTypes; ++i) {
    const auto type = static_cast<kvcache::KvType>(i);
    if (!kernels::kv_dim_fits(type, tiny_->inspection().hyper.head_dim)) continue;
    const auto whole =
        run_logits(*tiny_, *tables().back(), context, ids, {.kv_type = type, .chunk = 512});
    for (const std::uint32_t chunk : {1u, 3u, 37u}) {
      const auto cut = run_logits(*tiny_, *tables().back(), context, ids,
                                  {.kv_type = type, .threads = chunk % 5 + 1, .chunk = chunk});
      EXPECT_EQ(first_difference(whole, cut), std::nullopt)
          << kernels::kv_type_name(type) << " chunk " << chunk;
    }
  }
}

// One model with three sequences that advance by different amounts in the same steps.
class Batched {
 public:
  Batched(TinyModel& tiny, std::uint32_t context, std::size_t pages) {
    LoadOptions load{.context_length = context};
    load.batch_tokens_max = load.logits_rows_max = 512;
    load.threads = 2;
    const Hyperparameters& hyper = tiny.inspection().hyper;
    model_ = Model::load(hyper, tiny, load).value();
    team_ = tensor::ThreadTeam::create(2, 2).value();
    cache_ = kvcache::PagedKvCache::create(kv_layout(hyper, load.kv_type), pages).value();
  }

  // Appends ids[at, at + count) of a sequence to the step.
  void add(kvcache::SequenceId sequence, const std::vector<std::int32_t>& ids, std::size_t count) {
    std::size_t at = cache_->length(sequence);
    for (std::size_t i = 0; i < count && at < ids.size(); ++i, ++at) {
      tokens_.push_back({.sequence = sequence,
                         .position = static_cast<std::uint32_t>(at),
                         .token = ids[at],
                         .wants_logits = true});
    }
  }
  // Runs the step and appends each sequence's logits to its own list.
  void run(std::map<kvcache::SequenceId, std::vector<float>>& out) {
    Step step{.tokens = tokens_, .logits = {}, .hidden = {}};
    const Status status = model_->forward(*team_, *tables().back(), *cache_, step);
    ASSERT_TRUE(status.ok()) << status.error().to_string();
    const std::size_t n = model_->hyperparameters().n_vocab;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const auto row = step.logits.subspan(i * n, n);
      auto& list = out[tokens_[i].sequence];
      list.insert(list.end(), row.begin(), row.end());
    }
    tokens_.clear();
  }
  kvcache::PagedKvCache& cache() { return *cache_; }
  bool empty() const { return tokens_.empty(); }

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<tensor::ThreadTeam> team_;
  std::unique_ptr<kvcache::PagedKvCache> cache_;
  std::vector<StepToken> tokens_;
};

TEST_P(Determinism, CompanyDoesNotMatter) {
  const auto alone = run(*tables().back(), {});
  Batched batch(*tiny_, longest_.context, 32);
  std::map<kvcache::SequenceId, std::vector<std::int32_t>> ids;
  const kvcache::SequenceId main = batch.cache().open().value();
  ids[main] = longest_.ids;
  for (const std::size_t drop : {3u, 50u}) {
    const kvcache::SequenceId other = batch.cache().open().value();
    ids[other].assign(longest_.ids.begin() + static_cast<std::ptrdiff_t>(drop), longest_.ids.end());
  }
  std::map<kvcache::SequenceId, std::vector<float>> logits;
  const std::size_t amounts[] = {1, 40, 2, 1, 17};
  for (std::size_t step = 0;; ++step) {
    std::size_t which = 0;
    for (const auto& [sequence, list] : ids)
      batch.add(sequence, list, amounts[(step + which++) % 5]);
    if (batch.empty()) break;
    batch.run(logits);
  }
  EXPECT_EQ(first_difference(alone, logits[main]), std::nullopt);
}

TEST_P(Determinism, SharedPagesDoNotMatter) {
  const auto alone = run(*tables().back(), {});
  Batched batch(*tiny_, longest_.context, 16);
  std::map<kvcache::SequenceId, std::vector<float>> logits;
  const kvcache::SequenceId first = batch.cache().open().value();
  batch.add(first, longest_.ids, 512);
  batch.run(logits);
  const std::size_t prefix = longest_.ids.size() / 2;
  const kvcache::SequenceId second = batch.cache().fork(first, prefix).value();
  batch.add(second, longest_.ids, 512);
  batch.run(logits);
  const auto skip = static_cast<std::ptrdiff_t>(prefix * longest_.row_floats);
  EXPECT_EQ(first_difference({alone.begin() + skip, alone.end()}, logits[second]), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Determinism,
                         testing::Values("llama-gqa-untied", "llama-tied-ropefreqs", "quant-Q4_0",
                                         "quant-Q2_K", "qwen2-bias", "gemma3", "phi3-longrope",
                                         "olmo2"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

// Mutants of the float matrix product: right up to rounding, but added up in another order.
std::uint32_t mutant_parts = 1;

void product_in_parts(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin,
                      std::uint32_t group_end, const kernels::FloatView& x, float* out,
                      std::size_t out_stride, std::uint32_t parts) {
  std::vector<float> w(x.k);
  for (std::uint32_t r = group_begin * 16; r < std::min(group_end * 16, rows); ++r) {
    quant::unpack_row(quant::TensorType::kPF32, matrix, rows, x.k, r, w.data());
    for (std::uint32_t c = 0; c < x.n; ++c) {
      float sum = 0;
      for (std::uint32_t part = 0; part < parts; ++part) {
        float partial = 0;
        for (std::uint32_t k = x.k * part / parts; k < x.k * (part + 1) / parts; ++k) {
          partial += w[k] * x.x[c * x.stride + k];
        }
        sum += partial;
      }
      out[c * out_stride + r] = sum;
    }
  }
}

void split_by_thread(const std::byte* matrix, std::uint32_t rows, std::uint32_t begin,
                     std::uint32_t end, const kernels::FloatView& x, float* out,
                     std::size_t out_stride) {
  product_in_parts(matrix, rows, begin, end, x, out, out_stride, mutant_parts);
}

void split_by_columns(const std::byte* matrix, std::uint32_t rows, std::uint32_t begin,
                      std::uint32_t end, const kernels::FloatView& x, float* out,
                      std::size_t out_stride) {
  product_in_parts(matrix, rows, begin, end, x, out, out_stride, x.n > 1 ? 2 : 1);
}

class DeterminismMutants : public testing::Test {
 protected:
  std::vector<float> run(const KernelTable& table, const RunOptions& options) {
    auto tiny = TinyModel::open(golden_dir() + "/llama-gqa-untied.gguf");
    return run_logits(*tiny, table, 512, golden_models().at("llama-gqa-untied").sequences[1].ids,
                      options);
  }
};

TEST_F(DeterminismMutants, ASumSplitByThreadIsCaught) {
  KernelTable mutant = *tables().front();
  mutant.gemm_pf32 = split_by_thread;
  mutant_parts = 1;
  const auto one = run(mutant, {.threads = 1});
  EXPECT_EQ(first_difference(one, run(mutant, {.threads = 2})), std::nullopt);
  for (const std::uint32_t threads : {2u, 3u, 4u}) {
    mutant_parts = threads;
    EXPECT_NE(first_difference(one, run(mutant, {.threads = threads})), std::nullopt) << threads;
  }
}

TEST_F(DeterminismMutants, ASumThatDependsOnTheBatchIsCaught) {
  KernelTable mutant = *tables().front();
  mutant.gemm_pf32 = split_by_columns;
  EXPECT_NE(first_difference(run(mutant, {.chunk = 1}), run(mutant, {.chunk = 64})), std::nullopt);
}

}  // namespace
}  // namespace holdfast::model
