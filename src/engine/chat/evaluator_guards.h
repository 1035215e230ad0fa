// Guards that the two halves of the evaluator share.
#pragma once

#include <utility>

#include "evaluator.h"

namespace holdfast::chat {

// Nested evaluations use the native stack: at most about 1.5 kB each, and 10 kB under the address
// sanitizer, of the 8 MiB that a thread has. A nested schema that a macro walks needs about 15 per
// level.
inline constexpr std::size_t kEvaluationDepthMax = 600;

class Count {
 public:
  explicit Count(std::size_t& counter) : counter_(counter) { ++counter_; }
  ~Count() { --counter_; }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;

 private:
  std::size_t& counter_;
};

class Evaluator::Nested {
 public:
  explicit Nested(Evaluator& evaluator)
      : count_(evaluator.depth_), ok_(evaluator.depth_ <= kEvaluationDepthMax) {}
  bool ok() const { return ok_; }

 private:
  Count count_;
  bool ok_;
};

// Makes a scope the current one.
class Evaluator::InScope {
 public:
  InScope(Evaluator& evaluator, std::shared_ptr<Scope> scope)
      : evaluator_(evaluator), outer_(std::exchange(evaluator.scope_, std::move(scope))) {}
  ~InScope() { evaluator_.scope_ = std::move(outer_); }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

 private:
  Evaluator& evaluator_;
  std::shared_ptr<Scope> outer_;
};

}  // namespace holdfast::chat
