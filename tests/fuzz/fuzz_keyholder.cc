// Requests of the key holder: any bytes, with or without a descriptor, sealed and open.
#include <cstddef>
#include <cstdint>

#include "holdfast/keyholder/service.h"
#include "holdfast/platform/socket.h"

namespace {

using namespace holdfast;

// An open holder once, so that requests get past "the keyring is sealed".
keyring::Holder& open_holder() {
  static platform::SystemEntropy entropy;
  static keyring::Holder holder(entropy, platform::system_clock());
  if (!holder.status().open) {
    keyring::SlotPlan plan;
    plan.factors.push_back({keyring::FactorKind::kFile, {}});
    std::vector<keyring::FactorKey> keys;
    keys.emplace_back(std::move(*crypto::Secret::random(crypto::kKeyBytes, entropy)));
    ignore_error(holder.create(plan, keys), "the fuzzer sees it closed then");
  }
  return holder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView request(reinterpret_cast<const std::byte*>(data), size);
  ignore_error(keyring::decode_keyring(request), "any answer will do");
  ignore_error(keyring::decode_slot_plan(request), "any answer will do");
  keyholder::Service service(open_holder());
  const platform::UniqueFd none;
  ignore_error(service.handle(request, none), "any answer will do");
  auto pair = platform::make_socket_pair();
  if (!pair.ok()) return 0;
  pair->ours.reset();  // secrets end at once
  ignore_error(service.handle(request, pair->theirs), "any answer will do");
  return 0;
}
