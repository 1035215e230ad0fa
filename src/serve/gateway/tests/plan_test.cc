// The planner's routes, with a planner that is played.
#include <atomic>
#include <mutex>

#include "gateway_fixture.h"
#include "key_fixture.h"

namespace holdfast::gateway {
namespace {

using testing_support::Answer;
using testing_support::GatewayTest;

class PlanRoutesTest : public GatewayTest {
 protected:
  void start_with(PlanCall plan) {
    start();
    on_loop([&] {
      gateway_->set_planner(
          {std::move(plan), [](json::Value body) -> Result<json::Value> {
             return json::Value(json::Object{{"fits", true}, {"asked", std::move(body)}});
           }});
    });
  }
};

TEST_F(PlanRoutesTest, TheBodyGoesInAndTheAnswerComesOut) {
  start_with([](json::Value body) -> Result<json::Value> {
    return json::Value(json::Object{{"schema", "holdfast.plan/1"}, {"asked", std::move(body)}});
  });
  const Answer plan = ask("POST", "/holdfast/v1/plan", R"({"workload":{"users":3}})");
  EXPECT_EQ(plan.status, 200);
  EXPECT_EQ(plan.body, R"({"schema":"holdfast.plan/1","asked":{"workload":{"users":3}}})");
  const Answer fit = ask("POST", "/holdfast/v1/fit", R"({"model":"tiny"})");
  EXPECT_EQ(fit.body, R"({"fits":true,"asked":{"model":"tiny"}})");
}

TEST_F(PlanRoutesTest, WithoutAPlannerThereIsNoRoute) {
  start();
  EXPECT_EQ(ask("POST", "/holdfast/v1/plan", "{}").status, 404);
  EXPECT_EQ(ask("POST", "/holdfast/v1/fit", "{}").status, 404);
}

TEST_F(PlanRoutesTest, ErrorsNameTheField) {
  start_with([](json::Value) -> Result<json::Value> {
    return invalid_argument("models[0].params: must be a number").with_hint("such as 8.03e9");
  });
  const Answer bad = ask("POST", "/holdfast/v1/plan", "{}");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.error("param"), "models[0].params");
  EXPECT_EQ(bad.error("message"), "models[0].params: must be a number (such as 8.03e9)");
  EXPECT_EQ(ask("POST", "/holdfast/v1/plan", "{").status, 400);
  EXPECT_EQ(ask("POST", "/holdfast/v1/plan", "[]").status, 400);
  EXPECT_EQ(ask("GET", "/holdfast/v1/plan").status, 405);
}

TEST_F(PlanRoutesTest, UnknownNamesAndOwnFaultsHaveTheirStatus) {
  Error error = not_found("device: there is no device \"x\"");
  start_with([&](json::Value) -> Result<json::Value> { return error; });
  const Answer unknown = ask("POST", "/holdfast/v1/plan", "{}");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.error("param"), "device");
  EXPECT_EQ(unknown.error("type"), "not_found_error");
  error = internal_error("a secret of the house");
  const Answer fault = ask("POST", "/holdfast/v1/plan", "{}");
  EXPECT_EQ(fault.status, 500);
  EXPECT_EQ(fault.body.find("secret"), std::string::npos);
}

class PlanKeysTest : public testing_support::KeyTest {};

TEST_F(PlanKeysTest, OnlyAdministratorsPlan) {
  const Made admin = make(of("ops", identity::Role::kAdmin));
  const Made user = make(of("acme"));
  start_with_keys();
  on_loop([&] {
    const PlanCall call = [](json::Value) -> Result<json::Value> {
      return json::Value(json::Object{});
    };
    gateway_->set_planner({call, call});
  });
  for (const char* path : {"/holdfast/v1/plan", "/holdfast/v1/fit"}) {
    EXPECT_EQ(ask("POST", path, "{}", admin.bearer()).status, 200) << path;
    const Answer denied = ask("POST", path, "{}", user.bearer());
    EXPECT_EQ(denied.status, 403) << path;
    EXPECT_EQ(denied.error("code"), "policy_denied") << path;
    EXPECT_EQ(ask("POST", path, "{}").status, 401) << path;
  }
}

// One runs, four wait, the sixth is refused; the loop answers others all the while.
TEST_F(PlanRoutesTest, FewWaitAndNobodyElseDoes) {
  std::mutex running;
  std::atomic<int> begun = 0;
  std::unique_lock held(running);
  start_with([&](json::Value) -> Result<json::Value> {
    ++begun;
    const std::lock_guard turn(running);
    return json::Value(json::Object{});
  });
  std::vector<std::future<int>> waiting;
  const auto send = [&] {
    waiting.push_back(std::async(std::launch::async,
                                 [&] { return ask("POST", "/holdfast/v1/plan", "{}").status; }));
  };
  send();
  // Nothing returns from here before the planner may go on: answers wait for it.
  EXPECT_TRUE(eventually([&] { return begun == 1; }));
  int refused = 0;
  for (int i = 0; i < 5; ++i) send();
  EXPECT_TRUE(eventually([&] {
    refused = 0;
    for (auto& answer : waiting)
      refused += answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready ? 1 : 0;
    return refused == 1;
  }));
  EXPECT_EQ(get("/livez").status, 200);
  held.unlock();
  int served = 0;
  int busy = 0;
  for (auto& answer : waiting) {
    const int status = answer.get();
    served += status == 200 ? 1 : 0;
    busy += status == 503 ? 1 : 0;
  }
  EXPECT_EQ(served, 5);
  EXPECT_EQ(busy, 1);
}

// A gateway that goes while a plan is made waits for it and drops the rest.
TEST_F(PlanRoutesTest, StopsInTheMiddle) {
  std::atomic<int> begun = 0;
  std::atomic<bool> go = false;
  start_with([&](json::Value) -> Result<json::Value> {
    ++begun;
    while (!go) std::this_thread::yield();
    return json::Value(json::Object{});
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([this] {
      http::Client client(http::parse_endpoint(address_).value());
      ignore_error(client.request({"POST", "/holdfast/v1/plan", {}, "{}"}), "the server goes");
    });
  }
  EXPECT_TRUE(eventually([&] { return begun == 1; }));
  on_loop([this] { server_->close_all(); });
  for (std::thread& c : clients) c.join();
  go = true;
  loop_.stop();
  thread_.join();
  gateway_.reset();
  EXPECT_LE(begun, 3);
}

}  // namespace
}  // namespace holdfast::gateway
