#include "open_source.h"

#include "holdfast/tokenizer/vocabulary_gguf.h"

namespace holdfast::importer {

Result<tokenizer::Vocabulary> OpenedSource::vocabulary() const {
  return is_checkpoint ? checkpoint::vocabulary(model)
                       : tokenizer::vocabulary_from_gguf(model.file);
}

Result<OpenedSource> open_source(std::span<const platform::ByteSource* const> sources,
                                 const std::vector<std::string>& names, bool vocab_only) {
  OpenedSource opened;
  if (names.empty()) {
    HF_TRY_ASSIGN(opened.model.file, gguf::parse(sources));
    opened.model.parts.assign(sources.begin(), sources.end());
    return opened;
  }
  HF_CHECK(names.size() == sources.size());
  std::vector<checkpoint::SourceFile> files;
  for (std::size_t i = 0; i < names.size(); ++i) files.push_back({names[i], sources[i]});
  HF_TRY_ASSIGN(opened.model, checkpoint::open(files, {.vocab_only = vocab_only}));
  opened.is_checkpoint = true;
  return opened;
}

}  // namespace holdfast::importer
