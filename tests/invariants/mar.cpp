// Made-up models of MAR.
#include "tests/golden/synthetic.hpp"
#include "tests/invariants/subject.hpp"

#include <filesystem>
#include <stdexcept>

namespace tessera::invariants {
namespace {

void write(const std::string &path, const golden::SyntheticFile &file) {
    if (!golden::write_synthetic(path, file)) throw std::runtime_error("cannot write " + path);
}

// With a tokenizer next to it: one with a codebook where tokens are codes.
std::string write_mar(const std::string &folder, const golden::SyntheticMar &shape) {
    golden::SyntheticFile file;
    file.tensors = shape.tensors();
    file.metadata = {{"config", shape.config_json()}, {"tokenizer", "codec.safetensors"}};
    if (shape.local_kernel > 0) file.metadata["limits"] = R"({"tokens": [-1, 1]})";
    const int codes = shape.codebook;
    write(folder + "codec.safetensors",
          codes == 0 ? golden::synthetic_texture_codec(shape.vae_embed_dim, shape.vae_stride)
                     : golden::synthetic_kl_codec(32, {1, 1, 1, 1}, 1, shape.vae_embed_dim,
                                                  shape.img_size, 8, codes));
    write(folder + "model.safetensors", file);
    return folder + "model.safetensors";
}

using Values = std::map<std::string, double>;
const Values kMasked = {{"class", 1}, {"steps", 4}, {"guidance", 2.0}, {"denoise_steps", 4}};
const Values kTokenCache = {{"class", 1},         {"steps", 12},        {"guidance", 2.0},
                            {"denoise_steps", 3}, {"token_refresh", 9}, {"guidance_refresh", 4}};
const Values kCausal = {{"class", 1}, {"guidance", 2.0}, {"denoise_steps", 4}};
const Values kMaskedCodes = {{"class", 1}, {"steps", 4}, {"guidance", 2.0}, {"top_k", 20}};
const Values kCausalCodes = {{"class", 1}, {"guidance", 2.0}, {"top_p", 0.9}};

Subject subject(const char *name, const golden::SyntheticMar &shape, const Values &values) {
    return Subject({.plugin = "mar",
                    .name = name,
                    .write_model = [shape](const std::string &f) { return write_mar(f, shape); },
                    .values = values});
}

golden::SyntheticMar shape_of(const char *variant, int codebook, int local_kernel = 0) {
    golden::SyntheticMar shape;
    shape.variant = variant;
    shape.codebook = codebook;
    shape.local_kernel = local_kernel;
    return shape;
}

// With enough tokens and blocks that some are left out.
golden::SyntheticMar large_of(int decoder_depth) {
    golden::SyntheticMar shape = shape_of("", 0);
    shape.img_size = 64;
    shape.decoder_depth = decoder_depth;
    return shape;
}

// Table 1 of arXiv 2406.11838, and the variant for textures.
const Subject kSubjects[] = {
    subject("mar", shape_of("", 0), kMasked),
    subject("mar_local", shape_of("", 0, 3), kMasked),
    subject("mar_token_cache", large_of(6), kTokenCache),
    subject("mar_codes", shape_of("", 40), kMaskedCodes),
    subject("mar_raster", shape_of("raster", 0), kCausal),
    subject("mar_random", shape_of("random", 0), kCausal),
    subject("mar_raster_codes", shape_of("raster", 40), kCausalCodes),
    subject("mar_random_codes", shape_of("random", 40), kCausalCodes),
    bundled("mar", "materials_mar_raster", {{"class", 1}, {"denoise_steps", 2}},
            "materials_mar_latents"),
    bundled("mar", "materials_mar_random", {{"class", 1}, {"denoise_steps", 2}},
            "materials_mar_latents"),
    bundled("mar", "materials_mar_codes", {{"class", 1}}, "materials_mar_codes"),
};

// On wavelet tokens: the model of tests/mar.
const Subject
    kTorus({.plugin = "mar",
            .name = "mar_torus",
            .write_model =
                [](const std::string &folder) {
                    std::filesystem::copy_file(TESSERA_SOURCE_DIR
                                               "/tests/golden/data/mar_torus/weights.safetensors",
                                               folder + "model.safetensors");
                    return folder + "model.safetensors";
                },
            .values = {{"class", 1}, {"steps", 4}, {"guidance", 2.0}, {"denoise_steps", 4}}});

// A tokenizer whose decoder draws noise: that of tests/golden.
const Subject kNoisyDecoder(
    {.plugin = "mar",
     .name = "mar_noisy_decoder",
     .write_model =
         [](const std::string &folder) {
             golden::SyntheticMar shape;
             shape.vae_embed_dim = 3;
             shape.vae_stride = 2;
             shape.img_size = 8;
             golden::SyntheticFile file;
             file.tensors = shape.tensors();
             file.metadata = {{"config", shape.config_json()}, {"tokenizer", "codec.safetensors"}};
             write(folder + "model.safetensors", file);
             std::filesystem::copy_file(TESSERA_SOURCE_DIR "/tests/golden/data/consistency/"
                                                           "weights.safetensors",
                                        folder + "codec.safetensors");
             return folder + "model.safetensors";
         },
     .values = kMasked});

} // namespace
} // namespace tessera::invariants
