// What a slot opener does: from the secret of one factor to the factor's key. A process of its own
// for each factor, because it runs foreign libraries and passphrase hashes that must live neither
// with the root key nor with the HTTP parser.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace holdfast::slotopener {

// Descriptors by convention: where the reply goes (keyholder/link.h), where the 32 bytes of the key
// go, where the secret comes from (passphrase, PIN, key file, credential).
inline constexpr int kReplyFd = 3;
inline constexpr int kKeyFd = 4;
inline constexpr int kSecretFd = 5;

inline constexpr std::size_t kPassphraseBytesMax = 1024;
inline constexpr std::size_t kKeyFileBytesMax = 64 * 1024;

// Arguments: "open" KIND SLOT PARAMS DEVICE, or "enrol" KIND SLOT HINT DEVICE; SLOT and PARAMS in
// hexadecimal. HINT of a passphrase: "MEMORY_KIB,PASSES,LANES"; of a TPM: its mask of registers in
// decimal; of a token: its URI, after "generate " where a key may be made. DEVICE of a TPM: how TSS
// reaches it; of a token: "automatic" where nobody is there to correct a PIN; else empty.
// The reply of enrol is the factor's parameters, of open nothing; or an error. The exit status.
int run_opener(std::span<const std::string> arguments);

// Instead of an opener: confines itself as those do that need no device, and makes one attempt to
// reach the network (jail/egress.h). The exit status.
int probe_opener(std::string_view attempt, std::string_view targets);

}  // namespace holdfast::slotopener
