// The recovery code: a passphrase that is made, printed once and kept on paper.
#pragma once

#include "holdfast/crypto/secret.h"

namespace holdfast::keyring {

// 160 bits in base32 (RFC 4648, lower case), eight groups of four: "abcd-efgh-...".
inline constexpr std::size_t kRecoveryCodeBytes = 39;

Result<crypto::Secret> make_recovery_code(platform::Entropy& entropy);

// As people type it: white space and hyphens are left out, letters become lower case. Text that is
// then no recovery code is returned as it was given: it is somebody's passphrase.
Result<crypto::Secret> normalize_passphrase(ByteView typed);

}  // namespace holdfast::keyring
