#include "holdfast/bundle/transport_key.h"

#include <algorithm>

#include "holdfast/vault/wrap_slot.h"

namespace holdfast::bundle {
namespace {

constexpr std::string_view kSaltDomain = "holdfast/bundle-salt/v1";
constexpr std::string_view kKeyDomain = "holdfast/bundle/v1";
constexpr std::size_t kSaltBytes = 16;
constexpr std::int64_t kVersion = 1;
constexpr std::uint32_t kEpoch = 1;
static_assert(kTransportKekId.size() == sizeof(vault::KekId));

struct TransportKey {
  crypto::Secret kek;
  crypto::Nonce nonce{};
};

// Sixteen bytes of a digest over the header, which holds 32 random bytes: no two packs share one.
Bytes salt_of(const vault::PackHeader& header) {
  ByteWriter text;
  text.raw(kSaltDomain).be(std::uint8_t{0}).raw(vault::header_digest(encode_header(header)));
  const crypto::Sha256Digest digest = crypto::sha256(text.view());
  return Bytes(digest.begin(), digest.begin() + kSaltBytes);
}

Status check_cost(const crypto::Argon2Cost& cost) {
  if (cost.memory_kib >= kTransportMemoryKibMin && cost.memory_kib <= kTransportMemoryKibMax &&
      cost.passes >= 1 && cost.passes <= kTransportPassesMax && cost.lanes >= 1 &&
      cost.lanes <= kTransportLanesMax) {
    return ok_status();
  }
  return invalid_argument("the passphrase of a bundle cannot have that cost")
      .with_hint("64 MiB to 4 GiB of memory, 1 to 16 passes (keyring.argon2_memory, argon2_time)");
}

Result<TransportKey> derive(ByteView passphrase, const vault::PackHeader& header,
                            const crypto::Argon2Cost& cost) {
  HF_TRY(check_cost(cost));
  HF_TRY_ASSIGN(const crypto::Secret stretched,
                crypto::argon2id(passphrase, salt_of(header), cost));
  const crypto::Sha256Digest digest = vault::header_digest(encode_header(header));
  TransportKey key;
  HF_TRY_ASSIGN(const crypto::Secret okm,
                crypto::hkdf_sha256(stretched.view(), digest, as_bytes_view(kKeyDomain),
                                    crypto::kKeyBytes + crypto::kNonceBytes));
  HF_TRY_ASSIGN(key.kek, crypto::Secret::copy_of(okm.view().first(crypto::kKeyBytes)));
  std::ranges::copy(okm.view().subspan(crypto::kKeyBytes), key.nonce.begin());
  return key;
}

vault::KekId kek_id() {
  vault::KekId id{};
  std::ranges::copy(as_bytes_view(kTransportKekId), id.begin());
  return id;
}

Error malformed() { return corrupt("the bundle's description of its key is damaged"); }

Result<std::uint32_t> number_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_int() || v->as_int() < 0 || v->as_int() > 0xffffffff)
    return malformed();
  return static_cast<std::uint32_t>(v->as_int());
}

}  // namespace

Result<vault::WrapSlot> wrap_for_transport(ByteView passphrase, const vault::PackHeader& header,
                                           const crypto::Argon2Cost& cost,
                                           const crypto::Secret& dek) {
  HF_TRY_ASSIGN(const TransportKey key, derive(passphrase, header, cost));
  return vault::fill_wrap_slot(key.kek, kEpoch, kek_id(), key.nonce, header.model_id, dek);
}

Result<crypto::Secret> unwrap_from_transport(ByteView passphrase, const vault::PackHeader& header,
                                             const crypto::Argon2Cost& cost) {
  const auto slot = std::ranges::find_if(header.slots, [](const vault::WrapSlot& s) {
    return s.used && s.kek_id == kek_id() && s.algorithm == vault::WrapAlgorithm::kAes256Gcm;
  });
  if (slot == header.slots.end()) return corrupt("the bundle's pack has no key for transport");
  HF_TRY_ASSIGN(const TransportKey key, derive(passphrase, header, cost));
  auto dek = vault::open_wrap_slot(key.kek, header.model_id, *slot);
  if (dek.ok() || dek.error().code() != ErrorCode::kCorrupt) return dek;
  return Error(ErrorCode::kDenied, "the passphrase does not open the bundle")
      .with_hint("the passphrase is the one that was given to `holdfast export`");
}

json::Object transport_key_json(const vault::PackHeader& header, const crypto::Argon2Cost& cost) {
  return {
      {"version", kVersion},           {"kdf", "argon2id"},     {"salt", to_hex(salt_of(header))},
      {"memory_kib", cost.memory_kib}, {"passes", cost.passes}, {"lanes", cost.lanes}};
}

Result<crypto::Argon2Cost> decode_transport_key(const json::Value& value) {
  const json::Value* version = value.find("version");
  const json::Value* kdf = value.find("kdf");
  if (version == nullptr || !version->is_int() || kdf == nullptr || !kdf->is_string())
    return malformed();
  if (version->as_int() != kVersion || kdf->as_string() != "argon2id")
    return unsupported("unsupported kind of bundle key");
  crypto::Argon2Cost cost;
  HF_TRY_ASSIGN(cost.memory_kib, number_of(value, "memory_kib"));
  HF_TRY_ASSIGN(cost.passes, number_of(value, "passes"));
  HF_TRY_ASSIGN(cost.lanes, number_of(value, "lanes"));
  HF_TRY(check_cost(cost));
  return cost;
}

}  // namespace holdfast::bundle
