// Frames between the key holder, its clients and slot openers: a length, bytes, and at most one
// descriptor that travels with them. Format: docs/formats/keyring.md, "Key holder protocol".
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::keyholder {

// A whole keyring and its parameters, or some thousand wrapped keys.
inline constexpr std::size_t kFrameBytesMax = 256 * 1024;

struct Frame {
  Bytes bytes;
  platform::UniqueFd fd;  // invalid: none came along
};

// kUnavailable when the other end is gone, kDeadline, kIo. Precondition: 1..kFrameBytesMax bytes.
// `pass_fd` is duplicated by the kernel; -1: none.
Status send_frame(int socket, ByteView bytes, int pass_fd, platform::Deadline deadline);
// As send_frame; kCorrupt for an empty or too long frame, and for more than one descriptor.
Result<Frame> receive_frame(int socket, platform::Deadline deadline);

// Replies: u8 0 and a body, or the number of an error code, its message, detail and hint.
Bytes encode_reply(const Result<Bytes>& result);
Result<Bytes> decode_reply(ByteView reply);

// Secrets over a socket, by way of ordinary memory that is wiped: system calls do not reach
// memfd_secret.
Status send_secret(int socket, ByteView secret, platform::Deadline deadline);
Result<crypto::Secret> receive_secret(int socket, std::size_t bytes, platform::Deadline deadline);
// All bytes up to the end, 1..`bytes_max`, from a file or a socket. kInvalidArgument for none or
// more, kDeadline.
Result<crypto::Secret> read_secret(int fd, std::size_t bytes_max, platform::Deadline deadline);

}  // namespace holdfast::keyholder
