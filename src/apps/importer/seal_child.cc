#include <optional>

#include "child_side.h"
#include "holdfast/base/units.h"
#include "holdfast/importer/import_child.h"
#include "holdfast/json/json.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/seal_pack.h"
#include "protocol.h"

namespace holdfast::importer {
namespace {

// Keys were sent before this process was started.
constexpr auto kKeyPatience = std::chrono::seconds(30);
// A thread decrypts and encrypts at least this much per second without instructions for AES.
constexpr std::uint64_t kBytesPerCpuSecond = 16 * kMiB;
constexpr std::chrono::seconds kCpuTimeBase{60};

platform::Deadline deadline() { return platform::Deadline::after(kKeyPatience); }

Result<std::uint64_t> decode_created(const std::string& request) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(request));
  const json::Value* created = value.find("created");
  if (created == nullptr || !created->is_int() || created->as_int() < 0)
    return corrupt("a request to seal is damaged");
  return static_cast<std::uint64_t>(created->as_int());
}

Result<std::string> seal_inherited(unsigned n_inputs, const std::string& request,
                                   wire::Channel& channel) {
  HF_TRY_ASSIGN(const std::uint64_t created, decode_created(request));
  HF_TRY_ASSIGN(const platform::File source,
                platform::File::from_fd(platform::UniqueFd(kFirstPartFd)));
  const int out_fd = kFirstPartFd + static_cast<int>(n_inputs);
  HF_TRY_ASSIGN(platform::File out, platform::File::from_fd(platform::UniqueFd(out_fd)));
  std::optional<vault::ContentKeys> keys;
  if (n_inputs == 2) {
    const platform::UniqueFd socket(kFirstPartFd + 1);
    HF_TRY_ASSIGN(keys, vault::receive_content_keys(socket.get(), deadline()));
  }
  const platform::UniqueFd key_socket(out_fd + 1);
  HF_TRY_ASSIGN(crypto::Secret dek, vault::receive_data_key(key_socket.get(), deadline()));
  platform::SystemEntropy entropy;
  HF_TRY_ASSIGN(const vault::SealPlan plan,
                vault::SealPlan::make(std::move(dek), entropy, created));
  HF_TRY_ASSIGN(const vault::PackReader pack,
                vault::PackReader::open(source, nullptr, std::move(keys)));
  ProgressSender sender(channel, "sealing");
  HF_TRY(vault::seal_pack(pack, out, &plan, [&](std::uint64_t done, std::uint64_t total) {
    return sender(done, total);
  }));
  return std::string("{}");
}

jail::Profile seal_profile(unsigned n_inputs) {
  std::uint64_t source_bytes = 0;
  jail::Profile profile = child_profile(n_inputs, source_bytes);
  profile.cpu_time = kCpuTimeBase + std::chrono::seconds(source_bytes / kBytesPerCpuSecond);
  profile.file_bytes_max = source_bytes;
  return profile;
}

}  // namespace

Status run_seal_jailed(unsigned n_inputs) {
  if (n_inputs < 1 || n_inputs > 2) return invalid_argument("one or two inputs");
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(seal_profile(n_inputs)));
  return serve_child(platform::UniqueFd(kControlFd), "sealer",
                     "not enough memory to seal the model",
                     [n_inputs](const std::string& request, wire::Channel& channel) {
                       return seal_inherited(n_inputs, request, channel);
                     });
}

}  // namespace holdfast::importer
