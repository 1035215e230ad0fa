// The parameters of a slot's factor: whatever decodes is what the same values encode to, and
// within its limits. The first byte chooses the kind.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "holdfast/keyring/slot_params.h"

namespace {

using holdfast::ByteView;
namespace keyring = holdfast::keyring;

template <typename Params>
void same_again(const holdfast::Result<Params>& decoded, ByteView bytes) {
  if (!decoded.ok()) return;
  const holdfast::Bytes again = keyring::encode_params(*decoded);
  if (!std::ranges::equal(again, bytes)) abort();
}

void pin_source(std::string_view uri) {
  const auto path = keyring::pin_source_of(uri);
  if (path.ok() && !path->empty() && (path->front() != '/' || path->size() > uri.size())) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 6) {
    case 0:
      same_again(keyring::decode_passphrase_params(bytes), bytes);
      break;
    case 1:
      same_again(keyring::decode_pbkdf2_params(bytes), bytes);
      break;
    case 2: {
      const auto params = keyring::decode_tpm2_params(bytes);
      same_again(params, bytes);
      if (params.ok() && !keyring::is_pcr_mask(params->pcr_mask)) abort();
      break;
    }
    case 3: {
      const auto params = keyring::decode_pkcs11_params(bytes);
      same_again(params, bytes);
      if (params.ok()) pin_source(params->uri);
      break;
    }
    case 4: {
      const auto text = keyring::decode_text_params(bytes);
      if (text.ok() && !std::ranges::equal(keyring::encode_text_params(*text), bytes)) abort();
      break;
    }
    default:
      pin_source(holdfast::as_string_view(bytes));
  }
  return 0;
}
