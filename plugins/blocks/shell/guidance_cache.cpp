// Unconditional conditions from those of an earlier set.
#include "blocks/shell/guidance_cache.hpp"

#include <algorithm>

namespace tessera::blocks {

GuidanceCache::GuidanceCache(const sdk::Compute &compute, const Make &make, std::int64_t images,
                             std::int64_t tokens, int sets, int refresh)
    : compute_(compute), images_(images), tokens_(tokens), sets_(sets), refresh_(refresh),
      whole_(make(2 * images, true)), conditional_(make(images, false)),
      width_(conditional_->conditions().shape[2]),
      differences_(compute_.allocate({images, tokens, width_})),
      scratch_(compute_.allocate({images * tokens * width_})),
      conditions_(compute_.allocate({2 * images * tokens * width_})) {
    const auto all = static_cast<std::size_t>(2 * images * tokens);
    unknown_.reserve(all);
    wanted_.reserve(all);
    rows_.reserve(all);
    is_known_.resize(static_cast<std::size_t>(tokens));
}

bool GuidanceCache::is_whole(int index, int sets, int refresh) {
    const int first = std::max(1, (5 * sets + 63) / 64);
    return index < first || (index - first) % refresh == 0;
}

void GuidanceCache::set_class(std::int64_t entry, std::int64_t label, const ClassMix &mix) {
    whole_->set_class(entry, label, mix);
    if (entry < images_) conditional_->set_class(entry, label, mix);
}

void GuidanceCache::embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                          std::int64_t images, std::int64_t first_entry) {
    whole_->embed(tokens, positions, images, first_entry);
    if (first_entry < images_) conditional_->embed(tokens, positions, images, first_entry);
    if (static_cast<std::int64_t>(positions.size()) == images * tokens_) all_moved_ = true;
}

void GuidanceCache::start(std::span<const std::int32_t> known,
                          std::span<const std::int32_t> wanted) {
    is_whole_ = all_moved_ || is_whole(next_, sets_, refresh_);
    ++next_;
    wanted_.assign(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(wanted.size() / 2));
    if (!is_whole_) {
        conditional_->start(known.first(known.size() / 2), wanted.first(wanted.size() / 2));
        return;
    }
    all_moved_ = false;
    list_unknown(known, wanted);
    whole_->start(known, unknown_);
}

// All that later sets may want, and where the wanted ones are among them.
void GuidanceCache::list_unknown(std::span<const std::int32_t> known,
                                 std::span<const std::int32_t> wanted) {
    const auto entries = static_cast<std::size_t>(2 * images_);
    const std::size_t known_each = known.size() / entries;
    const std::size_t wanted_each = wanted.size() / entries;
    unknown_.clear();
    rows_.clear();
    for (std::size_t entry = 0; entry < entries; ++entry) {
        std::fill(is_known_.begin(), is_known_.end(), std::uint8_t{0});
        for (const std::int32_t position : known.subspan(entry * known_each, known_each))
            is_known_[static_cast<std::size_t>(position)] = 1;
        const std::size_t first = unknown_.size();
        for (std::size_t position = 0; position < is_known_.size(); ++position) {
            if (is_known_[position] == 0) unknown_.push_back(static_cast<std::int32_t>(position));
        }
        for (const std::int32_t position : wanted.subspan(entry * wanted_each, wanted_each)) {
            const auto begin = unknown_.begin() + static_cast<std::ptrdiff_t>(first);
            rows_.push_back(static_cast<std::int32_t>(
                std::lower_bound(begin, unknown_.end(), position) - begin));
        }
    }
}

double GuidanceCache::unit_flops(int unit) const {
    if (unit < network().unit_count()) return network().unit_flops(unit);
    return 4.0 * static_cast<double>(2 * images_ * tokens_ * width_);
}

void GuidanceCache::run_unit(int unit) {
    if (unit < network().unit_count()) return network().run_unit(unit);
    if (is_whole_)
        keep_differences();
    else
        add_differences();
}

void GuidanceCache::keep_differences() {
    const sdk::View made = whole_->conditions(); // (2 images, unknown, D)
    const std::int64_t unknown = made.shape[1];
    const std::int64_t wanted = static_cast<std::int64_t>(wanted_.size()) / images_;
    const sdk::View conditional = sdk::slice(made, 0, 0, images_);
    const sdk::View difference = rows_of(scratch_, images_, unknown);
    compute_.scale_offset(conditional, -1.0F, 0.0F, difference);
    compute_.add(difference, sdk::slice(made, 0, images_, images_), difference);
    compute_.scatter_rows(difference, sdk::host_view(unknown_.data(), {images_, unknown}),
                          differences_);
    compute_.gather_rows(made, sdk::host_view(rows_.data(), {2 * images_, wanted}), conditions());
}

void GuidanceCache::add_differences() {
    const std::int64_t wanted = static_cast<std::int64_t>(wanted_.size()) / images_;
    const sdk::View conditional = sdk::slice(conditions(), 0, 0, images_);
    const sdk::View unconditional = sdk::slice(conditions(), 0, images_, images_);
    compute_.copy(conditional_->conditions(), conditional);
    compute_.gather_rows(differences_, sdk::host_view(wanted_.data(), {images_, wanted}),
                         unconditional);
    compute_.add(unconditional, conditional, unconditional);
}

sdk::View GuidanceCache::conditions() const {
    return rows_of(conditions_, 2 * images_, static_cast<std::int64_t>(wanted_.size()) / images_);
}

sdk::View GuidanceCache::rows_of(const sdk::Tensor &flat, std::int64_t entries,
                                 std::int64_t rows) const {
    const std::int64_t shape[] = {entries, rows, width_};
    return sdk::make_view(flat.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
}

} // namespace tessera::blocks
