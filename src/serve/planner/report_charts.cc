#include "report_charts.h"

#include <algorithm>
#include <cmath>

#include "svg.h"

namespace holdfast::planner {

namespace {

constexpr double kWidth = 760;

std::string mode_style(const char* kind, Mode mode) {
  return std::string(kind) + " m" + std::to_string(static_cast<int>(mode));
}
std::size_t shape_of(Mode mode) { return static_cast<std::size_t>(mode); }

// A frame with ticks; the chart's marks come on top.
struct Frame {
  double left, top, right, bottom;
};

void axis_left(Svg& svg, const Frame& f, const Scale& y, const auto& label) {
  for (const double v : y.ticks()) {
    svg.line(f.left, y.at(v), f.right, y.at(v), "grid");
    svg.text(f.left - 6, y.at(v) + 4, label(v), Anchor::kEnd, "soft");
  }
}

void axis_below(Svg& svg, const Frame& f, const std::vector<double>& ticks, const Scale& x,
                const auto& label) {
  svg.line(f.left, f.bottom, f.right, f.bottom, "axis");
  for (const double v : ticks) {
    svg.line(x.at(v), f.bottom, x.at(v), f.bottom + 4, "axis");
    svg.text(x.at(v), f.bottom + 17, label(v), Anchor::kMiddle, "soft");
  }
}

// Labels beside the ends of lines, moved apart so that none covers another.
void spread(std::vector<double>& y, double least, double low, double high) {
  std::vector<std::size_t> order(y.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&y](std::size_t a, std::size_t b) { return y[a] < y[b]; });
  double next = low;
  for (const std::size_t i : order) next = (y[i] = std::max(y[i], next)) + least;
  next = high;
  for (std::size_t i = order.size(); i-- > 0;)
    next = (y[order[i]] = std::min(y[order[i]], next)) - least;
}

std::vector<double> month_ticks(int years) {
  std::vector<double> out;
  const int step = years > 10 ? 24 : 12;
  for (int m = 0; m <= 12 * years; m += step) out.push_back(m);
  return out;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : harmless(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string cost_chart(const Speech& s, const Plan& plan, const ClassView& view,
                       const std::string& id) {
  const auto options = best_of_modes(view);
  if (options.empty() || options[0]->ledger.horizon_years < 1) return "";
  std::vector<std::vector<double>> lines;
  double low = 0;
  double high = 1;
  std::string names;
  for (const PlanOption* o : options) {
    lines.push_back(cumulated(*o));
    for (const double v : lines.back()) {
      low = std::min(low, v);
      high = std::max(high, v);
    }
    names += (names.empty() ? "" : "; ") + s.mode(o->mode) + " " + s.money(o->total);
  }
  const Frame f{70, 12, kWidth - 170, 290};
  const Scale x(0, 12.0 * plan.horizon_years, f.left, f.right, false);
  const Scale y(low, high * 1.03, f.bottom, f.top, false);
  Svg svg(kWidth, 330, id, s.say(Text::kChartCost), s.say(Text::kChartCostDesc, {names}));
  axis_left(svg, f, y, [&s](double v) { return s.money_short(v); });
  axis_below(svg, f, month_ticks(plan.horizon_years), x, [&s](double v) { return s.rounded(v); });
  svg.text((f.left + f.right) / 2, f.bottom + 34, s.say(Text::kMonths), Anchor::kMiddle, "soft");
  std::vector<double> ends;
  for (std::size_t i = 0; i < options.size(); ++i) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t m = 0; m < lines[i].size(); ++m)
      points.emplace_back(x.at(static_cast<double>(m)), y.at(lines[i][m]));
    svg.path(points, mode_style("curve", options[i]->mode));
    svg.mark(points.back().first, points.back().second, shape_of(options[i]->mode),
             mode_style("point", options[i]->mode), 4);
    ends.push_back(points.back().second);
  }
  spread(ends, 16, f.top + 6, f.bottom);
  for (std::size_t i = 0; i < options.size(); ++i)
    svg.text(f.right + 12, ends[i] + 4,
             s.mode(options[i]->mode) + " " + s.money_short(options[i]->total), Anchor::kStart,
             options[i] == view.best ? "strong" : "");
  int number = 0;
  for (std::size_t i = 0; view.best != nullptr && i < options.size(); ++i) {
    if (options[i] == view.best) continue;
    const auto month = even_month(*view.best, *options[i]);
    if (!month || *month == 0) continue;
    const double px = x.at(*month);
    const double py = y.at(cumulated(*view.best)[static_cast<std::size_t>(*month)]);
    svg.mark(px, py, 0, "even", 8);
    svg.text(px, py + 4, std::to_string(++number), Anchor::kMiddle, "small");
  }
  return svg.take();
}

std::string tornado_chart(const Speech& s, const Plan& plan, const ClassView& view,
                          const std::string& id) {
  if (view.best == nullptr || plan.tornado.empty()) return "";
  const double npv = view.best->npv;
  const TornadoView t = tornado_view(s, plan, *view.best);
  if (t.bars.empty()) return "";
  double low = npv;
  double high = npv;
  for (const TornadoBar* b : t.bars) {
    low = std::min({low, b->npv_low, b->npv_high});
    high = std::max({high, b->npv_low, b->npv_high});
  }
  constexpr double kRow = 26;
  const double height = kRow * static_cast<double>(t.bars.size());
  std::size_t longest = 0;
  for (const TornadoBar* b : t.bars) longest = std::max(longest, width_of(s.input(b->input)));
  // Bold letters are some seven units wide.
  const Frame f{std::min(430.0, 24 + 7.2 * static_cast<double>(longest)), 14, kWidth - 70,
                14 + height};
  const Scale x(low, high, f.left + 70, f.right - 5, false);
  Svg svg(kWidth, height + 40, id, s.say(Text::kChartTornado),
          s.say(Text::kChartTornadoDesc, {s.input(t.bars[0]->input)}));
  svg.line(x.at(npv), f.top - 6, x.at(npv), f.bottom, "axis");
  svg.text(x.at(npv), f.bottom + 18, s.money(npv), Anchor::kMiddle, "soft");
  double row = f.top;
  for (const TornadoBar* b : t.bars) {
    const bool flips = b->winner_low != view.best->id || b->winner_high != view.best->id;
    svg.text(f.left, row + 15, s.input(b->input) + (flips ? " *" : ""), Anchor::kEnd,
             flips ? "strong" : "");
    const auto bar = [&](double value, const char* style) {
      svg.rect(std::min(x.at(npv), x.at(value)), row + 4, std::abs(x.at(value) - x.at(npv)), 15,
               style);
    };
    bar(b->npv_low, "low");
    bar(b->npv_high, "high");
    const double least = std::min({b->npv_low, b->npv_high, npv});
    const double most = std::max({b->npv_low, b->npv_high, npv});
    svg.text(x.at(least) - 5, row + 16, s.change(least - npv), Anchor::kEnd, "small");
    svg.text(x.at(most) + 5, row + 16, s.change(most - npv), Anchor::kStart, "small");
    row += kRow;
  }
  return svg.take();
}

std::string load_chart(const Speech& s, const Plan& plan, const std::string& id) {
  const auto& curve = plan.load_curve;
  if (curve.size() < 2) return "";
  const std::string both =
      s.say(Text::kBoth, {s.say(Text::kFirstToken), s.say(Text::kFurtherToken)});
  Svg svg(kWidth, 270, id, s.say(Text::kChartLoad),
          s.say(Text::kChartLoadDesc, {both,
                                       s.milliseconds(curve.front().ttft_p99_ms) + ", " +
                                           s.milliseconds(curve.front().tpot_p99_ms),
                                       s.percent(curve.front().load),
                                       s.milliseconds(curve.back().ttft_p99_ms) + ", " +
                                           s.milliseconds(curve.back().tpot_p99_ms),
                                       s.percent(curve.back().load)}));
  const auto panel = [&](double left, Text title, const char* style, auto get) {
    double low = get(curve.front());
    double high = low;
    for (const LoadPoint& p : curve) {
      low = std::min(low, get(p));
      high = std::max(high, get(p));
    }
    const Frame f{left + 70, 34, left + 360, 215};
    const Scale x(0, 1, f.left, f.right, false);
    const Scale y(low > 0 && high / low > 5 ? low / 1.2 : 0, high * 1.1, f.bottom, f.top,
                  low > 0 && high / low > 5);
    svg.text(f.left, 18, s.say(title), Anchor::kStart, "strong");
    axis_left(svg, f, y, [&s](double v) { return s.milliseconds(v); });
    axis_below(svg, f, {0, 0.25, 0.5, 0.75, 1}, x,
               [&s](double v) { return s.number(100 * v, 0) + " %"; });
    svg.text((f.left + f.right) / 2, f.bottom + 36, s.say(Text::kLoad), Anchor::kMiddle, "soft");
    std::vector<std::pair<double, double>> points;
    for (const LoadPoint& p : curve) points.emplace_back(x.at(p.load), y.at(get(p)));
    svg.path(points, style);
  };
  panel(0, Text::kFirstToken, "curve m0", [](const LoadPoint& p) { return p.ttft_p99_ms; });
  panel(380, Text::kFurtherToken, "curve m1", [](const LoadPoint& p) { return p.tpot_p99_ms; });
  return svg.take();
}

std::string memory_chart(const Speech& s, const PlanOption& o, const std::string& id) {
  const double usable = o.memory.usable.value();
  if (usable <= 0) return "";
  struct Part {
    Text name;
    double bytes;
    const char* style;
  };
  const Part parts[] = {{Text::kWeights, o.memory.weights.value(), "weights"},
                        {Text::kKeysValues, o.memory.kv.value(), "context"},
                        {Text::kWorkspace, o.memory.workspace.value(), "workspace"},
                        {Text::kFree, std::max(0.0, o.memory.free().value()), "free"}};
  std::string description;
  for (const Part& p : parts)
    description += (description.empty() ? "" : ", ") + s.say(p.name) + " " + s.bytes(p.bytes);
  Svg svg(kWidth, 92, id, s.say(Text::kChartMemory), description);
  const Scale x(0, std::max(usable, o.memory.total().value()), 4, kWidth - 4, false);
  double sum = 0;
  for (const Part& p : parts) {
    svg.rect(x.at(sum), 8, x.at(sum + p.bytes) - x.at(sum), 36, p.style);
    // The share inside where there is room: no guess by colour alone.
    if (x.at(sum + p.bytes) - x.at(sum) > 60)
      svg.text((x.at(sum) + x.at(sum + p.bytes)) / 2, 30, s.bytes(p.bytes), Anchor::kMiddle,
               "badge");
    sum += p.bytes;
  }
  double at = 4;
  for (const Part& p : parts) {
    const std::string text = s.say(p.name) + " " + s.bytes(p.bytes);
    svg.rect(at, 62, 14, 14, p.style);
    svg.text(at + 20, 74, text);
    at += 44 + 7.2 * static_cast<double>(width_of(text));
  }
  return svg.take();
}

std::string pareto_chart(const Speech& s, const Plan& plan, const ClassView& view,
                         const std::string& id) {
  std::vector<const PlanOption*> options;
  for (const PlanOption* o : view.kept)
    if (o->npv > 0 && o->ttft_ms_p99.p50 > 0) options.push_back(o);
  if (options.size() < 2) return "";
  double cost[2] = {options[0]->npv, options[0]->npv};
  double wait[2] = {options[0]->ttft_ms_p99.p50, options[0]->ttft_ms_p99.p50};
  for (const PlanOption* o : options) {
    cost[0] = std::min(cost[0], o->npv);
    cost[1] = std::max(cost[1], o->npv);
    wait[0] = std::min(wait[0], o->ttft_ms_p99.p50);
    wait[1] = std::max(wait[1], o->ttft_ms_p99.p50);
  }
  const auto best = front(view);
  const Frame f{80, 14, kWidth - 20, 300};
  const Scale x(cost[0] / 1.1, cost[1] * 1.1, f.left, f.right, true);
  const Scale y(wait[0] / 1.15, wait[1] * 1.15, f.bottom, f.top, true);
  Svg svg(kWidth, 376, id, s.say(Text::kChartPareto),
          s.say(Text::kChartParetoDesc, {std::to_string(best.size())}));
  axis_left(svg, f, y, [&s](double v) { return s.milliseconds(v); });
  axis_below(svg, f, x.ticks(), x, [&s](double v) { return s.money_short(v); });
  svg.text((f.left + f.right) / 2, f.bottom + 36, s.say(Text::kCostAxis, {harmless(plan.currency)}),
           Anchor::kMiddle, "soft");
  std::vector<std::pair<double, double>> steps;
  for (const PlanOption* o : best) {
    if (!steps.empty()) steps.emplace_back(x.at(o->npv), steps.back().second);
    steps.emplace_back(x.at(o->npv), y.at(o->ttft_ms_p99.p50));
  }
  svg.path(steps, "front");
  for (const PlanOption* o : options)
    svg.mark(x.at(o->npv), y.at(o->ttft_ms_p99.p50), shape_of(o->mode),
             mode_style("point", o->mode), o == view.best ? 7 : 4);
  // A number beside each mark of the front; where the last one is near, on the other side.
  double last_y = -1e9;
  bool right = true;
  for (std::size_t i = 0; i < best.size(); ++i) {
    const double px = x.at(best[i]->npv);
    const double py = y.at(best[i]->ttft_ms_p99.p50);
    constexpr double kNear = 16;
    right = std::abs(py - last_y) > kNear || !right;
    last_y = py;
    svg.text(px + (right ? 9 : -9), py + (right ? -7 : 14), std::to_string(i + 1),
             right ? Anchor::kStart : Anchor::kEnd, "badge");
  }
  double at = f.left;
  for (const PlanOption* o : best_of_modes(view)) {
    svg.mark(at, 362, shape_of(o->mode), mode_style("point", o->mode), 5);
    svg.text(at + 12, 366, s.mode(o->mode));
    at += 40 + 7.2 * static_cast<double>(width_of(s.mode(o->mode)));
  }
  return svg.take();
}

}  // namespace holdfast::planner
