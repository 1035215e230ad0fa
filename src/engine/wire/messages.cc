#include "holdfast/wire/messages.h"

#include "field_codec.h"
#include "holdfast/base/utf8.h"

namespace holdfast::wire {
namespace {

enum class Type : std::uint16_t {
#define HF_MESSAGE(name, number) k##name = number,
#include "holdfast/wire/wire_messages.def"
#undef HF_MESSAGE
};

template <typename M>
struct TypeOf;
#define HF_MESSAGE(name, number)                    \
  template <>                                       \
  struct TypeOf<name> {                             \
    static constexpr Type value = Type::k##name;    \
    static constexpr std::string_view text = #name; \
  };
#include "holdfast/wire/wire_messages.def"
#undef HF_MESSAGE

// The fields of each message, in the order of docs/formats/wire.md.

template <typename C>
void fields(C& c, Hello& m) {
  c.number(m.version);
  c.text(m.build, kPhaseBytesMax);
}

template <typename C>
void fields(C& c, Load& m) {
  c.text(m.config_json, kTextBytesMax);
}

template <typename C>
void fields(C& c, Ready& m) {
  c.text(m.info_json, kTextBytesMax);
}

template <typename C>
void fields(C& c, ErrorReply& m) {
  c.number(m.request);
  auto code = static_cast<std::uint8_t>(m.code);
  c.number(code);
  // A code that this build does not know becomes `internal`, as everywhere.
  if constexpr (C::kReading) m.code = error_code_from_number(code);
  c.text(m.message, kErrorTextBytesMax);
  c.text(m.hint, kErrorTextBytesMax);
  c.text(m.detail, kErrorTextBytesMax);
  c.number(m.reason);
  c.number(m.limit);
  c.number(m.actual);
}

template <typename C>
void fields(C& c, SamplingParams& m) {
  c.finite(m.temperature);
  c.number(m.top_k);
  c.finite(m.top_p);
  c.finite(m.min_p);
  c.finite(m.typical_p);
  c.finite(m.repeat_penalty);
  c.number(m.repeat_last_n);
  c.finite(m.presence_penalty);
  c.finite(m.frequency_penalty);
  c.list(m.logit_bias, kLogitBiasesMax, 12, [&](LogitBias& b) {
    c.number(b.token);
    c.finite(b.bias);
  });
  c.number(m.seed);
  c.optional(m.max_tokens);
  c.list(m.stop, kStopStringsMax, kCountBytes,
         [&](std::string& s) { c.text(s, kStopStringBytesMax); });
  c.number(m.ignore_eos);
  c.optional(m.logprobs);
  c.require(m.logprobs.value_or(0) <= kTopLogprobsMax, "logprobs above the limit");
  c.number(m.echo);
}

template <typename C>
void fields(C& c, Scheduling& m) {
  c.text(m.tenant, kTenantBytesMax);
  c.number(m.weight);
  c.require(m.weight >= 1 && m.weight <= kWeightMax, "a weight out of range");
  c.enumeration(m.priority, Priority::kBatch);
  c.text(m.cache_domain, kCacheDomainBytesMax);
  c.number(m.keep_prompt);
  c.optional(m.deadline_ms);
}

template <typename C>
void fields(C& c, Submit& m) {
  c.number(m.request);
  c.enumeration(m.kind, PromptKind::kText);
  c.numbers(m.tokens, kTokensMax);
  c.text(m.text, kTextBytesMax);
  c.require(m.kind == PromptKind::kTokens ? m.text.empty() : m.tokens.empty(),
            "a prompt of two kinds");
  c.number(m.add_special);
  c.number(m.parse_special);
  c.number(m.want_margins);
  fields(c, m.sampling);
  fields(c, m.scheduling);
}

template <typename C>
void fields(C& c, Started& m) {
  c.number(m.request);
  c.number(m.prompt_tokens);
  c.number(m.cached_tokens);
}

template <typename C>
void fields(C& c, Token& m) {
  c.number(m.request);
  c.list(m.tokens, kTokensPerMessageMax, 16, [&](TokenDetail& t) {
    c.number(t.token);
    c.optional(t.logprob);
    c.optional(t.margin);
    c.text(t.piece, kPieceBytesMax);
    c.list(t.top, kTopLogprobsMax, 12, [&](TopLogprob& top) {
      c.number(top.token);
      c.number(top.logprob);
      c.text(top.piece, kPieceBytesMax);
    });
    c.number(t.from_prompt);
    c.number(t.end);
  });
  c.text(m.text, kTextBytesMax);
}

template <typename C>
void fields(C& c, Finished& m) {
  c.number(m.request);
  c.enumeration(m.reason, FinishReason::kError);
  c.text(m.stop_match, kStopStringBytesMax);
  c.number(m.usage.prompt_tokens);
  c.number(m.usage.completion_tokens);
  c.number(m.usage.cached_tokens);
  c.number(m.timings.queue_ns);
  c.number(m.timings.prefill_ns);
  c.number(m.timings.decode_ns);
}

template <typename C>
void fields(C& c, Cancel& m) {
  c.number(m.request);
}

template <typename C>
void fields(C& c, Evaluate& m) {
  c.number(m.request);
  c.enumeration(m.kind, EvaluateKind::kImportance);
  c.numbers(m.tokens, kTokensMax);
  c.enumeration(m.choice, PositionChoice::kList);
  c.numbers(m.positions, kTokensMax);
  c.require(m.choice == PositionChoice::kList || m.positions.empty(), "positions without a list");
  c.number(m.score_from);
}

template <typename C>
void fields(C& c, Rows& m) {
  c.number(m.request);
  c.number(m.row);
  c.number(m.columns);
  c.number(m.first_column);
  c.numbers(m.values, kRowFloatsMax);
  c.require(m.first_column <= m.columns && m.values.size() <= m.columns - m.first_column,
            "a piece beyond its row");
}

template <typename C>
void fields(C& c, Scores& m) {
  c.number(m.request);
  c.finite(m.nll_sum);
  c.number(m.count);
}

template <typename C>
void fields(C& c, Tokenize& m) {
  c.number(m.request);
  c.text(m.text, kTextBytesMax);
  c.number(m.add_special);
  c.number(m.parse_special);
  c.number(m.with_pieces);
}

template <typename C>
void fields(C& c, Tokens& m) {
  c.number(m.request);
  c.numbers(m.tokens, kTokensMax);
  c.list(m.pieces, kTokensMax, kCountBytes, [&](std::string& s) { c.text(s, kPieceBytesMax); });
  c.require(m.pieces.empty() || m.pieces.size() == m.tokens.size(), "not one spelling per token");
}

template <typename C>
void fields(C& c, Detokenize& m) {
  c.number(m.request);
  c.numbers(m.tokens, kTokensMax);
  c.number(m.remove_special);
  c.number(m.unparse_special);
}

template <typename C>
void fields(C& c, Text& m) {
  c.number(m.request);
  c.text(m.text, kFramePayloadBytesMax);
}

template <typename C>
void fields(C& c, Render& m) {
  c.number(m.request);
  c.text(m.chat_json, kTextBytesMax);
}

template <typename C>
void fields(C& c, Rendered& m) {
  c.number(m.request);
  c.text(m.text, kFramePayloadBytesMax);
}

template <typename C>
void fields(C& c, Stats& m) {
  c.number(m.request);
}

template <typename C>
void fields(C& c, StatsReply& m) {
  c.number(m.request);
  c.text(m.stats_json, kTextBytesMax);
}

template <typename C>
void fields(C&, Shutdown&) {}

template <typename C>
void fields(C& c, ImportRequest& m) {
  c.text(m.request_json, kTextBytesMax);
}

template <typename C>
void fields(C& c, ImportProgress& m) {
  c.number(m.done_bytes);
  c.number(m.total_bytes);
  c.text(m.phase, kPhaseBytesMax);
}

template <typename C>
void fields(C& c, ImportDone& m) {
  c.text(m.result_json, kTextBytesMax);
}

template <typename M>
Result<Message> decode_as(ByteView payload) {
  M message;
  FieldReader reader(payload);
  fields(reader, message);
  HF_TRY(std::move(reader).finish().context(TypeOf<M>::text));
  return Message(std::move(message));
}

std::string clipped(std::string_view text) {
  constexpr std::string_view kMark = "...";
  if (text.size() <= kErrorTextBytesMax) return std::string(text);
  text = text.substr(0, kErrorTextBytesMax - kMark.size());
  return std::string(text.substr(0, complete_utf8_prefix(text))).append(kMark);
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

Result<Bytes> encode(const Message& message) {
  return std::visit(
      [](const auto& m) -> Result<Bytes> {
        using M = std::decay_t<decltype(m)>;
        FieldWriter writer(kFrameHeaderBytes);
        // The writer only reads, but shares its field lists with the reader.
        fields(writer, const_cast<M&>(m));
        auto finished = std::move(writer).finish();
        if (!finished.ok()) return std::move(finished).error().add_context(TypeOf<M>::text);
        Bytes frame = std::move(finished).value();
        const std::size_t payload_bytes = frame.size() - kFrameHeaderBytes;
        if (payload_bytes > kFramePayloadBytesMax) {
          return exhausted("internal message too large", std::string(TypeOf<M>::text));
        }
        store_frame_header(frame.data(), static_cast<std::uint16_t>(TypeOf<M>::value),
                           static_cast<std::uint32_t>(payload_bytes));
        return frame;
      },
      message);
}

Result<Message> decode(const Frame& frame) {
  switch (static_cast<Type>(frame.type)) {
#define HF_MESSAGE(name, number) \
  case Type::k##name:            \
    return decode_as<name>(frame.payload);
#include "holdfast/wire/wire_messages.def"
#undef HF_MESSAGE
  }
  const std::string detail = "message type " + std::to_string(frame.type);
  if (frame.type >= kFirstSkippableType) return unsupported("unknown internal message", detail);
  return corrupt("internal protocol error", "unknown " + detail);
}

std::string_view message_name(const Message& message) {
  return std::visit([](const auto& m) { return TypeOf<std::decay_t<decltype(m)>>::text; }, message);
}

ErrorReply make_error_reply(std::uint64_t request, const Error& error) {
  return {request,
          error.code(),
          clipped(error.client_message()),
          clipped(error.hint()),
          clipped(error.detail()),
          0,
          0,
          0};
}

Error to_error(const ErrorReply& reply) {
  Error error(reply.code, reply.message, reply.detail);
  return reply.hint.empty() ? error : std::move(error).with_hint(reply.hint);
}

}  // namespace holdfast::wire
