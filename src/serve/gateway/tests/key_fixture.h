// A gateway with API keys, in files of a simulated file system.
#pragma once

#include <string>

#include "gateway_fixture.h"
#include "holdfast/identity/key_store.h"
#include "holdfast/identity/key_table.h"
#include "holdfast/platform/testing/simulated_filesystem.h"

namespace holdfast::gateway::testing_support {

class KeyTest : public GatewayTest {
 protected:
  struct Made {
    std::string id, key;
    http::Headers bearer() const { return {{"Authorization", "Bearer " + key}}; }
  };
  static identity::NewKey of(std::string tenant, identity::Role role = identity::Role::kInference) {
    identity::NewKey out;
    out.tenant = std::move(tenant);
    out.role = role;
    return out;
  }
  Made make(const identity::NewKey& wanted) {
    const auto created = store_.create(wanted).value();
    return {created.record.id, created.key.reveal()};
  }
  void start_with_keys() {
    EXPECT_TRUE(table_.load().ok());
    keys_ = &table_;
    start();
  }
  void notice_changes() { clock_.advance(std::chrono::nanoseconds(identity::kRefreshNs)); }
  Answer chat_as(const Made& key, const std::string& content, const std::string& more = {}) {
    return ask("POST", "/v1/chat/completions", chat_body(content, more), key.bearer());
  }
  backend::GenerateRequest last_request() const { return fake_.requests().back(); }

  platform::testing::SimulatedFileSystem files_;
  platform::SeededEntropy key_entropy_{5};
  identity::KeyStore store_{files_, "/keys", key_entropy_, clock_};
  identity::KeyTable table_{files_, "/keys", clock_};
};

}  // namespace holdfast::gateway::testing_support
