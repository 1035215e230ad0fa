// Importance matrices: how large the activations are that meet each column of each weight matrix.
// The file form is docs/formats/imatrix.md.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/platform/file.h"

namespace holdfast::model {

// One place where the graph's matrices read activations.
struct ActivationSlot {
  std::vector<std::string> tensors;  // the matrices that read them, by their GGUF names
  std::uint32_t columns = 0;
};

// Every slot of the graph but the output head, in graph order. Step::squares holds their columns
// one after the other.
std::vector<ActivationSlot> activation_slots(const Hyperparameters& hyper);
// The columns of all slots together.
std::size_t activation_columns(const Hyperparameters& hyper);

// Sums over a text for one tensor; `matrices` is above 1 where experts share a tensor.
struct ImportanceEntry {
  std::uint64_t columns = 0;
  std::uint64_t matrices = 1;
  std::vector<float> sums;    // [matrices][columns]: squares of the activations
  std::vector<float> counts;  // [matrices]: tokens

  // Mean squares of one matrix; ones for a matrix that the text never met.
  std::vector<float> means(std::uint64_t matrix) const;
};

struct Importance {
  std::vector<std::string> datasets;
  std::uint32_t chunk_count = 0;
  std::uint32_t chunk_tokens = 0;
  std::map<std::string, ImportanceEntry, std::less<>> entries;  // by name of the weight tensor
};

// Parses a file that anybody may have made. kInvalidArgument for another kind of file, kUnsupported
// for the older form that is not GGUF, kCorrupt for anything wrong inside.
Result<Importance> read_importance(const platform::ByteSource& file);
// Writes the same form to the empty `out`; the caller syncs. Errors of writing.
Status write_importance(const Importance& importance, platform::OpenFile& out);

}  // namespace holdfast::model
