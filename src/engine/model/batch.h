// A step prepared for the graph: where each token's keys and values go, and which rows are wanted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/model/model.h"
#include "holdfast/tensor/attention.h"

namespace holdfast::model {

// Reused from step to step: its vectors are sized once. Owned by the model; built by the calling
// thread, read by all.
class Batch {
 public:
  // A token whose final hidden state is wanted; kNone where not.
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Wanted {
    std::uint32_t row = 0;
    std::uint32_t logits_row = kNone;
    std::uint32_t hidden_row = kNone;
  };

  explicit Batch(const LoadOptions& options);

  // Checks the step and reserves its pages. kInvalidArgument, kExhausted as Model::forward; then
  // the cache is as before.
  Status prepare(const Hyperparameters& hyper, const LoadOptions& options, const Step& step,
                 kvcache::PagedKvCache& cache);
  // The tokens' keys and values are complete.
  void commit(kvcache::PagedKvCache& cache) const;

  std::span<const StepToken> tokens() const { return tokens_; }
  // Page of token i's keys and values.
  std::byte* page(std::size_t i) const {
    return pages_[i][tokens_[i].position / kvcache::PagedKvCache::kPageTokens];
  }
  std::span<const tensor::AttentionBlock> blocks() const { return blocks_; }
  std::span<const Wanted> wanted() const { return wanted_; }
  std::uint32_t logits_rows() const { return logits_rows_; }
  std::uint32_t hidden_rows() const { return hidden_rows_; }
  const SquareSums& squares() const { return squares_; }

 private:
  struct Run {  // consecutive tokens of one sequence
    kvcache::SequenceId sequence{};
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };

  Status split_into_runs(const Hyperparameters& hyper, const LoadOptions& options,
                         const kvcache::PagedKvCache& cache);
  Status collect_wanted(const LoadOptions& options);
  void cut_blocks(const kvcache::PagedKvCache& cache);

  std::span<const StepToken> tokens_;
  SquareSums squares_;
  std::vector<Run> runs_;
  std::vector<std::byte* const*> pages_;  // [tokens]: page table of the token's sequence
  std::vector<tensor::AttentionBlock> blocks_;
  std::vector<Wanted> wanted_;
  std::uint32_t logits_rows_ = 0;
  std::uint32_t hidden_rows_ = 0;
};

}  // namespace holdfast::model
