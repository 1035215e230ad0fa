#include "holdfast/fetch/link.h"

#include <algorithm>

#include "holdfast/fetch/catalog.h"
#include "holdfast/platform/socket.h"

namespace holdfast::fetch {
namespace {

constexpr std::size_t kAddressesMax = 64;
constexpr std::size_t kFieldsMax = 64;
constexpr std::size_t kTextBytesMax = 4096;

enum class Type : std::uint8_t {
  kStart = 1,
  kResolved,
  kPin,
  kReady,
  kRequest,
  kCancel,
  kHead,
  kBody,
  kProgress,
  kDone,
  kFailed
};

class Encoder {
 public:
  Bytes operator()(const Start& m) {
    type(Type::kStart).lp(m.host).be(m.port).be<std::uint8_t>(m.proxy).lp(m.ca_file);
    return std::move(out_.be(m.output_bytes)).take();
  }
  Bytes operator()(const Resolved& m) { return addresses(Type::kResolved, m.addresses); }
  Bytes operator()(const Pin& m) { return addresses(Type::kPin, m.addresses); }
  Bytes operator()(const Ready& m) {
    return std::move(type(Type::kReady).lp(bounded(m.missing))).take();
  }
  Bytes operator()(const Request& m) {
    type(Type::kRequest).be(m.id).be<std::uint8_t>(m.head).lp(m.url.text());
    fields(m.fields);
    out_.be(static_cast<std::uint8_t>(m.sink)).be<std::uint8_t>(m.ranged);
    out_.be(m.first).be(m.last).be(m.total).be(m.stall_ms).be(m.bytes_per_second);
    return std::move(out_).take();
  }
  Bytes operator()(const Cancel& m) { return std::move(type(Type::kCancel).be(m.id)).take(); }
  Bytes operator()(const Head& m) {
    type(Type::kHead).be(m.id).be(m.status);
    fields(m.fields);
    return std::move(out_).take();
  }
  Bytes operator()(const Body& m) {
    return std::move(type(Type::kBody).be(m.id).raw(m.bytes)).take();
  }
  Bytes operator()(const Progress& m) {
    return std::move(type(Type::kProgress).be(m.id).be(m.written)).take();
  }
  Bytes operator()(const Done& m) {
    type(Type::kDone).be(m.id).be(m.written).be<std::uint8_t>(m.error.has_value());
    if (m.error) error(*m.error);
    return std::move(out_).take();
  }
  Bytes operator()(const Failed& m) {
    type(Type::kFailed);
    error(m.error);
    return std::move(out_).take();
  }

 private:
  static std::string_view bounded(std::string_view text) { return text.substr(0, kTextBytesMax); }
  ByteWriter& type(Type t) { return out_.be(static_cast<std::uint8_t>(t)); }
  Bytes addresses(Type t, const std::vector<IpAddress>& list) {
    type(t).be(static_cast<std::uint8_t>(std::min(list.size(), kAddressesMax)));
    for (std::size_t i = 0; i < std::min(list.size(), kAddressesMax); ++i) {
      out_.be<std::uint8_t>(list[i].v4);
      for (const std::uint8_t byte : list[i].bytes) out_.be(byte);
    }
    return std::move(out_).take();
  }
  void fields(const Fields& list) {
    out_.be(static_cast<std::uint8_t>(std::min(list.size(), kFieldsMax)));
    for (std::size_t i = 0; i < std::min(list.size(), kFieldsMax); ++i)
      out_.lp(list[i].first).lp(list[i].second);
  }
  void error(const Error& e) {
    out_.be(static_cast<std::uint8_t>(e.code())).lp(bounded(e.client_message()));
    out_.lp(bounded(e.detail())).lp(bounded(e.hint()));
  }
  ByteWriter out_;
};

class Decoder {
 public:
  explicit Decoder(ByteView bytes) : in_(bytes) {}

