// Slots in a TPM 2.0: 32 random bytes, sealed to the state of the boot and, where wanted, a PIN.
#include <tss2_mu.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/entropy.h"
#include "request.h"
#include "tpm_device.h"

namespace holdfast::slotopener {
namespace {

constexpr std::size_t kSealedBytes = 32;
// The authorization value of an object is at most as long as its name's hash.
constexpr std::size_t kPinBytesMax = 32;

template <typename T>
MutableBytes bytes_of(T& value) {
  return {reinterpret_cast<std::byte*>(&value), sizeof value};
}

Result<TPM2B_AUTH> read_pin() {
  HF_TRY_ASSIGN(const crypto::Secret pin, read_line("PIN"));
  if (pin.size() > kPinBytesMax)
    return invalid_argument("a TPM takes a PIN of at most 32 bytes")
        .with_hint("choose a shorter one");
  TPM2B_AUTH out{};
  out.size = static_cast<UINT16>(pin.size());
  std::memcpy(out.buffer, pin.view().data(), pin.size());
  return out;
}

Result<std::uint32_t> parse_mask(const std::string& hint) {
  std::uint32_t mask = 0;
  const char* end = hint.data() + hint.size();
  const auto parsed = std::from_chars(hint.data(), end, mask);
  if (parsed.ec != std::errc() || parsed.ptr != end || !keyring::is_pcr_mask(mask))
    return invalid_argument("no registers of a TPM: '" + hint + "'");
  return mask;
}

TPM2B_PUBLIC sealed_template(const PolicyDigest& policy, bool pin) {
  TPM2B_PUBLIC out{};
  TPMT_PUBLIC& area = out.publicArea;
  area.type = TPM2_ALG_KEYEDHASH;
  area.nameAlg = TPM2_ALG_SHA256;
  // Opened by its policy alone. Only a wrong PIN counts against an attacker.
  area.objectAttributes =
      TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | (pin ? 0u : TPMA_OBJECT_NODA);
  area.authPolicy.size = static_cast<UINT16>(policy.size());
  std::memcpy(area.authPolicy.buffer, policy.data(), policy.size());
  area.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  return out;
}

template <typename T, typename Marshal>
Result<Bytes> marshal(const T& value, Marshal function) {
  std::array<std::uint8_t, sizeof(T)> buffer{};
  std::size_t used = 0;
  const TSS2_RC code = function(&value, buffer.data(), buffer.size(), &used);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "marshal");
  const auto bytes = std::as_bytes(std::span(buffer).first(used));
  return Bytes(bytes.begin(), bytes.end());
}

// kDenied: what is no object at all was not made by any TPM.
template <typename T, typename Unmarshal>
Status unmarshal(ByteView bytes, T& value, Unmarshal function) {
  std::size_t used = 0;
  const TSS2_RC code =
      function(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), &used, &value);
  if (code == TSS2_RC_SUCCESS && used == bytes.size()) return ok_status();
  return tpm_error(TPM2_RC_INTEGRITY, "the object of the slot");
}

Result<Opened> enrol(const TpmDevice& tpm, const Request& request) {
  keyring::Tpm2Params params;
  params.pin = request.has_secret;
  HF_TRY_ASSIGN(params.pcr_mask, parse_mask(request.hint));
  HF_TRY_ASSIGN(const TpmHandle primary, make_primary(tpm));
  {
    HF_TRY_ASSIGN(const TpmHandle trial, start_session(tpm, primary, SessionKind::kTrial));
    HF_TRY_ASSIGN(params.policy_digest, apply_policy(tpm, trial, params.pcr_mask, params.pin));
  }
  HF_TRY_ASSIGN(const TpmHandle session, start_session(tpm, primary, SessionKind::kHmac));
  platform::SystemEntropy entropy;
  HF_TRY_ASSIGN(const crypto::Secret secret, crypto::Secret::random(kSealedBytes, entropy));
  TPM2B_SENSITIVE_CREATE sensitive{};
  if (params.pin) {
    HF_TRY_ASSIGN(sensitive.sensitive.userAuth, read_pin());
  }
  sensitive.sensitive.data.size = kSealedBytes;
  std::memcpy(sensitive.sensitive.data.buffer, secret.view().data(), kSealedBytes);
  const TPM2B_PUBLIC wanted = sealed_template(params.policy_digest, params.pin);
  const TPM2B_DATA no_data{};
  const TPML_PCR_SELECTION no_pcrs{};
  TPM2B_PRIVATE* private_raw = nullptr;
  TPM2B_PUBLIC* public_raw = nullptr;
  const TSS2_RC code = Esys_Create(tpm.esys(), primary.get(), session.get(), ESYS_TR_NONE,
                                   ESYS_TR_NONE, &sensitive, &wanted, &no_data, &no_pcrs,
                                   &private_raw, &public_raw, nullptr, nullptr, nullptr);
  platform::wipe(bytes_of(sensitive));
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "seal");
  const EsysOwned<TPM2B_PRIVATE> private_area(private_raw);
  const EsysOwned<TPM2B_PUBLIC> public_area(public_raw);
  HF_TRY_ASSIGN(params.private_area, marshal(*private_area, Tss2_MU_TPM2B_PRIVATE_Marshal));
  HF_TRY_ASSIGN(params.public_area, marshal(*public_area, Tss2_MU_TPM2B_PUBLIC_Marshal));
  HF_TRY_ASSIGN(keyring::FactorKey key,
                keyring::derive_factor_key(request.kind, secret, request.slot));
  return Opened{std::move(key), keyring::encode_params(params)};
}

