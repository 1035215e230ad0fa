// `holdfast eval imatrix`: the importance matrix of a model over a text.
#pragma once

#include <cstdint>
#include <string>

#include "../context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

struct ImatrixFlags {
  std::string model;
  std::string file;
  std::string output;
  std::int64_t context = 512;
  std::int64_t chunks = 0;  // 0: all that the text has
  std::int64_t threads = 0;
  std::string isa;
};

Status eval_imatrix(const Context& context, const ImatrixFlags& flags);

}  // namespace holdfast::cli
