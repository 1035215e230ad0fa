#include "text.h"

#include <algorithm>

namespace holdfast::chat {

Text::Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)), first_(origin) {}

Origin Text::origin_at(std::size_t position) const {
  const auto after = std::upper_bound(flips_.begin(), flips_.end(), position);
  return (after - flips_.begin()) % 2 == 0 ? first_ : other_of(first_);
}

Text Text::as_markup(bool markup) const {
  Text copy = *this;
  copy.markup_ = markup;
  return copy;
}

void Text::append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  if (bytes_.empty()) {
    first_ = origin;
  } else if (last() != origin) {
    flips_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  bytes_.append(bytes);
}

void Text::append(const Text& other) {
  other.for_each_run([this](std::string_view run, Origin origin) { append(run, origin); });
}

void Text::append_like(std::string_view bytes, const Text& model, std::size_t position) {
  append(bytes, model.origin_at(position));
}

Text Text::slice(std::size_t position, std::size_t count) const {
  Text out;
  out.markup_ = markup_;
  if (position >= bytes_.size()) return out;
  count = std::min(count, bytes_.size() - position);
  out.bytes_ = bytes_.substr(position, count);
  out.first_ = origin_at(position);
  const auto from = std::upper_bound(flips_.begin(), flips_.end(), position);
  for (auto it = from; it != flips_.end() && *it < position + count; ++it) {
    out.flips_.push_back(*it - static_cast<std::uint32_t>(position));
  }
  return out;
}

}  // namespace holdfast::chat
