// Error: what every failing function returns. Codes come from errors.def.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast {

enum class ErrorCode : std::uint8_t {
#define HF_ERROR(name, number, http, exit, text) k_##name = number,
#include "holdfast/base/errors.def"
#undef HF_ERROR
  kInvalidArgument = k_invalid_argument,
  kCorrupt = k_corrupt,
  kUnauthenticated = k_unauthenticated,
  kDenied = k_denied,
  kNotFound = k_not_found,
  kConflict = k_conflict,
  kExhausted = k_exhausted,
  kUnavailable = k_unavailable,
  kDeadline = k_deadline,
  kCancelled = k_cancelled,
  kUnsupported = k_unsupported,
  kIo = k_io,
  kInternal = k_internal,
};

// Name as in errors.def, for example "not_found".
std::string_view error_code_name(ErrorCode code);
int error_code_http_status(ErrorCode code);
int error_code_exit_status(ErrorCode code);
// From the number on the wire; an unknown number is kInternal.
ErrorCode error_code_from_number(std::uint8_t number);

// Thread-compatible value.
class Error {
 public:
  // `client_message` may be shown to any caller: no paths of the server, keys, prompts or ids of
  // others.
  Error(ErrorCode code, std::string client_message, std::string detail = {});

  ErrorCode code() const { return code_; }
  const std::string& client_message() const { return client_message_; }
  // For logs and for the user who ran the command; grows on the way up.
  const std::string& detail() const { return detail_; }
  // What the user can do next; empty if there is nothing to say.
  const std::string& hint() const { return hint_; }

  // Prepends "what: " to the detail. Returns *this for chaining.
  Error& add_context(std::string_view what) &;
  Error&& add_context(std::string_view what) &&;
  Error&& with_hint(std::string hint) &&;

  // "code: message (detail)" for logs.
  std::string to_string() const;

 private:
  ErrorCode code_;
  std::string client_message_;
  std::string detail_;
  std::string hint_;
};

Error invalid_argument(std::string message, std::string detail = {});
Error corrupt(std::string message, std::string detail = {});
Error not_found(std::string message, std::string detail = {});
Error conflict(std::string message, std::string detail = {});
Error exhausted(std::string message, std::string detail = {});
Error unavailable(std::string message, std::string detail = {});
Error unsupported(std::string message, std::string detail = {});
Error cancelled(std::string message, std::string detail = {});
Error internal_error(std::string message, std::string detail = {});
// From errno: the message names the operation, the detail the path; ENOENT is not_found,
// EACCES/EPERM denied, ENOSPC/EDQUOT/ENOMEM/EMFILE exhausted, EEXIST conflict, everything else io.
Error os_error(int errno_value, std::string_view operation, std::string_view path = {});

}  // namespace holdfast
