// The key holder's answers: one request in, one reply out. No request returns a root key or a KEK.
#pragma once

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/keyring/holder.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::keyholder {

// Numbers as on the socket. Bodies are described in docs/formats/keyring.md.
enum class Op : std::uint8_t {
  kStatus = 1,
  kCreate = 2,
  kOpen = 3,
  kSeal = 4,
  kAddSlot = 5,
  kRemoveSlot = 6,
  kAccept = 7,
  kTestSlot = 8,
  kMakeKey = 9,
  kWrapValue = 10,
  kLoadKey = 11,
  kUnloadKey = 12,
  kBeginRotation = 13,
  kRewrapChildren = 14,
  kGiveDek = 16,
  kContentKeys = 17,
  kRewrapDeks = 18,
  kRevealDek = 19,
  kSealValue = 20,
  kOpenValue = 21,
  kMac = 22,
  kSign = 23,
  kPublicKey = 24,
};

// Thread-compatible. `holder` outlives it.
class Service {
 public:
  explicit Service(keyring::Holder& holder) : holder_(holder) {}
  // `fd` brings secrets or takes them away, as the request says. kCorrupt for what is no request.
  Result<Bytes> handle(ByteView request, const platform::UniqueFd& fd);

 private:
  Result<Bytes> change_slots(Op op, ByteReader& in, int fd);
  Result<Bytes> change_keys(Op op, ByteReader& in, int fd);
  Result<Bytes> rotate(Op op, ByteReader& in, int fd);
  Result<Bytes> use_deks(Op op, ByteReader& in, int fd);
  Result<Bytes> sign(Op op, ByteReader& in);
  Result<Bytes> use_values(Op op, ByteReader& in, int fd);
  keyring::Holder& holder_;
};

// Serves the control socket and every connection of `listener` (-1: none) until the control socket
// closes. kIo where waiting fails.
Status serve_holder(keyring::Holder& holder, int control, int listener);

}  // namespace holdfast::keyholder
