// Descriptors kept back, so that a process that has run out can still answer that it has.
#pragma once

#include <cstddef>
#include <vector>

#include "holdfast/platform/unique_fd.h"

namespace holdfast::http {

// Owned by the server. Thread-compatible.
class DescriptorReserve {
 public:
  // Connections that can be refused at the same time.
  static constexpr std::size_t kDescriptors = 16;

  DescriptorReserve() { refill(); }
  // Gives one back to the process; false if there is none left.
  bool release();
  // Takes again what is free, as far as there is any.
  void refill();
  std::size_t held() const { return held_.size(); }

 private:
  std::vector<platform::UniqueFd> held_;
};

}  // namespace holdfast::http
