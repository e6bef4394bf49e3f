// Made-up models of DARL.
#include "tests/darl/test_model.hpp"
#include "tests/invariants/subject.hpp"

#include <stdexcept>

namespace tessera::invariants {
namespace {

std::string write_darl(const std::string &folder, const darl::TestShape &shape) {
    const std::string path = folder + "model.safetensors";
    if (!golden::write_synthetic(path, darl::darl_file(shape))) {
        throw std::runtime_error("cannot write " + path);
    }
    return path;
}

using Values = std::map<std::string, double>;

Subject subject(const char *name, const darl::TestShape &shape, const Values &values) {
    return Subject({.plugin = "darl",
                    .name = name,
                    .write_model = [shape](const std::string &f) { return write_darl(f, shape); },
                    .values = values});
}

const Values kSampled = {{"class", 1}, {"guidance", 2.0}, {"denoise_steps", 3}};
const Values kOtherGrid = {{"width", 28}, {"height", 8}, {"denoise_steps", 2}};

const Subject kSubjects[] = {
    subject("darl", {}, kSampled),
    subject("darl_nested_prefix", {.nested = 2, .prefix = true}, kSampled),
    subject("darl_other_grid", {.nested = 2}, kOtherGrid),
    bundled("darl", "materials_darl", {{"class", 1}, {"denoise_steps", 2}},
            "materials_mar_latents"),
};

} // namespace
} // namespace tessera::invariants
