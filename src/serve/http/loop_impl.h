// The Asio side of EventLoop, shared by this module's sources.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "holdfast/http/event_loop.h"

namespace holdfast::http {

namespace asio = boost::asio;
using asio_error = boost::system::error_code;

struct EventLoop::Impl {
  // 1: one thread runs it, which spares the wake-up of others. Posting stays safe from any thread.
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
};

}  // namespace holdfast::http