Result<TpmHandle> load(const TpmDevice& tpm, const TpmHandle& primary,
                       const keyring::Tpm2Params& params) {
  TPM2B_PUBLIC public_area{};
  TPM2B_PRIVATE private_area{};
  HF_TRY(unmarshal(params.public_area, public_area, Tss2_MU_TPM2B_PUBLIC_Unmarshal));
  HF_TRY(unmarshal(params.private_area, private_area, Tss2_MU_TPM2B_PRIVATE_Unmarshal));
  HF_TRY_ASSIGN(const TpmHandle session, start_session(tpm, primary, SessionKind::kHmac));
  ESYS_TR handle = ESYS_TR_NONE;
  TSS2_RC code = Esys_Load(tpm.esys(), primary.get(), session.get(), ESYS_TR_NONE, ESYS_TR_NONE,
                           &private_area, &public_area, &handle);
  if (code != TSS2_RC_SUCCESS) {
    // Whatever a TPM finds wrong with an object, to its user it is the same.
    const bool about_the_object = (code & 0xffff0000u) == 0 && (code & TPM2_RC_FMT1) != 0;
    return tpm_error(about_the_object ? TPM2_RC_INTEGRITY : code, "load");
  }
  return TpmHandle(tpm, handle);
}

Result<Opened> open(const TpmDevice& tpm, const Request& request) {
  HF_TRY_ASSIGN(const keyring::Tpm2Params params, keyring::decode_tpm2_params(request.params));
  if (params.pin && !request.has_secret) return invalid_argument("the slot needs its PIN");
  HF_TRY_ASSIGN(const TpmHandle primary, make_primary(tpm));
  HF_TRY_ASSIGN(const TpmHandle object, load(tpm, primary, params));
  HF_TRY_ASSIGN(const TpmHandle session, start_session(tpm, primary, SessionKind::kPolicy));
  HF_TRY_ASSIGN(const PolicyDigest now, apply_policy(tpm, session, params.pcr_mask, params.pin));
  if (now != params.policy_digest) return tpm_error(TPM2_RC_POLICY_FAIL, "policy digest");
  if (params.pin) {
    HF_TRY_ASSIGN(TPM2B_AUTH pin, read_pin());
    const TSS2_RC set = Esys_TR_SetAuth(tpm.esys(), object.get(), &pin);
    platform::wipe(bytes_of(pin));
    if (set != TSS2_RC_SUCCESS) return tpm_error(set, "PIN");
  }
  TPM2B_SENSITIVE_DATA* raw = nullptr;
  const TSS2_RC code =
      Esys_Unseal(tpm.esys(), object.get(), session.get(), ESYS_TR_NONE, ESYS_TR_NONE, &raw);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "unseal");
  const EsysOwned<TPM2B_SENSITIVE_DATA> unsealed(raw);
  auto secret = crypto::Secret::copy_of(std::as_bytes(std::span(unsealed->buffer, unsealed->size)));
  platform::wipe(bytes_of(*unsealed));
  if (!secret.ok()) return std::move(secret).error();
  HF_TRY_ASSIGN(keyring::FactorKey key,
                keyring::derive_factor_key(request.kind, *secret, request.slot));
  return Opened{std::move(key), {}};
}

// Ways over sockets connect anew for each command.
bool is_device(const std::string& tcti) { return tcti == "device" || tcti.starts_with("device:"); }

}  // namespace

Result<Opened> use_tpm(const Request& request) {
  HF_TRY(harden());
  HF_TRY_ASSIGN(const TpmDevice tpm, TpmDevice::connect(request.device));
  if (is_device(request.device)) HF_TRY(confine(tpm.fd()));
  return request.enrol ? enrol(tpm, request) : open(tpm, request);
}

}  // namespace holdfast::slotopener
