#include "tpm_device.h"

#include <tss2_rc.h>
#include <tss2_tctildr.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace holdfast::slotopener {
namespace {

constexpr std::size_t kPcrs = 24;

// The number of a command's failure, whichever parameter or session it names.
TSS2_RC plain_code(TSS2_RC code) {
  const TSS2_RC low = code & 0xffffu;
  return (low & TPM2_RC_FMT1) != 0 ? low & (TPM2_RC_FMT1 | 0x3fu) : low;
}

Error no_tpm(TSS2_RC code, const std::string& tcti) {
  return unavailable("there is no TPM at " + tcti + ", or it cannot be used", Tss2_RC_Decode(code))
      .with_hint(
          "check the device and that this user is in its group (tss); HOLDFAST_TCTI names another");
}

TPM2B_PUBLIC primary_template() {
  TPM2B_PUBLIC out{};
  TPMT_PUBLIC& area = out.publicArea;
  area.type = TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                          TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& ecc = area.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_AES;
  ecc.symmetric.keyBits.aes = 128;
  ecc.symmetric.mode.aes = TPM2_ALG_CFB;
  ecc.scheme.scheme = TPM2_ALG_NULL;
  ecc.curveID = TPM2_ECC_NIST_P256;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  return out;
}

}  // namespace

Error tpm_error(TSS2_RC code, std::string_view doing) {
  const std::string detail = std::string(doing) + ": " + Tss2_RC_Decode(code);
  switch (plain_code(code)) {
    case TPM2_RC_AUTH_FAIL:
      return Error(ErrorCode::kUnauthenticated, "the PIN of the TPM's slot is wrong", detail)
          .with_hint("try again with care: after some wrong PINs a TPM refuses all for a while");
    case TPM2_RC_LOCKOUT:
      return exhausted("the TPM had too many wrong PINs and refuses all for a while", detail)
          .with_hint("wait (tpm2_getcap properties-variable tells how long) or use another slot");
    case TPM2_RC_POLICY_FAIL:
    case TPM2_RC_PCR_CHANGED:
      return Error(ErrorCode::kDenied, "the TPM refuses: this is not the state it was sealed to",
                   detail)
          .with_hint("open with another slot, then replace this one: holdfast seal slot add");
    case TPM2_RC_INTEGRITY:
      return Error(ErrorCode::kDenied,
                   "the slot belongs to another TPM, the TPM was cleared, or the slot is damaged",
                   detail)
          .with_hint("open with another slot or the recovery code, then replace this slot");
    case TPM2_RC_BAD_AUTH:
      return Error(ErrorCode::kDenied, "the owner hierarchy of the TPM has a password", detail)
          .with_hint("slots need one without: tpm2_changeauth -c owner");
    case TPM2_RC_INITIALIZE:
      return unavailable("the TPM was not started", detail)
          .with_hint("firmware does that; a software TPM needs tpm2_startup -c");
    default:
      return unavailable("the TPM failed", detail)
          .with_hint("try again, or open with another slot: holdfast seal status lists them");
  }
}

Result<TpmDevice> TpmDevice::connect(const std::string& tcti) {
  TSS2_TCTI_CONTEXT* context = nullptr;
  TSS2_RC code = Tss2_TctiLdr_Initialize(tcti.c_str(), &context);
  if (code != TSS2_RC_SUCCESS) return no_tpm(code, tcti);
  TpmDevice device(context);
  code = Esys_Initialize(&device.esys_, context, nullptr);
  if (code != TSS2_RC_SUCCESS) return no_tpm(code, tcti);
  return device;
}

TpmDevice::TpmDevice(TpmDevice&& other) noexcept
    : tcti_(std::exchange(other.tcti_, nullptr)), esys_(std::exchange(other.esys_, nullptr)) {}

TpmDevice::~TpmDevice() {
  if (esys_ != nullptr) Esys_Finalize(&esys_);
  if (tcti_ != nullptr) Tss2_TctiLdr_Finalize(&tcti_);
}

