#include "canonical.h"

#include <algorithm>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::planner {

json::Value sorted(const json::Value& value) {
  if (value.is_array()) {
    json::Array out;
    for (const json::Value& e : value.as_array()) out.push_back(sorted(e));
    return json::Value(std::move(out));
  }
  if (!value.is_object()) return value;
  std::vector<const json::Member*> members;
  for (const json::Member& m : value.as_object()) members.push_back(&m);
  std::sort(members.begin(), members.end(),
            [](const json::Member* a, const json::Member* b) { return a->key < b->key; });
  json::Object out;
  for (const json::Member* m : members) out.set(m->key, sorted(m->value));
  return json::Value(std::move(out));
}

std::string canonical(const json::Value& value) { return json::write(sorted(value)); }

std::string sha256_hex(std::string_view text) {
  return to_hex(crypto::sha256(as_bytes_view(text)));
}

}  // namespace holdfast::planner
