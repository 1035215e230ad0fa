// The summary of a plan for the terminal.
#include <algorithm>
#include <cmath>

#include "report_view.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kWidthMin = 60;
constexpr std::size_t kWidthMax = 200;
constexpr std::size_t kOptionsShown = 12;
constexpr std::size_t kNamesShown = 4;

struct Cell {
  std::string text;
  bool right = false;  // numbers
};
using Row = std::vector<Cell>;

class TextReport {
 public:
  TextReport(const Plan& plan, Language language, std::size_t width)
      : plan_(plan),
        s_(language, plan.currency),
        width_(std::clamp(width, kWidthMin, kWidthMax)),
        views_(class_views(plan)) {}

  std::string run() {
    title();
    for (const ClassView& v : views_) part(v);
    if (views_.empty()) para(s_.say(Text::kNothing));
    defaults();
    prices();
    if (!plan_.warnings.empty()) heading(s_.say(Text::kWarnings));
    for (const std::string& w : plan_.warnings) para("! " + s_.phrase(w), 0, 2);
    gap();
    para(s_.say(Text::kHash,
                {harmless(plan_.inputs_sha256.substr(0, 16)), std::to_string(plan_.seed)}));
    return std::move(out_);
  }

 private:
  // Form.

  void line(const std::string& text) {
    out_ += text;
    out_.erase(out_.find_last_not_of(' ') + 1);
    out_ += '\n';
  }
  void gap() { out_ += '\n'; }

  void heading(const std::string& text) {
    gap();
    line(text);
    line(std::string(width_of(text), '-'));
  }

  // Breaks at spaces; further lines start `hang` columns in.
  void para(const std::string& text, std::size_t indent = 0, std::size_t hang = 0) {
    std::string current(indent, ' ');
    std::size_t column = indent;
    bool first_word = true;
    for (std::size_t pos = 0; pos < text.size();) {
      const std::size_t end = std::min(text.find(' ', pos), text.size());
      const std::string word = text.substr(pos, end - pos);
      if (!first_word && column + 1 + width_of(word) > width_) {
        line(current);
        current.assign(indent + hang, ' ');
        column = indent + hang;
        first_word = true;
      }
      if (!first_word) current += ' ';
      column += (first_word ? 0 : 1) + width_of(word);
      current += word;
      first_word = false;
      pos = end + 1;
    }
    line(current);
  }

  static std::vector<std::size_t> widths(const std::vector<Row>& rows) {
    std::vector<std::size_t> out;
    for (const Row& r : rows) {
      out.resize(std::max(out.size(), r.size()));
      for (std::size_t i = 0; i < r.size(); ++i) out[i] = std::max(out[i], width_of(r[i].text));
    }
    return out;
  }

  bool fits(const std::vector<Row>& rows) const {
    std::size_t sum = 0;
    for (const std::size_t w : widths(rows)) sum += w + 2;
    return sum <= width_ + 2;
  }

  // The first row is the head.
  void table(std::vector<Row> rows, std::size_t indent = 0) {
    std::vector<std::size_t> wide = widths(rows);
    std::size_t sum = indent;
    for (const std::size_t w : wide) sum += w + 2;
    // The widest columns lose their ends, one after the other.
    constexpr std::size_t kLeast = 8;
    while (sum > width_ + 2) {
      const auto victim = std::max_element(wide.begin(), wide.end());
      if (*victim <= kLeast) break;
      const std::size_t over = sum - width_ - 2;
      const std::size_t less = std::min(over, *victim - std::max(kLeast, *victim * 2 / 3));
      *victim -= less;
      sum -= less;
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::string text(indent, ' ');
      for (std::size_t i = 0; i < rows[r].size(); ++i) {
        const Cell& c = rows[r][i];
        const std::string cut = shortened(c.text, wide[i]);
        const std::string pad(wide[i] - std::min(wide[i], width_of(cut)), ' ');
        text += c.right ? pad + cut : cut + pad;
        text += "  ";
      }
      line(text);
    }
  }

  static std::string shortened(const std::string& text, std::size_t width) {
    if (width_of(text) <= width) return text;
    std::string out;
    for (std::size_t pos = 0; pos < text.size() && width_of(out) < width; ++pos) out += text[pos];
    // The last byte begins a character of which more bytes may follow: leave it out.
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (!out.empty()) out.pop_back();
    return out + "~";
  }

  // Parts.

