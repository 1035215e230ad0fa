// Who runs this process, as the operating system says.
#pragma once

#include <cstdint>
#include <string>

namespace holdfast::platform {

struct User {
  std::uint32_t uid = 0;  // effective
  std::string name;       // empty where the password database has none
};

// Not from the environment, which the user writes. Thread-safe.
User current_user();

}  // namespace holdfast::platform
