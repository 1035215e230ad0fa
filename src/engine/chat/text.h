// A string that knows for each byte whether the template or the caller's data wrote it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::chat {

enum class Origin : std::uint8_t { kData, kTemplate };

// Thread-compatible value. UTF-8; slicing is by bytes, the callers count characters.
class Text {
 public:
  Text() = default;
  Text(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  Origin origin_at(std::size_t position) const;

  // The result of `safe` and `escape`: Python's Markup, whose operators escape what they are given.
  bool is_markup() const { return markup_; }
  Text as_markup(bool markup) const;

  void append(const Text& other);
  void append(std::string_view bytes, Origin origin);
  // Bytes [position, position + count), with their origins and the markup flag.
  Text slice(std::size_t position, std::size_t count) const;
  // Text of other bytes that takes its origin from the character of this text at `position`.
  void append_like(std::string_view bytes, const Text& model, std::size_t position);

  // Calls visit(std::string_view, Origin) for each maximal run of one origin.
  template <typename Visit>
  void for_each_run(Visit visit) const {
    std::size_t from = 0;
    Origin origin = first_;
    for (const std::uint32_t flip : flips_) {
      visit(std::string_view(bytes_).substr(from, flip - from), origin);
      from = flip;
      origin = other_of(origin);
    }
    if (from < bytes_.size()) visit(std::string_view(bytes_).substr(from), origin);
  }

 private:
  static Origin other_of(Origin o) {
    return o == Origin::kData ? Origin::kTemplate : Origin::kData;
  }
  Origin last() const { return flips_.size() % 2 == 0 ? first_ : other_of(first_); }

  std::string bytes_;
  std::vector<std::uint32_t> flips_;  // ascending positions where the origin changes
  Origin first_ = Origin::kTemplate;
  bool markup_ = false;
};

}  // namespace holdfast::chat