  void title() {
    std::string models;
    for (const PlanOption& o : plan_.options) {
      const std::string name = harmless(o.model);
      if (models.find(name) != std::string::npos) continue;
      models += (models.empty() ? "" : ", ") + name;
    }
    line(s_.say(Text::kTitle, {models}));
    para(s_.say(Text::kMadeOn, {harmless(plan_.today), harmless(plan_.version),
                                harmless(plan_.currency), std::to_string(plan_.horizon_years)}));
    const auto together = overall(s_, plan_);
    if (!together.empty()) gap();
    for (const std::string& t : together) para(t, t.starts_with(' ') ? 2 : 0, 2);
    gap();
    for (const std::string& t : demand_sentences(s_, plan_)) para(t);
  }

  void part(const ClassView& v) {
    if (views_.size() > 1) {
      gap();
      const std::string name = s_.say(Text::kClass, {harmless(v.name)});
      line(std::string(width_of(name), '='));
      line(name);
      line(std::string(width_of(name), '='));
    }
    heading(s_.say(Text::kRecommendation));
    for (const std::string& t : headline(s_, plan_, v)) para(t);
    if (v.best != nullptr) pilot(*v.best);
    options(v);
    if (v.best != nullptr) {
      reasons(*v.best);
      changes(*v.best);
      tornado(v);
      money(*v.best);
      memory(*v.best);
      latency(*v.best);
      people(*v.best);
      bill(*v.best);
      calendar(*v.best);
    }
    removed(v);
  }

  void pilot(const PlanOption& o) {
    const auto sentences = pilot_sentences(s_, o);
    if (sentences.empty()) return;
    heading(s_.say(Text::kPilot));
    for (const std::string& t : sentences) para(t);
  }

  void options(const ClassView& v) {
    if (v.kept.empty()) return;
    heading(s_.say(Text::kOptions));
    const auto list = worth_showing(v, kOptionsShown);
    const std::vector<Row> rows = option_rows(list);
    if (fits(rows)) {
      table(rows);
    } else {
      for (const PlanOption* o : list) option_lines(*o);
    }
    if (v.kept.size() > list.size())
      line(s_.say(Text::kMoreOptions, {std::to_string(v.kept.size() - list.size())}));
  }

  std::string replicas(const PlanOption& o) const {
    if (o.device.empty()) return "-";
    return s_.rounded(o.replicas) + (o.spares > 0 ? " + " + s_.rounded(o.spares) : "");
  }

  std::string range(const PlanOption& o) const {
    if (o.npv_band.p50 <= 0) return "-";
    return s_.money_short(o.npv_band.p10) + " - " + s_.money_short(o.npv_band.p90);
  }

  std::vector<Row> option_rows(const std::vector<const PlanOption*>& list) const {
    const std::string years = std::to_string(plan_.horizon_years);
    std::vector<Row> rows{{{s_.say(Text::kWay)},
                           {s_.say(Text::kWhere)},
                           {s_.say(Text::kQuant)},
                           {s_.say(Text::kReplicas), true},
                           {s_.say(Text::kFirstToken), true},
                           {s_.say(Text::kAMonth), true},
                           {s_.say(Text::kWhole, {years}), true},
                           {s_.say(Text::kBand), true},
                           {s_.say(Text::kMillion), true},
                           {s_.say(Text::kUp), true},
                           {s_.say(Text::kStatus)}}};
    for (const PlanOption* o : list) {
      rows.push_back({{s_.mode(o->mode)},
                      {place_text(s_, *o)},
                      {o->quant.empty() ? "-" : harmless(o->quant)},
                      {replicas(*o), true},
                      {s_.milliseconds(o->ttft_ms_p99.p50), true},
                      {s_.money_short(per_month(plan_, *o)), true},
                      {s_.money_short(o->total), true},
                      {range(*o), true},
                      {s_.money(o->per_million_tokens), true},
                      {s_.percent(o->availability), true},
                      {s_.status(o->status)}});
    }
    return rows;
  }

