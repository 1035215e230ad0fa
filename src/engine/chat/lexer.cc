#include "lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "holdfast/base/utf8.h"
#include "unicode.h"

namespace holdfast::chat {

Error syntax_error(int line, std::string_view what) {
  return invalid_argument("chat template, line " + std::to_string(line) + ": " + std::string(what));
}

namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

// "\r\n" and "\r" become "\n", and one newline at the very end is dropped, as Jinja does.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) HF_TRY(lex_data_and_tag());
    emit(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return position_ + ahead < source_.size() ? source_[position_ + ahead] : '\0';
  }
  bool looking_at(std::string_view word) const {
    return std::string_view(source_).substr(position_).starts_with(word);
  }
  // Moves on and counts lines.
  void advance(std::size_t n) {
    const auto from = source_.begin() + static_cast<std::ptrdiff_t>(position_);
    line_ += static_cast<int>(std::count(from, from + static_cast<std::ptrdiff_t>(n), '\n'));
    position_ += n;
  }
  void skip_space() {
    while (position_ < source_.size()) {
      const Utf8Char c = decode_utf8(source_, position_);
      if (!is_space(c.code_point) || !c.valid) return;
      advance(c.length);
    }
  }
  Token& emit(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text), 0, 0});
    return tokens_.back();
  }

  // The next position of "{%", "{{" or "{#".
  std::size_t find_tag() const {
    for (std::size_t at = source_.find('{', position_); at != std::string::npos;
         at = source_.find('{', at + 1)) {
      const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') return at;
    }
    return std::string::npos;
  }

  // Applies the sign of the tag that follows the data: '-' strips all white space before the tag,
  // '+' none, and without a sign blocks and comments strip what stands before them on their own
  // line.
  std::string_view strip_before(std::string_view data, char sign, bool is_variable) const {
    if (sign == '-') {
      std::size_t end = data.size();
      while (end > 0) {
        std::size_t start = end - 1;
        while (start > 0 && (static_cast<unsigned char>(data[start]) & 0xC0) == 0x80) --start;
        if (!is_space(decode_utf8(data, start).code_point)) break;
        end = start;
      }
      return data.substr(0, end);
    }
    if (sign == '+' || is_variable) return data;
    const std::size_t newline = data.rfind('\n');
    const std::size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    const bool at_line_start = line_start > 0 || position_ == 0 || source_[position_ - 1] == '\n';
    if (!at_line_start) return data;
    for (std::size_t i = line_start; i < data.size();) {
      const Utf8Char c = decode_utf8(data, i);
      if (!is_space(c.code_point)) return data;
      i += c.length;
    }
    return data.substr(0, line_start);
  }

  void emit_data(std::size_t end, char sign, bool is_variable) {
    const std::string_view data = std::string_view(source_).substr(position_, end - position_);
    const std::string_view kept = strip_before(data, sign, is_variable);
    if (!kept.empty()) emit(TokenKind::kData, std::string(kept));
    advance(end - position_);
  }

  char sign_at(std::size_t at) const {
    const char c = at < source_.size() ? source_[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  Status lex_data_and_tag() {
    const std::size_t tag = find_tag();
    if (tag == std::string::npos) {
      emit(TokenKind::kData, source_.substr(position_));
      advance(source_.size() - position_);
      return ok_status();
    }
    const char type = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    emit_data(tag, sign, type == '{');
    const int line = line_;
    advance(sign == '\0' ? 2 : 3);
    if (type == '#') return lex_comment(line);
    if (type == '%' && at_raw()) return lex_raw(line);
    emit(type == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    return lex_expression(type == '{');
  }

  // Consumes the end of a block or comment: `close` with an optional sign. '-' eats the white space
  // that follows; no sign eats one newline.
  bool take_end(std::string_view close) {
    const char sign = sign_at(position_);
    if (!std::string_view(source_).substr(position_ + (sign != '\0' ? 1 : 0)).starts_with(close)) {
      return false;
    }
    advance(close.size() + (sign != '\0' ? 1 : 0));
    if (sign == '-') skip_space();
    if (sign == '\0' && peek() == '\n') advance(1);
    return true;
  }

  Status lex_comment(int line) {
    const std::size_t end = source_.find("#}", position_);
    if (end == std::string::npos) return syntax_error(line, "a comment is not closed");
    const bool has_sign = end > position_ && sign_at(end - 1) != '\0';
    advance(end - position_ - (has_sign ? 1 : 0));
    take_end("#}");
    return ok_status();
  }

  // After "{%": is this a raw tag? Consumes it if so.
  bool at_raw() {
    const std::size_t start = position_;
    const int line = line_;
    skip_space();
    if (looking_at("raw")) {
      advance(3);
      skip_space();
      if (looking_at("-%}")) {
        advance(3);
        skip_space();
        return true;
      }
      if (looking_at("%}")) {
        advance(2);
        return true;
      }
    }
    position_ = start;
    line_ = line;
    return false;
  }

  Status lex_raw(int line) {
    for (std::size_t at = source_.find("{%", position_); at != std::string::npos;
         at = source_.find("{%", at + 1)) {
      const char sign = sign_at(at + 2);
      const std::size_t start = position_;
      const int start_line = line_;
      advance(at + (sign == '\0' ? 2 : 3) - position_);
      skip_space();
      const bool is_end = looking_at("endraw");
      const std::size_t after = position_ + 6;
      position_ = start;
      line_ = start_line;
      if (!is_end) continue;
      emit_data(at, sign, false);
      advance(after - position_);
      skip_space();
      if (take_end("%}")) return ok_status();
      return syntax_error(line_, "the endraw tag is not closed");
    }
    return syntax_error(line, "a raw block is not closed");
  }

  bool take_tag_end(bool is_variable) {
    if (!is_variable) {
      const int line = line_;
      if (!take_end("%}")) return false;
      emit(TokenKind::kBlockEnd).line = line;
      return true;
    }
    const bool strip = looking_at("-}}");
    if (!strip && !looking_at("}}")) return false;
    emit(TokenKind::kVariableEnd);
    advance(strip ? 3 : 2);
    if (strip) skip_space();
    return true;
  }

  Status lex_expression(bool is_variable) {
    const int opened = line_;
    std::string brackets;  // the closing ones that are still to come
    for (;;) {
      skip_space();
      if (position_ >= source_.size()) return syntax_error(opened, "a tag is not closed");
      // Inside brackets "}}" closes two dicts, not the tag.
      if (brackets.empty() && take_tag_end(is_variable)) return ok_status();
      HF_TRY(lex_word(brackets));
    }
  }

  Status lex_word(std::string& brackets) {
    const char c = peek();
    if (is_ascii_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    const Utf8Char u = decode_utf8(source_, position_);
    if (u.valid && is_name_start(u.code_point)) {
      lex_name();
      return ok_status();
    }
    return lex_operator(brackets);
  }

  void lex_name() {
    const std::size_t start = position_;
    std::size_t end = start;
    while (end < source_.size()) {
      const Utf8Char c = decode_utf8(source_, end);
      if (!c.valid || !is_name_part(c.code_point)) break;
      end += c.length;
    }
    emit(TokenKind::kName, source_.substr(start, end - start));
    advance(end - start);
  }

  Status lex_operator(std::string& brackets) {
    static constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view op : kDouble) {
      if (!looking_at(op)) continue;
      emit(TokenKind::kOperator, std::string(op));
      advance(2);
      return ok_status();
    }
    const char c = peek();
    if (kSingle.find(c) == std::string_view::npos) {
      return syntax_error(line_, "unexpected character");
    }
    if (c == '(') brackets += ')';
    if (c == '[') brackets += ']';
    if (c == '{') brackets += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) {
        return syntax_error(line_, std::string("unexpected '") + c + "'");
      }
      brackets.pop_back();
    }
    emit(TokenKind::kOperator, std::string(1, c));
    advance(1);
    return ok_status();
  }

  // Digits with single underscores between them, from `at` on; returns the end.
  std::size_t digits_end(std::size_t at) const {
    while (at < source_.size() &&
           (is_ascii_digit(source_[at]) ||
            (source_[at] == '_' && at + 1 < source_.size() && is_ascii_digit(source_[at + 1])))) {
      ++at;
    }
    return at;
  }

  // End of the fraction and exponent after the digits that end at `end`; `end` if there is neither.
  std::size_t float_end(std::size_t end) const {
    const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
    if (after_dot) return end;
    std::size_t at = end;
    if (at + 1 < source_.size() && source_[at] == '.' && is_ascii_digit(source_[at + 1])) {
      at = digits_end(at + 1);
    }
    if (at < source_.size() && (source_[at] == 'e' || source_[at] == 'E')) {
      std::size_t exponent = at + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
        ++exponent;
      }
      if (exponent < source_.size() && is_ascii_digit(source_[exponent]))
        return digits_end(exponent);
    }
    return at;
  }

  Status lex_number() {
    const int base = number_base();
    std::size_t end = position_;
    if (base == 10) {
      end = digits_end(position_);
    } else {
      end += 2;
      while (
          end < source_.size() &&
          (std::isxdigit(static_cast<unsigned char>(source_[end])) != 0 || source_[end] == '_')) {
        ++end;
      }
    }
    const std::size_t real_end = base == 10 ? float_end(end) : end;
    std::string digits = source_.substr(position_, real_end - position_);
    std::erase(digits, '_');
    const char* last = digits.data() + digits.size();
    Token& token = emit(real_end == end ? TokenKind::kInteger : TokenKind::kFloat);
    const auto [stop, error] =
        real_end == end
            ? std::from_chars(digits.data() + (base == 10 ? 0 : 2), last, token.integer, base)
            : std::from_chars(digits.data(), last, token.real);
    if (error != std::errc() || stop != last) {
      return syntax_error(line_, "a number is too large or not well-formed");
    }
    advance(real_end - position_);
    return ok_status();
  }

  int number_base() const {
    if (peek() != '0') return 10;
    switch (peek(1)) {
      case 'x':
      case 'X':
        return 16;
      case 'o':
      case 'O':
        return 8;
      case 'b':
      case 'B':
        return 2;
      default:
        return 10;
    }
  }

  Status lex_string(char quote) {
    const int line = line_;
    std::size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return syntax_error(line, "a string is not closed");
    const std::string_view body =
        std::string_view(source_).substr(position_ + 1, end - position_ - 1);
    HF_TRY_ASSIGN(std::string decoded, decode_escapes(body, line));
    emit(TokenKind::kString, std::move(decoded));
    advance(end + 1 - position_);
    return ok_status();
  }

  // Python's escapes. An unknown one stays as it is, with its backslash.
  static Result<std::string> decode_escapes(std::string_view body, int line) {
    std::string out;
    for (std::size_t i = 0; i < body.size();) {
      if (body[i] != '\\' || i + 1 >= body.size()) {
        out += body[i++];
        continue;
      }
      const char c = body[i + 1];
      i += 2;
      static constexpr std::string_view kFrom = "\\'\"abfnrtv";
      static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
      if (c == '\n') continue;
      if (const std::size_t known = kFrom.find(c); known != std::string_view::npos) {
        out += kTo[known];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        HF_TRY_ASSIGN(const char32_t code, hex_escape(body, i,
                                                      c == 'x'   ? 2
                                                      : c == 'u' ? 4
                                                                 : 8,
                                                      line));
        append_utf8(out, join_surrogates(body, i, code));
      } else if (c >= '0' && c <= '7') {
        char32_t code = static_cast<char32_t>(c - '0');
        for (int n = 0; n < 2 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++n) {
          code = code * 8 + static_cast<char32_t>(body[i++] - '0');
        }
        append_utf8(out, code);
      } else if (c == 'N') {
        return syntax_error(line, "named characters (\\N) are not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  static Result<char32_t> hex_escape(std::string_view body, std::size_t& i, std::size_t digits,
                                     int line) {
    std::uint32_t code = 0;
    const std::string_view hex = body.substr(i, digits);
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() != digits || error != std::errc() || end != hex.data() + digits ||
        code > 0x10FFFF) {
      return syntax_error(line, "an escape in a string is not well-formed");
    }
    i += digits;
    return static_cast<char32_t>(code);
  }

  // Two escapes may spell one character as a surrogate pair; a lone surrogate has no UTF-8 form.
  static char32_t join_surrogates(std::string_view body, std::size_t& i, char32_t code) {
    if (code < 0xD800 || code > 0xDFFF) return code;
    if (code < 0xDC00 && body.substr(i).starts_with("\\u")) {
      std::uint32_t low = 0;
      const std::string_view hex = body.substr(i + 2, 4);
      const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), low, 16);
      if (error == std::errc() && end == hex.data() + hex.size() && low >= 0xDC00 &&
          low <= 0xDFFF) {
        i += 6;
        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
    }
    return 0xFFFD;
  }

  std::string source_;
  std::size_t position_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  return Lexer(normalize_newlines(source)).run();
}

}  // namespace holdfast::chat
