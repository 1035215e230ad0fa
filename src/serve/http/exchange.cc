#include "connection.h"
#include "holdfast/base/check.h"
#include "server_impl.h"

namespace holdfast::http {

Exchange::~Exchange() {
  if (!connection_) return;
  if (started_) {
    abort();
  } else {
    send(connection_->server().error_response(*request_, kInternalError));
  }
}

void Exchange::send(Response response) {
  if (const auto connection = std::exchange(connection_, nullptr)) {
    connection->respond(*this, std::move(response));
  }
}

void Exchange::start_stream(int status, Headers headers, std::string probe) {
  if (!connection_) return;
  HF_CHECK(!started_);
  started_ = true;
  connection_->start_stream(*this, status, std::move(headers), std::move(probe));
}

void Exchange::write(std::string_view bytes) {
  if (connection_) connection_->stream_write(bytes);
}

void Exchange::finish() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->stream_finish(false);
}

void Exchange::finish_and_close() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->stream_finish(true);
}

void Exchange::abort() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->reset();
}

std::size_t Exchange::unsent_bytes() const { return connection_ ? connection_->unsent_bytes() : 0; }

bool Exchange::writable() const { return connection_ && connection_->writable(); }

void Exchange::disconnected(Disconnect reason) {
  connection_.reset();
  on_drain_ = nullptr;
  const auto fn = std::exchange(on_disconnect_, nullptr);
  if (fn) fn(reason);
}

void Exchange::drained() {
  if (on_drain_) on_drain_();
}

}  // namespace holdfast::http
