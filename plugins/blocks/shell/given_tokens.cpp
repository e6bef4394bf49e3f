// The tokens that a request gives.
#include "blocks/shell/given_tokens.hpp"

namespace tessera::blocks {

GivenTokens::GivenTokens(const sdk::Compute &compute, const RunSpec &spec)
    : compute_(compute), images_(spec.images()) {
    for (std::int64_t image = 0; image < images_; ++image) {
        for (std::size_t i = 0; i < spec.known.size(); ++i) {
            if (spec.known[i] != 0) positions_.push_back(static_cast<std::int32_t>(i));
        }
    }
    if (is_empty()) return;
    const auto count = static_cast<std::int64_t>(positions_.size()) / images_;
    tokens_ = compute_.allocate({images_, count, spec.grid.token_width()});
}

sdk::View GivenTokens::index(std::int64_t images) const {
    return sdk::host_view(positions_.data(),
                          {images, static_cast<std::int64_t>(positions_.size()) / images_});
}

void GivenTokens::take(const sdk::View &all) const {
    for (std::int64_t image = 0; !is_empty() && image < images_; ++image) {
        compute_.gather_rows(all, index(1), sdk::slice(tokens_.view(), 0, image, 1));
    }
}

void GivenTokens::put_into(const sdk::View &all) const {
    if (!is_empty()) compute_.scatter_rows(tokens_, index(images_), all);
}

} // namespace tessera::blocks
