// What hubs, registries and the jailed fetcher say: nothing that a reader accepts may name a path,
// a range outside of its file, or a host that the rules of URLs refuse.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/link.h"
#include "holdfast/fetch/source.h"
#include "holdfast/fetch/url.h"

namespace {

using namespace holdfast::fetch;

void check_files(const std::vector<RemoteFile>& files) {
  for (const RemoteFile& f : files) {
    if (!is_plain_file_name(f.name) || f.size_bytes > kFileBytesMax) abort();
    if (!f.sha256 && f.git_id.size() != 40) abort();
  }
}

void read_json(std::string_view text) {
  if (const auto tree = parse_hub_tree(text); tree.ok()) {
    check_files(*tree);
    for (const char* quantization : {"", "Q8_0"}) {
      const auto chosen = select_files(*tree, "", quantization);
      if (!chosen.ok()) continue;
      check_files(chosen->files);
      if (chosen->files.empty()) abort();
    }
  }
  if (const auto revision = parse_hub_revision(text); revision.ok()) {
    if (revision->commit.find_first_not_of("0123456789abcdef") != std::string::npos) abort();
  }
  if (const auto model = parse_manifest(text); model.ok()) check_files(model->selection.files);
  if (const auto token = parse_token(text); token.ok()) {
    if (token->find_first_of("\r\n ") != std::string::npos) abort();
  }
}

void read_headers(std::string_view text) {
  if (const auto range = parse_content_range(text); range.ok()) {
    if (range->first > range->last || range->last >= range->total) abort();
  }
  const std::string next = next_page(text);
  if (next.size() > text.size()) abort();
  holdfast::ignore_error(parse_challenge(text), "any text is allowed");
  static_cast<void>(parse_content_digest(text));
  static_cast<void>(plain_etag(text));
}

void read_urls(std::string_view text) {
  const Url base = *parse_url("https://example.org/a/b");
  for (const auto& url : {parse_url(text), resolve_url(base, text)}) {
    if (!url.ok()) continue;
    const auto again = parse_url(url->text());
    // What was checked is what is fetched: the text that goes on means the same host.
    if (!again.ok() || again->host != url->host || again->port != url->port) abort();
    if (url->host.find_first_of("@/\\%# ") != std::string::npos) abort();
  }
  const auto source = parse_source(text, base);
  if (source.ok() && source->repository.find("..") == 0) abort();
  static_cast<void>(looks_like_source(text));
}

// One part of the messages of a fetcher: whole or refused, and written as it was read.
void read_message(holdfast::ByteView bytes) {
  const auto message = decode_message(bytes);
  if (!message.ok()) return;
  const auto again = decode_message(encode_message(*message));
  if (!again.ok() || again->index() != message->index()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.empty()) return 0;
  switch (text.front()) {
    case 'h':
      read_headers(text.substr(1));
      break;
    case 'u':
      read_urls(text.substr(1));
      break;
    case 'm':
      read_message(holdfast::as_bytes_view(text.substr(1)));
      break;
    default:
      read_json(text);
  }
  return 0;
}
