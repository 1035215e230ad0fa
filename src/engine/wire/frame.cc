#include "holdfast/wire/frame.h"

#include <cstring>
#include <string>

namespace holdfast::wire {

void store_frame_header(std::byte* out, std::uint16_t type, std::uint32_t payload_bytes) {
  store_le(out, payload_bytes);
  store_le(out + 4, type);
  store_le(out + 6, kProtocolVersion);
  store_le(out + 7, std::uint8_t{0});
}

void FrameParser::feed(ByteView bytes) {
  // Consumed bytes are dropped here, not in next(): the last frame's payload stays valid until now.
  if (consumed_ == buffer_.size()) {
    buffer_.clear();
  } else if (consumed_ > 0) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(consumed_));
  }
  consumed_ = 0;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Frame>> FrameParser::next() {
  const ByteView rest = ByteView(buffer_).subspan(consumed_);
  if (rest.size() < kFrameHeaderBytes) return std::optional<Frame>();
  const auto payload_bytes = load_le<std::uint32_t>(rest.data());
  const auto type = load_le<std::uint16_t>(rest.data() + 4);
  const auto version = load_le<std::uint8_t>(rest.data() + 6);
  const auto flags = load_le<std::uint8_t>(rest.data() + 7);
  if (version != kProtocolVersion) {
    return corrupt("internal protocol error", "frame version " + std::to_string(version));
  }
  if (flags != 0) return corrupt("internal protocol error", "frame flags " + std::to_string(flags));
  if (payload_bytes > payload_bytes_max_) {
    return exhausted("internal message too large", std::to_string(payload_bytes) + " of at most " +
                                                       std::to_string(payload_bytes_max_) +
                                                       " bytes");
  }
  if (rest.size() - kFrameHeaderBytes < payload_bytes) return std::optional<Frame>();
  consumed_ += kFrameHeaderBytes + payload_bytes;
  return std::optional<Frame>(Frame{type, rest.subspan(kFrameHeaderBytes, payload_bytes)});
}

}  // namespace holdfast::wire
