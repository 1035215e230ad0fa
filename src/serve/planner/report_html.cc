// The plan as one page: no scripts, nothing from elsewhere.
#include <algorithm>

#include "report_charts.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kOptionsShown = 24;

// The policy keeps the page what it is even if something slipped through.
constexpr std::string_view kHead =
    R"(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
)";

constexpr std::string_view kStyle = R"(<style>
:root { color-scheme: light dark; --ink: #1b1d21; --soft: #5a616b; --paper: #ffffff;
  --panel: #f4f6f8; --rule: #d3d8de; --accent: #00618f; --warn: #9a3b00;
  --m0: #0072b2; --m1: #c84e00; --m2: #00805e; --m3: #b3508a; --m4: #a87400; --m5: #3c8fc0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9ebee; --soft: #a4abb5; --paper: #15171a; --panel: #1e2126; --rule: #3a4048;
    --accent: #6cc0f0; --warn: #ffa366; --m0: #56b4e9; --m1: #ff8a3d; --m2: #2bd4a4;
    --m3: #e59cc6; --m4: #f0c04a; --m5: #9fd5f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 1.7em; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; margin: 34px 0 8px; padding-top: 10px; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05em; margin: 24px 0 6px; }
p { margin: 6px 0; overflow-wrap: anywhere; }
.meta, .note { color: var(--soft); }
.advice { background: var(--panel); border-left: 5px solid var(--accent); padding: 12px 18px;
  margin: 16px 0; border-radius: 0 6px 6px 0; }
.advice p:first-of-type { font-size: 1.2em; font-weight: 600; }
.pilot, .warnings { border-left: 5px solid var(--warn); padding: 8px 18px; margin: 16px 0;
  background: var(--panel); border-radius: 0 6px 6px 0; }
.pilot h3, .warnings h3 { margin-top: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 8px 0; font-size: 0.92em; }
caption { text-align: left; color: var(--soft); padding: 2px 0 6px; }
th, td { padding: 5px 8px 5px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); overflow-wrap: break-word; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; } .options td:nth-child(2) { min-width: 11em; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.best > * { background: var(--panel); font-weight: 700; }
tfoot > tr > * { font-weight: 700; }
ul, ol { margin: 6px 0; padding-left: 22px; }
.tag { border: 1px solid var(--warn); color: var(--warn); border-radius: 3px; padding: 0 5px;
  font-size: 0.85em; white-space: nowrap; }
figure { margin: 0; }
svg { width: 100%; max-width: 760px; height: auto; display: block; margin: 8px 0;
  font-size: 12px; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); } svg .small { font-size: 11px; }
