#include "holdfast/http/target.h"

#include "holdfast/base/utf8.h"

namespace holdfast::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string collapse_slashes(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (const char c : path) {
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out += c;
  }
  return out;
}

bool has_dot_segment(std::string_view path) {
  std::size_t at = 0;
  while (at <= path.size()) {
    std::size_t end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view segment = path.substr(at, end - at);
    if (segment == "." || segment == "..") return true;
    at = end + 1;
  }
  return false;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_query(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('&'), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (field.empty()) continue;
    if (out.size() == kQueryFieldsMax) return invalid_argument("too many query fields");
    const std::size_t eq = std::min(field.find('='), field.size());
    HF_TRY_ASSIGN(std::string name, percent_decode(field.substr(0, eq), true));
    HF_TRY_ASSIGN(std::string value,
                  percent_decode(field.substr(std::min(eq + 1, field.size())), true));
    if (!is_valid_utf8(name) || !is_valid_utf8(value))
      return invalid_argument("query is not UTF-8");
    out.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
      continue;
    }
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (text.size() - i < 3) return invalid_argument("incomplete percent escape");
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return invalid_argument("bad percent escape");
    const char c = static_cast<char>(high * 16 + low);
    if (c == '\0') return invalid_argument("escaped NUL");
    out += c;
    i += 2;
  }
  return out;
}

std::string percent_encode_path(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/:").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

Result<Target> parse_target(std::string_view target) {
  Target out;
  if (target == "*") {
    out.path = "*";
    return out;
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.substr(0, scheme.size()) != scheme) continue;
    target.remove_prefix(scheme.size());
    const std::size_t slash = std::min(target.find('/'), target.size());
    out.authority = std::string(target.substr(0, slash));
    if (out.authority.empty()) return invalid_argument("empty authority");
    target.remove_prefix(slash);
    if (target.empty()) target = "/";
    break;
  }
  if (target.empty() || target.front() != '/') return invalid_argument("not a path");
  if (target.find('#') != std::string_view::npos) return invalid_argument("fragment in a target");
  const std::size_t question = std::min(target.find('?'), target.size());
  HF_TRY_ASSIGN(out.path, percent_decode(target.substr(0, question)));
  out.path = collapse_slashes(out.path);
  if (!is_valid_utf8(out.path)) return invalid_argument("path is not UTF-8");
  if (has_dot_segment(out.path)) return invalid_argument("dot segment in the path");
  HF_TRY_ASSIGN(out.query, parse_query(target.substr(std::min(question + 1, target.size()))));
  return out;
}

}  // namespace holdfast::http