  Result<Message> message() {
    HF_TRY_ASSIGN(const auto type, in_.be<std::uint8_t>());
    auto out = body(static_cast<Type>(type));
    if (out.ok() && !in_.at_end()) return bad();
    return out;
  }

 private:
  static Error bad() { return corrupt("a message of the fetcher makes no sense"); }

  Result<Message> body(Type type) {
    switch (type) {
      case Type::kStart:
        return start();
      case Type::kResolved: {
        HF_TRY_ASSIGN(auto list, addresses());
        return Message(Resolved{std::move(list)});
      }
      case Type::kPin: {
        HF_TRY_ASSIGN(auto list, addresses());
        return Message(Pin{std::move(list)});
      }
      case Type::kReady: {
        HF_TRY_ASSIGN(std::string missing, text());
        return Message(Ready{std::move(missing)});
      }
      case Type::kRequest:
        return request();
      case Type::kCancel: {
        HF_TRY_ASSIGN(const auto id, in_.be<std::uint32_t>());
        return Message(Cancel{id});
      }
      default:
        return event(type);
    }
  }

  Result<Message> event(Type type) {
    if (type == Type::kFailed) {
      std::optional<Error> e;
      HF_TRY(error(e));
      return Message(Failed{*std::move(e)});
    }
    if (type != Type::kHead && type != Type::kBody && type != Type::kProgress &&
        type != Type::kDone)
      return bad();
    HF_TRY_ASSIGN(const auto id, in_.be<std::uint32_t>());
    if (type == Type::kBody) {
      HF_TRY_ASSIGN(const std::string_view bytes, in_.take_string(in_.remaining()));
      return Message(Body{id, std::string(bytes)});
    }
    if (type == Type::kHead) {
      HF_TRY_ASSIGN(const auto status, in_.be<std::uint32_t>());
      HF_TRY_ASSIGN(Fields list, fields());
      return Message(Head{id, status, std::move(list)});
    }
    HF_TRY_ASSIGN(const auto written, in_.be<std::uint64_t>());
    if (type == Type::kProgress) return Message(Progress{id, written});
    Done done{id, written, std::nullopt};
    HF_TRY_ASSIGN(const bool failed, flag());
    if (failed) HF_TRY(error(done.error));
    return Message(std::move(done));
  }

  Result<Message> start() {
    Start m;
    HF_TRY_ASSIGN(m.host, text());
    HF_TRY_ASSIGN(m.port, in_.be<std::uint16_t>());
    HF_TRY_ASSIGN(m.proxy, flag());
    HF_TRY_ASSIGN(m.ca_file, text());
    HF_TRY_ASSIGN(m.output_bytes, in_.be<std::uint64_t>());
    return Message(std::move(m));
  }

  Result<Message> request() {
    Request m;
    HF_TRY_ASSIGN(m.id, in_.be<std::uint32_t>());
    HF_TRY_ASSIGN(m.head, flag());
    HF_TRY_ASSIGN(const std::string url, text());
    HF_TRY_ASSIGN(m.url, parse_url(url));
    HF_TRY_ASSIGN(m.fields, fields());
    HF_TRY_ASSIGN(const auto sink, in_.be<std::uint8_t>());
    if (sink > static_cast<std::uint8_t>(Sink::kOutput)) return bad();
    m.sink = static_cast<Sink>(sink);
    HF_TRY_ASSIGN(m.ranged, flag());
    HF_TRY_ASSIGN(m.first, in_.be<std::uint64_t>());
    HF_TRY_ASSIGN(m.last, in_.be<std::uint64_t>());
    HF_TRY_ASSIGN(m.total, in_.be<std::uint64_t>());
    HF_TRY_ASSIGN(m.stall_ms, in_.be<std::uint32_t>());
    HF_TRY_ASSIGN(m.bytes_per_second, in_.be<std::uint64_t>());
    if (m.ranged && (m.first > m.last || m.last >= m.total)) return bad();
    return Message(std::move(m));
  }

