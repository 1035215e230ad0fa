// StopMatcher: finds stop strings in text that arrives in pieces, and holds back what could still
// become one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::runtime {

// Owner: one per running request (thread-compatible).
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  struct Output {
    std::string text;  // may be shown now
    std::optional<std::string>
        matched;  // the stop string that ended the text; nothing of it is in `text`
  };
  // Appends `text`. The earliest match wins; of several that start at the same byte, the longest
  // that is complete. After a match nothing more may be pushed.
  Output push(std::string_view text);
  // The text ended without a match: what was held back.
  std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace holdfast::runtime
