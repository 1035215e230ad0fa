// The configuration: what is in force, and reading it again.
#include "gateway_impl.h"

namespace holdfast::gateway {

void Gateway::Impl::show_config(const RequestPtr& request, const WriterPtr& writer) {
  if (!config.show) return send_error(*request, *writer, route_not_found());
  send_json(*writer, list_of(config.show()));
}

void Gateway::Impl::reload_config(const RequestPtr& request, const WriterPtr& writer) {
  if (!config.reload) return send_error(*request, *writer, route_not_found());
  const auto done = config.reload();
  if (done.ok()) return send_json(*writer, *done);
  ApiError error;
  error.code = "invalid_configuration";
  error.message = done.error().client_message();
  if (!done.error().hint().empty()) error.message += " (" + done.error().hint() + ")";
  send_error(*request, *writer, error);
}

}  // namespace holdfast::gateway