int TpmDevice::fd() const {
  TSS2_TCTI_POLL_HANDLE handles[4] = {};
  std::size_t count = std::size(handles);
  if (Tss2_Tcti_GetPollHandles(tcti_, handles, &count) != TSS2_RC_SUCCESS || count == 0) return -1;
  return handles[0].fd;
}

TpmHandle::~TpmHandle() {
  // One that is left behind ends with the TPM's resource manager or its restart.
  if (handle_ != ESYS_TR_NONE) static_cast<void>(Esys_FlushContext(esys_, handle_));
}

Result<TpmHandle> make_primary(const TpmDevice& tpm) {
  const TPM2B_PUBLIC wanted = primary_template();
  const TPM2B_SENSITIVE_CREATE no_secret{};
  const TPM2B_DATA no_data{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR handle = ESYS_TR_NONE;
  const TSS2_RC code = Esys_CreatePrimary(tpm.esys(), ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
                                          ESYS_TR_NONE, ESYS_TR_NONE, &no_secret, &wanted, &no_data,
                                          &no_pcrs, &handle, nullptr, nullptr, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "primary key");
  return TpmHandle(tpm, handle);
}

Result<TpmHandle> start_session(const TpmDevice& tpm, const TpmHandle& primary, SessionKind kind) {
  TPMT_SYM_DEF cipher{};
  cipher.algorithm = TPM2_ALG_AES;
  cipher.keyBits.aes = 128;
  cipher.mode.aes = TPM2_ALG_CFB;
  const TPM2_SE type = kind == SessionKind::kHmac     ? TPM2_SE_HMAC
                       : kind == SessionKind::kPolicy ? TPM2_SE_POLICY
                                                      : TPM2_SE_TRIAL;
  ESYS_TR handle = ESYS_TR_NONE;
  TSS2_RC code = Esys_StartAuthSession(
      tpm.esys(), kind == SessionKind::kTrial ? ESYS_TR_NONE : primary.get(), ESYS_TR_NONE,
      ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nullptr, type, &cipher, TPM2_ALG_SHA256, &handle);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "session");
  TpmHandle session(tpm, handle);
  if (kind == SessionKind::kTrial) return session;
  const TPMA_SESSION wanted = TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT |
                              (kind == SessionKind::kHmac ? TPMA_SESSION_DECRYPT : 0u);
  code = Esys_TRSess_SetAttributes(tpm.esys(), handle, wanted, 0xff);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "session attributes");
  return session;
}

Result<PolicyDigest> apply_policy(const TpmDevice& tpm, const TpmHandle& session,
                                  std::uint32_t pcr_mask, bool pin) {
  TPML_PCR_SELECTION pcrs{};
  pcrs.count = 1;
  pcrs.pcrSelections[0].hash = TPM2_ALG_SHA256;
  pcrs.pcrSelections[0].sizeofSelect = kPcrs / 8;
  for (std::size_t i = 0; i < kPcrs / 8; ++i)
    pcrs.pcrSelections[0].pcrSelect[i] = static_cast<std::uint8_t>(pcr_mask >> (8 * i));
  const TPM2B_DIGEST as_they_are{};
  TSS2_RC code = Esys_PolicyPCR(tpm.esys(), session.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                &as_they_are, &pcrs);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "policy of the registers");
  if (pin) {
    code =
        Esys_PolicyAuthValue(tpm.esys(), session.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
    if (code != TSS2_RC_SUCCESS) return tpm_error(code, "policy of the PIN");
  }
  TPM2B_DIGEST* raw = nullptr;
  code = Esys_PolicyGetDigest(tpm.esys(), session.get(), ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                              &raw);
  if (code != TSS2_RC_SUCCESS) return tpm_error(code, "policy digest");
  const EsysOwned<TPM2B_DIGEST> digest(raw);
  PolicyDigest out{};
  if (digest->size != out.size())
    return unavailable("the TPM answered with another kind of digest");
  std::memcpy(out.data(), digest->buffer, out.size());
  return out;
}

}  // namespace holdfast::slotopener
