// Model signatures. The first byte chooses: a whole bundle; a statement, since base64 and hashes
// hide it from mutation; a certificate or key in DER; the same in PEM.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "holdfast/signing/trust.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

// What was read is written as the same statement. Shards are read alone.
void read_statement(ByteView text) {
  const auto s = signing::decode_statement(text);
  if (!s.ok()) return;
  check(!s->resources.empty() && s->resources.size() <= signing::kResourcesMax);
  if (s->method != signing::Method::kFiles) return;
  const auto again = signing::decode_statement(as_bytes_view(signing::encode_statement(*s)));
  check(again.ok() && again->resources.size() == s->resources.size() &&
        again->model_version == s->model_version);
}

void read_bundle(std::string_view text) {
  const auto bundle = signing::decode_bundle(text);
  if (bundle.ok()) check(!signing::verify_signature(*bundle, {}, 0).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  signing::Trust trust;
  switch (data[0] % 4) {
    case 0:
      read_bundle(as_string_view(input));
      break;
    case 1:
      read_statement(input);
      break;
    case 2:
      ignore_error(signing::key_of_certificate(input), "any answer will do");
      ignore_error(signing::PublicKey::from_spki(input), "any answer will do");
      break;
    default:
      ignore_error(signing::add_trusted(trust, as_string_view(input)), "any answer will do");
      break;
  }
  return 0;
}
