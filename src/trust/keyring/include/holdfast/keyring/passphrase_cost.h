// How much work a passphrase costs, measured where it is set up.
#pragma once

#include <chrono>
#include <functional>

#include "holdfast/base/result.h"
#include "holdfast/crypto/kdf.h"

namespace holdfast::keyring {

// A guess costs an attacker at least what the owner waits.
inline constexpr std::chrono::milliseconds kPassphraseTimeMin{500};

// Passes are added to `wanted` until one derivation takes kPassphraseTimeMin here. `time_of`
// derives once and says how long it took; kExhausted where the memory is not to be had.
using TimeOfCost = std::function<Result<std::chrono::nanoseconds>(const crypto::Argon2Cost&)>;
Result<crypto::Argon2Cost> calibrate(const crypto::Argon2Cost& wanted, const TimeOfCost& time_of);
// The clock and Argon2id of this machine.
Result<std::chrono::nanoseconds> measure_cost(const crypto::Argon2Cost& cost);

}  // namespace holdfast::keyring
