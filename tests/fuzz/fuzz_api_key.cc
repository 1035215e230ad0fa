// A text is a key only if it is exactly what its own parts make; a file of keys that is read is
// written back as the same keys.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/identity/api_key.h"
#include "holdfast/identity/key_store.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace identity = holdfast::identity;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto key = identity::parse_key(text); key.ok()) {
    const bool whole = size == identity::kKeyLength && key->id == text.substr(3, 16) &&
                       key->secret == text.substr(20, 43) && identity::is_key_id(key->id);
    if (!whole) abort();
  }
  if (const auto keys = identity::decode_keys(text); keys.ok()) {
    const auto again = identity::decode_keys(identity::encode_keys(*keys));
    if (!again.ok() || *again != *keys || keys->size() > identity::kKeysMax) abort();
  }
  return 0;
}
