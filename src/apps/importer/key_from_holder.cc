#include "key_from_holder.h"

#include <chrono>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/vault/content_keys.h"

namespace holdfast::importer {

// The key holder sends as soon as it is asked, which was before this process was started.
constexpr auto kKeyPatience = std::chrono::seconds(30);

Result<vault::SealPlan> receive_seal_plan(platform::UniqueFd socket, std::uint64_t created) {
  HF_TRY_ASSIGN(crypto::Secret dek,
                vault::receive_data_key(socket.get(), platform::Deadline::after(kKeyPatience)));
  platform::SystemEntropy entropy;
  return vault::SealPlan::make(std::move(dek), entropy, created);
}

}  // namespace holdfast::importer
