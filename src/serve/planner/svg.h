// The few elements of SVG that the charts are made of, and their scales.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::planner {

enum class Anchor { kStart, kMiddle, kEnd };

// Coordinates are in units of the view box, y downwards. `style` is a class of the page's sheet.
class Svg {
 public:
  Svg(double width, double height, const std::string& id, std::string_view title,
      std::string_view description);

  void line(double x1, double y1, double x2, double y2, std::string_view style);
  void rect(double x, double y, double width, double height, std::string_view style);
  void path(const std::vector<std::pair<double, double>>& points, std::string_view style);
  // Escapes the text.
  void text(double x, double y, std::string_view text, Anchor anchor = Anchor::kStart,
            std::string_view style = "");
  // One of six shapes, told apart without colour.
  void mark(double x, double y, std::size_t shape, std::string_view style, double size = 5);
  // The end of the element.
  std::string take();

 private:
  std::string out_;
};

// From values to a stretch of the chart.
class Scale {
 public:
  Scale(double low, double high, double from, double to, bool logarithmic);
  double at(double value) const;
  // Round values inside, some five of them.
  std::vector<double> ticks() const;

 private:
  double low_;
  double high_;
  double from_;
  double to_;
  bool logarithmic_;
};

}  // namespace holdfast::planner
