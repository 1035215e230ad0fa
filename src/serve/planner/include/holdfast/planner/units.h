// Quantities with their units: what the compiler lets the planner add, multiply and divide.
#pragma once

#include <compare>

namespace holdfast::planner {

// A number with the exponents of its base units: byte, floating-point operation, second, token,
// unit of money, joule. Stored in these base units, so no factor is ever applied by arithmetic;
// factors are in the named constructors below. Adding unlike quantities does not compile. The money
// of one plan is in one currency (PriceBook converts before).
template <int Byte, int Flop, int Second, int Token, int Money, int Joule>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double base_units) : value_(base_units) {}
  // In base units.
  constexpr double value() const { return value_; }

  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity other) { return value_ += other.value_, *this; }
  constexpr Quantity& operator-=(Quantity other) { return value_ -= other.value_, *this; }
  constexpr Quantity& operator*=(double factor) { return value_ *= factor, *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator*(Quantity a, double factor) {
    return Quantity(a.value_ * factor);
  }
  friend constexpr Quantity operator*(double factor, Quantity a) { return a * factor; }
  friend constexpr Quantity operator/(Quantity a, double divisor) {
    return Quantity(a.value_ / divisor);
  }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;

 private:
  double value_ = 0;
};

template <int B1, int F1, int S1, int T1, int M1, int J1, int B2, int F2, int S2, int T2, int M2,
          int J2>
constexpr auto operator*(Quantity<B1, F1, S1, T1, M1, J1> a, Quantity<B2, F2, S2, T2, M2, J2> b) {
  using Product = Quantity<B1 + B2, F1 + F2, S1 + S2, T1 + T2, M1 + M2, J1 + J2>;
  if constexpr (B1 + B2 == 0 && F1 + F2 == 0 && S1 + S2 == 0 && T1 + T2 == 0 && M1 + M2 == 0 &&
                J1 + J2 == 0) {
    return a.value() * b.value();
  } else {
    return Product(a.value() * b.value());
  }
}

template <int B1, int F1, int S1, int T1, int M1, int J1, int B2, int F2, int S2, int T2, int M2,
          int J2>
constexpr auto operator/(Quantity<B1, F1, S1, T1, M1, J1> a, Quantity<B2, F2, S2, T2, M2, J2> b) {
  using Ratio = Quantity<B1 - B2, F1 - F2, S1 - S2, T1 - T2, M1 - M2, J1 - J2>;
  if constexpr (B1 == B2 && F1 == F2 && S1 == S2 && T1 == T2 && M1 == M2 && J1 == J2) {
    return a.value() / b.value();
  } else {
    return Ratio(a.value() / b.value());
  }
}

template <int B, int F, int S, int T, int M, int J>
constexpr Quantity<-B, -F, -S, -T, -M, -J> operator/(double a, Quantity<B, F, S, T, M, J> b) {
  return Quantity<-B, -F, -S, -T, -M, -J>(a / b.value());
}

using Bytes = Quantity<1, 0, 0, 0, 0, 0>;
using Flops = Quantity<0, 1, 0, 0, 0, 0>;
using Seconds = Quantity<0, 0, 1, 0, 0, 0>;
using Tokens = Quantity<0, 0, 0, 1, 0, 0>;
using Money = Quantity<0, 0, 0, 0, 1, 0>;
using Energy = Quantity<0, 0, 0, 0, 0, 1>;
using BytesPerSecond = Quantity<1, 0, -1, 0, 0, 0>;
using FlopsPerSecond = Quantity<0, 1, -1, 0, 0, 0>;
using BytesPerToken = Quantity<1, 0, 0, -1, 0, 0>;
using FlopsPerToken = Quantity<0, 1, 0, -1, 0, 0>;
using TokensPerSecond = Quantity<0, 0, -1, 1, 0, 0>;
using PerSecond = Quantity<0, 0, -1, 0, 0, 0>;  // of requests
using MoneyPerSecond = Quantity<0, 0, -1, 0, 1, 0>;
using MoneyPerToken = Quantity<0, 0, 0, -1, 1, 0>;
using MoneyPerByte = Quantity<-1, 0, 0, 0, 1, 0>;
using MoneyPerEnergy = Quantity<0, 0, 0, 0, 1, -1>;
using Power = Quantity<0, 0, -1, 0, 0, 1>;

inline constexpr double kSecondsPerHour = 3600;
// 365 days, as the specification's 8,760 hours.
inline constexpr double kHoursPerYear = 8760;
inline constexpr double kMonthsPerYear = 12;

constexpr Bytes gigabytes(double gb) { return Bytes(gb * 1e9); }
constexpr Bytes gibibytes(double gib) { return Bytes(gib * 1073741824.0); }
constexpr BytesPerSecond gigabytes_per_second(double gbs) { return BytesPerSecond(gbs * 1e9); }
constexpr FlopsPerSecond teraflops(double tflops) { return FlopsPerSecond(tflops * 1e12); }
constexpr Seconds milliseconds(double ms) { return Seconds(ms * 1e-3); }
constexpr Seconds microseconds(double us) { return Seconds(us * 1e-6); }
constexpr Seconds hours(double h) { return Seconds(h * kSecondsPerHour); }
constexpr Seconds years(double y) { return hours(y * kHoursPerYear); }
constexpr Energy kilowatt_hours(double kwh) { return Energy(kwh * 3.6e6); }
constexpr Power watts(double w) { return Power(w); }
constexpr MoneyPerSecond money_per_hour(double price) {
  return MoneyPerSecond(price / kSecondsPerHour);
}
constexpr MoneyPerToken money_per_million_tokens(double price) {
  return MoneyPerToken(price * 1e-6);
}
constexpr MoneyPerEnergy money_per_kilowatt_hour(double price) {
  return MoneyPerEnergy(price / 3.6e6);
}
constexpr MoneyPerByte money_per_gigabyte(double price) { return MoneyPerByte(price * 1e-9); }

constexpr double in_milliseconds(Seconds s) { return s.value() * 1e3; }
constexpr double in_hours(Seconds s) { return s.value() / kSecondsPerHour; }
constexpr double in_kilowatt_hours(Energy e) { return e.value() / 3.6e6; }
constexpr double per_hour(MoneyPerSecond m) { return m.value() * kSecondsPerHour; }
constexpr double per_million_tokens(MoneyPerToken m) { return m.value() * 1e6; }

}  // namespace holdfast::planner