  void option_lines(const PlanOption& o) {
    std::string first = s_.mode(o.mode) + ": " + place_text(s_, o);
    if (!o.quant.empty()) first += ", " + harmless(o.quant);
    if (!o.device.empty())
      first +=
          ", " + (o.replicas == 1 && o.spares == 0 ? s_.say(Text::kOneReplica)
                                                   : s_.say(Text::kRowReplicas, {replicas(o)}));
    const bool best = o.status == OptionStatus::kRecommended;
    para((best ? "* " : "  ") + first + " - " + s_.status(o.status), 0, 4);
    para(
        s_.say(Text::kRowSecond, {s_.milliseconds(o.ttft_ms_p99.p50), s_.money(per_month(plan_, o)),
                                  s_.money(o.total), std::to_string(plan_.horizon_years),
                                  s_.money(o.per_million_tokens), s_.percent(o.availability)}),
        4);
    if (o.npv_band.p50 > 0)
      para(s_.say(Text::kRowBand,
                  {s_.money(o.npv), s_.money(o.npv_band.p10), s_.money(o.npv_band.p90)}),
           4);
  }

  void reasons(const PlanOption& o) {
    if (o.because.empty()) return;
    heading(s_.say(Text::kBecause));
    for (const Reason& r : o.because)
      para("- " + s_.reason(plan_, r) + " (" + harmless(r.rule) + ")", 0, 2);
    if (o.payback_month && *o.payback_month > 0)
      para("- " + s_.say(Text::kPaybackPlain, {s_.rounded(*o.payback_month)}) +
               (o.irr ? " " + s_.say(Text::kIrr, {s_.percent(*o.irr)}) : ""),
           0, 2);
  }

  void changes(const PlanOption& o) {
    heading(s_.say(Text::kChanges));
    if (o.would_change_if.empty()) para(s_.say(Text::kNoChange));
    for (const Threshold& t : o.would_change_if) para("- " + threshold_sentence(s_, t), 0, 2);
  }

  // One bar per input around the planned cost: '#' from there to the cost at +20 %, '=' to -20 %.
  void tornado(const ClassView& v) {
    if (plan_.tornado.empty() || &v != first_with_best()) return;
    const TornadoView t = tornado_view(s_, plan_, *v.best);
    heading(s_.say(Text::kTornado));
    para(s_.say(Text::kTornadoHow, {s_.money(v.best->npv)}));
    double reach = 1e-9;
    for (const TornadoBar* b : t.bars)
      reach = std::max(
          {reach, std::abs(b->npv_low - v.best->npv), std::abs(b->npv_high - v.best->npv)});
    std::size_t name_width = 0;
    for (const TornadoBar* b : t.bars)
      name_width = std::max(name_width, width_of(s_.input(b->input)));
    // Amounts and a remark take some 46 columns; a bar of less than 17 shows nothing.
    constexpr std::size_t kRest = 46;
    const bool beside = width_ >= name_width + kRest + 17;
    const std::size_t taken = kRest + (beside ? name_width : 0);
    const std::size_t half = std::clamp<std::size_t>((width_ - taken) / 2, 5, 20);
    for (const TornadoBar* b : t.bars)
      tornado_line(*b, *v.best, reach, half, beside ? name_width : 0);
    line(s_.say(Text::kTornadoMarks));
    if (!t.rest.empty()) para(s_.say(Text::kTornadoRest, {t.rest}));
  }

  // With `name_width` 0 the name has a line of its own.
  void tornado_line(const TornadoBar& b, const PlanOption& best, double reach, std::size_t half,
                    std::size_t name_width) {
    std::string bar(2 * half + 1, ' ');
    bar[half] = '|';
    const auto draw = [&](double npv, char mark) {
      const double at = (npv - best.npv) / reach * static_cast<double>(half);
      const auto steps = static_cast<std::ptrdiff_t>(std::lround(at));
      for (std::ptrdiff_t i = 1; i <= std::abs(steps); ++i)
        bar[half + static_cast<std::size_t>(steps > 0 ? i : -i)] = mark;
    };
    draw(b.npv_low, '=');
    draw(b.npv_high, '#');
    const std::string name = s_.input(b.input);
    std::string lead = "  ";
    if (name_width == 0) {
      line("  " + name);
    } else {
      lead += name + std::string(name_width - width_of(name), ' ');
    }
    const bool flips = b.winner_low != best.id || b.winner_high != best.id;
    line(lead + "  " + bar + "  " + s_.change(b.npv_low - best.npv) + " / " +
         s_.change(b.npv_high - best.npv) + (flips ? " (" + s_.say(Text::kFlips) + ")" : ""));
  }

