// What is asked of a generator, apart from its parameter values.
#pragma once

#include "assets/image_file.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

// A picture for a slot: 4 channels for RGBA8, 1 for MASK8. For F32 the values are in `numbers` and
// the image has their sizes but no pixels.
struct RequestInput {
    std::string key;
    Image image;
    std::vector<float> numbers = {}; // (height, width, channels)
};

// What a picture has of its own in a request for several (ext/batch.h).
struct RequestImage {
    std::uint64_t seed = 0;
    std::vector<RequestInput> inputs = {}; // next to the request's
};

struct PlayRequest {
    std::uint64_t seed = 0;
    std::uint32_t first_image = 0; // image i has the random stream first_image + i
    std::uint32_t image_count = 1;
    std::uint32_t preview_every = 0;  // steps between pictures; 0: the final one only
    std::uint32_t step_budget_us = 0; // in the config's place; 0: as it says
    // Of a picture, in the place of the values TESSERA_KEY_WIDTH and TESSERA_KEY_HEIGHT; 0: as they
    // say.
    std::uint32_t width = 0, height = 0;
    bool canvas = false; // a window of one: with the values that are for it
    std::vector<RequestInput> inputs = {};
    // In the place of seed and count; with the stream first_image for each. Of a generator that
    // takes back latents of its own for each (Session::batch). Empty: all are of this request.
    std::vector<RequestImage> images = {};
    std::uint64_t tag = 0; // the caller's: comes back in every frame and event of the job
    // Latents that lie on a device may stay there, see SessionConfig::store.
    bool on_device = false;
};

} // namespace tessera
