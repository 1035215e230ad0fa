// Principal: who asks, and what the key that was shown allows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::identity {

enum class Role : std::uint8_t { kInference, kAdmin };
// "inference", "admin".
std::string_view role_name(Role role);
std::optional<Role> parse_role(std::string_view name);

// 0: the server's default.
struct Quotas {
  std::uint64_t requests_per_minute = 0;
  std::uint64_t tokens_per_day = 0;
  bool operator==(const Quotas&) const = default;
};
inline constexpr std::uint64_t kRequestsPerMinuteMax = 1'000'000;
inline constexpr std::uint64_t kTokensPerDayMax = 1'000'000'000'000;

inline constexpr std::size_t kTenantBytesMax = 64;
inline constexpr std::size_t kModelsPerKeyMax = 256;
inline constexpr std::size_t kModelNameBytesMax = 256;
inline constexpr std::size_t kLabelBytesMax = 128;
inline constexpr std::uint32_t kWeightMax = 1000;

// 1 to 64 of A-Z a-z 0-9 . _ - : whatever else is used to join a tenant's name with something can
// then be told from it.
bool is_tenant_name(std::string_view name);

// Immutable once made, so that requests can share one.
struct Principal {
  std::string tenant;
  std::string key_id;  // empty: the local user, who needs no key
  Role role = Role::kInference;
  std::vector<std::string> models;  // names that may be used; empty: all
  std::uint32_t weight = 1;         // share of the machine, 1..kWeightMax
  Quotas quotas;

  bool is_local() const { return key_id.empty(); }
};

}  // namespace holdfast::identity
