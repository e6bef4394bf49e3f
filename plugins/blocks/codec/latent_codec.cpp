// Images to latents and back: which kind of codec a file holds.
#include "blocks/codec/latent_codec.hpp"

#include "blocks/codec/kl_vae.hpp"
#include "blocks/codec/texture_vae.hpp"

namespace tessera::blocks {

LatentCodec LatentCodec::load(WeightLoader &loader, const sdk::Weights &weights, bool exact) {
    const std::string kind = weights.metadata("kind").value_or("");
    const std::optional<std::string> text = weights.metadata("config");
    if (kind != kKlVaeKind && kind != kTextureVaeKind) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'kind' is '" + kind + "', expected '" +
                               kKlVaeKind + "' or '" + kTextureVaeKind + "'");
    }
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    const Config json = Config::parse(*text, weights.path() + ": config");
    LatentCodec codec;
    if (kind == kKlVaeKind) {
        const KlVaeConfig config = KlVaeConfig::read(json);
        codec.latent_channels_ = config.embed_channels;
        codec.image_channels_ = config.out_channels;
        codec.stride_ = config.stride();
        codec.encoder_ = kl_vae_encoder(config, loader);
        codec.decoder_ = kl_vae_decoder(config, loader);
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
