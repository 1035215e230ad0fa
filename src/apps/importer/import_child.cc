#include "holdfast/importer/import_child.h"

#include <memory>
#include <optional>
#include <vector>

#include "child_side.h"
#include "convert.h"
#include "holdfast/base/units.h"
#include "holdfast/platform/secret_memory.h"
#include "key_from_holder.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

Result<std::string> convert_inherited(const std::string& request, wire::Channel& channel) {
  HF_TRY_ASSIGN(const ConvertOptions options, decode_request(request));
  std::vector<std::uint64_t> sizes;
  for (const SourceFile& described : options.files) sizes.push_back(described.size);
  HF_TRY_ASSIGN(const auto files, open_inherited(kFirstPartFd, sizes));
  std::vector<const platform::ByteSource*> parts;
  for (const auto& file : files) parts.push_back(file.get());
  const int out_fd = kFirstPartFd + static_cast<int>(files.size());
  HF_TRY_ASSIGN(platform::File out, platform::File::from_fd(platform::UniqueFd(out_fd)));
  std::optional<vault::SealPlan> seal;
  if (options.sealed) {
    HF_TRY_ASSIGN(seal, receive_seal_plan(platform::UniqueFd(out_fd + 1), options.created));
  }
  ProgressSender sender(channel, "converting");
  HF_TRY_ASSIGN(const ConvertResult result,
                convert(
                    parts, out, options,
                    [&](std::uint64_t done, std::uint64_t total) { return sender(done, total); },
                    seal ? &*seal : nullptr));
  return encode_result(result);
}

// Types that grow most in a pack are those of 1.6 bits, stored as bytes with scales: 6.4 times.
constexpr std::uint64_t kPackGrowthMax = 8;
constexpr std::uint64_t kPackOverheadBytes = 256 * kMiB;  // tokenizer tables, index, rounding

// A thread packs at least this much per second on any machine that can run a model.
constexpr std::uint64_t kPackBytesPerCpuSecond = 16 * kMiB;
constexpr std::chrono::seconds kCpuTimeBase{60};

}  // namespace

jail::Profile import_profile(unsigned n_parts) {
  std::uint64_t source_bytes = 0;
  jail::Profile profile = child_profile(n_parts, source_bytes);
  profile.cpu_time = kCpuTimeBase + std::chrono::seconds(source_bytes / kPackBytesPerCpuSecond);
  profile.file_bytes_max = kPackGrowthMax * source_bytes + kPackOverheadBytes;
  return profile;
}

Status run_import_jailed(unsigned n_parts) {
  platform::reserve_secret_memory(kSecretPieces);
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(import_profile(n_parts)));
  return run_import(platform::UniqueFd(kControlFd));
}

Status run_import(platform::UniqueFd control) {
  return serve_child(std::move(control), "importer", "not enough memory to import the model",
                     convert_inherited);
}

}  // namespace holdfast::importer
