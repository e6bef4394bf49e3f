// A picture's representation.
#include "blocks/texture/encoding.hpp"

#include "blocks/shell/mean_of_rows.hpp"

#include <tessera/generator.h>

#include <algorithm>

namespace tessera::texture {

Encoding::Encoding(const sdk::Compute &compute, const TextureModel &model,
                   const blocks::TokenGrid &grid, int layer)
    : compute_(compute), model_(model), grid_{grid.rows, grid.columns},
      trunk_(compute, model, grid_, 1, false) {
    const auto count = static_cast<std::size_t>(grid.tokens());
    const auto condition = static_cast<std::size_t>(model.config.condition);
    tokens_ = compute_.allocate({1, grid.tokens(), kTokenWidth});
    cells_.assign(count, TESSERA_CELL_GIVEN);
    given_.resize(count * static_cast<std::size_t>(kTokenWidth));
    input_.resize(count * static_cast<std::size_t>(kTokenNumbers + 1));
    rows_.resize(count * static_cast<std::size_t>(model.config.width));
    dense_.resize(count * static_cast<std::size_t>(width()));
    pooled_.resize(static_cast<std::size_t>(width()));
    std::vector<float> nobody(2 * condition);
    for (std::size_t i = 0; i < nobody.size(); ++i) {
        nobody[i] = model.class_row(-1)[i % condition] + model.no_style[i % condition];
    }
    trunk_.set_conditions(nobody, std::span(&kCleanTime, 1));
    trunk_.start(0, false);
    unit_count_ = trunk_.size_to(static_cast<std::size_t>(layer));
}

void Encoding::give(const sdk::View &tokens) {
    compute_.copy(tokens, tokens_);
    compute_.download(tokens, sdk::host_view(given_.data(), {1, grid_.tokens(), kTokenWidth}));
    compute_.synchronize();
    for (std::int64_t token = 0; token < grid_.tokens(); ++token) {
        float *const to = input_.data() + token * (kTokenNumbers + 1);
        std::copy_n(given_.data() + token * kTokenWidth, kTokenNumbers, to);
        to[kTokenNumbers] = 1.0F;
    }
    compute_.upload(
        sdk::host_view(input_.data(), {1, grid_.rows, grid_.columns, kTokenNumbers + 1}),
        trunk_.input());
}

bool Encoding::run_unit() {
    trunk_.run(unit_);
    if (unit_ + 1 < unit_count_) {
        ++unit_;
        return false;
    }
    read();
    is_encoded_ = true;
    return true;
}

void Encoding::read() {
    const std::int64_t trunk = model_.config.width;
    compute_.download(trunk_.rows(0), sdk::host_view(rows_.data(), {grid_.tokens(), trunk}));
    compute_.synchronize();
    blocks::Style raw{};
    std::copy_n(given_.data() + kTokenNumbers, raw.size(), raw.begin());
    const blocks::Style style = model_.bank.standard(raw);
    for (std::int64_t token = 0; token < grid_.tokens(); ++token) {
        float *const to = dense_.data() + token * width();
        std::copy_n(rows_.data() + token * trunk, trunk, to);
        std::copy(style.begin(), style.end(), to + trunk);
    }
    blocks::mean_of_rows(dense_, pooled_);
}

blocks::Run::Features Encoding::features() const {
    if (!is_encoded_) return {};
    return {sdk::host_view(pooled_.data(), {width()}),
            sdk::host_view(dense_.data(), {grid_.rows, grid_.columns, width()})};
}

} // namespace tessera::texture
