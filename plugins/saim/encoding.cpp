// A picture's representation by SAIM.
#include "saim/encoding.hpp"

#include <tessera/generator.h>

namespace tessera::saim {

Encoding::Encoding(const sdk::Compute &compute, const SaimModel &model, std::int64_t images,
                   int layer, Pool pool)
    : compute_(compute), model_(model), images_(images), layer_(layer), pool_(pool) {
    const SaimConfig &c = model.config;
    const std::int64_t rows = 1 + c.tokens();
    tokens_ = compute_.allocate({images, c.tokens(), c.token_width()});
    for (auto *tensor : {&x_, &normed_, &heads_}) {
        *tensor = compute_.allocate({images, rows, c.width});
    }
    qkv_ = compute_.allocate({images, rows, 3 * c.width});
    hidden_ = compute_.allocate({images, rows, c.hidden});
    zero_ = compute_.allocate({images, 1, c.width});
    compute_.fill(0.0F, zero_);
    mean_ = compute_.allocate({images, c.width});
    dense_ = compute_.allocate({c.tokens(), c.width});
    cells_.assign(static_cast<std::size_t>(c.tokens()), TESSERA_CELL_GIVEN);
    const auto all = static_cast<double>(images * rows * c.width);
    units_.push_back(
        {Kind::kEmbed, 0, {0, images, 0, rows, 2.0 * all * static_cast<double>(c.token_width())}});
    for (std::int64_t i = 0; i < layer; ++i) {
        const blocks::TransformerBlock &block = model.blocks[static_cast<std::size_t>(i)];
        const auto add = [&](Kind kind, double flops_per_row) {
            blocks::cut_rows(images, rows, flops_per_row, [&](const blocks::RowPart &part) {
                units_.push_back({kind, i, part});
            });
        };
        add(Kind::kProject, block.project_flops(1.0));
        add(Kind::kAttend, block.attend_flops(1.0, static_cast<double>(rows)));
        add(Kind::kFinish, block.finish_flops(1.0));
    }
    units_.push_back({Kind::kEnd, 0, {0, images, 0, rows, 20.0 * all}});
}

void Encoding::give(const sdk::View &tokens) { compute_.copy(tokens, tokens_); }

sdk::View Encoding::part(const sdk::Tensor &tensor, const blocks::RowPart &part) const {
    const sdk::View &view = tensor.view();
    return sdk::slice(sdk::reshape(view, {view.shape[0] * view.shape[1], view.shape[2]}), 0,
                      part.entry * view.shape[1] + part.first, part.entries * part.count);
}

sdk::View Encoding::entries(const sdk::Tensor &tensor, const blocks::RowPart &part) const {
    return sdk::slice(sdk::slice(tensor.view(), 0, part.entry, part.entries), 1, part.first,
                      part.count);
}

bool Encoding::run_unit() {
    const Unit &unit = units_[unit_++];
    const std::int64_t width = model_.config.width;
    const auto &block = model_.blocks[static_cast<std::size_t>(unit.block)];
    const blocks::RowPart &at = unit.part;
    switch (unit.kind) {
    case Kind::kEmbed:
        embed();
        break;
    case Kind::kProject:
        block.project_qkv(compute_, part(x_, at), part(normed_, at), part(qkv_, at));
        break;
    case Kind::kAttend: {
        const sdk::View qkv = sdk::slice(qkv_.view(), 0, at.entry, at.entries);
        block.attend(compute_, sdk::slice(entries(qkv_, at), 2, 0, width),
                     sdk::slice(qkv, 2, width, width), sdk::slice(qkv, 2, 2 * width, width), {},
                     entries(heads_, at));
        break;
    }
    case Kind::kFinish:
        block.finish(compute_, part(heads_, at), part(x_, at), part(normed_, at),
                     part(hidden_, at));
        break;
    case Kind::kEnd:
        end();
        break;
    }
    return unit_ == units_.size();
}

void Encoding::embed() {
    const SaimConfig &c = model_.config;
    const sdk::View made =
        sdk::reshape(sdk::slice(sdk::reshape(heads_, {images_ * (1 + c.tokens()), c.width}), 0, 0,
                                images_ * c.tokens()),
                     {images_, c.tokens(), c.width});
    compute_.linear(sdk::reshape(tokens_, {images_ * c.tokens(), c.token_width()}),
                    model_.token_in.weight, {.bias = model_.token_in.bias.optional()},
                    sdk::reshape(made, {images_ * c.tokens(), c.width}));
    compute_.add(made, sdk::slice(model_.positions.view(), 0, 1, c.tokens()),
                 sdk::slice(x_.view(), 1, 1, c.tokens()));
    for (std::int64_t image = 0; image < images_; ++image) {
        compute_.copy(model_.class_row, sdk::slice(sdk::at(x_.view(), image), 0, 0, 1));
    }
}

// The mean is what attention gives a query that likes all rows alike.
void Encoding::end() {
    const SaimConfig &c = model_.config;
    const auto one_head = [&](const sdk::View &rows) {
        sdk::View view = rows;
        view.rank = 4;
        view.shape[2] = 1;
        view.shape[3] = c.width;
        view.stride[2] = c.width;
        view.stride[3] = 1;
        return view;
    };
    const sdk::View patches = sdk::slice(x_.view(), 1, 1, c.tokens());
    compute_.attention(one_head(zero_), one_head(patches), one_head(patches), {},
                       one_head(sdk::reshape(mean_, {images_, 1, c.width})));
    if (layer_ == c.depth) model_.norm.apply(compute_, x_, x_);
    compute_.copy(sdk::slice(sdk::at(x_.view(), 0), 0, 1, c.tokens()), dense_);
}

blocks::Run::Features Encoding::features() const {
    const SaimConfig &c = model_.config;
    const sdk::View pooled =
        pool_ == Pool::kMean ? sdk::at(mean_.view(), 0) : sdk::at(sdk::at(x_.view(), 0), 0);
    return {pooled, sdk::reshape(dense_, {c.side(), c.side(), c.width})};
}

} // namespace tessera::saim
