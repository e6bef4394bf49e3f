// The metadata of weight files, and masks as a generator takes them.
#include "fuzz/targets.hpp"

#include "blocks/diffusion/noise_schedule.hpp"
#include "blocks/model/config.hpp"
#include "blocks/shell/completion.hpp"

#include <vector>

namespace tessera::fuzz {

void model_config(std::span<const std::byte> bytes) {
    const std::string text(text_of(bytes));
    try {
        static_cast<void>(blocks::parse_text_list(text, "fuzz"));
    } catch (const sdk::Failure &) {
    }
    try {
        const auto config = blocks::Config::parse(text, "fuzz");
        for (const char *key : {"img_size", "encoder_depth", "num_sampling_steps", "labels"}) {
            try {
                if (!config.is_null(key)) static_cast<void>(config.integer(key, -5, 1 << 20));
            } catch (const sdk::Failure &) {
            }
            try {
                static_cast<void>(config.number(key, -1e30, 1e30));
                static_cast<void>(config.integers(key, 0, 1000));
            } catch (const sdk::Failure &) {
            }
        }
        const blocks::NoiseTables tables =
            blocks::cosine_tables(config.text_or_integer("num_sampling_steps"));
        require(tables.size() >= 2 && tables.size() <= 1000, "a schedule has 2 to 1000 steps");
    } catch (const sdk::Failure &failure) {
        require(*failure.what() != '\0', "an error has a message");
    }
}

// Bytes 0 to 7 choose rank, type, memory and shapes; the rest are pixels.
void mask(std::span<const std::byte> bytes) {
    constexpr std::size_t kChoices = 8;
    if (bytes.size() < kChoices) return;
    const auto choice = [&](std::size_t i) { return std::to_integer<unsigned>(bytes[i]); };
    blocks::TokenGrid grid;
    grid.latent_stride = 8;
    grid.patch = 1 + choice(0) % 2;
    grid.rows = grid.columns = 4 / grid.patch; // of 32 pixels a side
    grid.latent_channels = 3;
    const std::int64_t sides[] = {grid.rows, grid.height(), 4, 0, 31, 33};
    const std::int64_t channels[] = {1, 3, 4, 0};
    // As large as the largest that any check may let pass.
    std::vector<std::uint8_t> pixels(33 * 33 * 4 * sizeof(float));
    for (std::size_t i = kChoices; i < bytes.size() && i - kChoices < pixels.size(); ++i) {
        pixels[i - kChoices] = std::to_integer<std::uint8_t>(bytes[i]);
    }
    const auto view = [&](std::size_t first, std::size_t usual_rank) {
        const std::int64_t shape[] = {sides[choice(first) % 6], sides[choice(first) / 6 % 6],
                                      channels[choice(first + 1) % 4]};
        const std::size_t rank = choice(first + 1) > 250 ? choice(first + 1) % 4 : usual_rank;
        const auto dtype = choice(1) > 250 ? static_cast<tessera_dtype>(choice(1) % 8)
                           : usual_rank == 3 && first == 6 ? TESSERA_DTYPE_F32
                                                           : TESSERA_DTYPE_U8;
        return sdk::make_view(choice(first) == 255 ? nullptr : pixels.data(), dtype,
                              std::span(shape).first(rank));
    };
    const sdk::View picture = view(2, 3);
    const sdk::View hole = view(4, 2);
    const sdk::View latents = view(6, 3);
    try {
        const auto given = blocks::read_completion(grid, 3, choice(0) & 4 ? nullptr : &picture,
                                                   choice(0) & 8 ? nullptr : &hole,
                                                   choice(0) & 16 ? &latents : nullptr);
        if (!given) return;
        const auto tokens = static_cast<std::size_t>(grid.tokens());
        require(given->known.size() == tokens, "every token is known or not");
        require(given->kept_values.size() == 3 * given->kept_pixels.size() || given->pixels.empty(),
                "every kept pixel has its values");
    } catch (const sdk::Failure &failure) {
        require(*failure.what() != '\0', "an error has a message");
    }
}

} // namespace tessera::fuzz
