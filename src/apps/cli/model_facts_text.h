// What lists and cards say of a model beside what is in it: seal, signature, origin, who and when.
#pragma once

#include <string>

#include "context.h"
#include "holdfast/json/json.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::cli {

// "AES-256-GCM", "ChaCha20-Poly1305", "no".
std::string seal_text(const vault::PackHeader& header);
// Of the manifest's member `signature`: "publisher: NAME", "publisher: none"; "none" where the
// model has no signature.
std::string signature_text(const registry::ModelRecord& model);
// "file smollm2.gguf", "url https://... @revision"; empty where it is not known.
std::string origin_text(const registry::ModelRecord& model);
// Who imported it first; empty where it is not known.
std::string importer_text(const registry::ModelRecord& model);

// Members of the JSON of lists and cards.
void add_provenance(json::Object& out, const registry::ModelRecord& model);

// This user, now. SOURCE_DATE_EPOCH stands for the time where it is set, so that what is made from
// the same input is the same.
registry::Act act_now(const Context& context);
// Of a model that is imported from a path.
registry::Provenance provenance_of_path(const Context& context, const std::string& path);

}  // namespace holdfast::cli
