// What settings open in the server's sandbox, and what strict profiles demand of them.
#include "../server_jail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../egress_proof.h"
#include "../server_profile.h"

namespace holdfast::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Context context_of(std::vector<std::pair<std::string, std::string>> flags,
                   config::Environment environment = {}) {
  Context context;
  context.environment = std::move(environment);
  config::LoadInput input;
  input.environment = context.environment;
  input.flags = std::move(flags);
  auto settings = config::Settings::load(input);
  EXPECT_TRUE(settings.ok()) << settings.error().to_string();
  context.settings = std::move(*settings);
  return context;
}

TEST(ServerJailProfile, NothingButItsOwnPort) {
  const auto profile = server_jail_profile(context_of({{"server.listen", "[::1]:8123"}}));
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->listen_port, 8123);
  EXPECT_THAT(profile->tcp_ports, IsEmpty());
  EXPECT_FALSE(profile->resolves_names || profile->runs_programs || profile->uses_tcp());
}

TEST(ServerJailProfile, TheCollectorOfTraces) {
  const auto profile =
      server_jail_profile(context_of({}, {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"},
                                          {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"}}));
  ASSERT_TRUE(profile.ok()) << profile.error().to_string();
  EXPECT_THAT(profile->tcp_ports, ElementsAre(4318));
  EXPECT_FALSE(profile->resolves_names);
}

TEST(Profiles, TheDefaultDemandsNothing) {
  EXPECT_THAT(unmet_demands(context_of({}).settings, {}), IsEmpty());
}

TEST(Profiles, EachDemandIsListed) {
  const auto unmet = [](std::vector<std::pair<std::string, std::string>> flags,
                        config::Environment environment = {}) {
    const Context context = context_of(std::move(flags), std::move(environment));
    return unmet_demands(context.settings, context.environment);
  };
  EXPECT_THAT(unmet({{"server.profile", "regulated"},
                     {"server.tls_terminated_upstream", "10.0.0.1"},
                     {"store.seal", "off"}}),
              UnorderedElementsAre(HasSubstr("memory.lock"), HasSubstr("policy.signatures"),
                                   HasSubstr("tls_terminated_upstream"), HasSubstr("store.seal")));
  const std::pair<std::string, std::string> lock{"memory.lock", "required"};
  const std::pair<std::string, std::string> signatures{"policy.signatures", "publisher"};
  const config::Environment traced = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"}};
  EXPECT_THAT(unmet({{"server.profile", "regulated"}, lock, signatures}, traced), IsEmpty());
  EXPECT_THAT(
      unmet({{"server.profile", "classified"}, lock, signatures, {"policy.egress", "listed"}},
            traced),
      UnorderedElementsAre(HasSubstr("policy.egress"), HasSubstr("telemetry")));
  EXPECT_THAT(unmet({{"server.profile", "classified"}, lock, signatures}), IsEmpty());
}

TEST(Profiles, ASlotNeedsMoreThanAFile) {
  using keyring::FactorKind;
  const auto slot = [](std::vector<FactorKind> kinds) {
    keyring::SlotPlan plan;
    for (const FactorKind kind : kinds) plan.factors.push_back({kind, {}});
    return std::vector<keyring::SlotPlan>{plan};
  };
  for (const FactorKind weak : {FactorKind::kFile, FactorKind::kCredential})
    EXPECT_EQ(weak_slots(slot({weak})).size(), 1u);
  EXPECT_EQ(weak_slots(slot({FactorKind::kFile, FactorKind::kCredential})).size(), 1u);
  for (const FactorKind strong :
       {FactorKind::kPassphrase, FactorKind::kTpm2, FactorKind::kPkcs11, FactorKind::kPbkdf2}) {
    EXPECT_THAT(weak_slots(slot({strong})), IsEmpty());
    EXPECT_THAT(weak_slots(slot({FactorKind::kFile, strong})), IsEmpty());
  }
}

TEST(MissingLayers, AreNamedWithTheirProcesses) {
  const auto report = [](bool landlock) {
    return jail::JailReport{
        {{jail::Layer::k_landlock, landlock, "why"}, {jail::Layer::k_seccomp, true, ""}}};
  };
  const std::vector<ProcessLayers> processes = {
      {"engine", report(false)}, {"importer", report(true)}, {"server", report(false)}};
  EXPECT_THAT(missing_layers(processes), ElementsAre("landlock (engine, server): why"));
  EXPECT_THAT(layers_held(processes), ElementsAre(std::pair(jail::Layer::k_landlock, false),
                                                  std::pair(jail::Layer::k_seccomp, true)));
  EXPECT_THAT(missing_layers({{"engine", report(true)}}), IsEmpty());
}

// Only what was tried and stopped counts, and only where the control reached its targets.
TEST(EgressProof, WhatCounts) {
  using Kind = jail::EgressOutcome::Kind;
  const std::size_t n = jail::egress_attempts().size();
  const auto all = [n](Kind kind) { return std::vector<jail::EgressOutcome>(n, {kind, 1}); };
  EgressProof proof;
  EXPECT_FALSE(proof.proven());
  proof.control = {"no sandbox", all(Kind::kReached)};
  proof.processes = {{"engine", all(Kind::kKilled)}, {"server", all(Kind::kRefused)}};
  EXPECT_TRUE(proof.proven());
  for (const Kind open : {Kind::kReached, Kind::kUnchecked}) {
    EgressProof other = proof;
    other.processes[1].outcomes[2].kind = open;
    EXPECT_FALSE(other.proven());
    EXPECT_THAT(other.open_ways(), ElementsAre(HasSubstr("server: udp4")));
  }
  proof.control.outcomes = all(Kind::kRefused);
  EXPECT_FALSE(proof.proven());
}

}  // namespace
}  // namespace holdfast::cli
