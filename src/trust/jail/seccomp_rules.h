// What the filters of children and of the server share: rules of libseccomp, added one by one.
#pragma once

#include <seccomp.h>

#include <cerrno>
#include <cstdint>
#include <memory>

#include "layers.h"

namespace holdfast::jail {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// Collects the first error of many calls.
class Rules {
 public:
  explicit Rules(scmp_filter_ctx context) : context_(context) {}
  template <typename... Conditions>
  void add(std::uint32_t action, int call, Conditions... conditions) {
    if (error_ != 0) return;
    const int result =
        seccomp_rule_add(context_, action, call, sizeof...(conditions), conditions...);
    // A call that this architecture does not have needs no rule.
    if (result != 0 && result != -EDOM) error_ = result;
  }
  template <std::size_t N>
  void add_all(std::uint32_t action, const int (&calls)[N]) {
    for (const int call : calls) add(action, call);
  }
  int error() const { return error_; }

 private:
  scmp_filter_ctx context_;
  int error_ = 0;
};

inline scmp_arg_cmp argument(unsigned index, scmp_compare comparison, scmp_datum_t value) {
  return {index, comparison, value, 0};
}

// True for values of which exactly these bits of `mask` are set.
inline scmp_arg_cmp bits(unsigned index, scmp_datum_t mask, scmp_datum_t value) {
  return {index, SCMP_CMP_MASKED_EQ, mask, value};
}

// True for values in which none of the bits of `mask` is set.
inline scmp_arg_cmp no_bits(unsigned index, scmp_datum_t mask) { return bits(index, mask, 0); }

// Loads the filter for all threads. Another architecture's calls (32-bit, x32) are never translated
// but end the process.
Missing load_filter(const Filter& filter, const Rules& rules);

}  // namespace holdfast::jail
