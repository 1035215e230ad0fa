// A TPM 2.0 through tss2-esys: the connection, handles that end with their scope, and errors that
// say what to do.
#pragma once

#include <tss2_esys.h>

#include <array>
#include <memory>
#include <string>

#include "holdfast/base/result.h"

namespace holdfast::slotopener {

template <typename T>
struct EsysFree {
  void operator()(T* pointer) const { Esys_Free(pointer); }
};
template <typename T>
using EsysOwned = std::unique_ptr<T, EsysFree<T>>;

// Thread-compatible; handles end before it.
class TpmDevice {
 public:
  // `tcti` as TSS names a way to a TPM, such as "device:/dev/tpmrm0". kUnavailable.
  static Result<TpmDevice> connect(const std::string& tcti);
  TpmDevice(TpmDevice&& other) noexcept;
  TpmDevice& operator=(TpmDevice&&) = delete;
  ~TpmDevice();

  ESYS_CONTEXT* esys() const { return esys_; }
  // What it talks over; -1 where that cannot be told.
  int fd() const;

 private:
  explicit TpmDevice(TSS2_TCTI_CONTEXT* tcti) : tcti_(tcti) {}
  TSS2_TCTI_CONTEXT* tcti_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
};

// A transient object or a session, flushed at its end: a TPM has room for three.
class TpmHandle {
 public:
  TpmHandle(const TpmDevice& tpm, ESYS_TR handle) : esys_(tpm.esys()), handle_(handle) {}
  TpmHandle(TpmHandle&& other) noexcept
      : esys_(other.esys_), handle_(std::exchange(other.handle_, ESYS_TR_NONE)) {}
  TpmHandle& operator=(TpmHandle&&) = delete;
  ~TpmHandle();
  ESYS_TR get() const { return handle_; }

 private:
  ESYS_CONTEXT* esys_;
  ESYS_TR handle_;
};

using PolicyDigest = std::array<std::byte, 32>;

// The storage key under the owner hierarchy that every TPM makes again and again the same.
Result<TpmHandle> make_primary(const TpmDevice& tpm);
enum class SessionKind : std::uint8_t { kHmac, kPolicy, kTrial };
// Salted with `primary`; an HMAC session encrypts parameters both ways, a policy session the reply.
Result<TpmHandle> start_session(const TpmDevice& tpm, const TpmHandle& primary, SessionKind kind);
// The registers of the mask as they are now, and the object's PIN where there is one.
Result<PolicyDigest> apply_policy(const TpmDevice& tpm, const TpmHandle& session,
                                  std::uint32_t pcr_mask, bool pin);

// What a failed command means for a slot.
Error tpm_error(TSS2_RC code, std::string_view doing);

}  // namespace holdfast::slotopener
