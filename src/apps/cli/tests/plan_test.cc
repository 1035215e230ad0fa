// `holdfast plan` and its commands, in this process. Oracles: rulings 25 to 28, files written by
// hand, figures of the specification.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "holdfast/cli/cli.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};

class PlanCommandTest : public testing::Test {
 protected:
  PlanCommandTest() {
    folder_ = testing::TempDir() + "/holdfast-plan-" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/data/planner");
  }
  ~PlanCommandTest() override { std::filesystem::remove_all(folder_); }

  Outcome run_plan(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "plan");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome o;
    o.status = run(arguments, {{"HOME", folder_}, {"HOLDFAST_DATA_DIR", folder_ + "/data"}});
    o.out = testing::internal::GetCapturedStdout();
    o.err = testing::internal::GetCapturedStderr();
    return o;
  }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    return folder_ + "/" + name;
  }
  static std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::string workload() const {
    return file("w.toml",
                "[workload]\nusers = 40\nisl = 800\nosl = 200\n\n[privacy]\nlabel = \"secret\"\n");
  }
  std::string models() const { return file("m.toml", "[[models]]\nname = \"llama-3.1-8b\"\n"); }
  std::vector<std::string> files() const {
    return {"--workload", workload(), "--models", models(), "--date", "2026-08-05"};
  }
  std::vector<std::string> with_files(std::vector<std::string> first) const {
    for (std::string& a : files()) first.push_back(std::move(a));
    return first;
  }

  std::string folder_;
};

json::Value parsed(const std::string& text) {
  auto v = json::parse(text);
  EXPECT_TRUE(v.ok()) << text.substr(0, 300);
  return v.ok() ? *v : json::Value();
}

TEST_F(PlanCommandTest, WritesTheDocumentOfTheRuling) {
  const Outcome o = run_plan(with_files({"--json"}));
  ASSERT_EQ(o.status, 0) << o.err;
  const json::Value plan = parsed(o.out);
  EXPECT_EQ(plan.find("schema")->as_string(), "holdfast.plan/1");
  EXPECT_EQ(plan.find("date")->as_string(), "2026-08-05");
  EXPECT_EQ(plan.find("inputs_sha256")->as_string().size(), 64u);
  // Secret data: what is recommended is no rented place.
  const std::string& best = plan.find("recommended")->as_string();
  bool found = false;
  for (const json::Value& option : plan.find("options")->as_array()) {
    if (option.find("id")->as_string() != best) continue;
    found = true;
    EXPECT_THAT(option.find("mode")->as_string(), testing::AnyOf("onprem", "edge", "owned"));
    EXPECT_TRUE(option.find("rates")->find("decode_tps")->find("p50")->is_number());
  }
  EXPECT_TRUE(found) << best;
}

TEST_F(PlanCommandTest, TheSameInputGivesTheSameBytes) {
  const std::string path = folder_ + "/plan.json";
  const Outcome first = run_plan(with_files({"--json", "--out", path}));
  const Outcome second = run_plan(with_files({"--json"}));
  EXPECT_EQ(first.out, second.out);
  EXPECT_EQ(text_of(path), first.out);
  const Outcome seeded = run_plan(with_files({"--json", "--seed", "2"}));
  EXPECT_EQ(parsed(seeded.out).find("seed")->as_int(), 2);
}

TEST_F(PlanCommandTest, TextPageAndExplanation) {
  const std::string page = folder_ + "/plan.html";
  const Outcome o = run_plan(with_files({"--html", page, "--explain"}));
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("Plan for running llama-3.1-8b"), HasSubstr("Defaults used"),
                           HasSubstr("R-RES")));
  EXPECT_THAT(text_of(page), StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(run_plan(with_files({"--language", "pt"})).out, HasSubstr("Recomendação"));
  EXPECT_EQ(run_plan(with_files({"--language", "xx"})).status, 2);
}

TEST_F(PlanCommandTest, AProblemWithoutASolutionIsAnAnswer) {
  const std::string limits = file("c.toml", "[slo]\nttft_p99_ms = 0.01\n");
  const Outcome o = run_plan(with_files({"--json", "--constraints", limits}));
  ASSERT_EQ(o.status, 0) << o.err;
  const json::Value plan = parsed(o.out);
  EXPECT_TRUE(plan.find("recommended")->is_null());
  EXPECT_FALSE(plan.find("binding")->as_array().empty());
}

