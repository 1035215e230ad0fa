// `holdfast serve`: builds the server, runs it, stops it in order.
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "../access_settings.h"
#include "../bind_rules.h"
#include "../catalog.h"
#include "../command.h"
#include "../engine_config.h"
#include "../interrupts.h"
#include "../keyring.h"
#include "../live_config.h"
#include "../local_model.h"
#include "../output.h"
#include "../plan_service.h"
#include "../seal_watch.h"
#include "../server_address.h"
#include "../server_jail.h"
#include "../server_profile.h"
#include "../tls_files.h"
#include "../upstreams.h"
#include "../version.h"
#include "holdfast/base/units.h"
#include "holdfast/custody/key_verifiers.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/http/event_loop.h"
#include "holdfast/http/server.h"
#include "holdfast/identity/key_table.h"
#include "holdfast/kernels/select.h"
#include "holdfast/observe/log.h"
#include "holdfast/observe/metrics.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "holdfast/router/router.h"

namespace holdfast::cli {

namespace {

using config::Setting;

// How often a draining server looks whether the last answer has ended.
constexpr auto kDrainPoll = std::chrono::milliseconds(50);
// For the last bytes of answers that were cut at the end of the drain.
constexpr auto kFlushTime = std::chrono::milliseconds(300);
// How often the certificate files are looked at. A change is taken when it has settled for one
// such time, which leaves room within the second that a rotation may take.
constexpr auto kTlsPoll = std::chrono::milliseconds(250);
constexpr auto kMemoryPoll = std::chrono::milliseconds(500);
// What is not a client's connection: engines, logs, the store, the poller.
constexpr std::size_t kOwnDescriptors = 64;

struct ServeFlags {
  std::vector<std::string> models;
  std::vector<std::string> more_models;  // --model
  std::int64_t kv_tokens = 0;
};

// As many as asked for, but never so many that the process itself runs out of descriptors.
std::size_t connections_max(std::size_t wanted, std::size_t reserve) {
  const std::size_t limit = platform::descriptor_limit();
  const std::size_t own = kOwnDescriptors + reserve;
  return std::min(wanted, limit > 2 * own ? limit - own : limit / 2);
}

http::ServerOptions server_options(const config::Settings& s) {
  http::ServerOptions o;
  o.limits.body_bytes_max = s.size_bytes(Setting::http_body_bytes_max);
  o.limits.header_bytes_max = s.size_bytes(Setting::http_header_bytes_max);
  o.access = gateway::Gateway::access_options(s.list(Setting::http_hosts),
                                              s.list(Setting::http_cors_origins));
  o.connections_max = connections_max(
      static_cast<std::size_t>(s.integer(Setting::http_connections_max)), o.reserve_connections);
  o.handshakes_per_address =
      static_cast<std::size_t>(s.integer(Setting::http_handshakes_per_address));
  o.unsent_bytes_max = s.size_bytes(Setting::stream_buffer_bytes);
  o.header_timeout = s.duration(Setting::http_header_timeout);
  o.body_timeout = s.duration(Setting::http_body_timeout);
  o.stall_timeout = s.duration(Setting::http_stall_timeout);
  return o;
}

router::AdmissionLimits admission_limits(const config::Settings& s) {
  router::AdmissionLimits limits;
  limits.queue_max = static_cast<std::uint32_t>(s.integer(Setting::limits_queue_max));
  limits.queue_wait_max = s.duration(Setting::limits_queue_wait_max);
  limits.queue_target = s.duration(Setting::limits_queue_target);
  return limits;
}

Result<observe::LogOptions> log_options(const config::Settings& s) {
  observe::LogOptions o;
  HF_TRY_ASSIGN(o.level, observe::parse_log_level(s.text(Setting::log_level)));
  HF_TRY_ASSIGN(o.format, observe::parse_log_format(s.text(Setting::log_format),
                                                    ::isatty(STDERR_FILENO) == 1));
  return o;
}

constexpr std::size_t kMemoryLogBytes = 4u << 20;

std::unique_ptr<observe::LogSink> log_sink(const config::Settings& s) {
  if (is_classified(s)) return std::make_unique<observe::RingLogSink>(kMemoryLogBytes);
  return std::make_unique<observe::FdLogSink>(STDERR_FILENO);
}

gateway::MetricsOptions metrics_options(const config::Settings& s) {
  gateway::MetricsOptions o;
  o.enabled = s.flag(Setting::metrics_enabled);
  o.vllm_names = s.flag(Setting::metrics_vllm_names);
  o.vllm_old_names = s.flag(Setting::metrics_vllm_old_names);
  o.model_names_max = static_cast<std::size_t>(s.integer(Setting::metrics_model_name_max));
  return o;
}

// A model has at most a few series of one metric, such as one per reason to finish.
std::size_t series_max(const config::Settings& s) {
  constexpr std::size_t kSeriesPerModelMax = 4;
  return std::max(
      observe::kSeriesPerMetricMax,
      kSeriesPerModelMax * static_cast<std::size_t>(s.integer(Setting::metrics_model_name_max)));
}

// Everything of one server. Members are destroyed in the reverse order of their dependence.
class ServerProcess {
 public:
  ServerProcess(const Context& context, const ServeFlags& flags, observe::LogOptions log)
      : context_(context),
        flags_(flags),
        sink_(log_sink(context.settings)),
        logger_(*sink_, platform::system_clock(), log),
        metrics_(series_max(context.settings)) {}

