// Arithmetic on sizes that come from outside: overflow is a value, not undefined.
#pragma once

#include <concepts>
#include <optional>

namespace holdfast {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) {
  T r{};
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) {
  T r{};
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// Rounds up to a multiple of `unit` (> 0).
template <std::unsigned_integral T>
constexpr std::optional<T> checked_round_up(T value, T unit) {
  const T rest = value % unit;
  if (rest == 0) return value;
  return checked_add<T>(value, unit - rest);
}

// For trusted sizes: the caller knows that nothing overflows.
template <std::unsigned_integral T>
constexpr T round_up(T value, T unit) {
  return (value + unit - 1) / unit * unit;
}
template <std::unsigned_integral T>
constexpr T ceil_div(T value, T unit) {
  return (value + unit - 1) / unit;
}

}  // namespace holdfast
