// What the known tokens around a position say of it.
#include "mar/local_mix.hpp"

namespace tessera::mar {

LocalMix::LocalMix(const sdk::Compute &compute, const MarModel &model, std::int64_t batch)
    : compute_(compute), model_(model), batch_(batch) {
    const std::int64_t tokens = model.config.tokens();
    const std::int64_t width = model.config.token_width();
    tokens_ = compute_.allocate({batch, tokens, width});
    known_ = compute_.allocate({batch * tokens * width});
    zeros_ = compute_.allocate({batch * tokens * width});
    mean_ = compute_.allocate({batch, 1, width});
    grid_ = compute_.allocate({batch, tokens, width});
    contexts_ = compute_.allocate({batch, tokens, model.config.decoder.width});
    compute_.fill(0.0f, zeros_);
    spread_.assign(static_cast<std::size_t>(tokens), 0);
}

void LocalMix::set(const sdk::View &tokens, const sdk::View &index, std::int64_t first_entry) {
    compute_.scatter_rows(tokens, index,
                          sdk::slice(tokens_.view(), 0, first_entry, index.shape[0]));
}

// Attention that finds all keys alike. Heads are the cells of a patch, so that they stay narrow.
sdk::View LocalMix::mean_of(const sdk::View &known) const {
    const MarConfig &c = model_.config;
    const auto heads = [&](const sdk::View &rows, std::int64_t count) {
        const std::int64_t shape[] = {batch_, count, c.patch * c.patch, c.latent_channels};
        return sdk::make_view(rows.data, TESSERA_DTYPE_F32, shape, compute_.memory());
    };
    const std::int64_t count = known.shape[1];
    compute_.attention(heads(zeros_, 1), heads(zeros_, count), heads(known, count), {},
                       heads(mean_, 1));
    return mean_;
}

void LocalMix::run(std::span<const std::int32_t> known) {
    const MarConfig &c = model_.config;
    const auto count = static_cast<std::int64_t>(known.size()) / batch_;
    if (count == 0) {
        compute_.fill(0.0f, grid_);
    } else {
        const std::int64_t shape[] = {batch_, count, c.token_width()};
        const sdk::View rows =
            sdk::make_view(known_.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
        const sdk::View index = sdk::host_view(known.data(), {batch_, count});
        compute_.gather_rows(tokens_, index, rows);
        compute_.gather_rows(mean_of(rows), sdk::host_view(spread_.data(), {c.tokens()}), grid_);
        compute_.scatter_rows(rows, index, grid_);
    }
    tessera_conv2d options{};
    options.circular = 1;
    options.pad_top = options.pad_left = options.pad_bottom = options.pad_right =
        static_cast<std::uint32_t>(c.local_kernel / 2);
    options.bias = model_.local_mix.bias.optional();
    const std::int64_t side = c.side();
    compute_.conv2d(sdk::reshape(grid_, {batch_, side, side, c.token_width()}),
                    model_.local_mix.weight, options,
                    sdk::reshape(contexts_, {batch_, side, side, c.decoder.width}));
}

double LocalMix::flops() const {
    const MarConfig &c = model_.config;
    return 2.0 * static_cast<double>(batch_ * c.tokens() * c.local_kernel * c.local_kernel) *
           static_cast<double>(c.token_width() * c.decoder.width);
}

} // namespace tessera::mar
