// Comparison of secrets in time that depends on their length alone.
#pragma once

#include "holdfast/base/bytes.h"

namespace holdfast::crypto {

// False for different lengths, which are not secret. Thread-safe.
bool constant_time_equal(ByteView a, ByteView b);

}  // namespace holdfast::crypto
