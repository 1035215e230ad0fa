// Messages between the process that pulls and its fetcher, and the interface that stands for the
// fetcher. Format: docs/formats/fetcher.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/fetch/address.h"
#include "holdfast/fetch/url.h"
#include "holdfast/platform/clock.h"

namespace holdfast::fetch {

using Fields = std::vector<std::pair<std::string, std::string>>;
// The first field of that name (lower case); empty where there is none.
std::string_view field(const Fields& fields, std::string_view name);

inline constexpr std::size_t kFrameBytesMax = 256 * 1024;
inline constexpr std::size_t kHeaderBytesMax = 64 * 1024;  // of an answer
inline constexpr std::size_t kBodyPieceBytes = 64 * 1024;
inline constexpr std::uint32_t kConnectionsMax = 64;

// To the fetcher, once, before it closes its jail.
struct Start {
  std::string host;  // to look up and connect to: the origin's, or the proxy's
  std::uint16_t port = 0;
  bool proxy = false;
  std::string ca_file;             // empty: no TLS
  std::uint64_t output_bytes = 0;  // size of the file at descriptor 4; 0: there is none
  friend bool operator==(const Start&, const Start&) = default;
};
// From the fetcher: what the name means.
struct Resolved {
  std::vector<IpAddress> addresses;
  friend bool operator==(const Resolved&, const Resolved&) = default;
};
// To the fetcher: the addresses that it may connect to, from now on the only ones.
struct Pin {
  std::vector<IpAddress> addresses;
  friend bool operator==(const Pin&, const Pin&) = default;
};
// From the fetcher: its jail is closed.
struct Ready {
  std::string missing;  // layers, as JailReport::describe_missing(), without the network's
  friend bool operator==(const Ready&, const Ready&) = default;
};

enum class Sink : std::uint8_t { kNone, kMemory, kOutput };

// To the fetcher.
struct Request {
  std::uint32_t id = 0;
  bool head = false;
  Url url;
  Fields fields;  // authorization included
  Sink sink = Sink::kNone;
  // kOutput: the bytes first..last of a file of `total`, to the same place of the output; the whole
  // file where it is not `ranged`. kMemory: at most `total` bytes.
  bool ranged = false;
  std::uint64_t first = 0, last = 0, total = 0;
  std::uint32_t stall_ms = 30'000;     // without a byte
  std::uint64_t bytes_per_second = 0;  // 0: any number
  friend bool operator==(const Request&, const Request&) = default;
};
// To the fetcher: forget a request; its Done still comes.
struct Cancel {
  std::uint32_t id = 0;
  friend bool operator==(const Cancel&, const Cancel&) = default;
};

// From the fetcher, in this order for each request: Head, then Body or Progress, then Done. Without
// any answer only Done.
struct Head {
  std::uint32_t id = 0;
  std::uint32_t status = 0;
  Fields fields;  // lower-case names; those that mean something here
  friend bool operator==(const Head&, const Head&) = default;
};
struct Body {
  std::uint32_t id = 0;
  std::string bytes;
  friend bool operator==(const Body&, const Body&) = default;
};
struct Progress {
  std::uint32_t id = 0;
  std::uint64_t written = 0;  // bytes of the output, counted from Request::first
  friend bool operator==(const Progress&, const Progress&) = default;
};
struct Done {
  std::uint32_t id = 0;
  std::uint64_t written = 0;
  std::optional<Error> error;  // none: the whole answer came
};
// From the fetcher instead of anything else: it cannot go on.
struct Failed {
  Error error;
};

using Message =
    std::variant<Start, Resolved, Pin, Ready, Request, Cancel, Head, Body, Progress, Done, Failed>;
Bytes encode_message(const Message& message);
// kCorrupt for anything that encode_message() would not have written.
Result<Message> decode_message(ByteView bytes);

// One frame: a 32-bit length and a message. kUnavailable when the other end is gone, kDeadline,
// kCorrupt.
Status send_message(int socket, const Message& message, platform::Deadline deadline);
Result<Message> receive_message(int socket, platform::Deadline deadline);

using Event = std::variant<Head, Body, Progress, Done>;

// A fetcher for one origin. Owned by one thread.
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;

  virtual Status send(const Request& request) = 0;
  virtual Status cancel(std::uint32_t id) = 0;
  // nullopt at the deadline. kUnavailable: the fetcher is gone.
  virtual Result<std::optional<Event>> next(platform::Deadline deadline) = 0;
};

// What a fetcher does with an answer, decided when its head is complete.
enum class Use : std::uint8_t { kTake, kDrop };
// kTake: the body is what was asked for. kDrop: another status, whose body means nothing. kCorrupt:
// the answer claims to be it and is not (another range, another length, an encoding).
Result<Use> judge_answer(const Request& request, std::uint32_t status, const Fields& fields);

}  // namespace holdfast::fetch