svg .strong { font-weight: 700; }
svg .badge { font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
.curve { fill: none; stroke-width: 2.2; } .point { stroke: var(--paper); stroke-width: 1; }
.curve.m0 { stroke: var(--m0); } .curve.m1 { stroke: var(--m1); stroke-dasharray: 8 4; }
.curve.m2 { stroke: var(--m2); stroke-dasharray: 2 3; }
.curve.m3 { stroke: var(--m3); stroke-dasharray: 10 3 2 3; }
.curve.m4 { stroke: var(--m4); stroke-dasharray: 5 3; }
.curve.m5 { stroke: var(--m5); stroke-dasharray: 14 4; }
.point.m0 { fill: var(--m0); } .point.m1 { fill: var(--m1); } .point.m2 { fill: var(--m2); }
.point.m3 { fill: var(--m3); } .point.m4 { fill: var(--m4); }
.point.m5 { fill: none; stroke: var(--m5); stroke-width: 2.5; }
.front { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
.even { fill: var(--paper); stroke: var(--ink); stroke-width: 1.5; }
.low { fill: var(--paper); stroke: var(--m0); stroke-width: 2; } .high { fill: var(--m1); }
.weights { fill: var(--m0); } .context { fill: var(--m4); } .workspace { fill: var(--m3); }
.free { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
.key { display: inline-block; width: 14px; height: 11px; vertical-align: -1px; }
.key.low { background: var(--paper); border: 2px solid var(--m0); }
.key.high { background: var(--m1); }
@media print {
  :root { color-scheme: light; --ink: #000000; --soft: #444444; --paper: #ffffff;
    --panel: #f2f2f2; --rule: #bbbbbb; --accent: #00618f; --warn: #9a3b00; --m0: #0072b2;
    --m1: #c84e00; --m2: #00805e; --m3: #b3508a; --m4: #a87400; --m5: #3c8fc0; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  table { font-size: 8pt; } .options td:nth-child(2) { min-width: 0; }
  svg, tr, .advice, .pilot { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
</style>
)";

struct Column {
  std::string name;
  bool number = false;
};

class Page {
 public:
  Page(const Plan& plan, Language language)
      : plan_(plan), s_(language, plan.currency), views_(class_views(plan)) {}

  std::string run() {
    const std::string title = s_.say(Text::kTitle, {models()});
    out_ = "<!DOCTYPE html>\n<html lang=\"";
    out_ += s_.language() == Language::kPortuguese ? "pt-BR" : "en";
    out_ += "\">\n<head>\n";
    out_ += kHead;
    element("title", title);
    out_ += kStyle;
    out_ += "</head>\n<body>\n<main>\n<header>\n";
    element("h1", title);
    para(s_.say(Text::kMadeOn,
                {plan_.today, plan_.version, plan_.currency, std::to_string(plan_.horizon_years)}),
         "meta");
    out_ += "</header>\n";
    together();
    for (const ClassView& v : views_) part(v);
    if (views_.empty()) para(s_.say(Text::kNothing));
    assumptions();
    out_ += "</main>\n</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  // Form. Everything passes through escaped() here and nowhere else.

  void element(const char* tag, const std::string& text, const std::string& style = "") {
    out_ += "<" + std::string(tag) + (style.empty() ? "" : " class=\"" + style + "\"") + ">" +
            escaped(text) + "</" + tag + ">\n";
  }
  void para(const std::string& text, const std::string& style = "") { element("p", text, style); }
  void list(const std::vector<std::string>& items, const char* tag = "ul") {
    if (items.empty()) return;
    out_ += "<" + std::string(tag) + ">\n";
    for (const std::string& i : items) element("li", i);
    out_ += "</" + std::string(tag) + ">\n";
  }

  // Columns stay until the table ends.
  void table(const std::string& caption, std::vector<Column> columns, const char* style = "plain") {
    columns_ = std::move(columns);
    out_ += "<div class=\"scroll\">\n<table class=\"" + std::string(style) + "\">\n";
    element("caption", caption);
    out_ += "<thead>\n<tr>";
    for (const Column& c : columns_)
      out_ += std::string("<th scope=\"col\"") + (c.number ? " class=\"n\">" : ">") +
              escaped(c.name) + "</th>";
    out_ += "</tr>\n</thead>\n<tbody>\n";
  }
  void row(const std::vector<std::string>& cells, const char* style = "") {
    out_ += *style == 0 ? "<tr>" : "<tr class=\"" + std::string(style) + "\">";
    for (std::size_t i = 0; i < cells.size() && i < columns_.size(); ++i) {
      const char* tag = i == 0 ? "th" : "td";
      out_ += "<" + std::string(tag) + (i == 0 ? " scope=\"row\"" : "") +
              (columns_[i].number ? " class=\"n\">" : ">") + escaped(cells[i]) + "</" + tag + ">";
    }
    out_ += "</tr>\n";
  }
  void end_table() { out_ += "</tbody>\n</table>\n</div>\n"; }

  void chart(const std::string& svg) {
    if (!svg.empty()) out_ += "<figure>\n" + svg + "</figure>\n";
  }
  std::string next_id() { return "c" + std::to_string(++charts_); }

  // Parts.

  std::string models() const {
    std::vector<std::string> names;
    for (const PlanOption& o : plan_.options)
      if (std::find(names.begin(), names.end(), o.model) == names.end()) names.push_back(o.model);
    std::string out;
    for (const std::string& n : names) out += (out.empty() ? "" : ", ") + n;
    return out;
  }

  void together() {
    const auto sentences = overall(s_, plan_);
    if (!sentences.empty()) {
      out_ += "<section class=\"advice\">\n";
      for (const std::string& t : sentences) para(t);
      out_ += "</section>\n";
    }
    for (const std::string& t : demand_sentences(s_, plan_)) para(t, "note");
  }

  void part(const ClassView& v) {
    out_ += "<section>\n";
    if (views_.size() > 1) element("h2", s_.say(Text::kClass, {v.name}));
    out_ += "<div class=\"advice\">\n";
    for (const std::string& t : headline(s_, plan_, v)) para(t);
    out_ += "</div>\n";
    if (v.best != nullptr) pilot(*v.best);
    options(v);
    if (v.best != nullptr) {
      why(*v.best);
      cost(v);
      sensitivity(v);
      memory(*v.best);
      latency(v);
      people(*v.best);
      buying(*v.best);
    }
    removed(v);
    out_ += "</section>\n";
  }

  void pilot(const PlanOption& o) {
    const auto sentences = pilot_sentences(s_, o);
    if (sentences.empty()) return;
    out_ += "<div class=\"pilot\">\n";
    element("h3", s_.say(Text::kPilot));
    for (const std::string& t : sentences) para(t);
    out_ += "</div>\n";
  }

  void options(const ClassView& v) {
    if (v.kept.empty()) return;
    element("h2", s_.say(Text::kOptions));
    table(s_.say(Text::kOptionsCaption) + ", " + plan_.currency,
          {{s_.say(Text::kWay)},
           {s_.say(Text::kWhere)},
           {s_.say(Text::kReplicas), true},
           {s_.say(Text::kFirstToken), true},
           {s_.say(Text::kAMonth), true},
           {s_.say(Text::kWhole, {std::to_string(plan_.horizon_years)}), true},
           {s_.say(Text::kBand), true},
           {s_.say(Text::kMillion), true},
           {s_.say(Text::kUp), true},
           {s_.say(Text::kStatus)}},
          "options");
    const auto shown = worth_showing(v, kOptionsShown);
    for (const PlanOption* o : shown) option(*o);
    end_table();
    if (v.kept.size() > shown.size())
      para(s_.say(Text::kMoreOptions, {std::to_string(v.kept.size() - shown.size())}), "note");
    pareto(v);
  }

  void option(const PlanOption& o) {
    const std::string range =
        o.npv_band.p50 > 0 ? s_.money_short(o.npv_band.p10) + " – " + s_.money_short(o.npv_band.p90)
                           : "–";
    const std::string replicas =
        o.device.empty()
            ? "–"
            : s_.rounded(o.replicas) + (o.spares > 0 ? " + " + s_.rounded(o.spares) : "");
    row({s_.mode(o.mode), place_text(s_, o) + (o.quant.empty() ? "" : ", " + o.quant), replicas,
         s_.milliseconds(o.ttft_ms_p99.p50), s_.money_short(per_month(plan_, o)),
         s_.money_short(o.total), range, s_.rounded(o.per_million_tokens),
         s_.percent(o.availability), s_.status(o.status)},
        o.status == OptionStatus::kRecommended ? "best" : "");
  }

  void pareto(const ClassView& v) {
    const std::string svg = pareto_chart(s_, plan_, v, next_id());
    if (svg.empty()) return;
    element("h3", s_.say(Text::kChartPareto));
    chart(svg);
    std::vector<std::string> items;
    for (const PlanOption* o : front(v))
      items.push_back(s_.mode(o->mode) + ", " + place_text(s_, *o) + ": " + s_.money(o->npv) +
                      ", " + s_.milliseconds(o->ttft_ms_p99.p50) +
                      (o == v.best ? " (" + s_.say(Text::kRecommendedMark) + ")" : ""));
    list(items, "ol");
  }

  void why(const PlanOption& o) {
    element("h2", s_.say(Text::kBecause));
    std::vector<std::string> items;
    for (const Reason& r : o.because) items.push_back(s_.reason(plan_, r) + " (" + r.rule + ")");
    if (o.payback_month && *o.payback_month > 0)
      items.push_back(s_.say(Text::kPaybackPlain, {s_.rounded(*o.payback_month)}) +
                      (o.irr ? " " + s_.say(Text::kIrr, {s_.percent(*o.irr)}) : ""));
    list(items);
    element("h3", s_.say(Text::kChanges));
    if (o.would_change_if.empty()) para(s_.say(Text::kNoChange));
    std::vector<std::string> changes;
    for (const Threshold& t : o.would_change_if) changes.push_back(threshold_sentence(s_, t));
    list(changes);
  }

  void cost(const ClassView& v) {
    const PlanOption& o = *v.best;
    element("h2", s_.say(Text::kChartCost));
    chart(cost_chart(s_, plan_, v, next_id()));
    std::vector<std::string> evens;
    for (const PlanOption* other : best_of_modes(v)) {
      if (other == v.best) continue;
      const auto month = even_month(o, *other);
      if (month && *month > 0)
        evens.push_back(
            s_.say(Text::kBreakEvenItem, {s_.mode(other->mode), std::to_string(*month)}));
    }
    if (!evens.empty()) para(s_.say(Text::kBreakEvens));
    list(evens, "ol");
    ledger(o);
  }

  void ledger(const PlanOption& o) {
    if (o.ledger.lines.empty()) return;
    const auto years = static_cast<std::size_t>(std::max(0, o.ledger.horizon_years));
    const bool all = years <= 8;
    std::vector<Column> columns{{s_.say(Text::kLine)}};
    if (all) columns.push_back({s_.say(Text::kNow), true});
    for (std::size_t t = 1; all && t <= years; ++t)
      columns.push_back({s_.say(Text::kYear, {std::to_string(t)}), true});
    columns.push_back({s_.say(Text::kSum), true});
    table(s_.say(Text::kLedger) + ", " + plan_.currency, std::move(columns));
    bool assumed = false;
    for (const LedgerLine& l : o.ledger.lines) {
      std::vector<std::string> cells{s_.word("line", l.name) + (l.assumed ? " *" : "")};
      assumed = assumed || l.assumed;
      for (std::size_t t = 0; all && t <= years && t < l.per_year.size(); ++t)
        cells.push_back(s_.number(l.per_year[t].value(), 0));
      cells.push_back(s_.number(line_sum(o, l.name), 0));
      row(cells);
    }
    std::vector<std::string> sum{s_.say(Text::kTotal)};
    for (std::size_t t = 0; all && t < o.per_year.size(); ++t)
      sum.push_back(s_.number(o.per_year[t], 0));
    sum.push_back(s_.number(o.total, 0));
    row(sum, "best");
    end_table();
    if (assumed) para(s_.say(Text::kAssumedNote), "note");
    if (o.lockin > 0) para(s_.say(Text::kLockin, {s_.rounded(o.lockin)}));
  }

  // The plan has it for the first part that has a recommendation.
  bool first_with_best(const ClassView& v) const {
    for (const ClassView& other : views_)
      if (other.best != nullptr) return &other == &v;
    return false;
  }

  void sensitivity(const ClassView& v) {
    if (!first_with_best(v)) return;
    const std::string svg = tornado_chart(s_, plan_, v, next_id());
    if (svg.empty()) return;
    element("h2", s_.say(Text::kTornado));
    para(s_.say(Text::kTornadoHow, {s_.money(v.best->npv)}));
    out_ += "<p class=\"note\"><span class=\"key low\"></span> " + escaped(s_.say(Text::kLower)) +
            " &#160; <span class=\"key high\"></span> " + escaped(s_.say(Text::kHigher)) +
            " &#160; * " + escaped(s_.say(Text::kFlips)) + "</p>\n";
    chart(svg);
    const TornadoView t = tornado_view(s_, plan_, *v.best);
    if (!t.rest.empty()) para(s_.say(Text::kTornadoRest, {t.rest}), "note");
  }

  void memory(const PlanOption& o) {
    const std::string svg = memory_chart(s_, o, next_id());
    if (svg.empty()) return;
    element("h2", s_.say(Text::kMemory));
    chart(svg);
    para(memory_sentence(s_, o));
  }

  void latency(const ClassView& v) {
    const PlanOption& o = *v.best;
    const LatencyBudget& b = o.budget;
    element("h2", s_.say(Text::kLatency));
    const auto line = [&](const std::string& name, double ms, const char* style = "") {
      row({name, s_.milliseconds(ms), b.total_ms() > 0 ? s_.percent(ms / b.total_ms()) : "–"},
          style);
    };
    table(s_.say(Text::kTier, {s_.word("tier", o.latency_tier)}),
          {{s_.say(Text::kPart)}, {s_.say(Text::kAmount), true}, {s_.say(Text::kShare), true}});
    line(s_.say(Text::kNetwork), b.rtt_ms);
    line(s_.say(Text::kQueue), b.queue_ms);
    line(s_.say(Text::kPrompt), b.ttft_ms);
    line(s_.say(Text::kAnswer, {s_.rounded(b.tokens), s_.milliseconds(b.tpot_ms)}),
         b.tpot_ms * b.tokens);
    line(s_.say(Text::kTotal), b.total_ms(), "best");
    end_table();
    auto sentences = latency_sentences(s_, o);
    sentences.pop_back();  // the tier is the caption
    for (const std::string& t : sentences) para(t);
    if (first_with_device(v)) {
      const std::string svg = load_chart(s_, plan_, next_id());
      if (!svg.empty()) element("h3", s_.say(Text::kChartLoad));
      chart(svg);
    }
  }

  bool first_with_device(const ClassView& v) const {
    for (const ClassView& other : views_)
      if (other.best != nullptr && !other.best->device.empty()) return &other == &v;
    return false;
  }

  void people(const PlanOption& o) {
    element("h2", s_.say(Text::kStaff));
    for (const std::string& t : people_sentences(s_, plan_, o)) para(t);
    if (o.energy_kwh_year > 0)
      para(s_.say(Text::kEnergy, {s_.rounded(o.energy_kwh_year), s_.rounded(o.co2_kg_year)}));
  }

  void buying(const PlanOption& o) {
    if (!o.bom.empty()) {
      element("h2", s_.say(Text::kBom));
      table(s_.say(Text::kBom) + ", " + plan_.currency, {{s_.say(Text::kItem)},
                                                         {s_.say(Text::kNumber), true},
                                                         {s_.say(Text::kEach), true},
                                                         {s_.say(Text::kWattsEach), true},
                                                         {s_.say(Text::kRackUnits), true}});
      for (const BomLine& l : o.bom)
        row({s_.word("item", l.item), s_.rounded(l.count), s_.number(l.unit_price, 0),
             s_.rounded(l.watts), s_.rounded(l.rack_units * l.count)});
      end_table();
    }
    if (o.calendar.empty()) return;
    element("h2", s_.say(Text::kCalendar));
    table(s_.say(Text::kCalendar),
          {{s_.say(Text::kOrderBy)}, {s_.say(Text::kNeededFrom)}, {s_.say(Text::kDevices), true}});
    for (const CalendarEntry& c : o.calendar)
      row({c.order_by, c.needed_from, s_.rounded(c.count) + " × " + o.device});
    end_table();
  }

  void removed(const ClassView& v) {
    if (v.removed.empty()) return;
    element("h2", s_.say(Text::kRemoved));
    table(s_.say(Text::kRemoved),
          {{s_.say(Text::kRule)}, {s_.say(Text::kCount), true}, {s_.say(Text::kWhy)}});
    for (const RemovedGroup& g : v.removed) {
      std::string names;
      for (std::size_t i = 1; i < g.options.size(); ++i)
        names += (i == 1 ? "" : ", ") + g.options[i]->id;
      std::string text;
      if (g.example != nullptr)
        text = s_.say(Text::kExample, {g.options[0]->id, s_.reason(plan_, *g.example)});
      if (!names.empty()) text += "; " + s_.say(Text::kAlso, {names});
      row({s_.rule(g.rule) + " (" + g.rule + ")", std::to_string(g.options.size()), text});
    }
    end_table();
  }

  void assumptions() {
    if (!plan_.warnings.empty()) {
      out_ += "<section class=\"warnings\">\n";
      element("h3", s_.say(Text::kWarnings));
      std::vector<std::string> items;
      for (const std::string& w : plan_.warnings) items.push_back(s_.phrase(w));
      list(items);
      out_ += "</section>\n";
    }
    if (!plan_.defaults.empty()) {
      element("h2", s_.say(Text::kDefaults));
      table(s_.say(Text::kDefaults), {{s_.say(Text::kField)},
                                      {s_.say(Text::kValue)},
                                      {s_.say(Text::kEffect)},
                                      {s_.say(Text::kSource)}});
      for (const DefaultUsed& d : plan_.defaults)
        row({d.field, s_.value(d.value), s_.phrase(d.effect),
             d.assumed ? s_.say(Text::kAssumed) : "–"});
      end_table();
    }
    prices();
    para(s_.say(Text::kHash, {plan_.inputs_sha256.substr(0, 16), std::to_string(plan_.seed)}),
         "meta");
  }

  void prices() {
    if (plan_.prices_used.empty()) return;
    element("h2", s_.say(Text::kPrices));
    table(s_.say(Text::kPrices), {{s_.say(Text::kPriceOf)},
                                  {s_.say(Text::kKind)},
                                  {s_.say(Text::kRegion)},
                                  {s_.say(Text::kAmount), true},
                                  {s_.say(Text::kSince)},
                                  {s_.say(Text::kStatus)}});
    for (const Price* p : prices_by_use(plan_, views_)) {
      std::string mark =
          is_stale(plan_, *p) ? "⚠ " + s_.say(Text::kStale, {std::to_string(kStaleDays)}) : "";
      if (p->from_user) mark += (mark.empty() ? "" : ", ") + s_.say(Text::kYours);
      row({p->id, s_.word("price", price_kind_name(p->kind)), p->region.empty() ? "–" : p->region,
           s_.rounded(p->price, 4) + " " + p->currency,
           p->valid_from.empty() ? s_.say(Text::kUndated) : p->valid_from, mark});
    }
    end_table();
  }

  const Plan& plan_;
  Speech s_;
  std::vector<ClassView> views_;
  std::vector<Column> columns_;
  int charts_ = 0;
  std::string out_;
};

}  // namespace

std::string report_html(const Plan& plan, Language language) { return Page(plan, language).run(); }

}  // namespace holdfast::planner
