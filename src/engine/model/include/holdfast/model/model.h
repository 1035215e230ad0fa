// Model: weights and graph of one model; computes logits for a batch of tokens of several
// sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/footprint/plan.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/quant/types.h"
#include "holdfast/tensor/thread_team.h"

namespace holdfast::kernels {
struct KernelTable;
}

namespace holdfast::model {

// A tensor in memory: a packed matrix, or a vector (type F32, rows = 1).
struct LoadedTensor {
  quant::TensorType type = quant::TensorType::kF32;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  ByteView bytes;  // 64-byte aligned; stays valid and unchanged as long as the model
};

// Where a model's weights come from. Implemented by the engine host over a pack, and by tests.
class TensorProvider {
 public:
  virtual ~TensorProvider() = default;
  // kNotFound if there is no such tensor; other errors as reading makes them.
  virtual Result<LoadedTensor> get(std::string_view name) = 0;
};

// Tokens of one step at most: bounds scratch memory.
inline constexpr std::uint32_t kBatchTokensMax = 8192;

struct LoadOptions {
  std::uint32_t context_length =
      4096;  // tokens per sequence; selects between long and short rope factors
  kvcache::KvType kv_type = kvcache::KvType::kF16;
  std::uint32_t batch_tokens_max = 512;  // tokens of one step
  std::uint32_t sequences_max = 8;       // sequences of one step
  std::uint32_t logits_rows_max = 8;     // tokens of one step that may want logits
  std::uint32_t hidden_rows_max = 0;  // tokens of one step that may want their final hidden state
  std::uint32_t threads = 1;          // of the team that will run forward()
};

using footprint::MemoryPlan;

kvcache::KvLayout kv_layout(const Hyperparameters& hyper, kvcache::KvType type);
// What load() and a cache of sequences_max sequences of context_length tokens will take, where the
// pack's tensors are `weights_bytes` together. kInvalidArgument for options out of range.
Result<MemoryPlan> memory_plan(const Hyperparameters& hyper, const LoadOptions& options,
                               std::uint64_t weights_bytes);

// The largest step that was done.
struct StepSize {
  std::uint32_t tokens = 1;
  std::uint32_t logits_rows = 1;
  std::uint32_t hidden_rows = 0;
};
// How much of the scratch memory of a model loaded with `options` is resident after steps up to
// that size: each array is touched from its start on. `huge_pages`: whether the system gives them
// where they are asked for. kInvalidArgument for options out of range.
Result<std::uint64_t> scratch_resident_bytes(const Hyperparameters& hyper,
                                             const LoadOptions& options, const StepSize& largest,
                                             bool huge_pages);

// One token of a step. Tokens of one sequence stand together, in order, and continue it: the first
// has position cache.length(sequence), the next one more.
struct StepToken {
  kvcache::SequenceId sequence{};
  std::uint32_t position = 0;
  std::int32_t token = 0;
  bool wants_logits = false;
  bool wants_hidden = false;
};

// Where a step adds the squares of what its matrices read, for importance matrices.
struct SquareSums {
  // [activation_columns(hyper)], slots in the order of activation_slots(); empty: nothing is added.
  std::span<double> sums;
  // The step's tokens that count, [first, first + count).
  std::size_t first = 0;
  std::size_t count = 0;
};

// What forward() computes in one go: the caller fills `tokens`; the results are views into the
// model's memory that stay valid until its next forward().
struct Step {
  std::span<const StepToken> tokens;
  SquareSums squares = {};

  std::span<const float> logits;  // [tokens that want them, in order][n_vocab]
  std::span<const float> hidden;  // [tokens that want it, in order][n_embd]: after the last norm
};

// Owner: the engine loop. Weights are read-only; the scratch memory is written by forward(), so one
// step at a time (thread-compatible).
class Model {
 public:
  // Checks every tensor against `hyper` again and takes the scratch memory. kCorrupt, kNotFound for
  // weights that do not fit, kInvalidArgument for options out of range, kExhausted for memory.
  static Result<std::unique_ptr<Model>> load(const Hyperparameters& hyper, TensorProvider& provider,
                                             const LoadOptions& options,
                                             platform::MemoryBudget* budget = nullptr);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Hyperparameters& hyperparameters() const;
  const LoadOptions& options() const;

  // Appends the step's tokens to their sequences and computes what they want. The logits of a token
  // depend only on the tokens before it in its sequence: not on the team's size, the cut into
  // steps, or other sequences. kInvalidArgument: a token, position, sequence or count out of range.
  // kExhausted: no pages left; the cache is as before. The cache's layout must be kv_layout(hyper,
  // options.kv_type).
  Status forward(tensor::ThreadTeam& team, const kernels::KernelTable& kernels,
                 kvcache::PagedKvCache& cache, Step& step);

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::model
