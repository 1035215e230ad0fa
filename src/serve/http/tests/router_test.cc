#include "holdfast/http/router.h"

#include <gtest/gtest.h>

namespace holdfast::http {
namespace {

Router make() {
  Router router;
  const Handler nothing = [](std::shared_ptr<Request>, std::shared_ptr<ResponseWriter>) {};
  router.add("GET", "/v1/models", nothing);
  router.add("GET", "/v1/models/{id}", nothing);
  router.add("POST", "/v1/completions", nothing);
  router.add("POST", "/completion", nothing);
  router.add("GET", "/holdfast/v1/models/{id}", nothing);
  router.add("POST", "/holdfast/v1/models/{id}/load", nothing);
  router.add("GET", "/v2/models/{m}/versions/{v}/ready", nothing);
  return router;
}

TEST(Router, ExactPrefixAndRest) {
  const Router router = make();
  EXPECT_EQ(router.find("GET", "/v1/models").route, "/v1/models");
  EXPECT_EQ(router.find("GET", "/models").route, "/v1/models");
  EXPECT_EQ(router.find("POST", "/completion").route, "/completion");
  EXPECT_EQ(router.find("POST", "/completions").route, "/v1/completions");
  const auto match = router.find("GET", "/models/org/name:tag");
  ASSERT_NE(match.handler, nullptr);
  EXPECT_EQ(match.params, std::vector<std::string>{"org/name:tag"});
  const auto load = router.find("POST", "/holdfast/v1/models/a/b:c/load");
  ASSERT_NE(load.handler, nullptr);
  EXPECT_EQ(load.params, std::vector<std::string>{"a/b:c"});
  const auto two = router.find("GET", "/v2/models/a/b/versions/1/ready");
  ASSERT_NE(two.handler, nullptr);
  EXPECT_EQ(two.params, (std::vector<std::string>{"a/b", "1"}));
}

TEST(Router, MethodsAndMisses) {
  const Router router = make();
  EXPECT_EQ(router.find("POST", "/v1/models").handler, nullptr);
  EXPECT_EQ(router.find("POST", "/v1/models").allow, "GET, OPTIONS");
  EXPECT_NE(router.find("HEAD", "/v1/models").handler, nullptr);
  EXPECT_EQ(router.find("get", "/v1/models").handler, nullptr);
  EXPECT_EQ(router.find("GET", "/v1/model").allow, "");
  EXPECT_EQ(router.find("GET", "/holdfast/v1/models/").handler, nullptr);
  EXPECT_EQ(router.find("GET", "").handler, nullptr);
}

}  // namespace
}  // namespace holdfast::http