  void money(const PlanOption& o) {
    if (o.ledger.lines.empty()) return;
    heading(s_.say(Text::kLedger));
    std::vector<Row> rows = ledger_rows(o, true);
    // Many years do not stand side by side.
    if (!fits(rows)) rows = ledger_rows(o, false);
    table(std::move(rows));
    const bool assumed = std::any_of(o.ledger.lines.begin(), o.ledger.lines.end(),
                                     [](const LedgerLine& l) { return l.assumed; });
    if (assumed) line(s_.say(Text::kAssumedNote));
    if (o.lockin > 0) para(s_.say(Text::kLockin, {s_.rounded(o.lockin)}));
  }

  std::vector<Row> ledger_rows(const PlanOption& o, bool years) const {
    const auto most = static_cast<std::size_t>(std::max(0, o.ledger.horizon_years));
    Row head{{s_.say(Text::kLine)}};
    if (years) head.push_back({s_.say(Text::kNow), true});
    for (std::size_t t = 1; years && t <= most; ++t)
      head.push_back({s_.say(Text::kYear, {std::to_string(t)}), true});
    head.push_back({s_.say(Text::kSum), true});
    std::vector<Row> rows{std::move(head)};
    for (const LedgerLine& l : o.ledger.lines) {
      Row row{{s_.word("line", l.name) + (l.assumed ? " *" : "")}};
      for (std::size_t t = 0; years && t <= most && t < l.per_year.size(); ++t)
        row.push_back({s_.money_short(l.per_year[t].value()), true});
      row.push_back({s_.money_short(line_sum(o, l.name)), true});
      rows.push_back(std::move(row));
    }
    Row sum{{s_.say(Text::kTotal)}};
    for (std::size_t t = 0; years && t < o.per_year.size(); ++t)
      sum.push_back({s_.money_short(o.per_year[t]), true});
    sum.push_back({s_.money_short(o.total), true});
    rows.push_back(std::move(sum));
    return rows;
  }

  void memory(const PlanOption& o) {
    const double usable = o.memory.usable.value();
    if (usable <= 0) return;
    heading(s_.say(Text::kMemory));
    const std::size_t room = width_ - 2;
    std::string bar;
    const auto draw = [&](Bytes part, char mark) {
      const double share = std::max(0.0, part.value()) / usable;
      const auto n = static_cast<std::size_t>(std::lround(share * static_cast<double>(room)));
      bar += std::string(std::min(n, room - std::min(room, bar.size())), mark);
    };
    draw(o.memory.weights, '#');
    draw(o.memory.kv, '=');
    draw(o.memory.workspace, '+');
    bar += std::string(room - std::min(room, bar.size()), '.');
    line("[" + bar + "]");
    const auto legend = [&](char mark, Text name, Bytes part) {
      return std::string(1, mark) + " " + s_.say(name) + " " + s_.bytes(part.value());
    };
    para(legend('#', Text::kWeights, o.memory.weights) + "   " +
         legend('=', Text::kKeysValues, o.memory.kv) + "   " +
         legend('+', Text::kWorkspace, o.memory.workspace) + "   " +
         legend('.', Text::kFree, o.memory.free()));
    para(memory_sentence(s_, o));
  }

  void latency(const PlanOption& o) {
    heading(s_.say(Text::kLatency));
    const LatencyBudget& b = o.budget;
    const auto row = [&](const std::string& name, double ms) {
      const std::string share = b.total_ms() > 0 ? s_.percent(ms / b.total_ms()) : "-";
      return Row{{name}, {s_.milliseconds(ms), true}, {share, true}};
    };
    table({row(s_.say(Text::kNetwork), b.rtt_ms), row(s_.say(Text::kQueue), b.queue_ms),
           row(s_.say(Text::kPrompt), b.ttft_ms),
           row(s_.say(Text::kAnswer, {s_.rounded(b.tokens), s_.milliseconds(b.tpot_ms)}),
               b.tpot_ms * b.tokens),
           row(s_.say(Text::kTotal), b.total_ms())},
          2);
    for (const std::string& t : latency_sentences(s_, o)) para(t);
  }

  void people(const PlanOption& o) {
    heading(s_.say(Text::kStaff));
    for (const std::string& t : people_sentences(s_, plan_, o)) para(t);
    if (o.energy_kwh_year > 0)
      para(s_.say(Text::kEnergy, {s_.rounded(o.energy_kwh_year), s_.rounded(o.co2_kg_year)}));
  }

