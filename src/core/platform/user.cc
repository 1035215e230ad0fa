#include "holdfast/platform/user.h"

#include <pwd.h>
#include <unistd.h>

#include <array>

namespace holdfast::platform {

User current_user() {
  User user;
  user.uid = ::geteuid();
  // Entries are a line of text; a longer one has no name worth recording.
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user.uid, &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr) {
    user.name = found->pw_name;
  }
  return user;
}

}  // namespace holdfast::platform
