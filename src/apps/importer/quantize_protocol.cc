#include "quantize_protocol.h"

#include <array>
#include <utility>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/json/json.h"
#include "quantize_types.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kMessageBytesMax = 1u << 20;
constexpr unsigned kThreadsMax = 1024;

Error malformed(std::string_view member) {
  return corrupt("a malformed quantize message", "member " + std::string(member));
}

Result<std::uint64_t> count_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_int() || v->as_int() < 0) return malformed(member);
  return static_cast<std::uint64_t>(v->as_int());
}

Result<std::string> text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return malformed(member);
  return v->as_string();
}

// The numbers of a result, by name.
auto members(auto& r) {
  return std::array{std::pair("tensors", &r.tensors),     std::pair("encoded", &r.encoded),
                    std::pair("fallbacks", &r.fallbacks), std::pair("requantized", &r.requantized),
                    std::pair("weighted", &r.weighted),   std::pair("bytes_in", &r.bytes_in),
                    std::pair("bytes_out", &r.bytes_out)};
}

}  // namespace

std::string encode_quantize_request(const QuantizeRequest& request) {
  return json::write(
      json::Value(json::Object{{"sizes", json::Array(request.sizes.begin(), request.sizes.end())},
                               {"names", json::Array(request.names.begin(), request.names.end())},
                               {"has_importance", request.has_importance},
                               {"importance_name", request.importance_name},
                               {"type", request.type},
                               {"threads", request.threads}}));
}

Result<QuantizeRequest> decode_quantize_request(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  QuantizeRequest request;
  const json::Value* sizes = value.find("sizes");
  if (sizes == nullptr || !sizes->is_array()) return malformed("sizes");
  for (const json::Value& size : sizes->as_array()) {
    if (!size.is_int() || size.as_int() < 0) return malformed("sizes");
    request.sizes.push_back(static_cast<std::uint64_t>(size.as_int()));
  }
  const json::Value* names = value.find("names");
  if (names == nullptr || !names->is_array()) return malformed("names");
  for (const json::Value& name : names->as_array()) {
    if (!name.is_string() || !checkpoint::is_checkpoint_file(name.as_string())) {
      return malformed("names");
    }
    request.names.push_back(name.as_string());
  }
  const json::Value* has_importance = value.find("has_importance");
  if (has_importance == nullptr || !has_importance->is_bool()) return malformed("has_importance");
  request.has_importance = has_importance->as_bool();
  const std::size_t sources = request.sizes.size() - (request.has_importance ? 1 : 0);
  if (request.sizes.empty() || sources == 0) return malformed("sizes");
  if (!request.names.empty() && request.names.size() != sources) return malformed("names");
  HF_TRY_ASSIGN(request.importance_name, text_of(value, "importance_name"));
  HF_TRY_ASSIGN(request.type, text_of(value, "type"));
  HF_TRY_ASSIGN(const std::uint64_t threads, count_of(value, "threads"));
  if (threads == 0 || threads > kThreadsMax) return malformed("threads");
  request.threads = static_cast<unsigned>(threads);
  return request;
}

std::string encode_quantize_result(const QuantizeResult& result) {
  json::Object object{{"type", result.type}};
  for (const auto& [name, number] : members(result)) object.set(name, *number);
  return json::write(json::Value(std::move(object)));
}

Result<QuantizeResult> decode_quantize_result(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  QuantizeResult result;
  HF_TRY_ASSIGN(const std::string type, text_of(value, "type"));
  const FileTypeInfo* known = find_file_type(type);
  if (known == nullptr) return malformed("type");
  result.type = known->name;
  for (const auto& [name, number] : members(result)) {
    HF_TRY_ASSIGN(*number, count_of(value, name));
  }
  return result;
}

}  // namespace holdfast::importer
