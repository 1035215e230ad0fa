// The jailed side of quantize.h.
#include <memory>
#include <optional>
#include <vector>

#include "child_side.h"
#include "holdfast/base/units.h"
#include "holdfast/importer/import_child.h"
#include "protocol.h"
#include "quantize_protocol.h"
#include "requantize.h"

namespace holdfast::importer {
namespace {

Result<std::string> quantize_inherited(const std::string& text, wire::Channel& channel) {
  HF_TRY_ASSIGN(const QuantizeRequest request, decode_quantize_request(text));
  HF_TRY_ASSIGN(const auto files, open_inherited(kFirstPartFd, request.sizes));
  const int out_fd = kFirstPartFd + static_cast<int>(files.size());
  HF_TRY_ASSIGN(platform::File out, platform::File::from_fd(platform::UniqueFd(out_fd)));
  RequantizeInput input;
  input.type = find_file_type(request.type);
  if (input.type == nullptr) return corrupt("an unknown type of file");
  input.threads = request.threads;
  std::optional<model::Importance> importance;
  if (request.has_importance) {
    HF_TRY_ASSIGN(importance, model::read_importance(*files.back()));
    input.importance = &*importance;
    input.importance_name = request.importance_name;
  }
  std::vector<const platform::ByteSource*> parts;
  for (const auto& file : files) parts.push_back(file.get());
  if (request.has_importance) parts.pop_back();
  input.parts = parts;
  input.names = request.names;
  ProgressSender sender(channel, "quantizing");
  HF_TRY_ASSIGN(const QuantizeResult result,
                requantize(input, out, [&](std::uint64_t done, std::uint64_t total) {
                  return sender(done, total);
                }));
  return encode_quantize_result(result);
}

// From 1.6 bits a weight to 16.
constexpr std::uint64_t kGrowthMax = 10;
constexpr std::uint64_t kOverheadBytes = 16 * kMiB;

// Searching for scales takes about 30 times as long as packing; a thread does more than this per
// second on any machine that can run a model.
constexpr std::uint64_t kBytesPerCpuSecond = kMiB / 2;
constexpr std::chrono::seconds kCpuTimeBase{60};

}  // namespace

jail::Profile quantize_profile(unsigned n_inputs) {
  std::uint64_t source_bytes = 0;
  jail::Profile profile = child_profile(n_inputs, source_bytes);
  profile.cpu_time = kCpuTimeBase + std::chrono::seconds(source_bytes / kBytesPerCpuSecond);
  profile.file_bytes_max = kGrowthMax * source_bytes + kOverheadBytes;
  return profile;
}

Status run_quantize_jailed(unsigned n_inputs) {
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(quantize_profile(n_inputs)));
  return serve_child(platform::UniqueFd(kControlFd), "quantizer",
                     "not enough memory to quantize the model", quantize_inherited);
}

}  // namespace holdfast::importer