  Status run();

 private:
  Status begin_sandbox();
  Status close_sandbox();
  void say_degraded();
  Status check_slots();
  Status import_models(registry::Store& store);
  Status build();
  Status start_tracing();
  Status check_listener();
  Status load_keys();
  void keep_pepper();
  gateway::GatewayOptions gateway_options(const config::Settings& s) const;
  void configure_reload();
  Result<json::Object> reload(std::string_view cause);
  Status check(const config::Settings& next);
  void apply(const config::Settings& next);
  void watch_tls_files();
  void show_certificate();
  void watch_memory();
  Status build_router(std::unique_ptr<backend::Backend> native);
  Status listen();
  void set_sealed(bool sealed);
  void load_models();
  void announce(const std::string& address) const;
  void begin_drain(int signal);
  void watch_drain();
  void finish();

  const Context& context_;
  const ServeFlags& flags_;
  std::unique_ptr<observe::LogSink> sink_;
  observe::Logger logger_;
  observe::Registry metrics_;
  platform::SystemEntropy entropy_;
  std::unique_ptr<gateway::Tracing> tracing_;
  platform::PosixFileSystem files_;
  std::unique_ptr<custody::SharedHolderVerifiers> verifiers_;
  std::unique_ptr<identity::KeyTable> keys_;
  BindTrust trust_ = BindTrust::kThisMachine;
  http::EventLoop loop_;
  std::vector<std::string> preload_;  // full names
  std::string isa_;                   // of the kernels
  std::optional<LiveConfig> live_;
  std::shared_ptr<custody::Custody> custody_;
  bool sealed_ = false;  // as the gateway was told
  bool models_asked_for_ = false;
  std::unique_ptr<SealWatch> seal_watch_;
  std::shared_ptr<StoreCatalog> catalog_;
  std::shared_ptr<const tls::ServerContext> tls_;       // in force; null: plain
  std::shared_ptr<const tls::ServerContext> next_tls_;  // made by check(), taken by apply()
  std::optional<TlsFileWatch> tls_watch_;
  std::unique_ptr<router::Router> backend_;
  backend::NativeBackend* native_ = nullptr;  // behind it
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Timer> timer_, tls_timer_, memory_timer_;
  std::unique_ptr<Interrupts> interrupts_;
  jail::ServerProfile jail_profile_;
  std::vector<ProcessLayers> sandboxes_;  // the server's own is the last
  std::chrono::steady_clock::time_point drain_until_;
  std::optional<Error> failed_;
};

Status ServerProcess::import_models(registry::Store& store) {
  std::vector<std::string> wanted = context_.settings.list(Setting::models_load);
  wanted.insert(wanted.end(), flags_.models.begin(), flags_.models.end());
  wanted.insert(wanted.end(), flags_.more_models.begin(), flags_.more_models.end());
  const config::Map& aliases = context_.settings.map(Setting::models_aliases);
  for (std::string name : wanted) {
    if (const auto alias = aliases.find(name); alias != aliases.end()) name = alias->second;
    registry::ModelRecord record;
    if (looks_like_path(name)) {
      HF_TRY_ASSIGN(record, import_path(context_, store, name, {}));
    } else {
      HF_TRY_ASSIGN(record, store.resolve(name));
    }
    preload_.push_back(record.name.full());
  }
  return ok_status();
}

Status ServerProcess::start_tracing() {
  HF_TRY_ASSIGN(auto options, gateway::trace_options(
                                  [this](std::string_view name) {
                                    return config::lookup(context_.environment, name);
                                  },
                                  kVersion));
  if (!options) return ok_status();
  logger_.info("trace.on",
               {{"collector", options->endpoint.unix_path.empty()
                                  ? options->endpoint.host + ":" + options->endpoint.port
                                  : options->endpoint.unix_path}});
  tracing_ = std::make_unique<gateway::Tracing>(std::move(*options), logger_);
  return ok_status();
}

// Counts the keys, and decides by them whether this server may listen where it is told to.
Status ServerProcess::check_listener() {
  const config::Settings& s = context_.settings;
  HF_TRY_ASSIGN(const KeyCount keys, count_keys(context_));
  HF_TRY_ASSIGN(tls_, load_tls(s));
  BindFacts facts;
  facts.certificate = tls_ != nullptr;
  facts.listen = s.text(Setting::server_listen);
  facts.auth_mode = auth_mode(s);
  facts.keys = keys.active > 0;
  facts.proxies = !s.list(Setting::server_tls_terminated_upstream).empty();
  HF_TRY_ASSIGN(trust_, check_bind(facts));
  if (trust_ == BindTrust::kProxies) {
    logger_.warn("server.plain_http",
                 {{"listen", facts.listen}, {"why", "server.tls_terminated_upstream"}});
  }
  return ok_status();
}

// Where there is a keyring, it has the pepper, and its holder makes the verifiers.
Status ServerProcess::load_keys() {
  if (custody_->exists()) {
    verifiers_ = std::make_unique<custody::SharedHolderVerifiers>(files_, context_.data_dir,
                                                                  platform::system_clock());
  }
  keys_ = std::make_unique<identity::KeyTable>(files_, keys_directory(context_),
                                               platform::system_clock(), verifiers_.get());
  return keys_->load();
}

// On the thread of the watch, each time that the keyring is open.
void ServerProcess::keep_pepper() {
  if (!custody_->exists()) return;
  const Status kept = custody::keep_pepper_in_keyring(*custody_, files_, keys_directory(context_));
  if (!kept.ok()) logger_.error("keys.pepper", {{"detail", kept.error().to_string()}});
}

// A strict profile does without what a first start would make: a slot that a file opens.
Status ServerProcess::check_slots() {
  if (!is_strict(context_.settings)) return ok_status();
  HF_TRY_ASSIGN(const auto keyring, existing_custody(context_));
  if (keyring == nullptr) {
    return refuse_unmet(context_.settings,
                        {"a keyring: `holdfast seal slot add --kind passphrase` makes one"});
  }
  HF_TRY_ASSIGN(const custody::CustodyStatus status, keyring->status());
  return refuse_unmet(context_.settings, weak_slots(status.slots));
}

Status ServerProcess::build() {
  const config::Settings& s = context_.settings;
  HF_TRY_ASSIGN(std::shared_ptr<registry::Store> store, open_store(context_));
  HF_TRY(check_slots());
  HF_TRY_ASSIGN(custody_, start_custody(context_));
  HF_TRY(load_keys());
  HF_TRY(import_models(*store));
  HF_TRY_ASSIGN(interrupts_, Interrupts::create_with_hangup([this] {
                  loop_.post([this] { ignore_error(reload("signal"), "it is in the log"); });
                }));
  HF_TRY_ASSIGN(
      const kernels::KernelTable* kernels,
      kernels::select_kernels(platform::CpuFeatures::detect(), s.text(Setting::engine_force_isa)));
  backend::NativeBackendOptions b;
  HF_TRY_ASSIGN(b.engine_program, engine_program());
  b.engine_config = engine_config(context_);
  HF_TRY_ASSIGN(json::Array shared, shared_prompts(s));
  b.engine_config.set("shared_prompts", std::move(shared));
  if (flags_.kv_tokens > 0) b.engine_config.set("kv_tokens", flags_.kv_tokens);
  b.draft_model = draft_model(context_);
  b.keep_alive = s.duration(Setting::models_keep_alive);
  b.hang_timeout = s.duration(Setting::engine_hang_timeout);
  b.waiters_max = static_cast<std::size_t>(s.integer(Setting::limits_queue_max));
  b.loaded_max = static_cast<std::uint32_t>(s.integer(Setting::models_loaded_max));
  b.memory_limit_bytes = s.size_bytes(Setting::memory_limit);
  b.verbose = context_.flags.verbose;
  catalog_ = std::make_shared<StoreCatalog>(store, custody_, s, [this](const std::string& text) {
    logger_.warn("model.signature", {{"detail", text}});
  });
  auto native = std::make_unique<backend::NativeBackend>(std::move(b), catalog_);
  native_ = native.get();
  HF_TRY(start_tracing());
  HF_TRY(build_router(std::move(native)));
  isa_ = std::string(kernels->isa);
  observe::register_process_metrics(metrics_);
  gateway_ = std::make_unique<gateway::Gateway>(
      gateway::Gateway::Environment{loop_, *backend_, metrics_, logger_, platform::system_clock(),
                                    entropy_, tracing_.get(), keys_.get()},
      gateway_options(s));
  server_ = std::make_unique<http::Server>(loop_, server_options(s), gateway_->hooks());
  timer_ = std::make_unique<http::Timer>(loop_);
  gateway_->set_planner(planner_access(context_));
  configure_reload();
  return ok_status();
}

gateway::GatewayOptions ServerProcess::gateway_options(const config::Settings& s) const {
  gateway::GatewayOptions g;
  g.version = kVersion;
  g.engine_isa = isa_;
  g.default_model = s.text(Setting::models_default);
  if (g.default_model.empty() && !preload_.empty()) g.default_model = preload_.front();
  g.preload = preload_;
  g.wait_for_load = s.text(Setting::models_on_cold) == "wait";
  g.n_max = static_cast<std::uint32_t>(s.integer(Setting::limits_n_max));
  g.body_bytes_max = s.size_bytes(Setting::http_body_bytes_max);
  g.deadline = s.duration(Setting::server_deadline);
  g.ping_interval = s.duration(Setting::stream_ping);
  g.metrics = metrics_options(s);
  g.auth = auth_options(s, trust_ != BindTrust::kThisMachine);
  g.limits = caller_limits(s);
  g.overload_status = s.text(Setting::server_overload_status) == "429" ? 429 : 503;
  return g;
}

void ServerProcess::configure_reload() {
  live_.emplace(context_.settings,
                LiveConfig::Hooks{[this] { return read_settings(context_); },
                                  [this](const config::Settings& next) { return check(next); },
                                  [this](const config::Settings& next) { apply(next); }});
  gateway_->set_config({[this] { return live_->show(); }, [this] { return reload("request"); }});
  if (tls_ == nullptr) return;
  server_->set_tls(tls_);
  tls_watch_.emplace(context_.settings);
  tls_timer_ = std::make_unique<http::Timer>(loop_);
  show_certificate();
  watch_tls_files();
}

Result<json::Object> ServerProcess::reload(std::string_view cause) {
  auto done = live_->reload();
  if (!done.ok()) {
    logger_.warn("config.refused", {{"cause", cause}, {"why", done.error().client_message()}});
    return done;
  }
  logger_.info("config.reloaded", {{"cause", cause},
                                   {"changed", done->find("changed")->as_array().size()},
                                   {"restart", done->find("restart")->as_array().size()}});
  return done;
}

// All that can fail of a new configuration. The files of the certificate are read here, so that a
// pair that does not work refuses the whole.
Status ServerProcess::check(const config::Settings& next) {
  HF_TRY(check_engine_settings(next));
  HF_TRY(observe::parse_log_level(next.text(Setting::log_level)));
  HF_TRY_ASSIGN(next_tls_, load_tls(next));
  if ((next_tls_ == nullptr) == (tls_ == nullptr)) return ok_status();
  return invalid_argument("TLS cannot be turned on or off while the server runs")
      .with_hint("restart the server to change server.tls_cert from or to nothing");
}

// Every setting of class `live`.
void ServerProcess::apply(const config::Settings& next) {
  if (const auto level = observe::parse_log_level(next.text(Setting::log_level)); level.ok())
    logger_.set_level(*level);
  server_->update(server_options(next));
  gateway_->update(gateway_options(next));
  router::AdmissionLimits queues = admission_limits(next);
  // The engines' own queues were sized by it when they were started.
  queues.queue_max = admission_limits(context_.settings).queue_max;
  backend_->set_admission(queues);
  native_->set_keep_alive(next.duration(Setting::models_keep_alive));
  catalog_->set_aliases(next.map(Setting::models_aliases));
  if (next_tls_ == nullptr) return;
  tls_ = std::move(next_tls_);
  server_->set_tls(tls_);
  tls_watch_.emplace(next);
  show_certificate();
}

// A file that was replaced needs no signal.
void ServerProcess::watch_tls_files() {
  tls_timer_->start(kTlsPoll, [this] {
    if (tls_watch_->changed()) {
      auto made = load_tls(live_->settings());
      if (made.ok()) {
        tls_ = std::move(*made);
        server_->set_tls(tls_);
        show_certificate();
      } else {
        logger_.warn("tls.refused",
                     {{"why", made.error().client_message()}, {"detail", made.error().detail()}});
      }
    }
    watch_tls_files();
  });
}

void ServerProcess::show_certificate() {
  constexpr std::int64_t kDay = 24 * 3600;
  const std::int64_t left =
      tls_->not_after_unix() - platform::unix_seconds(platform::system_clock().wall_time());
  metrics_.gauge("holdfast_cert_expiry_seconds", "Unix time at which the certificate ends.")
      .with()
      .set(static_cast<double>(tls_->not_after_unix()));
  const auto level = left > 30 * kDay ? observe::LogLevel::kInfo : observe::LogLevel::kWarn;
  logger_.log(level, "tls.certificate", {{"days_left", left / kDay}});
}

// What other programs and this one take beside the models.
void ServerProcess::watch_memory() {
  const auto memory = platform::MemoryLimits::detect();
  std::uint64_t planned = 0;
  for (const backend::EngineFacts& engine : backend_->stats().engines)
    planned += engine.weights_bytes + engine.kv_bytes + engine.scratch_bytes;
  backend_->set_memory_in_use(
      router::memory_in_use(memory.limit_bytes(), memory.available_bytes(), planned));
  memory_timer_->start(kMemoryPoll, [this] { watch_memory(); });
}

Status ServerProcess::build_router(std::unique_ptr<backend::Backend> native) {
  const config::Settings& s = context_.settings;
  router::RouterOptions options;
  options.admission = admission_limits(s);
  std::vector<router::Target> targets;
  targets.push_back({"native", "native", std::move(native),
                     static_cast<std::uint32_t>(s.integer(Setting::engine_batch_max)), false});
  HF_TRY_ASSIGN(std::vector<router::Target> upstreams,
                upstream_targets(s, logger_, {tracing_.get(), &entropy_}, custody_.get()));
  std::move(upstreams.begin(), upstreams.end(), std::back_inserter(targets));
  backend_ = std::make_unique<router::Router>(
      options, std::move(targets),
      router::Router::Environment{metrics_, logger_, platform::system_clock(), entropy_});
  return ok_status();
}

Status ServerProcess::listen() {
  const std::string& wanted = context_.settings.text(Setting::server_listen);
  auto bound = server_->listen_tcp(wanted);
  if (!bound.ok()) {
    Error error = bound.error();
    if (error.code() != ErrorCode::kConflict) return error;
    return conflict(wanted + " is in use by another program")
        .with_hint("choose another port with --listen 127.0.0.1:PORT, or stop the other server");
  }
  const std::string path = socket_path(context_);
  Status socket = files_.make_dirs(platform::parent_path(path), 0700);
  if (socket.ok()) socket = server_->listen_unix(path);
  if (!socket.ok()) {
    if (!context_.settings.text(Setting::server_socket).empty()) return socket;
    logger_.warn("server.no_socket", {{"path", path}, {"why", socket.error().client_message()}});
  }
  announce(*bound);
  return ok_status();
}

void ServerProcess::announce(const std::string& address) const {
  const std::string base = (tls_ == nullptr ? "http://" : "https://") + address;
  logger_.info("server.listening",
               {{"address", address},
                {"tls", tls_ != nullptr},
                {"version", kVersion},
                {"models", preload_.size()},
                {"connections_max", server_options(context_.settings).connections_max}});
  const auto models = backend_->models();
  std::string model = preload_.empty() ? "" : preload_.front();
  if (model.empty()) model = models.empty() ? "MODEL" : models.front().id;
  if (model.ends_with(":latest")) model.resize(model.size() - 7);
  notice(context_, "holdfast serves on " + base + " (Ctrl-C stops it); for example:\n" + "  curl " +
                       base +
                       "/v1/chat/completions -H 'content-type: application/json' -d "
                       "'{\"model\":\"" +
                       model + "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'");
}

// Models that were named stay loaded. One that cannot be loaded ends the server: a person who
// named it wants to know now.
void ServerProcess::load_models() {
  for (const std::string& name : preload_) {
    backend_->load(name, std::chrono::milliseconds(-1),
                   [this, name](std::variant<backend::EngineFacts, backend::Failure> result) {
                     loop_.post([this, name, result = std::move(result)] {
                       if (const auto* failure = std::get_if<backend::Failure>(&result)) {
                         failed_ = failure->error;
                         failed_->add_context(name);
                         finish();
                         return;
                       }
                       const auto& e = std::get<backend::EngineFacts>(result);
                       logger_.info("model.loaded", {{"model", e.model},
                                                     {"isa", e.isa},
                                                     {"threads", e.threads},
                                                     {"context", e.context_length},
                                                     {"speculation", e.speculation},
                                                     {"weights_bytes", e.weights_bytes},
                                                     {"kv_bytes", e.kv_bytes},
                                                     {"ms", e.load_ms}});
                     });
                   });
  }
}

// Models that were named are loaded once the keyring is open: at the start, or when an operator has
// opened it.
void ServerProcess::set_sealed(bool sealed) {
  if (!sealed && !models_asked_for_) {
    models_asked_for_ = true;
    load_models();
  }
  if (sealed == sealed_) return;
  sealed_ = sealed;
  gateway_->set_sealed(sealed);
  logger_.log(sealed ? observe::LogLevel::kWarn : observe::LogLevel::kInfo,
              sealed ? "keyring.sealed" : "keyring.open");
  if (sealed) notice(context_, "the keyring is sealed; open it: holdfast seal unseal");
}

// Answers that run may end; nothing new begins. The listener stays open meanwhile, so that
// balancers can read from /readyz that this server is going.
void ServerProcess::begin_drain(int signal) {
  const auto drain = live_->settings().duration(Setting::server_drain);
  logger_.info(
      "server.draining",
      {{"signal", signal}, {"running", gateway_->active_generations()}, {"ms", drain.count()}});
  drain_until_ = std::chrono::steady_clock::now() + drain;
  gateway_->begin_drain();
  watch_drain();
}

// A reader that is behind its answer keeps us as one whose answer is still being made.
void ServerProcess::watch_drain() {
  if (std::chrono::steady_clock::now() >= drain_until_) {
    gateway_->end_generations();
    server_->drain();
    timer_->start(kFlushTime, [this] { finish(); });
    return;
  }
  const bool made = gateway_->active_generations() == 0;
  if (made) server_->drain();
  if (made && server_->answering() == 0) {
    timer_->start(kDrainPoll, [this] { finish(); });
  } else {
    timer_->start(kDrainPoll, [this] { watch_drain(); });
  }
}

void ServerProcess::finish() {
  server_->close_all();
  loop_.stop();
}

// While there is one thread. What the profile demands is looked at before anything is made.
Status ServerProcess::begin_sandbox() {
  HF_TRY(refuse_unmet(context_.settings, unmet_demands(context_.settings, context_.environment)));
  HF_TRY_ASSIGN(jail_profile_, server_jail_profile(context_));
  HF_TRY_ASSIGN(sandboxes_, probe_child_layers(context_));
  if (is_strict(context_.settings)) {
    std::vector<ProcessLayers> all = sandboxes_;
    HF_TRY_ASSIGN(jail::JailReport server, jail::probe_server_jail(jail_profile_));
    all.push_back({"server", std::move(server)});
    HF_TRY(refuse_unmet(context_.settings, missing_layers(all)));
  }
  sandboxes_.push_back({"server", jail::begin_server_jail(jail_profile_)});
  return ok_status();
}

// When every listener is bound.
Status ServerProcess::close_sandbox() {
  jail::close_server_jail(jail_profile_, sandboxes_.back().report);
  if (is_strict(context_.settings))
    HF_TRY(refuse_unmet(context_.settings, missing_layers(sandboxes_)));
  say_degraded();
  return ok_status();
}

void ServerProcess::say_degraded() {
  // docs/adr/0054-strict-profiles.md
  if (is_strict(context_.settings)) {
    logger_.warn("profile.incomplete",
                 {{"profile", context_.settings.text(Setting::server_profile)},
                  {"missing", "an audit log with two sinks"}});
  }
  auto& family =
      metrics_.gauge("holdfast_sandbox_degraded",
                     "1 where this system withholds the layer of the sandbox.", {"layer"});
  std::vector<std::string> names;
  for (const auto& [layer, held] : layers_held(sandboxes_)) {
    family.with({jail::layer_name(layer)}).set(held ? 0 : 1);
    if (!held) names.emplace_back(jail::layer_name(layer));
  }
  for (const std::string& missing : missing_layers(sandboxes_))
    logger_.warn("sandbox.degraded", {{"missing", missing}});
  gateway_->set_degraded(std::move(names));
}

Status ServerProcess::run() {
  HF_TRY(begin_sandbox());
  HF_TRY(check_listener());
  HF_TRY(build());
  HF_TRY(listen());
  HF_TRY(close_sandbox());
  interrupts_->set_handler(
      [this](int signal) { loop_.post([this, signal] { begin_drain(signal); }); });
  // What it says first is heard before the first request.
  seal_watch_ = std::make_unique<SealWatch>(custody_, logger_, [this](bool open) {
    if (open) keep_pepper();
    loop_.post([this, open] { set_sealed(!open); });
  });
  memory_timer_ = std::make_unique<http::Timer>(loop_);
  watch_memory();
  loop_.run();
  interrupts_->set_handler({});
  timer_.reset();
  seal_watch_.reset();
  tls_timer_.reset();
  memory_timer_.reset();
  server_.reset();
  backend_.reset();
  logger_.info("server.stopped");
  if (failed_) return std::move(*failed_);
  return ok_status();
}

}  // namespace

void add_serve(Registrar& r) {
  CLI::App& c = r.add("serve", "Run the HTTP server in the foreground");
  auto flags = std::make_shared<ServeFlags>();
  c.add_option("MODEL", flags->models,
               "Models to load at start: names, or GGUF files (imported first)");
  c.add_option("--model", flags->more_models, "Same as the argument; may be repeated")
      ->type_name("MODEL");
  r.setting_flag(c, "--listen", "server.listen", "Address and port");
  r.setting_flag(c, "--threads", "engine.threads", "Compute threads of each model");
  r.setting_flag(c, "--max-running", "engine.batch_max", "Sequences computed together");
  r.setting_flag(c, "--context", "limits.context_max", "Context length in tokens");
  r.setting_flag(c, "--draft", "engine.speculation",
                 "Smaller model of the same family to guess ahead", "draft:");
  c.add_option("--kv-tokens", flags->kv_tokens,
               "Tokens that the KV cache of one model holds, over all sequences")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  r.bind(c, [flags](Context& context) -> Status {
    HF_TRY(platform::raise_descriptor_limit());
    HF_TRY_ASSIGN(const observe::LogOptions log, log_options(context.settings));
    return ServerProcess(context, *flags, log).run();
  });
}

}  // namespace holdfast::cli
