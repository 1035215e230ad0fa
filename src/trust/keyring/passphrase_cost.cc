#include "holdfast/keyring/passphrase_cost.h"

#include <algorithm>

#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/clock.h"

namespace holdfast::keyring {
namespace {

// Time is nearly proportional to passes: two corrections reach the aim, the third is for noise.
constexpr int kRoundsMax = 3;

}  // namespace

Result<crypto::Argon2Cost> calibrate(const crypto::Argon2Cost& wanted, const TimeOfCost& time_of) {
  crypto::Argon2Cost cost = wanted;
  for (int round = 0; round < kRoundsMax; ++round) {
    HF_TRY_ASSIGN(const std::chrono::nanoseconds took, time_of(cost));
    if (took >= kPassphraseTimeMin || cost.passes >= kArgon2PassesMax) break;
    const auto aim = std::chrono::nanoseconds(kPassphraseTimeMin).count() * 11 / 10;
    const auto passes =
        static_cast<std::int64_t>(cost.passes) * aim / std::max<std::int64_t>(took.count(), 1) + 1;
    cost.passes = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(passes, cost.passes + 1, kArgon2PassesMax));
  }
  return cost;
}

Result<std::chrono::nanoseconds> measure_cost(const crypto::Argon2Cost& cost) {
  const FactorSalt salt{};
  const std::int64_t began = platform::system_clock().monotonic_ns();
  HF_TRY(crypto::argon2id(as_bytes_view("measured"), salt, cost));
  return std::chrono::nanoseconds(platform::system_clock().monotonic_ns() - began);
}

}  // namespace holdfast::keyring