TEST_F(PlanCommandTest, ErrorsNameTheField) {
  const std::string bad = file("b.toml", "[workload]\nuserz = 3\n[[models]]\nname=\"phi-4\"\n");
  const Outcome o = run_plan({"--workload", bad});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("workload"));
  EXPECT_THAT(o.err, HasSubstr("users"));
  const Outcome wrong =
      run_plan({"--workload", file("c.toml", "[workload]\nusers = -1\n"), "--models", models()});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("workload.users"), HasSubstr("c.toml")));
}

TEST_F(PlanCommandTest, DocumentsThatGiveTheSameTable) {
  const Outcome o = run_plan({"--workload", workload(), "--models", models(), "--constraints",
                              file("again.json", R"({"models": [{"name": "phi-4"}]})")});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("models: is in two documents"), HasSubstr("m.toml"),
                           HasSubstr("again.json")));
}

TEST_F(PlanCommandTest, FilesAreFoundWanting) {
  EXPECT_EQ(run_plan({"--workload", folder_ + "/none.toml"}).status, 3);
  EXPECT_EQ(run_plan({"--workload", file("x.toml", "[workload\n")}).status, 2);
  EXPECT_EQ(run_plan({"--workload", file("x.json", "{")}).status, 2);
  EXPECT_EQ(run_plan({"--workload", "-", "--models", "-"}).status, 2);
  const Outcome day = run_plan({"--workload", workload(), "--models", models(), "--date", "soon"});
  EXPECT_EQ(day.status, 2);
  EXPECT_THAT(day.err, HasSubstr("--date"));
  EXPECT_THAT(run_plan({"--json"}).err, HasSubstr("nothing to plan"));
  EXPECT_THAT(run_plan({"interveiw"}).err, HasSubstr("did you mean 'plan interview'"));
}

