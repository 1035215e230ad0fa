#include "reseal_protocol.h"

#include <algorithm>

#include "holdfast/base/bytes.h"
#include "holdfast/json/json.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kMessageBytesMax = 1024;

Error malformed() { return corrupt("a malformed message of a reseal"); }

Result<std::uint64_t> count_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_int() || v->as_int() < 0) return malformed();
  return static_cast<std::uint64_t>(v->as_int());
}

Result<crypto::Sha256Digest> digest_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return malformed();
  const auto bytes = from_hex(v->as_string());
  crypto::Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) return malformed();
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

}  // namespace

std::string encode_reseal_request(const ResealRequest& request) {
  json::Object out{{"source_sealed", request.source_sealed}};
  if (request.created) out.set("created", *request.created);
  if (request.range) {
    out.set("offset", request.range->offset);
    out.set("length", request.range->length);
  }
  if (request.work) out.set("work", to_hex(*request.work));
  return json::write(json::Value(std::move(out)));
}

Result<ResealRequest> decode_reseal_request(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  ResealRequest request;
  const json::Value* source = value.find("source_sealed");
  if (source == nullptr || !source->is_bool()) return malformed();
  request.source_sealed = source->as_bool();
  if (value.find("created") != nullptr) {
    HF_TRY_ASSIGN(request.created, count_of(value, "created"));
  }
  if (value.find("offset") != nullptr) {
    HF_TRY_ASSIGN(const std::uint64_t offset, count_of(value, "offset"));
    HF_TRY_ASSIGN(const std::uint64_t length, count_of(value, "length"));
    request.range = ByteRange{offset, length};
  }
  if (value.find("work") != nullptr) {
    HF_TRY_ASSIGN(request.work, digest_of(value, "work"));
  }
  return request;
}

std::string encode_reseal_result(const ResealResult& result) {
  return json::write(
      json::Value(json::Object{{"pack", to_hex(result.pack)}, {"bytes_kept", result.bytes_kept}}));
}

Result<ResealResult> decode_reseal_result(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  ResealResult result;
  HF_TRY_ASSIGN(result.pack, digest_of(value, "pack"));
  HF_TRY_ASSIGN(result.bytes_kept, count_of(value, "bytes_kept"));
  return result;
}

}  // namespace holdfast::importer
