// Made-up models of MAR.
#include "tests/golden/synthetic.hpp"
#include "tests/invariants/subject.hpp"

#include <stdexcept>

namespace tessera::invariants {
namespace {

void write(const std::string &path, const golden::SyntheticFile &file) {
    if (!golden::write_synthetic(path, file)) throw std::runtime_error("cannot write " + path);
}

// With a tokenizer next to it.
std::string write_mar(const std::string &folder, const golden::SyntheticMar &shape) {
    golden::SyntheticFile file;
    file.tensors = shape.tensors();
    file.metadata = {{"config", shape.config_json()}, {"tokenizer", "codec.safetensors"}};
    write(folder + "codec.safetensors",
          golden::synthetic_texture_codec(shape.vae_embed_dim, shape.vae_stride));
    write(folder + "model.safetensors", file);
    return folder + "model.safetensors";
}

const std::map<std::string, double> kValues = {
    {"class", 1}, {"steps", 4}, {"guidance", 2.0}, {"denoise_steps", 4}};

const Subject kMasked({.plugin = "mar",
                       .name = "mar",
                       .write_model =
                           [](const std::string &folder) {
                               return write_mar(folder, golden::SyntheticMar{});
                           },
                       .values = kValues});

const Subject kLocal({.plugin = "mar",
                      .name = "mar_local",
                      .write_model =
                          [](const std::string &folder) {
                              golden::SyntheticMar shape;
                              shape.local_kernel = 3;
                              return write_mar(folder, shape);
                          },
                      .values = kValues});

} // namespace
} // namespace tessera::invariants
