#include "plan_interview.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "holdfast/planner/csv.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::cli {

namespace {

enum Topic : std::size_t {
  kPeople,
  kWork,
  kModel,
  kLabel,
  kPlaces,
  kCapex,
  kOpex,
  kSpeed,
  kHardware,
  kYears,
  kTopics
};

struct Question {
  const char* text[2];  // English, Portuguese
  const char* help[2];
  const char* usual[2];  // the default
};

constexpr std::array<Question, kTopics> kQuestions{{
    {{"How many people will use it?", "Quantas pessoas vão usá-lo?"},
     {"Everyone who asks it something on a usual day. Demand follows from it.",
      "Todas as que lhe pedem algo num dia normal. A demanda sai daí."},
     {"50", "50"}},
    {{"What for: chat, code, documents or batch?", "Para quê: chat, code, documents ou batch?"},
     {"chat: questions and answers. code: completions in an editor, short and in bursts. "
      "documents: "
      "long texts that are summed up or searched. batch: work in the background that nobody waits "
      "for.",
      "chat: perguntas e respostas. code: sugestões num editor, curtas e em rajadas. documents: "
      "textos longos. batch: trabalho em segundo plano por que ninguém espera."},
     {"chat", "chat"}},
    {{"Which model?", "Que modelo?"},
     {"A name such as llama-3.1-8b or qwen3-30b-a3b, a model of your store, or a GGUF file.",
      "Um nome como llama-3.1-8b ou qwen3-30b-a3b, um modelo do seu acervo, ou um arquivo GGUF."},
     {"", ""}},
    {{"How sensitive is the data: none, internal, confidential, regulated or secret?",
      "Que sensibilidade têm os dados: none, internal, confidential, regulated ou secret?"},
     {"From confidential on, places that are not cleared for it are left out before anything is "
      "costed. Secret data never leaves your own machines.",
      "A partir de confidential ficam de fora os lugares não autorizados, antes de qualquer conta. "
      "Dados secret nunca saem das suas máquinas."},
     {"internal", "internal"}},
    {{"Where may data be (regions such as EU, BR, or anywhere)?",
      "Onde podem ficar os dados (regiões como EU, BR, ou anywhere)?"},
     {"Regions separated by commas. Providers elsewhere, or whose region is not known, are left "
      "out when the data is confidential or more.",
      "Regiões separadas por vírgulas. Ficam de fora provedores de outras regiões, ou de região "
      "desconhecida, quando os dados são confidential ou mais."},
     {"anywhere", "anywhere"}},
    {{"At most how much for purchases in a year (USD, or none)?",
      "No máximo quanto para compras num ano (USD, ou none)?"},
     {"A limit on what is bought. 0 buys nothing; none sets no limit.",
      "Um limite para o que se compra. 0 não compra nada; none não limita."},
     {"none", "none"}},
    {{"At most how much a month to run it (USD, or none)?",
      "No máximo quanto por mês para operá-lo (USD, ou none)?"},
     {"Rent, tokens, energy and people, in the dearest year. none sets no limit.",
      "Aluguel, tokens, energia e pessoas, no ano mais caro. none não limita."},
     {"none", "none"}},
    {{"How fast: relaxed, normal or fast?", "Que velocidade: relaxed, normal ou fast?"},
     {"For 99 of 100 requests. relaxed: first word within 10 s, then 4 a second. normal: 3 s, then "
      "10 a second. fast: 1 s, then 25 a second.",
      "Para 99 de 100 pedidos. relaxed: primeira palavra em 10 s, depois 4 por segundo. normal: "
      "3 s, depois 10 por segundo. fast: 1 s, depois 25 por segundo."},
     {"normal", "normal"}},
    {{"Hardware that is there already (such as 2 nvidia-rtx4090-24, or none)?",
      "Equipamento que já existe (como 2 nvidia-rtx4090-24, ou none)?"},
     {"Devices by their id, separated by commas, each with its number. `holdfast plan probe` makes "
      "this machine one of them.",
      "Dispositivos pelo id, separados por vírgulas, cada um com a quantidade. `holdfast plan "
      "probe` faz desta máquina um deles."},
     {"none", "none"}},
    {{"For how many years shall it be added up?", "Por quantos anos se faz a soma?"},
     {"Purchases pay over years; four is what most write off.",
      "Compras pagam-se em anos; quatro é o usual."},
     {"4", "4"}},
}};

struct Work {
  const char* name;
  double sessions;
  double requests;
  double isl;
  double osl;
};
// Lengths of chat and code: means of the Azure traces of 2023.
constexpr std::array<Work, 4> kWorkKinds{{{"chat", 3, 5, 1155, 211},
                                          {"code", 4, 30, 2048, 28},
                                          {"documents", 2, 4, 6000, 400},
                                          {"batch", 1, 40, 2000, 300}}};
struct Speed {
  const char* name;
  double ttft_ms;
  double tpot_ms;
};
constexpr std::array<Speed, 3> kSpeeds{
    {{"relaxed", 10'000, 250}, {"normal", 3000, 100}, {"fast", 1000, 40}}};
constexpr std::array<const char*, 5> kLabels{"none", "internal", "confidential", "regulated",
                                             "secret"};
constexpr double kMoneyMax = 1e12;
constexpr std::size_t kListMax = 16;

std::string trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> items(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    std::string item = trimmed(std::string_view(text).substr(at, end - at));
    if (!item.empty()) out.push_back(std::move(item));
    at = end + 1;
  }
  return out;
}

template <typename Rows>
const typename Rows::value_type* row_of(const Rows& rows, std::string_view name) {
  for (const auto& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

// The sections that are filled in, and how one answer changes them.
class Interview {
 public:
  Interview(const InterviewFacts& facts, const Conversation& talk) : facts_(facts), talk_(talk) {}

  Result<json::Object> run() {
    talk_.say(words("Empty lines take the value in brackets; ? explains, back goes back.",
                    "Linhas vazias aceitam o valor entre colchetes; ? explica, voltar retorna."));
    for (std::size_t topic = 0; topic < kTopics;) {
      HF_TRY_ASSIGN(const std::optional<std::string> line, talk_.ask(prompt(topic)));
      if (!line) return cancelled("the interview was ended before its last question");
      std::string answer = trimmed(*line);
      if (answer == "?") {
        talk_.say(std::string("  ") + kQuestions[topic].help[language()]);
        continue;
      }
      if (answer == "back" || answer == "voltar") {
        topic -= topic > 0 ? 1 : 0;
        continue;
      }
      if (answer.empty()) answer = usual(topic);
      if (const Status taken = take(topic, answer); !taken.ok()) {
        talk_.say("  " + taken.error().client_message());
        continue;
      }
      answers_[topic] = answer;
      ++topic;
    }
    return document();
  }

 private:
  std::size_t language() const { return facts_.portuguese ? 1 : 0; }
  std::string words(const char* english, const char* portuguese) const {
    return facts_.portuguese ? portuguese : english;
  }
  // What was answered before, when one goes back.
  std::string usual(std::size_t topic) const {
    if (!answers_[topic].empty()) return answers_[topic];
    return topic == kModel ? facts_.default_model : kQuestions[topic].usual[language()];
  }
  std::string prompt(std::size_t topic) const {
    return std::to_string(topic + 1) + "/" + std::to_string(std::size_t{kTopics}) + " " +
           kQuestions[topic].text[language()] + " [" + usual(topic) + "] ";
  }

  Status take(std::size_t topic, const std::string& answer) {
    switch (topic) {
      case kPeople:
        return number(answer, 1, 1e9, people_);
      case kWork:
        work_ = row_of(kWorkKinds, answer);
        return work_ != nullptr ? ok_status()
                                : one_of(answer, {"chat", "code", "documents", "batch"});
      case kModel:
        return take_model(answer);
      case kLabel:
        label_ = answer;
        return std::find(kLabels.begin(), kLabels.end(), answer) != kLabels.end()
                   ? ok_status()
                   : one_of(answer, {kLabels.begin(), kLabels.end()});
      case kPlaces:
        return take_places(answer);
      case kCapex:
        return money(answer, capex_);
      case kOpex:
        return money(answer, opex_);
      case kSpeed:
        speed_ = row_of(kSpeeds, answer);
        return speed_ != nullptr ? ok_status() : one_of(answer, {"relaxed", "normal", "fast"});
      case kHardware:
        return take_hardware(answer);
      default:
        return take_years(answer);
    }
  }

  Status one_of(const std::string& answer, const std::vector<std::string>& names) const {
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
    return invalid_argument(words("one of ", "um de ") + all +
                            planner::did_you_mean(answer, names));
  }

  Status number(const std::string& answer, double low, double high, double& out) const {
    const auto value = planner::parse_number(answer);
    if (!value || *value < low || *value > high)
      return invalid_argument(words("a number, please: ", "um número, por favor: ") +
                              json::write(json::Value(low)) + " - " +
                              json::write(json::Value(high)));
    out = *value;
    return ok_status();
  }

  Status money(const std::string& answer, std::optional<double>& out) const {
    out.reset();
    if (answer == "none") return ok_status();
    double value = 0;
    HF_TRY(number(answer, 0, kMoneyMax, value));
    out = value;
    return ok_status();
  }

  Status take_years(const std::string& answer) {
    HF_TRY(number(answer, 1, 20, years_));
    if (years_ != std::floor(years_))
      return invalid_argument(words("whole years, please", "anos inteiros, por favor"));
    return ok_status();
  }

  Status take_model(const std::string& answer) {
    model_ = answer;
    if (answer.ends_with(".gguf") || answer.ends_with(".json")) return ok_status();
    const auto known = planner::find_model(planner::shipped_models(), answer);
    const bool listed =
        std::find(facts_.models.begin(), facts_.models.end(), answer) != facts_.models.end();
    if (known.ok() || listed) return ok_status();
    return invalid_argument(words("there is no such model", "não há esse modelo") +
                            planner::did_you_mean(answer, facts_.models));
  }

  Status take_places(const std::string& answer) {
    places_.clear();
    if (answer == "anywhere") return ok_status();
    std::vector<std::string> list = items(answer);
    if (list.empty() || list.size() > kListMax)
      return invalid_argument(
          words("regions separated by commas", "regiões separadas por vírgulas"));
    places_ = std::move(list);
    return ok_status();
  }

  Status take_hardware(const std::string& answer) {
    hardware_.clear();
    if (answer == "none") return ok_status();
    for (const std::string& item : items(answer)) {
      const std::size_t space = item.find(' ');
      const auto first = planner::parse_number(item.substr(0, space));
      const bool counted = first && space != std::string::npos;
      const std::string id = counted ? trimmed(item.substr(space + 1)) : item;
      const double count = counted ? *first : 1;
      if (count < 1 || count > 4096 || count != std::floor(count))
        return invalid_argument(words("a number and a device", "um número e um dispositivo") +
                                std::string(": ") + item.substr(0, 60));
      if (std::find(facts_.devices.begin(), facts_.devices.end(), id) == facts_.devices.end())
        return invalid_argument(words("there is no device ", "não há o dispositivo ") +
                                id.substr(0, 60) + planner::did_you_mean(id, facts_.devices));
      hardware_.emplace_back(id, count);
    }
    return ok_status();
  }

  json::Object document() const {
    json::Object workload{{"users", people_},
                          {"sessions_per_user_day", work_->sessions},
                          {"requests_per_session", work_->requests},
                          {"isl", work_->isl},
                          {"osl", work_->osl}};
    const bool batch = std::string_view(work_->name) == "batch";
    if (std::string_view(work_->name) == "code") {
      // The code trace of the specification, section 10.
      workload.set("arrival",
                   json::Object{{"c2a", 174}, {"idc_1s", 13}, {"idc_10s", 72}, {"idc_60s", 164}});
    }
    if (batch)
      workload.set("class", json::Array{json::Object{{"name", "batch"}, {"kind", "batch"}}});
    const bool file = model_.ends_with(".gguf") || model_.ends_with(".json");
    json::Object out{{"workload", std::move(workload)},
                     {"models", json::Array{json::Object{{file ? "file" : "name", model_}}}},
                     {"privacy", json::Object{{"label", label_}}},
                     {"budget", json::Object{{"horizon_years", years_}}}};
    if (!batch)
      out.set("slo",
              json::Object{{"ttft_p99_ms", speed_->ttft_ms}, {"tpot_p99_ms", speed_->tpot_ms}});
    if (!places_.empty()) {
      json::Array list(places_.begin(), places_.end());
      out.find("privacy")->as_object().set("residency", std::move(list));
    }
    json::Object& budget = out.find("budget")->as_object();
    if (capex_) budget.set("capex_max", *capex_);
    if (opex_) budget.set("opex_month_max", *opex_);
    json::Array owned;
    for (const auto& [id, count] : hardware_)
      owned.emplace_back(json::Object{{"device", id}, {"count", count}});
    if (!owned.empty()) out.set("owned", std::move(owned));
    return out;
  }

  const InterviewFacts& facts_;
  const Conversation& talk_;
  std::array<std::string, kTopics> answers_;
  double people_ = 0;
  const Work* work_ = nullptr;
  std::string model_;
  std::string label_;
  std::vector<std::string> places_;
  std::optional<double> capex_;
  std::optional<double> opex_;
  const Speed* speed_ = nullptr;
  std::vector<std::pair<std::string, double>> hardware_;
  double years_ = 4;
};

// A value on the right of "=": JSON's texts, numbers and lists are TOML's; tables are inline.
std::string toml_value(const json::Value& v) {
  if (!v.is_object()) return json::write(v);
  std::string out = "{ ";
  for (const json::Member& m : v.as_object())
    out += (out.size() > 2 ? ", " : "") + m.key + " = " + toml_value(m.value);
  return out + " }";
}

bool is_tables(const json::Value& v) {
  return v.is_array() && !v.as_array().empty() && v.as_array()[0].is_object();
}

void append_table(std::string& out, const std::string& name, const json::Value& table,
                  bool element) {
  out += (out.empty() ? "" : "\n") + (element ? "[[" + name + "]]\n" : "[" + name + "]\n");
  for (const json::Member& m : table.as_object())
    if (!is_tables(m.value)) out += m.key + " = " + toml_value(m.value) + "\n";
  for (const json::Member& m : table.as_object()) {
    if (!is_tables(m.value)) continue;
    for (const json::Value& row : m.value.as_array())
      append_table(out, name + "." + m.key, row, true);
  }
}

}  // namespace

Result<json::Object> interview(const InterviewFacts& facts, const Conversation& talk) {
  return Interview(facts, talk).run();
}

std::string interview_toml(const json::Object& document) {
  std::string out;
  for (const json::Member& section : document) {
    if (section.value.is_object()) append_table(out, section.key, section.value, false);
    if (!is_tables(section.value)) continue;
    for (const json::Value& row : section.value.as_array())
      append_table(out, section.key, row, true);
  }
  return out;
}

}  // namespace holdfast::cli
