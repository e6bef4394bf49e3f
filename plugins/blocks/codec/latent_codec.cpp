// Images to latents and back: which kind of codec a file holds.
#include "blocks/codec/latent_codec.hpp"

#include "blocks/codec/kl_vae.hpp"
#include "blocks/codec/texture_vae.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tessera::blocks {
namespace {

// Of a consistency model (arXiv 2303.01469) over the cosine schedule of kConsistencySteps times.
std::vector<NoisyStep> steps_of(const NoisyDecoder &decoder) {
    const auto survives = [](double u) {
        return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2);
    };
    std::vector<double> signal; // alpha^2 of each time
    constexpr double kCount = kConsistencySteps;
    for (std::int64_t i = 0; i < kConsistencySteps; ++i) {
        const double now = static_cast<double>(i) / kCount;
        const double beta = std::min(1.0 - survives(now + 1.0 / kCount) / survives(now), 0.999);
        signal.push_back((signal.empty() ? 1.0 : signal.back()) * (1.0 - beta));
    }
    std::vector<NoisyStep> steps;
    const double data = decoder.sigma_data;
    for (const std::int64_t time : decoder.times) {
        const double kept = signal[static_cast<std::size_t>(time)];
        const double noise = std::sqrt(1.0 / kept - 1.0); // over the signal
        const double whole = noise * noise + data * data;
        steps.push_back({static_cast<float>(std::sqrt(kept)),
                         static_cast<float>(std::sqrt(1.0 - kept)),
                         static_cast<float>(data * data / std::sqrt(kept) / whole),
                         static_cast<float>(noise * data / std::sqrt(whole)),
                         static_cast<float>(1.0 / std::sqrt(kept) / std::sqrt(whole)),
                         static_cast<float>(2.0 * static_cast<double>(time) / kCount - 1.0)});
    }
    return steps;
}

} // namespace

LatentCodec LatentCodec::load(WeightLoader &loader, const sdk::Weights &weights, bool exact) {
    const std::string kind = weights.metadata("kind").value_or("");
    const std::optional<std::string> text = weights.metadata("config");
    if (kind != kKlVaeKind && kind != kVqVaeKind && kind != kConsistencyVaeKind &&
        kind != kTextureVaeKind) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'kind' is '" + kind + "', expected '" +
                               kKlVaeKind + "', '" + kVqVaeKind + "', '" + kConsistencyVaeKind +
                               "' or '" + kTextureVaeKind + "'");
    }
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    const Config json = Config::parse(*text, weights.path() + ": config");
    LatentCodec codec;
    if (kind != kTextureVaeKind) {
        const KlVaeConfig config = KlVaeConfig::read(json, kind == kVqVaeKind);
        codec.latent_channels_ = config.embed_channels;
        codec.image_channels_ = config.out_channels;
        codec.stride_ = config.stride();
        codec.encoder_ = kl_vae_encoder(config, loader);
        if (kind == kConsistencyVaeKind) {
            const NoisyDecoder decoder = NoisyDecoder::read(json, config);
            codec.decoder_ = noisy_decoder(config, decoder, loader);
            codec.noisy_steps_ = steps_of(decoder);
        } else {
            codec.decoder_ = kl_vae_decoder(config, loader);
        }
    } else {
        const TextureVaeConfig config = TextureVaeConfig::read(json);
        codec.latent_channels_ = config.latent_channels;
        codec.image_channels_ = config.image_channels;
        codec.stride_ = config.stride();
        codec.encoder_ = texture_vae_encoder(config, loader);
        codec.decoder_ = texture_vae_decoder(config, loader);
    }
    codec.encoder_.exact = codec.decoder_.exact = exact;
    return codec;
}

} // namespace tessera::blocks