// JSON by its first character, whatever the name; a book beside the sections.
TEST_F(PlanCommandTest, JsonAndPricesInOneDocument) {
  const std::string all = file("all", R"({"workload": {"users": 40, "isl": 800, "osl": 200},
    "models": [{"name": "llama-3.1-8b"}],
    "prices": [{"id": "cheap/llama-3.1-8b", "kind": "token_in", "price": 0.001},
               {"id": "cheap/llama-3.1-8b", "kind": "token_out", "price": 0.001}]})");
  const Outcome o = run_plan({"--workload", all, "--json"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(parsed(o.out).find("recommended")->as_string(), HasSubstr("token-api-cheap"));
}

constexpr const char* kHardwareHeader =
    "id,vendor,class,mem_gb,mem_bw_gbs,fp16_tflops_dense,int8_tops_dense,fp8_tflops_dense,"
    "fp4_tflops_dense,tdp_w,link_gbs_per_dir,buy_usd_low,buy_usd_mid,buy_usd_high,"
    "rent_usd_h_ondemand,rent_usd_h_spot,spec_source,spec_confidence,note\n";

TEST_F(PlanCommandTest, TheUsersOwnFilesAreUsedAndSaid) {
  file("data/planner/hardware.csv",
       std::string(kHardwareHeader) + "miracle-1,NVIDIA,dc,200,9000,2000,,,,300,,1,2,3,,,me,C,\n");
  const Outcome o = run_plan(with_files({"--json"}));
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(o.err, AllOf(HasSubstr("data/planner:"), HasSubstr("hardware.csv (devices: 1)")));
  EXPECT_THAT(o.out, HasSubstr("miracle-1"));
  // The same file by its flag.
  std::filesystem::rename(folder_ + "/data/planner/hardware.csv", folder_ + "/h.csv");
  const Outcome flag = run_plan(with_files({"--json", "--hardware", folder_ + "/h.csv"}));
  EXPECT_EQ(flag.out, o.out);
  EXPECT_THAT(flag.err, IsEmpty());
  file("data/planner/hardware.csv", "id,what\nx,1\n");
  EXPECT_EQ(run_plan(files()).status, 2);
}

TEST_F(PlanCommandTest, WhatIf) {
  const Outcome o =
      run_plan(with_files({"what-if", "workload.users=4000", "models[0].quant=Q8_0", "--json"}));
  ASSERT_EQ(o.status, 0) << o.err;
  const json::Value answer = parsed(o.out);
  const auto rate = [&](const char* which) {
    return answer.find(which)->find("demand")->find("rate_rps")->as_double();
  };
  EXPECT_NEAR(rate("after") / rate("before"), 100, 1e-6);
  EXPECT_FALSE(answer.find("changed")->as_array().empty());
  EXPECT_THAT(run_plan(with_files({"what-if", "workload.users=80"})).out,
              AllOf(HasSubstr("BEFORE"), HasSubstr("rate_sized_rps")));
  for (const char* edit : {"nonsense", "workload..x=1", "models[9].name=x", "workload.users[0]=1",
                           "workload.users=-3", "prices.nobody/none=1", "=1"}) {
    const Outcome bad = run_plan(with_files({"what-if", edit}));
    EXPECT_EQ(bad.status, 2) << edit;
    EXPECT_THAT(bad.err, StartsWith("error: ")) << edit;
  }
}

TEST_F(PlanCommandTest, WhatIfAPriceWereAnother) {
  const std::string open = file("w.toml", "[workload]\nusers = 40\nisl = 800\nosl = 200\n");
  const std::vector<std::string> base{"--workload", open, "--models", models(), "--json"};
  const auto with = [&](const std::string& edit) {
    std::vector<std::string> a{"what-if", edit};
    a.insert(a.end(), base.begin(), base.end());
    return run_plan(a);
  };
  const std::string id = "prices.nebius/nvidia-h100-80-sxm";
  EXPECT_THAT(with(id + "=1").err, AllOf(HasSubstr("several kinds"), HasSubstr("@gpu_hour=1")));
  const Outcome o = with(id + "@gpu_hour=0.0001");
  ASSERT_EQ(o.status, 0) << o.err;
  // The plan takes the cheapest provider of a device, which that one is now.
  std::size_t found = 0;
  const json::Value answer = parsed(o.out);
  for (const json::Value& p : answer.find("after")->find("prices")->as_array()) {
    if (p.find("id")->as_string() != "nebius/nvidia-h100-80-sxm") continue;
    ++found;
    EXPECT_EQ(p.find("price")->as_double(), 0.0001);
    EXPECT_EQ(p.find("source_url")->as_string(), "what-if");
  }
  EXPECT_EQ(found, 1u);
}

TEST_F(PlanCommandTest, SensitivityAndExplanations) {
  const Outcome o = run_plan(with_files({"sensitivity", "--json"}));
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_FALSE(parsed(o.out).find("tornado")->as_array().empty());
  EXPECT_THAT(run_plan(with_files({"sensitivity"})).out, HasSubstr("The recommendation changes"));
  EXPECT_THAT(run_plan(with_files({"explain", "npv"})).out, HasSubstr("(1 + w)^t"));
  EXPECT_THAT(run_plan(with_files({"explain"})).out, HasSubstr("memory.kv\n"));
  const Outcome bad = run_plan(with_files({"explain", "memory.kw"}));
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.err, HasSubstr("memory.kw"));
}

