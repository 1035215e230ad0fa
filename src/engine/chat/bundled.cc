#include "holdfast/chat/bundled.h"

namespace holdfast::chat {

std::span<const BundledTemplate> bundled_templates() { return {}; }

std::optional<std::string_view> find_bundled(std::string_view /*name*/) { return std::nullopt; }

}  // namespace holdfast::chat
