// A picture's representation.
#include "darl/encoding.hpp"

#include "blocks/shell/mean_of_rows.hpp"

#include <tessera/generator.h>

#include <algorithm>
#include <numeric>

namespace tessera::darl {

Encoding::Encoding(const sdk::Compute &compute, const DarlModel &model, const blocks::RunSpec &spec,
                   int layer, const EncodingSettings &settings)
    : compute_(compute), model_(model), grid_(spec.grid), settings_(settings),
      backbone_(compute, model, spec.grid, 1) {
    const auto count = static_cast<std::size_t>(grid_.tokens());
    const auto width = static_cast<std::size_t>(model.config.width);
    tokens_ = compute_.allocate({1, grid_.tokens(), grid_.token_width()});
    cells_.assign(count, TESSERA_CELL_GIVEN);
    every_.resize(count);
    std::iota(every_.begin(), every_.end(), 0);
    rows_.resize((count + 1) * width);
    dense_.resize(count * width);
    pooled_.resize(width);
    backbone_.set_class(0, -1, {});
    backbone_.start_encoding(settings.causal, layer);
}

void Encoding::give(const sdk::View &tokens) {
    compute_.copy(tokens, tokens_);
    backbone_.embed(tokens_, every_, 1, 0);
}

bool Encoding::run_unit() {
    backbone_.run_unit(unit_);
    if (unit_ + 1 < backbone_.unit_count()) {
        ++unit_;
        return false;
    }
    const std::int64_t rows = grid_.tokens() + 1;
    compute_.download(backbone_.encoded(),
                      sdk::host_view(rows_.data(), {1, rows, model_.config.width}));
    compute_.synchronize();
    pool();
    is_encoded_ = true;
    return true;
}

void Encoding::pool() {
    const std::int64_t width = model_.config.width, count = grid_.tokens();
    for (std::int64_t token = 0; token < count; ++token) {
        const std::int64_t row = 1 + place_in_sequence(grid_, model_.config.nested, token);
        std::copy_n(rows_.begin() + row * width, width, dense_.begin() + token * width);
    }
    const auto row_of = [&](std::int64_t row) {
        std::copy_n(rows_.begin() + row * width, width, pooled_.begin());
    };
    if (settings_.pool == Pool::kStart) return row_of(0);
    if (settings_.pool == Pool::kLast) return row_of(count);
    blocks::mean_of_rows(std::span<const float>(rows_).subspan(static_cast<std::size_t>(width)),
                         pooled_);
}

blocks::Run::Features Encoding::features() const {
    if (!is_encoded_) return {};
    const std::int64_t width = model_.config.width;
    return {sdk::host_view(pooled_.data(), {width}),
            sdk::host_view(dense_.data(), {grid_.rows, grid_.columns, width})};
}

} // namespace tessera::darl
