#include "svg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "report_charts.h"

namespace holdfast::planner {

namespace {

// A coordinate with a tenth of a unit.
std::string at_text(double v) {
  std::array<char, 64> buffer{};
  const double safe = std::isfinite(v) ? std::clamp(v, -1e6, 1e6) : 0;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::round(safe * 10) / 10);
  return {buffer.data(), end};
}

std::string attribute(std::string_view name, double v) {
  return " " + std::string(name) + "=\"" + at_text(v) + "\"";
}

}  // namespace

Svg::Svg(double width, double height, const std::string& id, std::string_view title,
         std::string_view description) {
  out_ = "<svg role=\"img\" aria-labelledby=\"" + id + "-t " + id + "-d\" viewBox=\"0 0 " +
         at_text(width) + " " + at_text(height) + "\">\n<title id=\"" + id + "-t\">" +
         escaped(title) + "</title>\n<desc id=\"" + id + "-d\">" + escaped(description) +
         "</desc>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view style) {
  out_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
          attribute("y2", y2) + " class=\"" + std::string(style) + "\"/>\n";
}

void Svg::rect(double x, double y, double width, double height, std::string_view style) {
  out_ += "<rect" + attribute("x", x) + attribute("y", y) +
          attribute("width", std::max(0.0, width)) + attribute("height", std::max(0.0, height)) +
          " class=\"" + std::string(style) + "\"/>\n";
}

void Svg::path(const std::vector<std::pair<double, double>>& points, std::string_view style) {
  std::string d;
  for (const auto& [x, y] : points) d += (d.empty() ? "M" : " L") + at_text(x) + " " + at_text(y);
  out_ += "<path d=\"" + d + "\" class=\"" + std::string(style) + "\"/>\n";
}

void Svg::text(double x, double y, std::string_view text, Anchor anchor, std::string_view style) {
  const char* names[] = {"start", "middle", "end"};
  out_ += "<text" + attribute("x", x) + attribute("y", y) + " text-anchor=\"" +
          names[static_cast<std::size_t>(anchor)] + "\"";
  if (!style.empty()) out_ += " class=\"" + std::string(style) + "\"";
  out_ += ">" + escaped(text) + "</text>\n";
}

void Svg::mark(double x, double y, std::size_t shape, std::string_view style, double size) {
  const double s = size;
  switch (shape % 6) {
    case 0:
      out_ += "<circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", s) +
              " class=\"" + std::string(style) + "\"/>\n";
      return;
    case 1:
      rect(x - s, y - s, 2 * s, 2 * s, style);
      return;
    case 2:
      path({{x, y - 1.2 * s}, {x + 1.2 * s, y + s}, {x - 1.2 * s, y + s}, {x, y - 1.2 * s}}, style);
      return;
    case 3:
      path({{x, y - 1.4 * s},
            {x + 1.4 * s, y},
            {x, y + 1.4 * s},
            {x - 1.4 * s, y},
            {x, y - 1.4 * s}},
           style);
      return;
    case 4:
      path({{x, y + 1.2 * s}, {x + 1.2 * s, y - s}, {x - 1.2 * s, y - s}, {x, y + 1.2 * s}}, style);
      return;
    default:
      path({{x - s, y - s}, {x + s, y + s}, {x, y}, {x - s, y + s}, {x + s, y - s}}, style);
  }
}

std::string Svg::take() { return std::move(out_ += "</svg>\n"); }

Scale::Scale(double low, double high, double from, double to, bool logarithmic)
    : low_(low), high_(high), from_(from), to_(to), logarithmic_(logarithmic) {
  if (logarithmic_) {
    low_ = std::max(low_, 1e-9);
    high_ = std::max(high_, low_ * 1.01);
  } else if (high_ <= low_) {
    high_ = low_ + 1;
  }
}

double Scale::at(double value) const {
  const double share = logarithmic_
                           ? std::log(std::max(value, 1e-9) / low_) / std::log(high_ / low_)
                           : (value - low_) / (high_ - low_);
  return from_ + share * (to_ - from_);
}

std::vector<double> Scale::ticks() const {
  std::vector<double> out;
  const double range = high_ - low_;
  // Less than a decade is read better in equal steps.
  constexpr double kDecade = 10;
  if (!logarithmic_ || high_ / low_ < kDecade) {
    const double rough = range / 5;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double m : {5.0, 2.0, 1.0})
      if (rough <= m * power) step = m * power;
    for (double v = std::ceil(low_ / step - 1e-9) * step; v <= high_ + step * 1e-6; v += step)
      out.push_back(std::abs(v) < step * 1e-6 ? 0 : v);
    return out;
  }
  const bool many = high_ / low_ > 1e4;
  for (double power = std::pow(10.0, std::floor(std::log10(low_))); power <= high_; power *= 10) {
    for (const double m : {1.0, 2.0, 5.0}) {
      const double v = m * power;
      if (v >= low_ * 0.999 && v <= high_ * 1.001 && (m == 1 || !many)) out.push_back(v);
    }
  }
  return out;
}

}  // namespace holdfast::planner
