// Test support: tiny golden models in memory, loaded without an importer, and the rows to hold them
// to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/model/family.h"
#include "holdfast/model/model.h"

namespace holdfast::model {

// 64-byte aligned memory of one tensor.
using AlignedBytes = std::unique_ptr<std::byte[], void (*)(std::byte*)>;

// A GGUF file packed into memory: what the importer and the pack do in a release.
class TinyModel final : public TensorProvider {
 public:
  // Fails the running test if the file is not there or not valid.
  static std::unique_ptr<TinyModel> open(const std::string& path);
  // Likewise of a file that was parsed, or put together, elsewhere.
  static std::unique_ptr<TinyModel> make(const gguf::GgufFile& gguf,
                                         std::span<const platform::ByteSource* const> parts);

  const Inspection& inspection() const { return inspection_; }
  Result<LoadedTensor> get(std::string_view name) override;
  // Lets a test plant a defect.
  LoadedTensor& tensor(const std::string& name) { return tensors_.at(name); }
  void erase(const std::string& name) { tensors_.erase(name); }

 private:
  Status load(const gguf::GgufFile& gguf, std::span<const platform::ByteSource* const> parts);

  Inspection inspection_;
  std::map<std::string, LoadedTensor, std::less<>> tensors_;
  std::vector<AlignedBytes> memory_;
};

// One line of tests/golden/tiny/index.jsonl with its exact rows.
struct GoldenSequence {
  std::string model;  // with "@ctx512" where it was run with that context
  std::string gguf;   // its path
  std::string architecture;
  std::uint32_t context = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> positions;  // of the rows
  std::uint32_t row_floats = 0;
  std::vector<float> exact;  // [positions][row_floats]
};

struct GoldenModel {
  std::vector<GoldenSequence> sequences;
  double llamacpp_rel_l2 = 0;  // with its default f16 cache; 0 where not recorded
  bool only_floats = false;    // F32, F16, BF16 weights
};

// tests/golden/tiny.
std::string golden_dir();
// By name: models of tests/golden/tiny and tests/golden/families whose architecture is supported.
std::map<std::string, GoldenModel> golden_models();

struct RunOptions {
  kvcache::KvType kv_type = kvcache::KvType::kF16;
  std::uint32_t threads = 1;
  std::uint32_t chunk = 512;  // tokens per step
};

// Logits of every token of `ids` from an empty cache, [ids][n_vocab].
std::vector<float> run_logits(TinyModel& tiny, const kernels::KernelTable& kernels,
                              std::uint32_t context, const std::vector<std::int32_t>& ids,
                              const RunOptions& options);

}  // namespace holdfast::model
