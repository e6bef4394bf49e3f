// What cases of MAR share.
#pragma once

#include "golden/check_case.hpp"

#include "mar/causal.hpp"
#include "mar/model.hpp"

#include <vector>

namespace tessera::golden {

// Loads the model of a weights file; its config comes from the file.
[[nodiscard]] mar::MarModel load_model(const CaseContext &context, const sdk::Weights &weights);
[[nodiscard]] mar::CausalModel load_causal(const CaseContext &context, const sdk::Weights &weights);
// The labels of a sampling case, -1 for none.
[[nodiscard]] std::vector<std::int64_t> case_labels(const CaseFile &file, std::int64_t images);

} // namespace tessera::golden
