#include "output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "holdfast/base/units.h"
#include "holdfast/base/utf8.h"
#include "holdfast/platform/clock.h"

namespace holdfast::cli {

namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(100);
constexpr auto kProgressLineInterval = std::chrono::seconds(5);

std::size_t columns_of(std::string_view text) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++n) i += decode_utf8(text, i).length;
  return n;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EPIPE && fd == STDOUT_FILENO) {
      std::_Exit(0);
    } else if (errno != EINTR) {
      return;
    }
  }
}

void yaml_value(std::string& out, const json::Value& value, int depth);

void yaml_item(std::string& out, const json::Value& value, int depth) {
  const bool nested = (value.is_object() && !value.as_object().empty()) ||
                      (value.is_array() && !value.as_array().empty());
  if (nested) {
    out += '\n';
    yaml_value(out, value, depth + 1);
  } else {
    out += ' ' + json::write(value) + '\n';
  }
}

void yaml_value(std::string& out, const json::Value& value, int depth) {
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  if (value.is_object()) {
    for (const json::Member& m : value.as_object()) {
      out += indent + m.key + ':';
      yaml_item(out, m.value, depth);
    }
  } else if (value.is_array()) {
    for (const json::Value& v : value.as_array()) {
      out += indent + '-';
      yaml_item(out, v, depth);
    }
  } else {
    out += indent + json::write(value) + '\n';
  }
}

}  // namespace

Format Context::format() const {
  if (flags.json || flags.format == "json") return Format::kJson;
  if (flags.format == "yaml") return Format::kYaml;
  return flags.format == "wide" ? Format::kWide : Format::kTable;
}

bool Context::color(int fd) const {
  if (flags.color != "auto") return flags.color == "always";
  return config::lookup(environment, "NO_COLOR").empty() && ::isatty(fd) == 1;
}

std::string Table::render(std::size_t width_max) const {
  std::vector<std::size_t> widths;
  for (const std::string& h : header_) widths.push_back(columns_of(h));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      text += cells[i];
      if (i + 1 < cells.size()) text.append(widths[i] - columns_of(cells[i]) + 2, ' ');
    }
    if (columns_of(text) > width_max) {
      std::size_t end = 0;
      for (std::size_t n = 0; n + 1 < width_max; ++n) end += decode_utf8(text, end).length;
      text = text.substr(0, end) + "…";
    }
    out += text + '\n';
  };
  line(header_);
  for (const auto& row : rows_) line(row);
  return out;
}

void print(std::string_view text) { write_all(STDOUT_FILENO, text); }
void print_json(const json::Value& value) { print(json::write(value, {.indent = 2}) + "\n"); }
void print_json_line(const json::Value& value) { print(json::write(value) + "\n"); }

std::string to_yaml(const json::Value& value) {
  std::string out;
  yaml_value(out, value, 0);
  return out;
}

void print_list(const Context& context, const Table& table, const json::Value& document) {
  if (context.json()) {
    print_json(document);
  } else if (context.format() == Format::kYaml) {
    print(to_yaml(document));
  } else {
    print(table.render(terminal_width()));
  }
}

void notice(const Context& context, std::string_view text) {
  if (!context.flags.quiet) write_all(STDERR_FILENO, std::string(text) + "\n");
}

void print_error(const Context& context, const Error& error) {
  std::string message = error.client_message();
  if (!error.detail().empty()) message += " (" + error.detail() + ")";
  if (context.json()) {
    json::Object body{{"code", std::string(error_code_name(error.code()))},
                      {"message", message},
                      {"hint", nullptr},
                      {"request_id", nullptr}};
    if (!error.hint().empty()) body.set("hint", error.hint());
    write_all(STDERR_FILENO, json::write(json::Object{{"error", std::move(body)}}) + "\n");
    return;
  }
  std::string out = "error: " + message + "\n";
  if (!error.hint().empty()) out += "hint: " + error.hint() + "\n";
  write_all(STDERR_FILENO, out);
}