// Llama-3-70B in Q4_K_M: 70.55e9 * 4.85 / 8 = 42.8 GB fit an H100 of 80 GB, and F16 does not.
TEST_F(PlanCommandTest, FitOnADevice) {
  const Outcome o = run_plan(
      {"fit", "llama-3.3-70b", "--device", "nvidia-h100-80-sxm", "--context", "8192", "--json"});
  ASSERT_EQ(o.status, 0) << o.err;
  const json::Value a = parsed(o.out);
  EXPECT_TRUE(a.find("fits")->as_bool());
  EXPECT_NEAR(a.find("memory")->find("weights_bytes")->as_double(), 42.8e9, 0.1e9);
  // 327,680 bytes a token, in whole pages.
  EXPECT_EQ(a.find("memory")->find("kv_bytes")->as_double(), 8192 * 327'680.0);
  for (const json::Value& q : a.find("quants")->as_array()) {
    if (q.find("quant")->as_string() == "F16") {
      EXPECT_FALSE(q.find("fits")->as_bool());
    }
  }
  const json::Value no = parsed(
      run_plan({"fit", "llama-3.1-405b", "--device", "nvidia-l4-24", "--context", "1024", "--json"})
          .out);
  EXPECT_FALSE(no.find("fits")->as_bool());
  EXPECT_THAT(no.find("reason")->as_string(), HasSubstr("needed"));
  EXPECT_EQ(no.find("largest")->find("context")->as_int(), 0);
}

TEST_F(PlanCommandTest, WhatFitNeedsToKnow) {
  EXPECT_EQ(run_plan({"fit", "no-such-model"}).status, 3);
  EXPECT_EQ(run_plan({"fit", "llama-3.1-8b", "--device", "h100"}).status, 3);
  EXPECT_EQ(
      run_plan({"fit", "llama-3.1-8b", "--device", "nvidia-l4-24", "--context", "999999"}).status,
      2);
  EXPECT_EQ(run_plan({"fit", "llama-3.1-8b", "--parallel", "0"}).status, 2);
  EXPECT_EQ(run_plan({"fit", file("x.gguf", "GGUFnot")}).status, 6);
  EXPECT_EQ(run_plan({"fit"}).status, 2);
}

constexpr const char* kRows =
    "id,hw,n,engine,model,params_b,active_b,quant,weights_gib,kind,pp_len,tg_len,depth,batch,"
    "pp_tps,tg_tps,power_w,date,source,note,split\n"
    "A,nvidia-rtx3090-24,1,llama.cpp,llama-3-8b,8.03,8.03,Q4_K_M,4.58,llama-bench,512,512,,1,"
    "4030,115.4,,2024-05,here,,calib\n"
    "B,unheard-of-9,1,llama.cpp,llama-3-8b,8.03,8.03,Q4_K_M,4.58,llama-bench,512,512,,1,"
    "100,10,,2024-05,here,,calib\n";

TEST_F(PlanCommandTest, ValidateRowByRow) {
  const Outcome o = run_plan({"validate", "--rows", file("rows.csv", kRows), "--json"});
  ASSERT_EQ(o.status, 0) << o.err;
  std::istringstream lines(o.out);
  std::vector<json::Value> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(parsed(line));
  ASSERT_GE(rows.size(), 6u);
  EXPECT_EQ(rows[0].find("id")->as_string(), "A");
  EXPECT_EQ(rows[0].find("metric")->as_string(), "prefill_tps");
  EXPECT_EQ(rows[0].find("measured")->as_double(), 4030);
  EXPECT_EQ(rows[1].find("metric")->as_string(), "decode_tps");
  // G7 computes 120.2 for this row by hand.
  EXPECT_NEAR(rows[1].find("predicted")->as_double(), 120, 20);
  EXPECT_LT(rows[1].find("p10")->as_double(), rows[1].find("p90")->as_double());
  for (const std::size_t i : {2u, 3u}) {
    EXPECT_EQ(rows[i].find("id")->as_string(), "B");
    EXPECT_TRUE(rows[i].find("predicted")->is_null());
    EXPECT_THAT(rows[i].find("error")->as_string(), HasSubstr("unheard-of-9"));
  }
  EXPECT_TRUE(rows.back().find("class")->is_string());
  EXPECT_TRUE(rows.back().find("mape")->is_number());
  EXPECT_EQ(run_plan({"validate", "--rows", file("bad.csv", "id,hw\n1,2\n")}).status, 2);
}

// A row of a device with rows of its own is predicted without them.
TEST_F(PlanCommandTest, ValidateIsBlindToTheDevicesOwnRows) {
  const auto predicted = [&](const std::string& device) {
    std::string rows = kRows;
    rows.replace(rows.find("nvidia-rtx3090-24"), 17, device);
    const Outcome o = run_plan({"validate", "--rows", file("r.csv", rows), "--hardware",
                                file("h.csv", std::string(kHardwareHeader) +
                                                  "twin,NVIDIA,gpu,24,936,71,,,,350,,,,,,,,C,\n"),
                                "--json"});
    const std::string second = o.out.substr(o.out.find('\n') + 1);
    return parsed(second.substr(0, second.find('\n'))).find("predicted")->as_double();
  };
  // The twin has no rows, so the card's own rows help to predict it.
  EXPECT_NE(predicted("nvidia-rtx3090-24"), predicted("twin"));
}

TEST_F(PlanCommandTest, GoldenCasesHold) {
  const Outcome o = run_plan({"validate", "--golden", "--json"});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr(R"({"case":"G1","quantity":"total","expected":103031.22,"got":)"));
  std::set<std::string> cases;
  std::istringstream lines(o.out);
  for (std::string line; std::getline(lines, line);)
    cases.insert(parsed(line).find("case")->as_string());
  EXPECT_EQ(cases.size(), 15u);
}

