// Any bytes as a stream of frames; what decodes must encode to the same bytes again.
#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/wire/messages.h"

namespace {

void check_round_trip(const holdfast::wire::Frame& frame) {
  using namespace holdfast;
  const auto message = wire::decode(frame);
  if (!message.ok()) return;
  const auto again = wire::encode(*message);
  HF_CHECK(again.ok());
  // The one field with two spellings: an unknown error code becomes `internal`.
  if (std::holds_alternative<wire::ErrorReply>(*message)) return;
  HF_CHECK(std::ranges::equal(ByteView(*again).subspan(wire::kFrameHeaderBytes), frame.payload));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast;
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  wire::FrameParser parser(1 << 20);
  constexpr std::size_t kStep = 61;
  for (std::size_t at = 0; at < bytes.size(); at += kStep) {
    parser.feed(bytes.subspan(at, std::min(kStep, bytes.size() - at)));
    while (true) {
      const auto frame = parser.next();
      if (!frame.ok()) return 0;
      if (!*frame) break;
      check_round_trip(**frame);
    }
  }
  return 0;
}
