// LoadedModel: everything that a model needs in memory, read from its pack.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/chat/template.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/footprint/plan.h"
#include "holdfast/json/json.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/model/model.h"
#include "holdfast/platform/busy_board.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/platform/mapped_file.h"
#include "holdfast/runtime/speculation.h"
#include "holdfast/tensor/thread_team.h"
#include "holdfast/tokenizer/tokenizer.h"
#include "holdfast/wire/messages.h"

namespace holdfast::enginehost {

enum class LoadMode : std::uint8_t {
  kRead,  // a copy in huge pages of this process
  kMap,   // the pages of the page cache
};

// The Load message's configuration, checked.
struct LoadConfig {
  int pack_fd = -1;
  int keys_fd = -1;  // a socket that brings the keys of a sealed pack; -1: the pack is not sealed
  std::uint32_t threads = 1;
  std::uint32_t usable_cpus = 1;
  std::vector<int> cpus;  // where the compute threads run, in their order; empty: anywhere
  LoadMode load = LoadMode::kRead;
  platform::MemoryLock memory_lock = platform::MemoryLock::kBestEffort;  // of weights and KV cache
  std::uint32_t context = 0;  // 0: the model's own, or the largest that fits
  std::uint64_t kv_tokens =
      0;  // KV capacity of all sequences together; 0: planned from context and memory
  std::uint64_t kv_bytes_max = 0;  // memory for the KV cache; 0: what the limit leaves
  kvcache::KvType kv_type = kvcache::KvType::kF16;
  std::string isa;  // forced, or empty
  std::uint32_t batch_max = 8;
  // More sequences, for tenants of which nothing runs: see runtime::SchedulerOptions.
  std::uint32_t guests_max() const { return batch_max == 1 ? 0 : (batch_max + 7) / 8; }
  std::uint32_t places() const { return batch_max + guests_max(); }
  std::uint32_t prefill_chunk = 192;
  bool prefix_cache = false;
  std::uint64_t prefix_bytes_max = 0;       // of pages that are kept; 0: kPrefixBytesDefault
  std::vector<std::string> shared_prompts;  // texts that prompts of all domains may share
  std::uint32_t queue_max = 256;
  std::uint32_t logits_rows = 0;  // rows of logits in one step; at least batch_max
  bool hidden_states = false;
  std::string template_text;             // used instead of the pack's chat template
  std::uint64_t memory_limit_bytes = 0;  // 0: no limit
  runtime::SpeculationOptions speculation;
  // Builds with test hooks: every step that brings tokens takes so much longer, so that what the
  // engine can do is known exactly.
  std::uint32_t test_token_delay_ms = 0;
  int draft_pack_fd = -1;  // with Source::kModel: the model that guesses
  int draft_keys_fd = -1;
  // Shows the other engines of the server that this one computes, and this one what they do.
  std::shared_ptr<platform::BusyMark> mark = std::make_shared<platform::BusyMark>();
};

// kInvalidArgument names the member that is unknown or out of range.
Result<LoadConfig> parse_load_config(std::string_view json_text);

// Kept pages are memory that others could use, and rarely is more of it worth having.
inline constexpr std::uint64_t kPrefixBytesDefault = std::uint64_t{1} << 30;

// Objects and tensors of a pack, verified, in one of two kinds of memory.
struct Payload {
  platform::LargeBuffer buffer;
  platform::MappedFile mapping;

  ByteView view() const { return buffer.size() > 0 ? buffer.view() : mapping.view(); }
};

// Members are destroyed in the reverse of this order: the model before the weights that it views.
struct LoadedModel {
  Payload payload;
  json::Value metadata;
  std::string template_text;
  std::optional<chat::Template> chat_template;
  std::optional<Error> template_error;  // why there is none although the pack has a template
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  const kernels::KernelTable* kernels = nullptr;
  std::unique_ptr<tensor::ThreadTeam> team;
  std::unique_ptr<kvcache::PagedKvCache> cache;
  std::unique_ptr<model::Model> model;
  footprint::MemoryPlan plan;
  LoadMode load = LoadMode::kRead;            // as it was done: a sealed pack cannot be mapped
  std::optional<crypto::AeadAlgorithm> seal;  // of the pack
  bool memory_locked = false;                 // weights and KV cache
  std::size_t prefix_pages = 0;               // kept at most
  bool context_reduced = false;               // the model's own context did not fit
  // The model that guesses, with Source::kModel: its team is this model's, `plan` counts it in.
  std::unique_ptr<LoadedModel> draft;
};

struct LoadFailure {
  Error error;
  std::uint64_t limit_bytes = 0;   // with kExhausted: what may be used
  std::uint64_t needed_bytes = 0;  // and what is needed
};

// Reads the pack in parallel, on the threads that will compute with it, decrypts and checks every
// chunk, builds tokenizer, template and model, and the draft model if there is one. The keys are
// wiped when this returns. kInvalidArgument if the draft has another vocabulary.
std::variant<std::unique_ptr<LoadedModel>, LoadFailure> load_model(const LoadConfig& config);

}  // namespace holdfast::enginehost