  void bill(const PlanOption& o) {
    if (o.bom.empty()) return;
    heading(s_.say(Text::kBom));
    std::vector<Row> rows{{{s_.say(Text::kItem)},
                           {s_.say(Text::kNumber), true},
                           {s_.say(Text::kEach), true},
                           {s_.say(Text::kWattsEach), true},
                           {s_.say(Text::kRackUnits), true}}};
    for (const BomLine& l : o.bom)
      rows.push_back({{s_.word("item", l.item)},
                      {s_.rounded(l.count), true},
                      {s_.money(l.unit_price), true},
                      {s_.rounded(l.watts), true},
                      {s_.rounded(l.rack_units * l.count), true}});
    table(rows);
  }

  void calendar(const PlanOption& o) {
    if (o.calendar.empty()) return;
    heading(s_.say(Text::kCalendar));
    for (const CalendarEntry& c : o.calendar)
      para("- " + s_.say(Text::kOrderLine,
                         {harmless(c.order_by), s_.rounded(c.count) + " × " + harmless(o.device),
                          harmless(c.needed_from)}),
           0, 2);
  }

  void removed(const ClassView& v) {
    if (v.removed.empty()) return;
    heading(s_.say(Text::kRemoved));
    for (const RemovedGroup& g : v.removed) {
      const std::string count = std::to_string(g.options.size());
      para(s_.say(g.options.size() == 1 ? Text::kRemovedOne : Text::kRemovedGroup,
                  {s_.rule(g.rule), harmless(g.rule), count}));
      if (g.example != nullptr)
        para(s_.say(Text::kExample, {harmless(g.options[0]->id), s_.reason(plan_, *g.example)}), 2,
             2);
      if (g.options.size() > 1) para(s_.say(Text::kAlso, {others(g)}), 2, 2);
    }
  }

  std::string others(const RemovedGroup& g) const {
    std::string names;
    const std::size_t shown = std::min(g.options.size(), kNamesShown + 1);
    for (std::size_t i = 1; i < shown; ++i)
      names += (i == 1 ? "" : ", ") + harmless(g.options[i]->id);
    if (g.options.size() == shown) return names;
    return s_.say(Text::kAndMore, {names, std::to_string(g.options.size() - shown)});
  }

  void defaults() {
    if (plan_.defaults.empty()) return;
    heading(s_.say(Text::kDefaults));
    for (const DefaultUsed& d : plan_.defaults)
      para("- " + harmless(d.field) + " = " + s_.value(d.value) +
               (d.assumed ? " (" + s_.say(Text::kAssumed) + ")" : "") + ": " + s_.phrase(d.effect),
           0, 4);
  }

  void prices() {
    if (plan_.prices_used.empty()) return;
    heading(s_.say(Text::kPrices));
    std::vector<Row> rows{{{s_.say(Text::kPriceOf)},
                           {s_.say(Text::kKind)},
                           {s_.say(Text::kAmount), true},
                           {s_.say(Text::kSince)},
                           {""}}};
    constexpr std::size_t kPricesShown = 20;
    const auto ordered = prices_by_use(plan_, views_);
    for (std::size_t i = 0; i < std::min(ordered.size(), kPricesShown); ++i) {
      const Price& p = *ordered[i];
      std::string mark =
          is_stale(plan_, p) ? "! " + s_.say(Text::kStale, {std::to_string(kStaleDays)}) : "";
      if (p.from_user) mark += (mark.empty() ? "" : ", ") + s_.say(Text::kYours);
      rows.push_back({{harmless(p.id)},
                      {s_.word("price", price_kind_name(p.kind))},
                      {s_.rounded(p.price, 4) + " " + harmless(p.currency), true},
                      {p.valid_from.empty() ? s_.say(Text::kUndated) : harmless(p.valid_from)},
                      {mark}});
    }
    table(rows);
    if (ordered.size() > kPricesShown)
      line(s_.say(Text::kMorePrices, {std::to_string(ordered.size() - kPricesShown)}));
  }

  const ClassView* first_with_best() const {
    for (const ClassView& v : views_)
      if (v.best != nullptr) return &v;
    return nullptr;
  }

  const Plan& plan_;
  Speech s_;
  std::size_t width_;
  std::vector<ClassView> views_;
  std::string out_;
};

}  // namespace

std::string report_text(const Plan& plan, Language language, std::size_t width) {
  return TextReport(plan, language, width).run();
}

}  // namespace holdfast::planner
