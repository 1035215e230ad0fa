// Frames: how bytes between the gateway and a child are cut into messages. Format:
// docs/formats/wire.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::wire {

// Of every frame; both sides come from one build, so there is no negotiation: another number is an
// error.
inline constexpr std::uint8_t kProtocolVersion = 1;
inline constexpr std::size_t kFrameHeaderBytes = 8;
// Payload. Larger than the largest request (8 MiB of text) with its tokens and their spellings.
inline constexpr std::size_t kFramePayloadBytesMax = std::size_t{64} << 20;
// A receiver skips types from here on that it does not know; an unknown type below ends the
// connection.
inline constexpr std::uint16_t kFirstSkippableType = 0x8000;

struct Frame {
  std::uint16_t type = 0;
  ByteView payload;
};

void store_frame_header(std::byte* out /* [kFrameHeaderBytes] */, std::uint16_t type,
                        std::uint32_t payload_bytes);

// Turns received bytes into frames. Memory grows with the bytes that arrived, never with a length
// that was claimed. Thread-compatible; no I/O, so it serves blocking readers and event loops alike.
class FrameParser {
 public:
  explicit FrameParser(std::size_t payload_bytes_max = kFramePayloadBytesMax)
      : payload_bytes_max_(payload_bytes_max) {}

  void feed(ByteView bytes);
  // The next whole frame, whose payload is valid until the next call of feed() or next(); nullopt:
  // more bytes are needed. kCorrupt for a wrong version or flags, kExhausted for a payload above
  // the limit: the connection cannot go on, and every later call says the same.
  Result<std::optional<Frame>> next();
  // Bytes of an unfinished frame: not 0 at the end of the stream means that it was cut.
  std::size_t pending_bytes() const { return buffer_.size() - consumed_; }

 private:
  const std::size_t payload_bytes_max_;
  Bytes buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace holdfast::wire
