// A picture's representation by MAR.
#include "mar/encoding.hpp"

#include "blocks/shell/mean_of_rows.hpp"

#include <tessera/generator.h>

#include <numeric>

namespace tessera::mar {

Encoding::Encoding(const sdk::Compute &compute, const MarModel &model, int layer)
    : compute_(compute), model_(model), layer_(layer), towers_(compute, model, 1) {
    const auto count = static_cast<std::size_t>(model.config.tokens());
    const auto width = static_cast<std::size_t>(model.config.encoder.width);
    tokens_ = compute_.allocate({1, model.config.tokens(), model.config.token_width()});
    every_.resize(count);
    std::iota(every_.begin(), every_.end(), 0);
    cells_.assign(count, TESSERA_CELL_GIVEN);
    dense_.resize(count * width);
    pooled_.resize(width);
    towers_.set_class(0, -1, {});
    towers_.start(every_, every_); // of what it wants nothing runs
    unit_count_ = towers_.unit_count_to(layer);
}

void Encoding::give(const sdk::View &tokens) {
    compute_.copy(tokens, tokens_);
    towers_.embed(tokens_, every_, 1, 0);
}

bool Encoding::run_unit() {
    towers_.run_unit(unit_++);
    if (unit_ < unit_count_) return false;
    read();
    return true;
}

void Encoding::read() {
    const std::int64_t count = model_.config.tokens(), width = model_.config.encoder.width;
    const sdk::View rows = towers_.rows_after(layer_); // (1, K + S, E)
    compute_.download(sdk::slice(rows, 1, rows.shape[1] - count, count),
                      sdk::host_view(dense_.data(), {1, count, width}));
    compute_.synchronize();
    blocks::mean_of_rows(dense_, pooled_);
}

blocks::Run::Features Encoding::features() const {
    const std::int64_t side = model_.config.side(), width = model_.config.encoder.width;
    return {sdk::host_view(pooled_.data(), {width}),
            sdk::host_view(dense_.data(), {side, side, width})};
}

} // namespace tessera::mar
