#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>

#include "holdfast/json/json.h"
#include "holdfast/json/stream.h"

namespace holdfast::json {

namespace {

namespace bj = boost::json;

// The library's parser recurses: about 400 bytes of stack a level.
constexpr std::size_t kDepthMax = 512;

enum class Refusal : std::uint8_t { kNone, kDuplicateKey, kNumberRange, kTooManyValues, kTaker };

// Receives the events of Boost.JSON's push parser and builds values on an explicit stack.
class Builder {
 public:
  static constexpr std::size_t max_object_size = ~std::size_t{0};
  static constexpr std::size_t max_array_size = ~std::size_t{0};
  static constexpr std::size_t max_key_size = ~std::size_t{0};
  static constexpr std::size_t max_string_size = ~std::size_t{0};

  Builder(const ParseLimits& limits, std::span<const Stream> streams)
      : limits_(limits), streams_(streams) {}

  Value take() { return std::move(root_); }
  Refusal refusal() const { return refusal_; }
  const std::string& duplicate_key() const { return duplicate_key_; }
  const Status& taker_status() const { return taker_status_; }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code& ec) { return open(Object(), ec); }
  bool on_object_end(std::size_t, bj::error_code& ec) { return close(ec); }
  bool on_array_begin(bj::error_code& ec) { return open(Array(), ec); }
  bool on_array_end(std::size_t, bj::error_code& ec) { return close(ec); }

  bool on_key_part(bj::string_view s, std::size_t, bj::error_code&) { return append(s); }
  bool on_key(bj::string_view s, std::size_t, bj::error_code& ec) {
    append(s);
    Frame& top = stack_.back();
    top.key = std::move(text_);
    text_.clear();
    if (!top.value.as_object().contains(top.key)) return true;
    duplicate_key_ = top.key;
    return refuse(Refusal::kDuplicateKey, ec);
  }
  bool on_string_part(bj::string_view s, std::size_t, bj::error_code&) { return append(s); }
  bool on_string(bj::string_view s, std::size_t, bj::error_code& ec) {
    append(s);
    Value v(std::move(text_));
    text_.clear();
    return add(std::move(v), ec);
  }
  bool on_number_part(bj::string_view s, bj::error_code&) { return append(s); }
  bool on_int64(std::int64_t v, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(v, ec);
  }
  bool on_uint64(std::uint64_t v, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(Value(v), ec);
  }
  bool on_double(double, bj::string_view s, bj::error_code& ec) {
    append(s);
    // The library's own conversion is off by a unit in the last place for some inputs.
    double v = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), v);
    const bool tiny = error == std::errc::result_out_of_range && is_tiny(text_);
    text_.clear();
    if (tiny) return add(0.0, ec);
    if (error != std::errc() || !std::isfinite(v)) return refuse(Refusal::kNumberRange, ec);
    return add(v, ec);
  }
  bool on_bool(bool v, bj::error_code& ec) { return add(v, ec); }
  bool on_null(bj::error_code& ec) { return add(nullptr, ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  struct Frame {
    Value value;
    std::string key;
    const Stream* stream = nullptr;  // that takes the content
    std::size_t values_before = 0;   // what counted when the container was opened
  };

  // from_chars reports underflow and overflow alike: the power of ten of the first digit that is
  // not zero tells them apart, wherever the point and the exponent put it.
  static bool is_tiny(std::string_view text) {
    const std::size_t end = std::min(text.find_first_of("eE"), text.size());
    const std::size_t point = std::min(text.find('.'), end);
    const std::size_t first = text.find_first_of("123456789");
    if (first >= end) return true;
    const std::int64_t power = first < point ? static_cast<std::int64_t>(point - first) - 1
                                             : -static_cast<std::int64_t>(first - point);
    std::string_view exponent = text.substr(std::min(end + 1, text.size()));
    if (exponent.starts_with('+')) exponent.remove_prefix(1);
    std::int64_t shift = 0;
    const auto read = std::from_chars(exponent.data(), exponent.data() + exponent.size(), shift);
    if (read.ec == std::errc::result_out_of_range) return exponent.starts_with('-');
    return power + shift < 0;
  }

  bool append(bj::string_view s) {
    text_.append(s.data(), s.size());
    return true;
  }
  bool refuse(Refusal refusal, bj::error_code& ec) {
    refusal_ = refusal;
    ec = bj::error::exception;
    return false;
  }
  bool count(bj::error_code& ec) {
    return ++values_ <= limits_.values_max || refuse(Refusal::kTooManyValues, ec);
  }
  template <typename Container>
  bool open(Container container, bj::error_code& ec) {
    if (!count(ec)) return false;
    const Stream* stream = stream_here();
    stack_.push_back({Value(std::move(container)), {}, stream, values_});
    return true;
  }
  // The stream whose path leads to the container that is about to be opened.
  const Stream* stream_here() const {
    for (const Stream& stream : streams_) {
      if (std::equal(stream.path.begin(), stream.path.end(), stack_.begin(), stack_.end(),
                     [](std::string_view name, const Frame& f) { return name == f.key; })) {
        return &stream;
      }
    }
    return nullptr;
  }
  bool close(bj::error_code& ec) {
    Value done = std::move(stack_.back().value);
    stack_.pop_back();
    return place(std::move(done), ec);
  }
  bool add(Value v, bj::error_code& ec) { return count(ec) && place(std::move(v), ec); }
  bool hand_over(Frame& top, Value v, bj::error_code& ec) {
    values_ = top.values_before;
    taker_status_ = top.stream->take(top.key, std::move(v));
    top.key.clear();
    return taker_status_.ok() || refuse(Refusal::kTaker, ec);
  }
  bool place(Value v, bj::error_code& ec) {
    if (stack_.empty()) {
      root_ = std::move(v);
      return true;
    }
    Frame& top = stack_.back();
    if (top.stream != nullptr) return hand_over(top, std::move(v), ec);
    if (top.value.is_array()) {
      top.value.as_array().push_back(std::move(v));
    } else {
      top.value.as_object().set(std::move(top.key), std::move(v));
      top.key.clear();
    }
    return true;
  }

  const ParseLimits limits_;
  const std::span<const Stream> streams_;
  std::vector<Frame> stack_;
  std::string text_;
  std::string duplicate_key_;
  Status taker_status_;
  Value root_;
  std::size_t values_ = 0;
  Refusal refusal_ = Refusal::kNone;
};

std::string position_of(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i < offset; ++i) {
    const bool newline = text[i] == '\n';
    line += newline ? 1 : 0;
    column = newline ? 1 : column + 1;
  }
  return "at line " + std::to_string(line) + ", column " + std::to_string(column) + " (byte " +
         std::to_string(offset) + ")";
}

