#include "holdfast/custody/key_verifiers.h"

#include <algorithm>

#include "holdfast/identity/key_store.h"
#include "protocol.h"

namespace holdfast::custody {
namespace {

using keyholder::Op;

constexpr std::string_view kPepperVersion = "1";
constexpr std::int64_t kPauseNs = 5'000'000'000;

// What follows the domain string in the verifier's message.
Bytes message_of(const identity::ParsedKey& key) {
  ByteWriter out;
  out.raw(key.id).be(std::uint8_t{0}).raw(key.secret);
  return std::move(out).take();
}

Result<bool> has_keys(platform::FileSystem& files, const std::string& directory) {
  platform::SystemEntropy entropy;
  const identity::KeyStore store(files, directory, entropy, platform::system_clock());
  HF_TRY_ASSIGN(const std::vector<identity::KeyRecord> keys, store.list());
  return !keys.empty();
}

Status make_pepper(Custody& custody, platform::FileSystem& files, const std::string& directory,
                   const identity::Pepper* from_file) {
  Status added = ok_status();
  if (from_file != nullptr) {
    HF_TRY_ASSIGN(const crypto::Secret value, crypto::Secret::copy_of(*from_file));
    added = custody.add_key(keyring::purpose::kPepper, kPepperVersion, &value);
  } else {
    HF_TRY_ASSIGN(const bool keys, has_keys(files, directory));
    if (keys) {
      return corrupt("the pepper of the API keys is gone", directory)
          .with_hint("restore keys/pepper, or state.db, from the backup that has keys/keys.json");
    }
    added = custody.add_key(keyring::purpose::kPepper, kPepperVersion, nullptr);
  }
  // kConflict: another process was first.
  if (!added.ok() && added.error().code() != ErrorCode::kConflict) return added;
  return ok_status();
}

}  // namespace

Result<crypto::Sha256Digest> CustodyVerifiers::verifier(const identity::ParsedKey& key) {
  return custody_.mac(keyring::MacUse::kApiKey, kPepperVersion, message_of(key));
}

SharedHolderVerifiers::SharedHolderVerifiers(platform::FileSystem& files, std::string data_dir,
                                             const platform::Clock& clock)
    : client_(files, {std::move(data_dir), /*program=*/{}, /*share=*/false}), clock_(clock) {}

Result<crypto::Sha256Digest> SharedHolderVerifiers::verifier(const identity::ParsedKey& key) {
  if (clock_.monotonic_ns() < not_before_ns_) return unavailable("the key holder does not answer");
  const ByteWriter body = mac_body(keyring::MacUse::kApiKey, kPepperVersion, message_of(key));
  // Twice: a holder that was replaced leaves a connection that ends at the first request.
  auto reply = client_.call(Op::kMac, body.view());
  if (!reply.ok() && !client_.is_shared()) reply = client_.call(Op::kMac, body.view());
  if (!reply.ok()) {
    not_before_ns_ = clock_.monotonic_ns() + kPauseNs;
    return std::move(reply).error();
  }
  return decode_mac(*reply);
}

Result<bool> has_pepper(Custody& custody) {
  return custody.has_key(keyring::purpose::kPepper, kPepperVersion);
}

Status keep_pepper_in_keyring(Custody& custody, platform::FileSystem& files,
                              const std::string& keys_directory) {
  HF_TRY_ASSIGN(const bool kept, has_pepper(custody));
  const auto file = identity::read_pepper(files, keys_directory);
  if (!file.ok() && file.error().code() != ErrorCode::kNotFound) return file.error();
  if (!kept) HF_TRY(make_pepper(custody, files, keys_directory, file.ok() ? &*file : nullptr));
  if (!file.ok()) return ok_status();
  // The file goes only when the keyring is known to have the same.
  const identity::ParsedKey probe{"probe", "probe"};
  CustodyVerifiers verifiers(custody);
  HF_TRY_ASSIGN(const crypto::Sha256Digest theirs, verifiers.verifier(probe));
  const std::string path = identity::KeyStore::pepper_path(keys_directory);
  if (theirs != identity::key_verifier(*file, probe)) {
    return corrupt("keys/pepper is another pepper than the keyring's", path)
        .with_hint("restore keys/ and state.db from the same backup");
  }
  HF_TRY(files.remove(path));
  return files.sync_dir(keys_directory);
}

}  // namespace holdfast::custody