TEST_F(PlanCommandTest, LatenciesBesideServerRuns) {
  const Outcome o = run_plan({"validate", "--latency", "--json"});
  ASSERT_EQ(o.status, 0) << o.err;
  std::istringstream lines(o.out);
  std::size_t within = 0;
  std::size_t rows = 0;
  json::Value last;
  for (std::string line; std::getline(lines, line);) {
    last = parsed(line);
    const json::Value* flag = last.find("within");
    rows += flag != nullptr ? 1 : 0;
    within += flag != nullptr && flag->as_bool() ? 1 : 0;
  }
  ASSERT_GT(rows, 10u);
  EXPECT_EQ(last.find("rows")->as_int(), static_cast<std::int64_t>(rows));
  EXPECT_DOUBLE_EQ(last.find("within_30_percent")->as_double(),
                   static_cast<double>(within) / static_cast<double>(rows));
}

TEST_F(PlanCommandTest, PricesAreImportedShownCheckedAndCompared) {
  const std::string csv =
      file("aws.csv",
           "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
           "p5.48xlarge,H100,8,192,2048,80,24,eu-west-1\n");
  const std::string book = folder_ + "/book.toml";
  const Outcome o = run_plan({"prices", "import", "skypilot", csv, "--provider", "aws", "--date",
                              "2026-08-05", "--out", book});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(text_of(book), AllOf(HasSubstr("id = \"aws/nvidia-h100-80-sxm\""),
                                   HasSubstr("price = 10\n"), HasSubstr("region = \"eu-west-1\"")));
  const Outcome shown = run_plan({"prices", "show", "aws/nvidia-h100", "--prices", book, "--json"});
  ASSERT_EQ(parsed(shown.out).as_array().size(), 2u);
  EXPECT_EQ(run_plan({"prices", "show", "no-such-price"}).status, 3);
  const Outcome fine = run_plan({"prices", "check", "--date", "2026-08-06"});
  EXPECT_EQ(fine.status, 0) << fine.out;
  const Outcome stale = run_plan({"prices", "check", "--date", "2026-12-01"});
  EXPECT_EQ(stale.status, 0);
  EXPECT_THAT(stale.out, HasSubstr("older than 90 days"));
  const std::string wrong =
      file("wrong.json", R"([{"id":"x/y","kind":"gpu_hour","price":1,"valid_from":"2026-08-05"},
        {"id":"x/y","kind":"gpu_hour_spot","price":2,"valid_from":"2026-08-05"}])");
  const Outcome bad = run_plan({"prices", "check", "--prices", wrong, "--date", "2026-08-06"});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.out, HasSubstr("spot costs more than on demand"));
  const Outcome diff = run_plan({"prices", "diff", book, wrong, "--json"});
  EXPECT_EQ(parsed(diff.out).as_array().size(), 4u);
  EXPECT_EQ(run_plan({"prices", "diff", book, book}).out, "the books are the same\n");
  EXPECT_EQ(run_plan({"prices", "import", "ebay", csv}).status, 2);
  EXPECT_EQ(run_plan({"prices", "import", "litellm", csv}).status, 2);
}

TEST_F(PlanCommandTest, EveryCommandHasHelp) {
  for (const char* command :
       {"interview", "what-if", "sensitivity", "explain", "fit", "probe", "prices", "validate"}) {
    const Outcome o = run_plan({command, "--help"});
    EXPECT_EQ(o.status, 0) << command;
    EXPECT_THAT(o.out, HasSubstr(std::string("holdfast plan ") + command)) << command;
  }
}

}  // namespace
}  // namespace holdfast::cli
