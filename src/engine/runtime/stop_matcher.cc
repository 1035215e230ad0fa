#include "holdfast/runtime/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace holdfast::runtime {

namespace {

// Length of the longest suffix of `text` that is a proper prefix of `stop`.
std::size_t open_suffix(std::string_view text, std::string_view stop) {
  for (std::size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& s) { return s.empty(); });
}

StopMatcher::Output StopMatcher::push(std::string_view text) {
  Output out;
  held_ += text;
  std::size_t at = std::string::npos;
  const std::string* match = nullptr;
  for (const std::string& stop : stops_) {
    const std::size_t found = held_.find(stop);
    if (found == std::string::npos) continue;
    if (match == nullptr || found < at || (found == at && stop.size() > match->size())) {
      at = found;
      match = &stop;
    }
  }
  if (match != nullptr) {
    out.text = held_.substr(0, at);
    out.matched = *match;
    held_.clear();
    return out;
  }
  std::size_t keep = 0;
  for (const std::string& stop : stops_) keep = std::max(keep, open_suffix(held_, stop));
  out.text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace holdfast::runtime
