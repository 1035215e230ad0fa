// The jailed side of reseal.h.
#include <optional>

#include "child_side.h"
#include "holdfast/base/units.h"
#include "holdfast/importer/import_child.h"
#include "holdfast/platform/slice_source.h"
#include "holdfast/vault/resumable_seal.h"
#include "key_from_holder.h"
#include "protocol.h"
#include "reseal_protocol.h"

namespace holdfast::importer {
namespace {

constexpr int kPackFd = kFirstPartFd;
constexpr int kOutputFd = kPackFd + 1;
constexpr int kNewKeyFd = kOutputFd + 1;
constexpr int kSourceKeysFd = kNewKeyFd + 1;
constexpr auto kKeyPatience = std::chrono::seconds(30);

// Resumable where the output is sealed and the request names the work: chunks that are not sealed
// prove nothing about themselves.
Result<ResealResult> write_pack(const vault::PackReader& pack, const ResealRequest& request,
                                platform::File& out, const vault::SealProgress& progress) {
  std::optional<vault::SealPlan> seal;
  if (request.created) {
    HF_TRY_ASSIGN(seal, receive_seal_plan(platform::UniqueFd(kNewKeyFd), *request.created));
  }
  ResealResult result;
  if (seal && request.work) {
    HF_TRY_ASSIGN(const vault::ResumedSeal resumed,
                  vault::seal_pack_resumably(pack, out, *std::move(seal), *request.work, progress));
    result.pack = resumed.pack;
    result.bytes_kept = resumed.chunks_kept * vault::kChunkBytes;
    return result;
  }
  HF_TRY_ASSIGN(result.pack, vault::seal_pack(pack, out, seal ? &*seal : nullptr, progress));
  return result;
}

Result<std::string> reseal_inherited(const std::string& text, wire::Channel& channel) {
  HF_TRY_ASSIGN(const ResealRequest request, decode_reseal_request(text));
  std::optional<vault::ContentKeys> source_keys;
  if (request.source_sealed) {
    const platform::UniqueFd socket(kSourceKeysFd);
    HF_TRY_ASSIGN(source_keys, vault::receive_content_keys(
                                   socket.get(), platform::Deadline::after(kKeyPatience)));
  }
  HF_TRY_ASSIGN(const auto file, platform::File::from_fd(platform::UniqueFd(kPackFd)));
  const ByteRange range = request.range.value_or(ByteRange{0, file.size()});
  HF_TRY_ASSIGN(const auto slice, platform::SliceSource::of(file, range.offset, range.length));
  HF_TRY_ASSIGN(const auto pack, vault::PackReader::open(*slice, nullptr, std::move(source_keys)));
  HF_TRY_ASSIGN(platform::File out, platform::File::from_fd(platform::UniqueFd(kOutputFd)));
  ProgressSender sender(channel, "sealing");
  HF_TRY_ASSIGN(const ResealResult result,
                write_pack(pack, request, out, [&](std::uint64_t done, std::uint64_t total) {
                  return sender(done, total);
                }));
  return encode_reseal_result(result);
}

// Without AES instructions a thread still encrypts and decrypts more than this per second.
constexpr std::uint64_t kBytesPerCpuSecond = 16 * kMiB;
constexpr std::chrono::seconds kCpuTimeBase{60};

jail::Profile reseal_profile() {
  std::uint64_t source_bytes = 0;
  jail::Profile profile = child_profile(1, source_bytes);
  profile.cpu_time = kCpuTimeBase + std::chrono::seconds(source_bytes / kBytesPerCpuSecond);
  profile.file_bytes_max = source_bytes + kMiB;
  return profile;
}

}  // namespace

Status run_reseal_jailed() {
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(reseal_profile()));
  return serve_child(platform::UniqueFd(kControlFd), "resealer",
                     "not enough memory to seal the model", reseal_inherited);
}

}  // namespace holdfast::importer
