#include "reseal_protocol.h"

#include <algorithm>

#include "holdfast/base/bytes.h"
#include "holdfast/json/json.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kMessageBytesMax = 1024;

Error malformed() { return corrupt("a malformed message of a reseal"); }

}  // namespace

std::string encode_reseal_request(const ResealRequest& request) {
  json::Object out{{"source_sealed", request.source_sealed}};
  if (request.created) out.set("created", *request.created);
  return json::write(json::Value(std::move(out)));
}

Result<ResealRequest> decode_reseal_request(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  ResealRequest request;
  const json::Value* source = value.find("source_sealed");
  if (source == nullptr || !source->is_bool()) return malformed();
  request.source_sealed = source->as_bool();
  if (const json::Value* created = value.find("created"); created != nullptr) {
    if (!created->is_int() || created->as_int() < 0) return malformed();
    request.created = static_cast<std::uint64_t>(created->as_int());
  }
  return request;
}

std::string encode_reseal_result(const crypto::Sha256Digest& pack) {
  return json::write(json::Value(json::Object{{"pack", to_hex(pack)}}));
}

Result<crypto::Sha256Digest> decode_reseal_result(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value value, json::parse(text, {.bytes_max = kMessageBytesMax}));
  const json::Value* pack = value.find("pack");
  if (pack == nullptr || !pack->is_string()) return malformed();
  const auto bytes = from_hex(pack->as_string());
  crypto::Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) return malformed();
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

}  // namespace holdfast::importer