Error explain(bj::error_code ec, const Builder& builder, const ParseLimits& limits,
              const std::string& where) {
  switch (builder.refusal()) {
    case Refusal::kDuplicateKey:
      return invalid_argument("invalid JSON: duplicate key " + where, builder.duplicate_key());
    case Refusal::kNumberRange:
      return invalid_argument("invalid JSON: number out of range " + where);
    case Refusal::kTooManyValues:
      return exhausted("JSON has more than " + std::to_string(limits.values_max) + " values");
    case Refusal::kTaker:
      return builder.taker_status().error();
    case Refusal::kNone:
      break;
  }
  if (ec == bj::error::too_deep) {
    return exhausted("JSON is nested deeper than " +
                     std::to_string(std::min(limits.depth_max, kDepthMax)) + " levels");
  }
  return invalid_argument("invalid JSON: " + ec.message() + " " + where);
}

}  // namespace

Result<Value> parse(std::string_view text, const ParseLimits& limits) {
  return parse(text, limits, {});
}

Result<Value> parse(std::string_view text, const ParseLimits& limits,
                    std::span<const Stream> streams) {
  if (text.size() > limits.bytes_max) {
    return exhausted("JSON is larger than " + std::to_string(limits.bytes_max) + " bytes");
  }
  bj::parse_options options;
  options.max_depth = std::min(limits.depth_max, kDepthMax);
  bj::basic_parser<Builder> parser(options, limits, streams);
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (ec) return explain(ec, parser.handler(), limits, position_of(text, used));
  const std::size_t rest = text.find_first_not_of(" \t\r\n", used);
  if (rest != std::string_view::npos) {
    return invalid_argument("invalid JSON: extra data " + position_of(text, rest));
  }
  return parser.handler().take();
}

}  // namespace holdfast::json
