#include "holdfast/base/error.h"

#include <cerrno>
#include <cstring>

namespace holdfast {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
#define HF_ERROR(name, number, http, exit, text) \
  case ErrorCode::k_##name:                      \
    return #name;
#include "holdfast/base/errors.def"
#undef HF_ERROR
  }
  return "internal";
}

int error_code_http_status(ErrorCode code) {
  switch (code) {
#define HF_ERROR(name, number, http, exit, text) \
  case ErrorCode::k_##name:                      \
    return http;
#include "holdfast/base/errors.def"
#undef HF_ERROR
  }
  return 500;
}

int error_code_exit_status(ErrorCode code) {
  switch (code) {
#define HF_ERROR(name, number, http, exit, text) \
  case ErrorCode::k_##name:                      \
    return exit;
#include "holdfast/base/errors.def"
#undef HF_ERROR
  }
  return 1;
}

ErrorCode error_code_from_number(std::uint8_t number) {
  switch (number) {
#define HF_ERROR(name, number, http, exit, text) \
  case number:                                   \
    return ErrorCode::k_##name;
#include "holdfast/base/errors.def"
#undef HF_ERROR
    default:
      return ErrorCode::kInternal;
  }
}

Error::Error(ErrorCode code, std::string client_message, std::string detail)
    : code_(code), client_message_(std::move(client_message)), detail_(std::move(detail)) {}

Error& Error::add_context(std::string_view what) & {
  detail_ = detail_.empty() ? std::string(what) : std::string(what) + ": " + detail_;
  return *this;
}

Error&& Error::add_context(std::string_view what) && { return std::move(add_context(what)); }

Error&& Error::with_hint(std::string hint) && {
  hint_ = std::move(hint);
  return std::move(*this);
}

std::string Error::to_string() const {
  std::string out(error_code_name(code_));
  out += ": " + client_message_;
  if (!detail_.empty()) out += " (" + detail_ + ")";
  return out;
}

#define HF_MAKE(function, name)                                      \
  Error function(std::string message, std::string detail) {          \
    return {ErrorCode::name, std::move(message), std::move(detail)}; \
  }
HF_MAKE(invalid_argument, kInvalidArgument)
HF_MAKE(corrupt, kCorrupt)
HF_MAKE(not_found, kNotFound)
HF_MAKE(conflict, kConflict)
HF_MAKE(exhausted, kExhausted)
HF_MAKE(unavailable, kUnavailable)
HF_MAKE(unsupported, kUnsupported)
HF_MAKE(cancelled, kCancelled)
HF_MAKE(internal_error, kInternal)
#undef HF_MAKE

namespace {
ErrorCode code_of_errno(int value) {
  switch (value) {
    case ENOENT:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kDenied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorCode::kExhausted;
    case EEXIST:
    case EADDRINUSE:
      return ErrorCode::kConflict;
    default:
      return ErrorCode::kIo;
  }
}
}  // namespace

Error os_error(int errno_value, std::string_view operation, std::string_view path) {
  char buffer[128];
  const char* text = strerror_r(errno_value, buffer, sizeof buffer);
  return {code_of_errno(errno_value), std::string(operation) + ": " + text, std::string(path)};
}

}  // namespace holdfast
