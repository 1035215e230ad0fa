// Result<T> and Status: a value or an Error. A dropped result does not compile
// (-Werror=unused-result).
#pragma once

#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "holdfast/base/check.h"
#include "holdfast/base/error.h"

namespace holdfast {

template <typename T>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, Error> && !std::is_reference_v<T>);

 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Precondition for value access: ok().
  T& value() & {
    HF_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    HF_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    HF_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T fallback) && { return ok() ? std::move(*this).value() : std::move(fallback); }

  // Precondition: !ok().
  const Error& error() const& {
    HF_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    HF_CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

  // Adds context to the error, if there is one.
  Result&& context(std::string_view what) && {
    if (!ok()) std::get_if<1>(&state_)->add_context(what);
    return std::move(*this);
  }

 private:
  std::variant<T, Error> state_;
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    HF_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    HF_CHECK(!ok());
    return std::move(*error_);
  }
  Status&& context(std::string_view what) && {
    if (error_) error_->add_context(what);
    return std::move(*this);
  }

 private:
  std::optional<Error> error_;
};

inline Status ok_status() { return Status(); }

// Swallowing an error is explicit and greppable.
template <typename R>
void ignore_error(R&& /*result*/, std::string_view /*reason*/) {}

}  // namespace holdfast

#define HF_CONCAT_INNER(a, b) a##b
#define HF_CONCAT(a, b) HF_CONCAT_INNER(a, b)

// Evaluates a Status or Result expression; returns its error from the enclosing function.
#define HF_TRY(expression)                                            \
  do {                                                                \
    auto hf_try_result = (expression);                                \
    if (!hf_try_result.ok()) return std::move(hf_try_result).error(); \
  } while (false)

// HF_TRY_ASSIGN(auto x, f()): the value of a Result, or returns its error.
#define HF_TRY_ASSIGN(declaration, expression) \
  HF_TRY_ASSIGN_IMPL(HF_CONCAT(hf_result_, __COUNTER__), declaration, expression)
#define HF_TRY_ASSIGN_IMPL(temporary, declaration, expression) \
  auto temporary = (expression);                               \
  if (!temporary.ok()) return std::move(temporary).error();    \
  declaration = std::move(temporary).value()