Status confirm(const Context& context, std::string_view question) {
  if (context.flags.yes) return ok_status();
  if (::isatty(STDIN_FILENO) != 1) {
    return invalid_argument("this needs a confirmation, and standard input is no terminal")
        .with_hint("add --yes");
  }
  write_all(STDERR_FILENO, std::string(question) + " [y/N] ");
  char answer = 'n';
  char c = 0;
  for (bool first = true; ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n'; first = false) {
    if (first) answer = c;
  }
  if (answer == 'y' || answer == 'Y') return ok_status();
  return cancelled("nothing was changed");
}

TextOutput::TextOutput(const Context&) : terminal_(::isatty(STDOUT_FILENO) == 1) {}

void TextOutput::write(std::string_view text) {
  if (text.empty()) return;
  print(terminal_ ? without_controls(text) : std::string(text));
  at_line_start_ = text.back() == '\n';
}

void TextOutput::end_line() {
  if (!at_line_start_) print("\n");
  at_line_start_ = true;
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char step = decode_utf8(text, i);
    const char32_t c = step.code_point;
    const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
    out += control ? "\xef\xbf\xbd" : text.substr(i, step.length);
    i += step.length;
  }
  return out;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string short_id(const Context& context, std::string_view id) {
  return std::string(context.flags.no_trunc ? id : id.substr(0, 12));
}

std::string rfc3339(std::int64_t unix_seconds) {
  const std::time_t t = static_cast<std::time_t>(unix_seconds);
  std::tm tm{};
  gmtime_r(&t, &tm);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &tm);
  return buffer;
}

std::string now_rfc3339() {
  return rfc3339(platform::unix_seconds(platform::system_clock().wall_time()));
}

std::string today() { return now_rfc3339().substr(0, std::string_view("2026-12-01").size()); }

std::string time_ago(std::int64_t unix_seconds) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const std::int64_t s = std::max<std::int64_t>(0, now.count() - unix_seconds);
  const auto unit = [](std::int64_t n, const char* name) {
    return std::to_string(n) + " " + name + (n == 1 ? "" : "s") + " ago";
  };
  if (s < 60) return unit(s, "second");
  if (s < 3600) return unit(s / 60, "minute");
  if (s < 86400) return unit(s / 3600, "hour");
  return unit(s / 86400, "day");
}

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100000;
}

Progress::Progress(const Context& context, std::string label)
    : shown_(context.progress()),
      terminal_(::isatty(STDERR_FILENO) == 1),
      label_(std::move(label)),
      started_(std::chrono::steady_clock::now()),
      last_(started_) {}

Progress::~Progress() { finish(); }

void Progress::update(std::uint64_t done, std::uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  // The end is drawn on a terminal; in a log, work that was quick leaves no line.
  const auto interval = terminal_ ? std::chrono::milliseconds(kProgressInterval)
                                  : std::chrono::milliseconds(kProgressLineInterval);
  if (!shown_ || total == 0 || (now - last_ < interval && (done < total || !terminal_))) return;
  last_ = now;
  draw(done, total);
}

void Progress::draw(std::uint64_t done, std::uint64_t total) {
  const double share = total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = label_ + " " + std::to_string(static_cast<int>(share * 100)) + "%";
  if (terminal_) {
    constexpr std::size_t kCells = 20;
    const auto filled = static_cast<std::size_t>(share * kCells);
    line += " ▕";
    for (std::size_t i = 0; i < kCells; ++i) line += i < filled ? "█" : " ";
    line += "▏";
  }
  line += " " + format_bytes(done) + "/" + format_bytes(total) + " " +
          format_bytes(static_cast<std::uint64_t>(rate)) + "/s";
  write_all(STDERR_FILENO, terminal_ ? "\r" + line + "\x1b[K" : line + "\n");
  drawn_ = true;
}

void Progress::finish() {
  if (drawn_ && terminal_) write_all(STDERR_FILENO, "\n");
  drawn_ = false;
}

}  // namespace holdfast::cli
