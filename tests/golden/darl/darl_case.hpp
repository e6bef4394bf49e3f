// What cases of DARL share.
#pragma once

#include "golden/check_case.hpp"

#include "darl/model.hpp"

#include <string>
#include <vector>

namespace tessera::golden {

// Limits; the second ones are for bf16 weights, where only gross mistakes can be told from
// rounding.
struct DarlLimits {
    double rows; // of max(1, largest value)
    double patches;
    double loss;
    double run; // in units of float32's own deviation
};
inline constexpr DarlLimits kDarlExact{1e-5, 1e-5, 1e-5, 8.0};
inline constexpr DarlLimits kDarlMixed{1e-1, 1e-1, 1e-1, 1e9};

// Loads the model of the weights file and sees that it is the case's.
[[nodiscard]] darl::DarlModel load_darl(const CaseContext &context, const CaseFile &file);

// The labels of a case; without any, nothing is added to the start token.
[[nodiscard]] std::vector<std::int64_t>
darl_labels(const CaseFile &file, const darl::DarlModel &model, std::int64_t images);

// Throws Failure when the file holds `tensor` in another shape.
void require_shape(const CaseFile &file, const std::string &tensor,
                   const std::vector<std::int64_t> &shape);

} // namespace tessera::golden