  Result<bool> flag() {
    HF_TRY_ASSIGN(const auto value, in_.be<std::uint8_t>());
    if (value > 1) return bad();
    return value == 1;
  }
  Result<std::string> text() {
    HF_TRY_ASSIGN(const ByteView bytes, in_.take_lp());
    return std::string(as_string_view(bytes));
  }
  Status error(std::optional<Error>& out) {
    HF_TRY_ASSIGN(const auto code, in_.be<std::uint8_t>());
    HF_TRY_ASSIGN(std::string message, text());
    HF_TRY_ASSIGN(std::string detail, text());
    HF_TRY_ASSIGN(std::string hint, text());
    out = Error(error_code_from_number(code), std::move(message), std::move(detail))
              .with_hint(std::move(hint));
    return ok_status();
  }
  Result<std::vector<IpAddress>> addresses() {
    HF_TRY_ASSIGN(const auto count, in_.be<std::uint8_t>());
    if (count > kAddressesMax) return bad();
    std::vector<IpAddress> out(count);
    for (IpAddress& a : out) {
      HF_TRY_ASSIGN(a.v4, flag());
      HF_TRY_ASSIGN(const ByteView bytes, in_.take(a.bytes.size()));
      std::ranges::transform(bytes, a.bytes.begin(),
                             [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    }
    return out;
  }
  Result<Fields> fields() {
    HF_TRY_ASSIGN(const auto count, in_.be<std::uint8_t>());
    if (count > kFieldsMax) return bad();
    Fields out(count);
    for (auto& [name, value] : out) {
      HF_TRY_ASSIGN(name, text());
      HF_TRY_ASSIGN(value, text());
    }
    return out;
  }
  ByteReader in_;
};

Error other_range() {
  return corrupt("the server sent another part of the file than was asked for");
}

}  // namespace

std::string_view field(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return "";
}

Bytes encode_message(const Message& message) {
  return std::visit([](const auto& m) { return Encoder()(m); }, message);
}

Result<Message> decode_message(ByteView bytes) { return Decoder(bytes).message(); }

Status send_message(int socket, const Message& message, platform::Deadline deadline) {
  const Bytes bytes = encode_message(message);
  if (bytes.size() > kFrameBytesMax) return exhausted("a message to the fetcher is too long");
  ByteWriter frame;
  frame.be(static_cast<std::uint32_t>(bytes.size())).raw(bytes);
  return platform::send_all(socket, frame.view(), deadline);
}

Result<Message> receive_message(int socket, platform::Deadline deadline) {
  std::array<std::byte, 4> head{};
  HF_TRY(platform::receive_exact(socket, head, deadline));
  const auto size = load_be<std::uint32_t>(head.data());
  if (size == 0 || size > kFrameBytesMax) return corrupt("a message of the fetcher is too long");
  Bytes bytes(size);
  HF_TRY(platform::receive_exact(socket, bytes, deadline));
  return decode_message(bytes);
}

Result<Use> judge_answer(const Request& request, std::uint32_t status, const Fields& fields) {
  if (request.sink == Sink::kNone || request.head) return Use::kDrop;
  const std::string_view encoding = field(fields, "content-encoding");
  if (!encoding.empty() && encoding != "identity")
    return corrupt("the server sent an encoding that was not asked for");
  if (request.sink == Sink::kMemory) return Use::kTake;
  const std::string_view length_text = field(fields, "content-length");
  const auto length = parse_length(length_text);
  if (!request.ranged) {
    if (status != 200) return Use::kDrop;
    if (!length_text.empty() && length != request.total)
      return corrupt("the server announces another length than the file has");
    return Use::kTake;
  }
  if (status != 206) return Use::kDrop;
  HF_TRY_ASSIGN(const ContentRange range, parse_content_range(field(fields, "content-range")));
  if (range != ContentRange{request.first, request.last, request.total}) return other_range();
  if (!length_text.empty() && length != request.last - request.first + 1) return other_range();
  return Use::kTake;
}

}  // namespace holdfast::fetch
